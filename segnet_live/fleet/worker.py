"""The actors of a fleet: workers, which do pieces one after the other with engines kept warm, and the board.

A worker tells the board twice a second how far it is, and reads there whether to go on: so a cluster of any size is
watched with one call, and Ctrl-C reaches everybody.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segnet_live import __version__
from segnet_live.errors import SegnetLiveError
from segnet_live.fleet.pieces import Piece, clear, join
from segnet_live.pipeline.headless.worker import Done, KeptEngines, annotate
from segnet_live.system import crash

TELL_EVERY_S = 0.5


class Board:
    """What the workers of a run tell, and are told. One small actor, on the machine of the command."""

    def __init__(self) -> None:
        self._frames: dict[int, int] = {}
        self._stopping = False

    def tell(self, piece: int, frames: int) -> bool:
        """Note how many frames of a piece are done; return whether to go on."""
        self._frames[piece] = frames
        return not self._stopping

    def frames(self) -> dict[int, int]:
        """Return the frames done of every piece that was begun."""
        return self._frames

    def stop(self) -> None:
        """Let every worker stop at its next word."""
        self._stopping = True


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a piece.

    Attributes:
        done: None where it failed or was stopped.
        error: one line; "" where it did not fail.
    """

    done: Done | None
    error: str = ""


class Worker:
    """A process of the cluster that does a piece at a time. Its main thread calls everything.

    Args:
        board: the name of the actor that is told.
        cores: how many it declared.
    """

    def __init__(self, board: str, cores: int) -> None:
        import ray

        self._board = ray.get_actor(board)
        self._engines = KeptEngines()
        self._cores = _bound(cores)
        # What Ray assigned, whatever the environment says in which the cluster was started: "" hides all.
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(str(each) for each in ray.get_gpu_ids())

    def version(self) -> str:
        """Return the version of segnet-live on this machine."""
        return __version__

    def annotate(self, piece: Piece) -> Outcome:
        """Do a piece; what an earlier attempt left of it goes."""

        def work() -> Done | None:
            clear(piece)
            done = annotate(piece.config, self._engines.open, self._watch(piece.id), piece.part)
            if done is not None:
                piece.keep(done)
            return done

        return self._outcome(work)

    def join(self, pieces: list[Piece], done: list[Done]) -> Outcome:
        """Join all pieces of a file."""
        return self._outcome(lambda: join(pieces, done))

    def _outcome(self, work: Callable[[], Done | None]) -> Outcome:
        try:
            return Outcome(work())
        except SegnetLiveError as error:
            return Outcome(None, str(error))
        except Exception as error:
            return Outcome(None, crash.report(error))

    def _watch(self, piece: int) -> Callable[[int], bool]:
        """Return a watch that tells the board now and then."""
        import ray

        told_s, goes_on = 0.0, True

        def watch(frames: int) -> bool:
            nonlocal told_s, goes_on
            if time.monotonic() - told_s >= TELL_EVERY_S:
                told_s = time.monotonic()
                goes_on = ray.get(self._board.tell.remote(piece, frames))
            return goes_on

        return watch


def _bound(count: int) -> list[Any]:
    """Bind this thread, and those that it starts, to cores that no other worker of this machine has.

    Ray counts cores and binds nobody, but OpenVINO, x264 and the decoder size their thread pools by the cores they see.
    The system lets go of a worker's locks when it dies.

    Returns:
        What holds the cores; empty where nothing was to be bound or too few are free.
    """
    from filelock import FileLock, Timeout

    if not hasattr(os, "sched_setaffinity"):
        return []
    seen = sorted(os.sched_getaffinity(0))
    if len(seen) <= count:
        return []
    folder = Path(tempfile.gettempdir()) / f"segnet-live-cores-{os.getuid()}"  # of this machine, never of a shared disk
    held: dict[int, FileLock] = {}
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        for core in seen:
            lock = FileLock(folder / f"{core}.lock", timeout=0, thread_local=False)
            try:
                lock.acquire()
            except Timeout:
                continue
            held[core] = lock
            if len(held) == count:
                os.sched_setaffinity(0, held)
                return list(held.values())
    except OSError:
        pass  # no room for locks: unbound it works, too, only slower
    for lock in held.values():
        lock.release()
    return []
