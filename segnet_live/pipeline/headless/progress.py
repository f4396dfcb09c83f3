"""Show how far a headless run is: a bar on a terminal, a plain line every few seconds in a log."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from segnet_live.pipeline.headless.progress_bar import FrameBar

LINE_EVERY_S = 5.0


class FrameProgress:
    """A display of frames done, rate and time left. A context manager, used by one thread.

    Args:
        total: expected frames, None where unknown (no bar and no time left then). More frames than that are no error.
        to: where it is shown; None for standard output.
    """

    def __init__(self, total: int | None, to: TextIO | None = None) -> None:
        self._total, self._to = total, to or sys.stdout
        self._began = self._spoke = time.monotonic()
        self._bar: FrameBar | None = None

    def __enter__(self) -> FrameProgress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar:
            self._bar.stop()
            self._bar = None

    def update(self, done: int, skipped: int) -> None:
        """Show that `done` frames are through and `skipped` were left out."""
        now = time.monotonic()
        if done == 0:
            self._began = now  # loading and the first frame's warm-up say nothing about the rate
        rate = done / (now - self._began) if done else 0.0
        if self._to.isatty():
            if self._bar is None:
                from segnet_live.pipeline.headless.progress_bar import FrameBar

                self._bar = FrameBar(self._total, self._to)
            self._bar.update(done, self._total if self._total is None else max(self._total, done), rate)
        elif now - self._spoke >= LINE_EVERY_S:
            self._spoke = now
            print(_line(done, self._total, rate, skipped), file=self._to, flush=True)


def _line(done: int, total: int | None, rate: float, skipped: int) -> str:
    parts = [f"{done}/{total} frames" if total else f"{done} frames", f"{rate:.1f} frames/s"]
    if total and rate:
        left_s = round(max(0, total - done) / rate)
        parts.append(f"{left_s // 60}:{left_s % 60:02d} left")
    if skipped:
        parts.append(f"{skipped} skipped")
    return ", ".join(parts)
