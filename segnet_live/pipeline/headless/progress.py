"""Show how far a headless run is: a bar on a terminal, a plain line every few seconds in a log."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

LINE_EVERY_S = 5.0


class _Rate(ProgressColumn):
    """Frames per second since the first frame."""

    def render(self, task: Task) -> Text:
        return Text(f"{task.fields['rate']:.1f} frames/s", style="progress.data.speed")


class FrameProgress:
    """A display of frames done, rate and time left. A context manager, used by one thread.

    Args:
        total: expected frames, None where unknown (no bar and no time left then). More frames than that are no error.
        to: where it is shown; None for standard output.
    """

    def __init__(self, total: int | None, to: TextIO | None = None) -> None:
        self._total, self._to = total, to or sys.stdout
        self._began = self._spoke = time.monotonic()
        self._bar: Progress | None = None
        if self._to.isatty():
            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                _Rate(),
                TimeRemainingColumn(),
            )
            self._bar = Progress(*columns, console=Console(file=self._to), transient=True)
            self._task = self._bar.add_task("segmenting", total=total, rate=0.0)

    def __enter__(self) -> FrameProgress:
        if self._bar:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar:
            self._bar.stop()

    def update(self, done: int, skipped: int) -> None:
        """Show that `done` frames are through and `skipped` were left out."""
        now = time.monotonic()
        if done == 0:
            self._began = now  # loading and the first frame's warm-up say nothing about the rate
        rate = done / (now - self._began) if done else 0.0
        if self._bar:
            total = self._total if self._total is None else max(self._total, done)
            self._bar.update(self._task, completed=done, total=total, rate=rate)
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
