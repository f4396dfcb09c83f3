"""Plan the job of a folder or list of videos, and count what becomes of it.

Which files are left to do, what their outputs are called, and what is said of them here and on a cluster.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from segnet_live.config import PIECE_S, RunConfig
from segnet_live.display_text import print_line
from segnet_live.errors import OutputError, SourceError, UsageError, first_line
from segnet_live.pipeline.record.preflight import check_distinct
from segnet_live.pipeline.record.sinks import NUMBERED
from segnet_live.system.files import held, partial_path, read_regular, why_no_name, why_no_output
from segnet_live.video.location import is_url, videos_in

MOST_LIST_BYTES = 1 << 26
_KINDS = ("recording", "masks", "stats", "confidence")
_PIECE = re.compile(r"\.?\d{4}\.")


@dataclass(frozen=True, slots=True)
class Task:
    """One file of the folder to do, and the names of its finished outputs; None for those that were not asked for.

    Attributes:
        masks, confidence: folders of this file's own.
    """

    video: Path
    recording: Path | None = None
    masks: Path | None = None
    stats: Path | None = None
    confidence: Path | None = None

    @property
    def outputs(self) -> tuple[Path, ...]:
        """All that the file becomes; the recording comes last, whose name tells that all is done."""
        return tuple(p for p in (self.masks, self.confidence, self.stats, self.recording) if p is not None)

    @property
    def names(self) -> Iterator[Path]:
        """All names that files and folders of this task may have, the outputs' first."""
        yield from self.outputs
        for unfinished in map(_named_unfinished, self.outputs):
            yield from (unfinished, partial_path(unfinished))
        yield self.pieces

    @property
    def title(self) -> Path:
        """What the line about the finished file names."""
        return self.outputs[-1]

    @property
    def pieces(self) -> Path:
        """The folder in which a fleet keeps the finished pieces of a long file until all are there."""
        return self.title.with_name(f"{self.video.stem}.pieces")

    def missing(self) -> Task:
        """Return the task of making the outputs that are not there."""
        left = {name: path for name in _KINDS if (path := getattr(self, name)) is not None and not path.exists()}
        return Task(self.video, **left)

    def config(self, job: RunConfig) -> RunConfig:
        """Return the run that does this file, under the names that outputs have until the whole file is done.

        An interrupted run leaves them, and the next one begins them anew.
        """
        assert job.source is not None
        return replace(
            job,
            source=replace(job.source, value=str(self.video)),
            record=_unfinished(self.recording),
            masks=_unfinished(self.masks),
            stats=_unfinished(self.stats),
            confidence=_unfinished(self.confidence),
            overwrite=True,
            ray=None,
            piece_s=PIECE_S,
        )

    def discard(self) -> None:
        """Delete what an interrupted run left, but for the finished pieces of a fleet.

        Raises:
            OutputError: another segnet-live is writing it, or a folder of that name holds something else.
        """
        for path in self.outputs:
            unfinished = _named_unfinished(path)
            with held(unfinished):
                if unfinished.is_dir():
                    _refuse_foreign(unfinished)
                    shutil.rmtree(unfinished, ignore_errors=True)
                for left in (unfinished, partial_path(unfinished)):
                    left.unlink(missing_ok=True)

    def finish(self) -> None:
        """Give every output its final name.

        Raises:
            OutputError: one cannot be named so.
        """
        for path in self.outputs:
            unfinished = _named_unfinished(path)
            try:
                if unfinished.is_dir() and path.is_dir():
                    _refuse_foreign(path)
                    shutil.rmtree(path)
                os.replace(unfinished, path)
            except OSError as error:
                raise OutputError(f"{path} cannot be named so ({first_line(error)}); see {unfinished}") from error
        self.drop_pieces()

    def drop_pieces(self) -> None:
        """Delete what a fleet kept of it; a folder of that name that holds anything else stays."""
        if self.pieces.is_dir() and all(_PIECE.match(each.name) for each in self.pieces.iterdir()):
            shutil.rmtree(self.pieces, ignore_errors=True)


