"""Read a local camera through OpenCV: frames at their own time, counted from the first."""

from __future__ import annotations

import time
from fractions import Fraction

import cv2
import numpy as np
from numpy.typing import NDArray

from segnet_live.errors import SourceError, SourceLost
from segnet_live.frame import Frame, Size
from segnet_live.video.opencv import quiet
from segnet_live.video.source import SourceInfo

_TIME_BASE = Fraction(1, 90_000)
_TRIES = 3
"""Reads in a row that must fail before a camera counts as lost; drivers skip one now and then."""


class CameraSource:
    """A camera as a live `VideoSource`. One thread reads; `read` and the constructor block, on Windows for long."""

    def __init__(
        self,
        number: int,
        *,
        size: Size | None = None,
        duration_s: float | None = None,
    ) -> None:
        """Open camera `number` and take its first picture.

        Args:
            number: 0 is the first camera.
            size: (height, width) to ask for; `info` tells what the camera gives instead.
            duration_s: seconds to deliver, None for no end.

        Raises:
            SourceError: there is no such camera, or it gives no picture.
        """
        self._title = f"camera {number}"
        self._duration_s = duration_s
        self._corrupt = 0
        self._index = 0
        self._last = -1
        with quiet():
            self._camera = cv2.VideoCapture(number)
            if self._camera.isOpened():
                self._configure(size)
                self._pending = self._grab()
            else:
                self._pending = None
        if self._pending is None:
            self.close()
            raise SourceError(
                f"{self._title}: cannot be opened or gives no picture; check its number (the first is 0), its cable, "
                "your right to use it, and that no other program does"
            )
        self._started_s = self._pending[1]
        got = self._pending[0].shape[0], self._pending[0].shape[1]
        if size is not None and got != size:
            self._title += f" ({size[1]}x{size[0]} is not on offer)"
        fps = self._camera.get(cv2.CAP_PROP_FPS)
        self._info = SourceInfo(
            title=self._title,
            size=got,
            rate=Fraction(fps).limit_denominator(1001) if fps > 0 else None,
            time_base=_TIME_BASE,
            duration_s=None,
            frames=None,
            live=True,
            seekable=False,
            audio=False,
        )

    @property
    def info(self) -> SourceInfo:
        return self._info

    @property
    def corrupt(self) -> int:
        """The number of reads that failed without the camera being lost."""
        return self._corrupt

    def read(self) -> Frame | None:
        pending, self._pending = self._pending or self._grab(), None
        if pending is None:
            raise SourceLost(f"{self._title}: stopped giving pictures", "check its cable")
        bgr, captured_s = pending
        if bgr.shape[:2] != self._info.size:
            change = f"{self._info.size} to {bgr.shape[:2]} (height, width)"
            raise SourceLost(f"{self._title}: the picture size changed from {change}", "open it again")
        elapsed_s = captured_s - self._started_s
        if self._duration_s is not None and elapsed_s >= self._duration_s:
            return None
        self._last = max(round(Fraction(elapsed_s) / _TIME_BASE), self._last + 1)
        self._index += 1
        rgb = cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)
        return Frame(
            picture=rgb,  # type: ignore[arg-type]
            index=self._index - 1,
            pts=self._last,
            time_base=_TIME_BASE,
            capture_s=captured_s,
            decode_ms=(time.perf_counter() - captured_s) * 1e3,
        )

    def seek(self, time_s: float) -> None:
        raise SourceError(f"{self._title}: a camera cannot seek", "record it to a file first")

    def close(self) -> None:
        self._camera.release()

    def _configure(self, size: Size | None) -> None:
        if size is not None:
            # Over USB most cameras reach large sizes at full rate only as motion-JPEG, to be asked for first.
            self._camera.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*"MJPG"))
            self._camera.set(cv2.CAP_PROP_FRAME_HEIGHT, size[0])
            self._camera.set(cv2.CAP_PROP_FRAME_WIDTH, size[1])
        self._camera.set(cv2.CAP_PROP_BUFFERSIZE, 1)

    def _grab(self) -> tuple[NDArray[np.uint8], float] | None:
        """Return a BGR picture and when it came; None once the camera is lost."""
        for attempt in range(_TRIES):
            good, bgr = self._camera.read()
            if good and bgr is not None:
                self._corrupt += attempt
                return bgr, time.perf_counter()  # type: ignore[return-value]
        return None
