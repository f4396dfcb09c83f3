"""Cut a long video into pieces at key frames, and join what became of them as if it had never been cut.

Labels that are smoothed follow from the frames before: a piece is read from WARM_UP_S before its beginning, and that
much is left out. So are the frames that `--hide` and the index look at around each. What is kept of a piece lies in the
folder NAME.pieces beside the outputs until the whole file is done; a run that is started again takes it from there.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from fractions import Fraction
from pathlib import Path

from segnet_live import __version__
from segnet_live.card import DEFAULT_MODEL, find_card
from segnet_live.config import RunConfig
from segnet_live.drives.index import fingerprint, read_index, save_index
from segnet_live.errors import OutputError, first_line
from segnet_live.pipeline.headless.tasks import Task
from segnet_live.pipeline.headless.worker import Done
from segnet_live.pipeline.record.part import Part
from segnet_live.system.files import partial_path, read_regular, write_atomically
from segnet_live.video.cut import SAME_CONTAINER, borders
from segnet_live.video.file import NOMINAL_RATE, FileSource
from segnet_live.video.join import join_videos

WARM_UP_S = 5.0
"""How much before a piece is smoothed with it: README says how equal that makes it to a run that was never cut."""
_ELSEWHERE = ("source", "record", "masks", "stats", "confidence", "overwrite", "ray", "piece_s", "debug")
"""Fields of a job that do not change what a piece of a file looks like."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A whole file, or a piece of one, that a worker does at a time.

    Attributes:
        id: its number in the run.
        number: its number in the file.
        config: the run that does it.
        part: what it keeps of the frames that the run reads.
        key: everything that would make it another piece, as a hash.
    """

    task: Task
    id: int
    number: int
    config: RunConfig
    part: Part
    key: str = ""

    @property
    def kept(self) -> Done | None:
        """What became of it in an earlier run; None where it is not done."""
        if self.part.is_whole:
            return None
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            noted = json.loads(read_regular(self._note, 1 << 20))
            if noted["key"] == self.key:
                first_s, tick_s = Fraction(noted["first_s"]), Fraction(noted["tick_s"])
                return Done(int(noted["frames"]), str(noted["summary"]), first_s, tick_s)
        return None

    def keep(self, done: Done) -> None:
        """Note that it is done; its outputs are whole by now.

        Raises:
            OutputError: that cannot be written.
        """
        if not self.part.is_whole:
            noted = asdict(done) | {"first_s": str(done.first_s), "tick_s": str(done.tick_s), "key": self.key}
            write_atomically(self._note, json.dumps(noted))

    @property
    def outputs(self) -> tuple[Path, ...]:
        """The files and folders that it writes itself."""
        config = self.config
        named = (config.record, config.masks, config.stats, config.confidence, self.part.index)
        return tuple(path for path in named if path is not None)

    @property
    def _note(self) -> Path:
        return self.task.pieces / f"{self.number:04d}.json"


def cut(task: Task, job: RunConfig, first_id: int) -> list[Piece]:
    """Return the pieces of a file, in order: one of all of it unless it is long.

    Only containers that tell the time of a place without counting are cut, and no file of which a part was asked for.

    Raises:
        SourceError: it cannot be opened.
        OutputError: the folder for pieces cannot be made.
    """
    assert job.source is not None
    at: list[Fraction] = []
    if task.video.suffix.lower() in SAME_CONTAINER and not job.source.start_s and job.source.duration_s is None:
        at = borders(task.video, job.piece_s)
    if not at:
        index = task.pieces / "0000.npz" if job.index is not None else None
        return [Piece(task, first_id, 0, replace(task.config(job), index=None), Part(index=index))]
    source = FileSource(str(task.video), decoder="cpu")
    source.close()
    starts: list[Fraction | None] = [None, *at]
    key = _key(task, job, at)
    if job.overwrite:
        task.drop_pieces()
    pieces = []
    for number, (start_s, end_s) in enumerate(zip(starts, [*at, None], strict=True)):
        index = task.pieces / f"{number:04d}.npz" if job.index is not None else None
        part = Part(start_s, end_s, index)
        config = _config(task, job, part, number, source.info.start_s, float(source.info.rate or NOMINAL_RATE))
        pieces.append(Piece(task, first_id + number, number, config, part, key))
    return pieces


def _config(task: Task, job: RunConfig, part: Part, number: int, origin_s: float, rate: float) -> RunConfig:
    """Return the run of a piece: the frames around it included that its own depend on."""
    hold_s = (job.hide_hold + 1) / rate if job.hide is not None else 0.0
    before_s = hold_s + (WARM_UP_S if job.options().smooth else 0.0) + (2 / rate if job.index is not None else 0.0)
    start_s = 0.0 if part.start_s is None else max(0.0, float(part.start_s) - origin_s - before_s)
    duration_s = None if part.end_s is None else float(part.end_s) - origin_s + hold_s - start_s
    whole = task.config(job)
    assert whole.source is not None

    def named(path: Path | None, ending: str) -> Path | None:
        return None if path is None else task.pieces / f"{number:04d}{ending}"

    return replace(
        whole,
        source=replace(whole.source, start_s=start_s, duration_s=duration_s),
        record=named(whole.record, ".mp4"),
        masks=named(whole.masks, ".masks"),
        stats=named(whole.stats, ".csv"),
        confidence=named(whole.confidence, ".confidence"),
        index=None,
    )


def _key(task: Task, job: RunConfig, at: Sequence[Fraction]) -> str:
    options = {each.name: getattr(job, each.name) for each in fields(job) if each.name not in _ELSEWHERE}
    outputs = [path.suffix for path in task.outputs]
    card = find_card(job.model or DEFAULT_MODEL)
    made_of = __version__, card.network_id, fingerprint(task.video), list(at), outputs, options
    return hashlib.sha256(repr(made_of).encode()).hexdigest()


def clear(piece: Piece) -> None:
    """Delete what an earlier attempt at a piece left, and make the folder for what this one leaves.

    Raises:
        OutputError: the folder cannot be made, or another segnet-live writes the same.
    """
    if piece.part.is_whole:
        piece.task.discard()
    else:
        for path in piece.outputs:
            shutil.rmtree(path, ignore_errors=True)
            for left in (path, partial_path(path)):
                with contextlib.suppress(OSError):
                    left.unlink()
    if piece.part.index is not None or not piece.part.is_whole:
        _make(piece.task.pieces)


def join(pieces: Sequence[Piece], done: Sequence[Done]) -> Done:
    """Join what became of all pieces of a file, under the names of its unfinished outputs. Blocks while it copies.

    Raises:
        SegnetLiveError: an output cannot be written, or the recordings cannot be joined.
    """
    task, first = pieces[0].task, pieces[0].config
    task.discard()
    whole = task.config(first)
    if whole.record is not None:
        recordings = [piece.config.record for piece in pieces if piece.config.record is not None]
        join_videos(recordings, [each.first_s for each in done], done[0].tick_s, str(task.video), whole.record)
    for folder, parts in (
        (whole.masks, [piece.config.masks for piece in pieces]),
        (whole.confidence, [piece.config.confidence for piece in pieces]),
    ):
        if folder is not None:
            _join_folders([part for part in parts if part is not None], folder)
    if whole.stats is not None:
        _join_rows([piece.config.stats for piece in pieces if piece.config.stats is not None], whole.stats)
    frames = sum(each.frames for each in done)
    return Done(frames, f"{frames} frames in {len(pieces)} pieces, joined")


def save_joined_index(pieces: Sequence[Piece], job: RunConfig) -> None:
    """Keep the index of a file where the job wants it, once all pieces are done.

    Raises:
        OutputError: it cannot be written.
    """
    if job.index is None:
        return
    files = [piece.part.index for piece in pieces if piece.part.index is not None]
    joined = read_index(files[0])
    for file in files[1:]:
        joined = joined + read_index(file)  # without the frames that both have
    save_index(replace(joined, facts=replace(joined.facts, whole=True)), pieces[0].task.video, job.index)


def _join_folders(parts: Sequence[Path], folder: Path) -> None:
    """Bring the pictures of all parts into one folder, numbered on; the parts stay as they are."""
    _make(folder)
    number = 0
    try:
        for part in parts:
            for picture in sorted(part.iterdir()):
                target = folder / f"{number:06d}{picture.suffix}"
                try:
                    os.link(picture, target)
                except OSError:  # another disk, or one without links
                    shutil.copyfile(picture, target)
                number += 1
    except OSError as error:
        raise OutputError(f"{folder} cannot be written ({first_line(error)})", "free disk space") from error


def _join_rows(parts: Sequence[Path], file: Path) -> None:
    """Write the rows of all parts to one file, numbered on, under the first one's header."""
    try:
        with file.open("w", newline="", encoding="utf-8") as joined:
            number = 0
            for part in parts:
                with part.open(newline="", encoding="utf-8") as rows:
                    header = next(rows)
                    joined.write("" if number else header)
                    for row in rows:
                        joined.write(f"{number},{row.partition(',')[2]}")
                        number += 1
    except OSError as error:
        raise OutputError(f"{file} cannot be written ({first_line(error)})", "free disk space") from error


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder} cannot be made ({first_line(error)})", "choose another place") from error
