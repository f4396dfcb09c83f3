"""Take single pictures out of a drive."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2

from segnet_live.frame import RGB, Frame
from segnet_live.video.file import FileSource

QUALITY = 88


def frames_at(video: Path, times_s: Sequence[float]) -> Iterator[Frame]:
    """Yield the frame at each of the source times, which ascend; one that lies behind the end is left out.

    Raises:
        SourceError: the video cannot be read.
    """
    source = FileSource(str(video))
    try:
        for time_s in times_s:
            source.seek(time_s)
            frame = source.read()
            if frame is not None:
                yield frame
    finally:
        source.close()


def jpeg(rgb: RGB, *, width: int | None = None, quality: int = QUALITY) -> bytes:
    """Return an (H, W, 3) uint8 RGB picture as JPEG, made smaller if it is wider than `width`."""
    if width is not None and rgb.shape[1] > width:
        size = width, max(1, round(rgb.shape[0] * width / rgb.shape[1]))
        rgb = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
    return cv2.imencode(".jpg", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()
