"""Keep the figures of every frame of a drive: class shares, confidence, motion, label change; one versioned file.

An index lies in the cache, or beside the video as VIDEO.index. It is found by what it was made of: the content of the
video, the weights, the network's size, smoothing and the bonnet. One that fits nothing any more is never found, and a
damaged one counts as absent. Nothing is unpickled.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segnet_live.card import Card
from segnet_live.classes import ClassSet
from segnet_live.config import IndexPlace, format_size
from segnet_live.drives.bonnet import read_bonnet
from segnet_live.engine.artifacts import ArtifactStore, Fields
from segnet_live.errors import DataError, SourceError, first_line
from segnet_live.frame import Size
from segnet_live.system.files import open_regular, read_regular, write_atomically

log = logging.getLogger(__name__)

VERSION = 1
_SUFFIX = ".npz"
_BLOCK = 1 << 18
MOST_BYTES = 1 << 29
"""Of an index: 80 hours at 30 frames a second have so many."""
CUT_MOTION = 0.09
"""Mean grey difference to the frame before, 0..1, below which no frame begins a new scene."""
CUT_FACTOR = 4.0
"""How much more a frame that begins a scene differs than those around it."""
_AROUND = 12


def fingerprint(video: Path) -> str:
    """Return what tells one video file from another: its length, and a hash of its beginning, middle and end.

    Reading whole drives would take longer than looking for their index.

    Raises:
        SourceError: the file cannot be read.
    """
    try:
        length = video.stat().st_size
        digest = hashlib.sha256(str(length).encode())
        with open_regular(video) as file:
            for start in (0, max(0, length // 2 - _BLOCK // 2), max(0, length - _BLOCK)):
                file.seek(start)
                digest.update(file.read(_BLOCK))
    except OSError as error:
        raise SourceError(f"{video}: cannot be read ({first_line(error)})", "check the path") from error
    return digest.hexdigest()


def key_of(video: Path, card: Card, *, size: Size | None, smooth: bool, bonnet: str | None = None) -> Fields:
    """Return everything that would make an index of `video` another one.

    Args:
        size: (height, width) asked for the network, None for what follows from the video.
        smooth: the label maps were smoothed.
        bonnet: what is left out, as the option names it: "auto", a picture's path, or None.

    Raises:
        SourceError: the video cannot be read.
        DataError: the picture of the bonnet cannot be used.
    """
    if bonnet not in (None, "auto"):
        bonnet = read_bonnet(Path(bonnet)).sha256
    return {
        "index": VERSION,
        "video": fingerprint(video),
        "weights": card.network_id,
        "size": format_size(size) if size else "",
        "smooth": smooth,
        "bonnet": bonnet or "",
    }


@dataclass(frozen=True, slots=True)
class Facts:
    """What an index knows of a drive as a whole.

    Attributes:
        title: the video's name.
        size: (height, width) of its frames.
        rate: frames per second, 0 where unknown.
        duration_s: seconds that the file states, 0 where it states none.
        model, engine, machine: what labelled it, where.
        frames_per_s: how fast that was.
        whole: False while frames are missing at the end.
    """

    title: str
    size: Size
    rate: float
    duration_s: float
    model: str
    engine: str
    machine: str
    frames_per_s: float
    whole: bool


@dataclass(frozen=True, eq=False)
class DriveIndex:
    """The figures of each of N frames of a drive, in time order. Immutable.

    Attributes:
        classes: what the K columns of `shares` stand for.
        pts_s: (N,) float64 source times in seconds.
        shares: (N, K) float32 class shares, 0..1; less than 1 in sum where pixels are left out.
        confidence: (N,) float32 mean confidence of the labels, 0..1; NaN where the engine tells none.
        motion: (N,) float32 mean grey difference to the frame before, 0..1; 0 in the first.
        change: (N,) float32 share of pixels that have another class than in the frame before; 0 in the first.
    """

    facts: Facts
    classes: ClassSet
    pts_s: NDArray[np.float64]
    shares: NDArray[np.float32]
    confidence: NDArray[np.float32]
    motion: NDArray[np.float32]
    change: NDArray[np.float32]
    key: Fields = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.pts_s)

    @property
    def start_s(self) -> float:
        """Source time of the first frame."""
        return float(self.pts_s[0])

    @cached_property
    def interval_s(self) -> float:
        """The usual time between two frames."""
        return float(np.median(np.diff(self.pts_s))) if len(self) > 1 else 1 / (self.facts.rate or 25.0)

    @property
    def end_s(self) -> float:
        """Source time at which the last frame ends."""
        return float(self.pts_s[-1]) + self.interval_s

    @cached_property
    def cuts(self) -> NDArray[np.bool_]:
        """(N,) whether a frame begins a new scene: it differs from the one before far more than its neighbours do."""
        cuts = self.motion >= CUT_MOTION
        for at in np.flatnonzero(cuts):
            around = np.concatenate([self.motion[max(1, at - _AROUND) : at], self.motion[at + 1 : at + 1 + _AROUND]])
            cuts[at] = not len(around) or self.motion[at] >= CUT_FACTOR * float(np.median(around))
        return cuts

    @property
    def flicker(self) -> NDArray[np.float32]:
        """(N,) float32 `change`, but 0 where a scene begins: there labels change with reason."""
        return np.where(self.cuts, np.float32(0), self.change)

    def __add__(self, more: DriveIndex) -> DriveIndex:
        """Return the index of these frames and the later ones of `more`, with its facts."""
        later = more.pts_s > self.pts_s[-1]
        columns = {n: np.concatenate([getattr(self, n), getattr(more, n)[later]]) for n in _COLUMNS}
        return DriveIndex(more.facts, more.classes, key=more.key, **columns)


_COLUMNS = {"pts_s": np.float64} | dict.fromkeys(("shares", "confidence", "motion", "change"), np.float32)
"""The columns of an index, and the type of each."""


def beside(video: Path) -> Path:
    """Return where an index lies that is kept beside its video."""
    return video.with_name(f"{video.name}.index")


def save_index(index: DriveIndex, video: Path, place: IndexPlace | Path) -> Path | None:
    """Keep an index; return its file. The cache may be full or not writable: None then, after a log line.

    Raises:
        OutputError: it is to lie beside the video, or in a file that is named, and cannot be written there.
    """
    facts = {name: getattr(index.facts, name) for name in Facts.__slots__}
    classes = index.classes
    header = {
        "key": index.key,
        "facts": facts,
        "classes": {"names": classes.names, "colours": classes.colours, "void_id": classes.void_id},
    }
    buffer = io.BytesIO()
    text = np.frombuffer(json.dumps(header).encode(), np.uint8)
    np.savez_compressed(buffer, header=text, **{name: getattr(index, name) for name in _COLUMNS})
    if place == "beside":
        write_atomically(beside(video), buffer.getvalue(), advice="leave out beside: the cache then keeps it")
        return beside(video)
    if isinstance(place, Path):
        write_atomically(place, buffer.getvalue())
        return place
    about = {"video": video.name, "frames": len(index), "whole": index.facts.whole}
    return ArtifactStore.of("index").save(index.key, about, {_SUFFIX: buffer.getvalue()})


def load_index(video: Path, key: Fields) -> DriveIndex | None:
    """Return the index with this key, from beside the video or the cache, or None.

    One beside the video that was made of something else, or is damaged, is passed over with a log line.
    """
    place = beside(video)
    if place.is_file():
        try:
            index = read_index(place)
        except DataError as error:
            log.warning("%s is not used: it is damaged (%s)", place, error.problem)
        else:
            if index.key == key:
                return index
            log.info("%s is not used: it was made of another video, model or setting", place)
    kept = ArtifactStore.of("index").load(key)
    if kept is None or _SUFFIX not in kept.files:
        return None
    try:
        return _read(kept.files[_SUFFIX])
    except DataError as error:
        log.warning("cached index %s is not used: it is damaged (%s)", kept.manifest, error.problem)
        return None


def read_index(file: Path) -> DriveIndex:
    """Return the index in a file that `save_index` made.

    Raises:
        DataError: it cannot be read, or holds none.
    """
    try:
        return _read(read_regular(file, MOST_BYTES))
    except (OSError, DataError) as error:
        raise DataError(f"{file} holds no index ({first_line(error)})", "run again") from error


def _read(content: bytes) -> DriveIndex:
    """Return the index in `content`.

    Raises:
        DataError: it holds none.
    """
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            if sum(member.file_size for member in arrays.zip.infolist()) > MOST_BYTES:
                raise ValueError(f"its columns have more than {MOST_BYTES >> 20} MiB")
            header: dict[str, Any] = json.loads(arrays["header"].tobytes())
            with np.errstate(over="raise"):  # a FloatingPointError, which is an ArithmeticError
                columns = {name: arrays[name].astype(kind, casting="same_kind") for name, kind in _COLUMNS.items()}
        stated, named = header["facts"], header["classes"]
        height, width = stated["size"]
        facts = Facts(
            title=str(stated["title"]),
            size=(int(height), int(width)),
            rate=float(stated["rate"]),
            duration_s=float(stated["duration_s"]),
            model=str(stated["model"]),
            engine=str(stated["engine"]),
            machine=str(stated["machine"]),
            frames_per_s=float(stated["frames_per_s"]),
            whole=bool(stated["whole"]),
        )
        colours = tuple((int(r), int(g), int(b)) for r, g, b in named["colours"])
        classes = ClassSet(tuple(map(str, named["names"])), colours, int(named["void_id"]))
        key = dict(header["key"])
    except Exception as error:  # NumPy's readers of damaged arrays raise anything
        raise DataError(first_line(error), "it is made again") from error
    count = len(columns["pts_s"])
    shapes = {name: (count, len(classes)) if name == "shares" else (count,) for name in _COLUMNS}
    if not count or any(column.shape != shapes[name] for name, column in columns.items()):
        raise DataError(f"its columns have shapes {[c.shape for c in columns.values()]}", "it is made again")
    if not (np.isfinite(columns["pts_s"]).all() and (np.diff(columns["pts_s"]) >= 0).all()):
        raise DataError("its times do not go on", "it is made again")
    return DriveIndex(facts, classes, key=key, **columns)
