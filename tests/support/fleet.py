"""Workers of a fleet that misbehave at a place that does not depend on luck. Their class is sent to the cluster."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path

from segnet_live.fleet.pieces import Piece
from segnet_live.fleet.worker import Outcome, Worker
from segnet_live.frame import FrameResult
from segnet_live.pipeline.record import video

AFTER_FRAMES = 5


def _at_frame(act: Callable[[], object]) -> Callable[[], None]:
    """Let `act` be called in the middle of the next recording of this process; return what takes that back."""
    seen, write = 0, video.Recording.write

    def counting(self: video.Recording, result: FrameResult) -> None:
        nonlocal seen
        seen += 1
        if seen == AFTER_FRAMES:
            act()
        write(self, result)

    def restore() -> None:
        video.Recording.write = write  # type: ignore[method-assign]

    video.Recording.write = counting  # type: ignore[method-assign]
    return restore


class Killed(Worker):
    """A worker that is killed in the middle of "middle" and of the second piece of "long", and always by "deadly".

    It notes where it was killed, and what GPUs it sees.
    """

    def annotate(self, piece: Piece) -> Outcome:
        name, folder = piece.task.video.stem, piece.task.video.parent
        (folder / f"gpus {os.getpid()}").write_text(os.environ["CUDA_VISIBLE_DEVICES"])
        mark = folder / f"killed in {name} {piece.number}"

        def die() -> None:
            with mark.open("a") as file:
                file.write("x")
            os.kill(os.getpid(), signal.SIGKILL)

        if name == "deadly" or ((name, piece.number) in {("middle", 0), ("long", 1)} and not mark.exists()):
            _at_frame(die)
        return super().annotate(piece)


class Patient(Worker):
    """A worker that waits in the middle of a file until it is told to stop."""

    def annotate(self, piece: Piece) -> Outcome:
        self._told = threading.Event()
        restore = _at_frame(lambda: self._told.wait(60))
        try:
            return super().annotate(piece)
        finally:
            restore()

    def _watch(self, piece: int) -> Callable[[int], bool]:
        watch = super()._watch(piece)

        def noting(frames: int) -> bool:
            goes_on = watch(frames)
            if not goes_on:
                self._told.set()
            return goes_on

        return noting


def left_in(folder: Path) -> list[str]:
    """The names of everything in a folder, sorted."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))
