"""Annotate a folder or list of videos on a Ray cluster: as `pipeline/headless/folder.py` does, on many machines."""

from __future__ import annotations

import contextlib
import time
import uuid
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from segnet_live import __version__
from segnet_live.config import RunConfig
from segnet_live.display_text import print_line
from segnet_live.errors import SegnetLiveError, UsageError, first_line
from segnet_live.fleet.cluster import SAME_TOKEN, Share, connected, room_for, share_of
from segnet_live.fleet.pieces import Piece, cut, save_joined_index
from segnet_live.fleet.worker import Board, Outcome, Worker
from segnet_live.pipeline.headless.progress import FrameProgress
from segnet_live.pipeline.headless.run import signals
from segnet_live.pipeline.headless.tasks import Tally, Task, plan, total_frames
from segnet_live.pipeline.headless.worker import Done

POLL_S = 0.25
LOOK_EVERY_S = 5.0
"""How often machines that joined the cluster are looked for."""
STOP_S = 20.0
"""How long workers may take to end a frame after Ctrl-C before they are ended."""


def run_fleet(config: RunConfig, *, worker: type[Worker] = Worker) -> int:
    """Annotate every video of the folder or list on a cluster; print one line for each that fails.

    Every machine of the cluster has segnet-live installed, and sees videos, outputs and models under the same paths.

    Args:
        worker: the class of the actors.

    Returns:
        What `run_folder` does.

    Raises:
        SegnetLiveError: see `plan`; Ray is missing, or no cluster answers.
    """
    assert config.ray is not None
    with connected(config.ray, print_line):
        config = _absolute(config)
        todo, done_before = plan(config)
        tally = Tally(len(todo), done_before)
        tally.begin()
        began_s = time.monotonic()
        total = total_frames(todo)
        with signals() as caught, FrameProgress(total) as progress:
            fleet = _Fleet(config, todo, worker, tally)
            try:
                fleet.run(caught, progress)
            finally:
                fleet.leave()
        elapsed_s = time.monotonic() - began_s
    return tally.end(elapsed_s, caught)


def _absolute(config: RunConfig) -> RunConfig:
    """Return the job with paths that hold in every working directory."""
    assert config.source is not None

    def named(path: Path | None) -> Path | None:
        return None if path is None else path.absolute()

    def existing(name: str | None) -> str | None:
        return str(Path(name).absolute()) if name is not None and Path(name).exists() else name

    return replace(
        config,
        source=replace(config.source, value=str(Path(config.source.value).absolute())),
        record=named(config.record),
        masks=named(config.masks),
        stats=named(config.stats),
        confidence=named(config.confidence),
        model=existing(config.model),
        bonnet=existing(config.bonnet),
    )


@dataclass
class _File:
    """A file of the job, and how far it is."""

    task: Task
    pieces: list[Piece]
    done: dict[int, Done] = field(default_factory=dict)
    failed: bool = False

    @property
    def is_ready(self) -> bool:
        """Whether all pieces are done."""
        return len(self.done) == len(self.pieces)


@dataclass(frozen=True)
class _Work:
    """What a worker does at a time: a piece of a file, or joining them all (None)."""

    file: _File
    piece: Piece | None


