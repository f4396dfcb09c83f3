"""Sinks that do as a test tells them, and remember."""

from __future__ import annotations

import threading
from collections.abc import Callable

from segnet_live.frame import FrameResult


class FakeSink:
    """Remembers what it was given; `before` runs ahead of each frame, `on_close` when closed."""

    def __init__(
        self, before: Callable[[int], object] = lambda index: None, on_close: Callable[[], object] = lambda: None
    ) -> None:
        self.taken: list[FrameResult] = []
        self.closed: list[bool] = []
        self.thread: threading.Thread | None = None
        self._before = before
        self._on_close = on_close

    @property
    def indices(self) -> list[int]:
        return [result.frame.index for result in self.taken]

    def write(self, result: FrameResult) -> None:
        self._before(result.frame.index)
        self.thread = threading.current_thread()
        self.taken.append(result)

    def close(self, *, whole: bool) -> None:
        self.closed.append(whole)
        self._on_close()