@dataclass(slots=True)
class Tally:
    """How far a job is; prints a line for each file, and one at the end.

    Attributes:
        count: files to do.
        done_before: files that an earlier run has done.
        frames: written, by files that failed, too.
    """

    count: int
    done_before: int
    finished: int = 0
    failed: int = 0
    frames: int = 0

    def begin(self) -> None:
        """Say what is not done again."""
        if self.done_before:
            print_line(f"{self.done_before} finished before and skipped; --overwrite does them again")

    def skip(self) -> None:
        """Count a file that somebody else has done meanwhile."""
        self.count -= 1
        self.done_before += 1

    def finish(self, task: Task, summary: str) -> None:
        """Count a file that is done."""
        self.finished += 1
        print_line(f"[{self.finished + self.failed}/{self.count}] {task.title}: {summary}")

    def fail(self, task: Task, error: str) -> None:
        """Count a file that cannot be done."""
        self.failed += 1
        print_line(f"[{self.finished + self.failed}/{self.count}] {task.video} failed: {error}")

    def end(self, elapsed_s: float, caught: Sequence[int]) -> int:
        """Say what became of all, and return the exit code.

        Args:
            caught: the signals that ended the job early.

        Returns:
            0 if all files are done, 2 if any failed, 128 plus the first signal's number after one.
        """
        left = f", {self.count - self.finished - self.failed} left" if caught else ""
        print_line(
            f"{self.finished} done, {self.done_before} skipped, {self.failed} failed{left}; {self.frames} frames in "
            f"{elapsed_s:.1f} s, {self.frames / max(elapsed_s, 1e-9):.1f} frames/s"
        )
        if caught:
            return 128 + caught[0]
        return 2 if self.failed else 0


def _unfinished(path: Path | None) -> Path | None:
    return None if path is None else _named_unfinished(path)


def _named_unfinished(path: Path) -> Path:
    """Return OUT.unfinished.mp4 for OUT.mp4, and for a folder DIR.unfinished."""
    kept = path.suffix if path.suffix in (".mp4", ".csv") else ""
    return path.with_name(f"{path.name.removesuffix(kept)}.unfinished{kept}")


def _refuse_foreign(folder: Path) -> None:
    """Check that a folder that is to be replaced holds maps alone.

    Raises:
        OutputError: it holds something else.
    """
    foreign = next((each.name for each in sorted(folder.iterdir()) if not NUMBERED.fullmatch(each.name)), "")
    if foreign:
        raise OutputError(f"{folder} holds {foreign}, which is no map of a frame", "move it, or name another folder")


def plan(config: RunConfig) -> tuple[list[Task], int]:
    """Make the folders for outputs; return the tasks left, by name, and the number of files finished before.

    What is there already is kept, and only the other outputs of a file are made, unless all are to be made again.

    Raises:
        UsageError: nothing would be written, or two files would share an output or a name for the time being.
        SourceError: the folder or list names no video.
        OutputError: a folder of outputs cannot be made, or one that would be replaced holds something else.
    """
    assert config.source is not None
    place = Path(config.source.value)
    what = f"{place} is a folder" if place.is_dir() else f"{place} is a list"
    folders = {
        f"--{name}": folder
        for name in ("record", "masks", "stats", "confidence")
        if (folder := getattr(config, name)) is not None
    }
    if not config.headless:
        raise UsageError(f"{what}; add --headless and --record DIR to annotate all of its videos")
    if not folders:
        raise UsageError(f"{what}; add --record DIR for the annotated videos, or --masks, --stats or --confidence DIR")
    for option, folder in folders.items():
        if folder.exists() and not folder.is_dir():
            raise UsageError(f"{option} {folder} is a file; {what}, so name a folder for the outputs")
        if folder.exists() and place.is_dir() and folder.samefile(place):
            raise UsageError(f"{option} {folder} is the folder the videos are read from; choose another one")
    check_distinct({"--masks": config.masks, "--confidence": config.confidence})
    tasks = _tasks(config, videos_in(place) if place.is_dir() else _in_list(place))
    for option, folder in folders.items():
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            problem = f"{option} {folder} cannot be made ({first_line(error)})"
            raise OutputError(problem, "choose another place") from error
    if config.overwrite:
        for folder in (path for task in tasks for path in task.outputs if path.is_dir()):
            _refuse_foreign(folder)
        return tasks, 0
    left = [task.missing() for task in tasks]
    todo = [task for task in left if task.outputs]
    begun = sum(0 < len(less.outputs) < len(task.outputs) for task, less in zip(tasks, left, strict=True))
    if begun:
        print_line(f"{begun} have a part of their outputs already, which is kept; --overwrite makes all of them again")
    return todo, len(tasks) - len(todo)


