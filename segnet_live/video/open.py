"""Open the source that the user named: the one place that knows all kinds."""

from __future__ import annotations

from segnet_live.config import SourceSpec
from segnet_live.video.source import VideoSource


def open_source(spec: SourceSpec) -> VideoSource:
    """Open the named source and prove its first picture readable. Blocks until then (URLs: at most some 20 s).

    Raises:
        SourceError: it is missing, is no video, or holds no picture.
    """
    if spec.kind == "video":
        from segnet_live.video.file import FileSource

        return FileSource(spec.value, start_s=spec.start_s, duration_s=spec.duration_s, decoder=spec.decoder)
    if spec.kind == "images":
        from segnet_live.video.images import ImageSource

        return ImageSource(spec.value, start_s=spec.start_s, duration_s=spec.duration_s)
    if spec.kind == "camera":
        from segnet_live.video.camera import CameraSource

        return CameraSource(int(spec.value), size=spec.camera_size, duration_s=spec.duration_s)
    from segnet_live.video.synthetic import SyntheticSource

    return SyntheticSource(start_s=spec.start_s, duration_s=spec.duration_s)
