"""Show how far a headless run is on a terminal. Imported when there is something to show: rich takes 10 ms."""

from __future__ import annotations

from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text


class _Rate(ProgressColumn):
    """Frames per second since the first frame."""

    def render(self, task: Task) -> Text:
        return Text(f"{task.fields['rate']:.1f} frames/s", style="progress.data.speed")


class FrameBar:
    """A bar of frames done, rate and time left. Used by one thread.

    Args:
        total: expected frames, None where unknown (no bar and no time left then).
        to: the terminal.
    """

    def __init__(self, total: int | None, to: TextIO) -> None:
        columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), _Rate(), TimeRemainingColumn()
        self._bar = Progress(*columns, console=Console(file=to), transient=True)
        self._task = self._bar.add_task("segmenting", total=total, rate=0.0)
        self._bar.start()

    def update(self, done: int, total: int | None, rate: float) -> None:
        """Show that `done` of `total` frames are through, at `rate` a second."""
        self._bar.update(self._task, completed=done, total=total, rate=rate)

    def stop(self) -> None:
        """Take the bar away."""
        self._bar.stop()
