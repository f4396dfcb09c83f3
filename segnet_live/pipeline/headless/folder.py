"""Annotate a folder of videos: several at a time where cores allow, restartable; one failure stops no other."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import psutil

from segnet_live.card import Card
from segnet_live.config import Backend, RunConfig
from segnet_live.engine.base import Engine, EngineInfo, Overlapping, overlaps
from segnet_live.engine.open import open_engine, runs_on_gpu
from segnet_live.engine.resize import network_size
from segnet_live.errors import OutputError, SegnetLiveError, SourceError, UsageError, first_line
from segnet_live.frame import RGB, LabelMap, Size
from segnet_live.pipeline.headless.job import prepare
from segnet_live.pipeline.headless.progress import FrameProgress
from segnet_live.pipeline.headless.run import POLL_S, print_line, signals
from segnet_live.pipeline.inference import freeze_libraries
from segnet_live.system import crash
from segnet_live.system.cores import share_cores
from segnet_live.system.exit import leave
from segnet_live.system.files import held, partial_path
from segnet_live.video.location import VIDEO_SUFFIXES

MEMORY_EACH = 1 << 30


@dataclass(frozen=True, slots=True)
class Task:
    """One file of the folder to annotate, and the name of its finished recording."""

    video: Path
    recording: Path

    @property
    def unfinished(self) -> Path:
        """The name until the whole file is done; an interrupted run leaves it, and the next one begins it anew."""
        return self.recording.with_suffix(".unfinished.mp4")

    def discard(self) -> None:
        """Delete what an interrupted run left.

        Raises:
            OutputError: another segnet-live is writing it.
        """
        with held(self.unfinished):
            for path in (self.unfinished, partial_path(self.unfinished)):
                path.unlink(missing_ok=True)


def plan(config: RunConfig) -> tuple[list[Task], int]:
    """Make the folder for recordings; return the tasks left, by name, and the number of files finished before.

    Raises:
        UsageError: an option that needs a single file, no --record folder, or two files that would share a recording.
        SourceError: the folder holds no video.
        OutputError: the folder of recordings cannot be made.
    """
    assert config.source is not None
    folder, out = Path(config.source.value), config.record
    single = [f"--{name}" for name in ("masks", "stats", "confidence") if getattr(config, name) is not None]
    if single:
        raise UsageError(f"{folder} is a folder, and {single[0]} works on one file; leave it out or name a file")
    if not config.headless:
        raise UsageError(f"{folder} is a folder; add --headless and --record DIR to annotate all of its videos")
    if out is None:
        raise UsageError(f"{folder} is a folder; add --record DIR for the annotated videos")
    if out.exists() and not out.is_dir():
        raise UsageError(f"--record {out} is a file; {folder} is a folder, so name a folder for its recordings")
    if out.exists() and out.samefile(folder):
        raise UsageError(f"--record {out} is the folder the videos are read from; choose another one")
    videos = sorted(p for p in folder.iterdir() if p.suffix.lower() in VIDEO_SUFFIXES and p.is_file())
    if not videos:
        raise SourceError(f"{folder} holds no video; expected files such as *.mp4, *.mkv, *.avi, *.mov or *.webm")
    tasks: dict[str, Task] = {}
    for video in videos:
        # Names that differ in case only are one file on Windows and macOS.
        other = tasks.setdefault(video.stem.lower(), Task(video, out / f"{video.stem}.mp4"))
        if other.video != video:
            raise UsageError(f"{other.video.name} and {video.name} would both become {other.recording}; rename one")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"--record {out} cannot be made ({first_line(error)})", "choose another place") from error
    todo = [task for task in tasks.values() if config.overwrite or not task.recording.exists()]
    return todo, len(tasks) - len(todo)


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
        0 if all are done, 2 if any failed, 128 plus the signal's number after one (finished files are kept).

    Raises:
        SegnetLiveError: see `plan`.
    """
    todo, done_before = plan(config)
    if done_before:
        print_line(f"{done_before} finished before and skipped; --overwrite does them again")
    backend = config.options().backend
    groups, stays = core_groups(len(todo), backend), runs_on_gpu(backend)
    staying: list[_Worker] = []
    began_s = time.monotonic()
    failed = 0
    waiting, frames, finished = list(todo), 0, 0
    running: dict[Connection, _Worker] = {}
    free = list(range(len(groups)))
    total = _total_frames(todo)
    with signals() as caught, FrameProgress(total) as progress:
        while running or (waiting and not caught):
            while waiting and free and not caught:
                group = free.pop()
                worker = staying.pop() if staying else _Worker(config, group, groups, stays=stays)
                worker.begin(waiting.pop(0))
                running[worker.pipe] = worker
            for pipe in wait(list(running), timeout=POLL_S):
                worker = running[pipe]  # type: ignore[index]  # `wait` gives back what it got
                if worker.receive():
                    continue
                del running[worker.pipe]
                free.append(worker.group)
                if worker.stays:
                    staying.append(worker)
                frames += worker.frames
                if worker.error is None:
                    finished += 1
                    print_line(f"[{finished + failed}/{len(todo)}] {worker.task.recording}: {worker.summary}")
                elif not caught:
                    failed += 1
                    print_line(f"[{finished + failed}/{len(todo)}] {worker.task.video} failed: {worker.error}")
            if caught:
                for worker in running.values():
                    worker.stop()
            progress.update(frames + sum(w.frames for w in running.values()), 0)
    for worker in staying:
        worker.leave()
    elapsed_s = time.monotonic() - began_s
    counts = f"{finished} done, {done_before} skipped, {failed} failed"
    left = f", {len(todo) - finished - failed} left" if caught else ""
    print_line(f"{counts}{left}; {frames} frames in {elapsed_s:.1f} s, {frames / max(elapsed_s, 1e-9):.1f} frames/s")
    if caught:
        return 128 + caught[0]
    return 2 if failed else 0


