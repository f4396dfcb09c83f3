"""Play the shipped example drive with its ground truth, against which other sources and networks are tested."""

from __future__ import annotations

from dataclasses import replace

from segnet_live.errors import SourceError
from segnet_live.frame import Frame
from segnet_live.system.paths import assets_dir
from segnet_live.video.file import FileSource
from segnet_live.video.source import SourceInfo

CLIP = assets_dir() / "drive.mp4"
LABELS = assets_dir() / "drive-labels.mkv"
"""The clip's label track: grey levels are CamVid class ids, stored without loss, one picture for each of the clip's."""


class SyntheticSource:
    """The example drive as a `VideoSource`; each frame's `truth` holds the class of its every pixel. One thread."""

    def __init__(self, *, start_s: float = 0.0, duration_s: float | None = None) -> None:
        """Open the clip and its label track; the arguments are those of `FileSource`.

        Raises:
            SourceError: one of the files is missing, or `start_s` lies behind the end.
        """
        for path in (CLIP, LABELS):
            if not path.is_file():
                raise SourceError(f"the example drive is incomplete: {path} is missing", "install segnet-live again")
        self._clip = FileSource(str(CLIP), start_s=start_s, duration_s=duration_s)
        self._labels = FileSource(str(LABELS), start_s=start_s, duration_s=duration_s)
        self._info = replace(self._clip.info, title="example drive")

    @property
    def info(self) -> SourceInfo:
        return self._info

    @property
    def corrupt(self) -> int:
        return self._clip.corrupt

    def read(self) -> Frame | None:
        frame, labels = self._clip.read(), self._labels.read()
        if frame is None or labels is None:
            return None
        if abs(frame.pts_s - labels.pts_s) > 1e-3:
            raise SourceError(f"{LABELS} does not belong to {CLIP}", "install segnet-live again")
        return replace(frame, truth=labels.rgb[..., 0])

    def seek(self, time_s: float) -> None:
        self._clip.seek(time_s)
        self._labels.seek(time_s)

    def close(self) -> None:
        self._clip.close()
        self._labels.close()