def _in_list(file: Path) -> list[Path]:
    """Return the videos that a text file names, one a line; what has no folder of its own lies beside the list."""
    try:
        lines = read_regular(file, MOST_LIST_BYTES).decode("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SourceError(f"{file}: cannot be read ({first_line(error)})", "give a text file in UTF-8") from error
    names = [(number, line.strip()) for number, line in enumerate(lines, 1) if line.strip()]
    for number, name in names:
        if is_url(name):
            raise UsageError(f"{file}, line {number}: is an address", "a list names files; record streams one by one")
        if why := why_no_name(file.parent / name):
            raise UsageError(f"{file}, line {number}: cannot be a file ({why})", "correct the line or delete it")
    videos = list(dict.fromkeys(file.parent / name for _, name in names))
    # one that is missing is told when its turn comes; a text that names none is no list
    if not any(video.is_file() for video in videos):
        raise SourceError(
            f"{file} names no video that is there", "write one path a line, as seen from the list's folder"
        )
    return videos


def _tasks(config: RunConfig, videos: Sequence[Path]) -> list[Task]:
    tasks: list[Task] = []
    taken: dict[str, Task] = {}
    for video in videos:
        name = video.stem
        task = Task(
            video,
            recording=config.record and config.record / f"{name}.mp4",
            masks=config.masks and config.masks / name,
            stats=config.stats and config.stats / f"{name}.csv",
            confidence=config.confidence and config.confidence / name,
        )
        if why := next(filter(None, map(why_no_output, map(_named_unfinished, task.outputs))), ""):
            raise UsageError(f"{video}: its outputs cannot be named after it ({why})", "give it a shorter name")
        for path in task.names:
            # Names that differ in case only are one file on Windows and macOS.
            other = taken.setdefault(str(path).lower(), task)
            if other is not task:
                raise UsageError(f"{other.video} and {video} would both become {path}; rename one")
        with contextlib.suppress(OSError):
            if any(path.samefile(video) for path in task.outputs if path.exists()):
                raise UsageError(f"{video} would be overwritten by its own recording", "name another folder")
        tasks.append(task)
    return tasks


def total_frames(tasks: Sequence[Task]) -> int | None:
    """Return how many frames all files state together, for the progress bar; None if one states no length."""
    total = 0
    for frames in _stated(tasks):
        if not frames:
            return None
        total += frames
    return total or None


def _stated(tasks: Sequence[Task]) -> Iterator[int]:
    """Yield the number of frames that each file states, 0 for none; leave out those that do not open."""
    from segnet_live.video.container import open_container, stream_length_s, video_stream

    for task in tasks:
        with contextlib.suppress(SourceError), open_container(str(task.video)) as container:
            stream = video_stream(container, str(task.video))  # the run of this file reports why it cannot be opened
            length_s, rate = stream_length_s(container, stream), stream.average_rate
            yield stream.frames or (round(length_s * rate) if length_s and rate else 0)
