"""`open_source` turns what the user named into a source."""

from __future__ import annotations

from dataclasses import replace

from segnet_live.config import SourceSpec
from segnet_live.errors import SourceError
from segnet_live.video.source import VideoSource


def open_source(spec: SourceSpec) -> VideoSource:
    """The named source, open and with its first picture proven readable. Blocks until then (URLs: at most some 20 s).

    Raises:
        SourceError: it is missing, is no video, or holds no picture.
    """
    if spec.kind == "video":
        from segnet_live.video.file import FileSource

        return FileSource(spec.value, start_s=spec.start_s, duration_s=spec.duration_s)
    if spec.kind == "images":
        from segnet_live.video.images import ImageSource

        return ImageSource(spec.value, start_s=spec.start_s, duration_s=spec.duration_s)
    if spec.kind == "camera":
        from segnet_live.video.camera import CameraSource

        return CameraSource(int(spec.value), size=spec.camera_size, rate=spec.camera_rate, duration_s=spec.duration_s)
    return _synthetic(spec)


def _synthetic(spec: SourceSpec) -> VideoSource:
    from segnet_live.video.synthetic import DRIVE, SyntheticDrive

    if spec.start_s >= DRIVE.duration_s:
        raise SourceError(f"the rendered drive lasts {DRIVE.duration_s:g} s; choose a start before that")
    end_s = DRIVE.duration_s if spec.duration_s is None else min(DRIVE.duration_s, spec.start_s + spec.duration_s)
    drive = SyntheticDrive(replace(DRIVE, duration_s=end_s))
    drive.seek(spec.start_s)
    return drive