class _Fleet:
    """The workers of a run and what they do. Used by the main thread.

    A worker gets the next piece when it is free; where workers run, and that a lost one is started again with what it
    was doing, is up to Ray.

    Args:
        tally: counts what is done.
    """

    def __init__(self, config: RunConfig, todo: Sequence[Task], worker: type[Worker], tally: Tally) -> None:
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        self._ray, self._config, self._worker = ray, config, worker
        self._tally = tally
        self._waiting: deque[_Work] = deque()
        self._running: dict[Any, tuple[Any, _Work]] = {}
        self._starting: dict[Any, Any] = {}
        self._idle: list[Any] = []
        self._problem = ""
        self._looked_s = self._told_s = -LOOK_EVERY_S
        self._cut(todo)
        self._share = share_of(len(self._waiting), config.options().backend)
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        # Workers find it by its name: what a worker is made of must outlast it, for Ray makes lost ones anew of that.
        self._board_name = f"segnet-live {uuid.uuid4().hex}"
        named = {"name": self._board_name, "num_cpus": 0, "scheduling_strategy": here}
        try:
            self._board = ray.remote(Board).options(**named).remote()
        except ray.exceptions.RayError as error:
            raise _nothing_starts(error) from error

    def run(self, caught: Sequence[int], progress: FrameProgress) -> None:
        """Do everything, or end early once a signal is caught.

        Raises:
            UsageError: no machine of the cluster can do anything of it.
        """
        while (self._waiting or self._running) and not caught:
            self._grow()
            self._receive(POLL_S)
            while self._waiting and self._idle:
                self._begin(self._idle.pop(), self._waiting.popleft())
            if not self._waiting:
                # A worker that was lost with its machine may wait for this room to go on.
                self._release([*self._idle, *self._starting.values()])
            progress.update(self._tally.frames + self._under_way(), 0)
        if caught and self._running:
            print_line("stopping; files that are begun are left for the next run")
            self._board.stop.remote()
            until_s, signals_seen = time.monotonic() + STOP_S, len(caught)
            while self._running and time.monotonic() < until_s and len(caught) == signals_seen:
                self._receive(POLL_S, stopping=True)

    def leave(self) -> None:
        """End all workers, and delete what they left unfinished but for whole pieces."""
        lost = [work.file.task for _, work in self._running.values()]
        self._release([*self._idle, *self._starting.values(), *(actor for actor, _ in self._running.values())])
        self._ray.kill(self._board)
        for task in lost:
            with contextlib.suppress(SegnetLiveError):  # it still ends; the next run discards it
                task.discard()

    def _cut(self, todo: Sequence[Task]) -> None:
        """Fill the queue with the pieces of all files; those that an earlier run did are done."""
        ids = 0
        for task in todo:
            file = _File(task, [])
            try:
                file.pieces = cut(task, self._config, ids)
            except SegnetLiveError as error:
                self._fail(file, str(error))
                continue
            ids += len(file.pieces)
            for piece in file.pieces:
                if (done := piece.kept) is not None:
                    file.done[piece.number] = done
                    self._tally.frames += done.frames
                else:
                    self._waiting.append(_Work(file, piece))
            if file.is_ready:
                self._waiting.append(_Work(file, None))

    def _grow(self) -> None:
        """Ask for as many workers as there is room and work for; look again now and then, as clusters grow."""
        now_s = time.monotonic()
        if now_s - self._looked_s < LOOK_EVERY_S:
            return
        self._looked_s = now_s
        here = len(self._starting) + len(self._idle) + len(self._running)
        wanted = 0 if self._problem else min(len(self._waiting) + len(self._running), room_for(self._share)) - here
        for _ in range(wanted):
            new = self._ray.remote(self._worker).options(**self._share.options)
            actor = new.remote(self._board_name, self._share.cores)
            self._starting[actor.version.remote()] = actor
        if not here and wanted <= 0:
            problem = self._problem or f"no machine of the cluster has room for a worker of {_described(self._share)}"
            raise UsageError(problem, "see `ray status`")
        if not self._idle and not self._running and here and now_s - self._told_s > 60:
            self._told_s = now_s
            print_line(f"waiting for workers to start ({len(self._starting)} of {_described(self._share)})")

    def _begin(self, actor: Any, work: _Work) -> None:
        file = work.file
        if file.failed:  # by another piece
            self._idle.append(actor)
        elif work.piece is not None:
            self._running[actor.annotate.remote(work.piece)] = actor, work
        else:
            done = [file.done[piece.number] for piece in file.pieces]
            self._running[actor.join.remote(file.pieces, done)] = actor, work

    def _receive(self, timeout_s: float, *, stopping: bool = False) -> None:
        """Take what workers gave until now, after `timeout_s` at most."""
        awaited = [*self._running, *self._starting]
        if not awaited:
            return
        ready, _ = self._ray.wait(awaited, num_returns=1, timeout=timeout_s)
        for reference in ready:
            if reference in self._starting:
                self._welcome(reference)
                continue
            actor, work = self._running.pop(reference)
            self._idle.append(actor)
            try:
                outcome: Outcome = self._ray.get(reference)
            except self._ray.exceptions.RayError as error:
                ended = f"the worker that did it died each time it was begun ({first_line(error)})"
                outcome = Outcome(None, f"{ended}; run again, or with --debug on this file alone")
            self._take(work, outcome, stopping)

    def _welcome(self, reference: Any) -> None:
        """Take a worker that has started, if its segnet-live is this one."""
        actor = self._starting.pop(reference)
        try:
            version = self._ray.get(reference)
        except self._ray.exceptions.RayError as error:
            self._told()  # which nothing that is installed there could keep from running
            self._problem = f"a machine of the cluster cannot start a worker ({_last_line(error)})"
        else:
            if version == __version__:
                self._idle.append(actor)
                return
            self._problem = f"a machine of the cluster has segnet-live {version}, and this one {__version__}"
        self._release([actor])
        self._looked_s = -LOOK_EVERY_S
        print_line(f"{self._problem}; install segnet-live[fleet] {__version__} on every machine")

    def _take(self, work: _Work, outcome: Outcome, stopping: bool) -> None:
        file = work.file
        if file.failed:
            return
        if outcome.done is None:
            if outcome.error and not stopping:
                self._fail(file, outcome.error)
            with contextlib.suppress(SegnetLiveError):
                file.task.discard()
            return
        if work.piece is not None:
            file.done[work.piece.number] = outcome.done
            self._tally.frames += outcome.done.frames
            if len(file.pieces) > 1:
                if file.is_ready:
                    self._waiting.appendleft(_Work(file, None))
                return
        try:
            save_joined_index(file.pieces, self._config)
            file.task.finish()
        except SegnetLiveError as error:
            self._fail(file, str(error))
            return
        self._tally.finish(file.task, outcome.done.summary)

    def _fail(self, file: _File, error: str) -> None:
        file.failed = True
        self._tally.fail(file.task, error)

    def _under_way(self) -> int:
        """Return the frames done of pieces that are not."""
        frames = self._told()
        pieces = [work.piece for _, work in self._running.values()]
        return sum(frames.get(piece.id, 0) for piece in pieces if piece is not None)

    def _told(self) -> dict[int, int]:
        """Return what the board knows.

        Raises:
            UsageError: it never ran.
        """
        try:
            frames: dict[int, int] = self._ray.get(self._board.frames.remote())
        except self._ray.exceptions.RayError as error:
            raise _nothing_starts(error) from error
        return frames

    def _release(self, actors: Sequence[Any]) -> None:
        for actor in actors:
            self._ray.kill(actor)
            self._idle = [each for each in self._idle if each is not actor]
            self._starting = {reference: each for reference, each in self._starting.items() if each is not actor}


def _nothing_starts(error: Exception) -> UsageError:
    return UsageError(f"the cluster starts nothing for this command ({_last_line(error)})", SAME_TOKEN)


def _last_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else str(error)


def _described(share: Share) -> str:
    cores = f"{share.cores} core{'s' if share.cores > 1 else ''}"
    return f"{cores} and a GPU" if share.gpus else cores