def _total_frames(tasks: Sequence[Task]) -> int | None:
    """Return how many frames all files state together, for the progress bar; None if one states no length."""
    from segnet_live.video.container import open_container, stream_length_s, video_stream

    total = 0
    for task in tasks:
        try:
            with open_container(str(task.video)) as container:
                stream = video_stream(container, str(task.video))
                length_s, rate = stream_length_s(container, stream), stream.average_rate
                frames = stream.frames or (round(length_s * rate) if length_s and rate else 0)
        except SourceError:
            continue  # the run of this file reports why it cannot be opened
        if not frames:
            return None
        total += frames
    return total or None


class _Worker:
    """A child process that does one file, so that a decoder that crashes takes nothing else with it.

    On a GPU it stays for the next file and keeps its engine, which takes longer to get ready than a short clip to do.
    A new one replaces it if it dies.
    """

    def __init__(self, config: RunConfig, group: int, groups: Sequence[Sequence[int]], *, stays: bool) -> None:
        assert config.source is not None
        self._config = config
        self._source = config.source
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
        task.discard()
        source = replace(self._source, value=str(task.video))
        with contextlib.suppress(OSError):  # it died: `receive` says so
            self.pipe.send(replace(self._config, source=source, record=task.unfinished, overwrite=True))

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
        """Give the recording its name, or leave nothing of it."""
        try:
            if self.error is None:
                os.replace(self.task.unfinished, self.task.recording)
            else:
                self.task.discard()
        except OSError as error:
            self.error = f"{self.task.recording} cannot be named so ({first_line(error)}); see {self.task.unfinished}"


class _KeptEngines:
    """The engines of a worker that stays: opened once for each size, and closed with the process."""

    def __init__(self) -> None:
        self._engines: dict[tuple[object, ...], Engine] = {}

    def open(self, card: Card, *, size: Size | None, source_size: Size, **options: Any) -> Engine:
        """Return the engine for these arguments of `open_engine`, lent: closing it leaves it open."""
        size = size or network_size(source_size, card.pixels)
        key = (card.sha256, size, *sorted(options.items()))
        if key not in self._engines:
            self._engines[key] = open_engine(card, size=size, **options)
        return _Lent(self._engines[key])


class _Lent:
    """An engine that is somebody else's to close."""

    def __init__(self, inner: Engine) -> None:
        self._inner = inner

    @property
    def info(self) -> EngineInfo:
        return self._inner.info

    @property
    def settled(self) -> bool:
        return bool(getattr(self._inner, "settled", True))

    @property
    def overlaps(self) -> bool:
        return overlaps(self._inner)

    def segment(self, rgb: RGB) -> LabelMap:
        return self._inner.segment(rgb)

    def submit(self, rgb: RGB) -> None:
        assert isinstance(self._inner, Overlapping)
        self._inner.submit(rgb)

    def wait(self) -> LabelMap:
        assert isinstance(self._inner, Overlapping)
        return self._inner.wait()

    def close(self) -> None:
        pass


def _work(cores: list[int], pipe: Connection, stays: bool) -> None:
    """Do a file in the child, or as many as are sent, and leave without waiting for a compiler's thread."""
    crash.watch()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent says when to stop
    if cores:
        psutil.Process().cpu_affinity(cores)  # OpenVINO, x264 and the decoder size their thread pools by this
    opening = _KeptEngines().open if stays else open_engine
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
    try:
        job = prepare(config, lambda _: None, open_engine=opening)
        freeze_libraries()
        share_cores()
        began_s = time.monotonic()
        stopping = False
        try:
            job.pipeline.start()
            while not job.pipeline.wait(POLL_S):
                pipe.send(("frames", job.pipeline.written))
                if pipe.poll():
                    stopping = True
                    job.pipeline.stop()
        finally:
            job.pipeline.close()
        pipe.send(("frames", job.pipeline.written))
        if job.pipeline.error:
            raise job.pipeline.error
        if not job.pipeline.written:
            raise SourceError("gave no frame; nothing was written")
        pipe.send(("failed", "stopped") if stopping else ("done", job.summary(time.monotonic() - began_s)))
    except (BrokenPipeError, EOFError):
        raise
    except SegnetLiveError as error:
        pipe.send(("failed", str(error)))
    except Exception as error:
        pipe.send(("failed", crash.report(error)))
