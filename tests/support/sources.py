"""Sources that do as a test tells them."""

from __future__ import annotations

import time
from collections.abc import Callable
from fractions import Fraction

import numpy as np

from segnet_live.errors import SourceError
from segnet_live.frame import Frame
from segnet_live.video.source import SourceInfo

SIZE = (48, 64)


class FakeSource:
    """Delivers `count` frames whose pixels all hold the frame's index; `before_read` runs ahead of each."""

    def __init__(
        self, count: int, *, live: bool = False, before_read: Callable[[int], object] = lambda index: None
    ) -> None:
        self.info = SourceInfo(
            title="fake",
            size=SIZE,
            rate=Fraction(25),
            time_base=Fraction(1, 25),
            duration_s=None if live else count / 25,
            frames=None if live else count,
            live=live,
            seekable=False,
            audio=False,
        )
        self.corrupt = 0
        self.delivered = 0
        self.closed = 0
        self._count = count
        self._before_read = before_read

    def read(self) -> Frame | None:
        index = self.delivered
        self._before_read(index)
        if index == self._count:
            return None
        self.delivered += 1
        rgb = np.full((*SIZE, 3), index % 256, np.uint8)
        return Frame(rgb, index, index, self.info.time_base, capture_s=time.perf_counter(), decode_ms=1.0)

    def seek(self, time_s: float) -> None:
        raise SourceError("a fake does not seek; read it in order")

    def close(self) -> None:
        self.closed += 1


def fail_at(index: int, error: Exception) -> Callable[[int], object]:
    """A callback that raises `error` when it is called with `index`."""

    def callback(at: int) -> None:
        if at == index:
            raise error

    return callback
