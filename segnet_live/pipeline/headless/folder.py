"""Annotate a folder or list of videos: several at a time where cores allow, restartable; one failure stops no other."""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
import time
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

import psutil

from segnet_live.config import Backend, RunConfig
from segnet_live.engine.base import Engine
from segnet_live.engine.open import open_engine, runs_on_gpu
from segnet_live.errors import OutputError, SegnetLiveError
from segnet_live.pipeline.headless.progress import FrameProgress
from segnet_live.pipeline.headless.run import POLL_S, signals
from segnet_live.pipeline.headless.tasks import Tally, Task, plan, total_frames
from segnet_live.pipeline.headless.worker import KeptEngines, annotate
from segnet_live.system import crash
from segnet_live.system.exit import leave

MEMORY_EACH = 1 << 30


def core_groups(files: int, backend: Backend) -> list[list[int]]:
    """Return the cores for each of the files that run at a time; one empty group (all cores) if one runs alone.

    As many files as cores: two files on a core each take four fifths of the time that two cores take for one by one.
    One at a time where the network runs on a GPU, which every process would load it onto, and where processes cannot
    be bound to cores.
    """
    process = psutil.Process()
    if runs_on_gpu(backend) or not hasattr(process, "cpu_affinity"):
        return [[]]
    cores = process.cpu_affinity()
    by_memory = int(psutil.virtual_memory().available // MEMORY_EACH)
    count = max(1, min(files, len(cores), by_memory))
    return [cores[i::count] for i in range(count)]


def run_folder(config: RunConfig) -> int:
    """Annotate every video of the folder; print one line for each that fails.

    Returns:
        The exit code, see `Tally.end`; finished files are kept.

    Raises:
        SegnetLiveError: see `plan`.
    """
    todo, done_before = plan(config)
    tally = Tally(len(todo), done_before)
    tally.begin()
    backend = config.options().backend
    groups, stays = core_groups(len(todo), backend), runs_on_gpu(backend)
    staying: list[_Worker] = []
    began_s = time.monotonic()
    waiting = list(todo)
    running: dict[Connection, _Worker] = {}
    free = list(range(len(groups)))
    total = total_frames(todo)
    with signals() as caught, FrameProgress(total) as progress:
        while running or (waiting and not caught):
            while waiting and free and not caught:
                task = waiting.pop(0)
                try:
                    task.discard()
                except SegnetLiveError as error:  # another segnet-live does this very file
                    tally.fail(task, str(error))
                    continue
                if not config.overwrite and not (task := task.missing()).outputs:
                    tally.skip()
                    continue
                group = free.pop()
                worker = staying.pop() if staying else _Worker(config, group, groups, stays=stays)
                worker.begin(task)
                running[worker.pipe] = worker
            for pipe in wait(list(running), timeout=POLL_S):
                worker = running[pipe]  # type: ignore[index]  # `wait` gives back what it got
                if worker.receive():
                    continue
                del running[worker.pipe]
                free.append(worker.group)
                if worker.stays:
                    staying.append(worker)
                tally.frames += worker.frames
                if worker.error is None:
                    tally.finish(worker.task, worker.summary)
                elif not caught:
                    tally.fail(worker.task, worker.error)
            if caught:
                for worker in running.values():
                    worker.stop()
            progress.update(tally.frames + sum(w.frames for w in running.values()), 0)
    for worker in staying:
        worker.leave()
    return tally.end(time.monotonic() - began_s, caught)


class _Worker:
    """A child process that does one file, so that a decoder that crashes takes nothing else with it.

    On a GPU it stays for the next file and keeps its engine, which takes longer to get ready than a short clip to do.
    A new one replaces it if it dies.
    """

    def __init__(self, config: RunConfig, group: int, groups: Sequence[Sequence[int]], *, stays: bool) -> None:
        self._config = config
        self.group = group
        self.stays = stays
        self.frames = 0
        self.summary = ""
        self.error: str | None = None
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self._process: BaseProcess = context.Process(
            target=_work, args=(list(groups[group]), theirs, stays), name="folder", daemon=True
        )
        self._process.start()
        theirs.close()

    def begin(self, task: Task) -> None:
        """Send the child a file to do."""
        self.task = task
        self.frames, self.summary = 0, ""
        self.error = "the process that did it died; run again, or with --debug on this file alone"
        with contextlib.suppress(OSError):  # it died: `receive` says so
            self.pipe.send(task.config(self._config))

    def receive(self) -> bool:
        """Take one message; False once the file is done with, well or not."""
        try:
            kind, value = self.pipe.recv()
        except (EOFError, OSError):
            self.stays = False
            self._process.join()
            self.pipe.close()
            self._finish()
            return False
        if kind == "frames":
            self.frames = value
            return True
        if kind == "done":
            self.summary, self.error = value, None
        else:
            self.error = value
        if self.stays:
            self._finish()
        return not self.stays

    def stop(self) -> None:
        with contextlib.suppress(OSError):
            self.pipe.send("stop")

    def leave(self) -> None:
        """End a child that stayed."""
        self.stop()
        self._process.join()
        self.pipe.close()

    def _finish(self) -> None:
        """Give the outputs their names, or leave nothing of them."""
        try:
            if self.error is None:
                self.task.finish()
            else:
                self.task.discard()
        except OutputError as error:
            self.error = str(error)


def _work(cores: list[int], pipe: Connection, stays: bool) -> None:
    """Do a file in the child, or as many as are sent, and leave without waiting for a compiler's thread."""
    crash.watch()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent says when to stop
    if cores:
        psutil.Process().cpu_affinity(cores)  # OpenVINO, x264 and the decoder size their thread pools by this
    opening = KeptEngines().open if stays else open_engine
    try:
        while isinstance(config := pipe.recv(), RunConfig):
            _one(config, pipe, opening)
            if not stays:
                break
    except (BrokenPipeError, EOFError):
        pass  # the parent is gone: nothing of this file is kept, the next run begins it again
    finally:
        crash.end_well()
    pipe.close()
    leave(0)


def _one(config: RunConfig, pipe: Connection, opening: Callable[..., Engine]) -> None:
    """Do one file: send its frame count as it grows, then ("done", line) or ("failed", line).

    Raises:
        BrokenPipeError, EOFError: the parent is gone.
    """

    def watch(frames: int) -> bool:
        pipe.send(("frames", frames))
        return not pipe.poll()

    try:
        done = annotate(config, opening, watch)
        pipe.send(("failed", "stopped") if done is None else ("done", done.summary))
    except (BrokenPipeError, EOFError):
        raise
    except SegnetLiveError as error:
        pipe.send(("failed", str(error)))
    except Exception as error:
        pipe.send(("failed", crash.report(error)))
