"""Choose what there is to say about a drive: shares by time, the classes, the hardest moments."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segnet_live.drives.index import DriveIndex

BINS = 300
IN_SIGHT = 0.005
"""The share of the picture from which a class counts as in sight."""
HARDEST = 8


@dataclass(frozen=True, slots=True)
class ClassFacts:
    """What a drive shows of a class.

    Attributes:
        mean, most: share of the picture, 0..1.
        most_s: where the most was, seconds from the beginning.
        in_sight_s: how long it took IN_SIGHT of the picture or more.
    """

    name: str
    colour: tuple[int, int, int]
    mean: float
    most: float
    most_s: float
    in_sight_s: float


@dataclass(frozen=True, slots=True)
class HardMoment:
    """A moment at which the network was at its worst, as far as it can tell itself.

    Attributes:
        at: the frame's number in the index.
        pts_s: its source time.
        why: the figures that say so.
    """

    at: int
    pts_s: float
    why: str


def class_facts(index: DriveIndex) -> list[ClassFacts]:
    """Return the facts of all classes, the largest first."""
    times_s = index.pts_s - index.start_s
    seen = (index.shares >= IN_SIGHT).sum(axis=0) * index.interval_s
    most = index.shares.argmax(axis=0)
    facts = [
        ClassFacts(
            name,
            index.classes.colours[k],
            float(index.shares[:, k].mean()),
            float(index.shares[most[k], k]),
            float(times_s[most[k]]),
            float(seen[k]),
        )
        for k, name in enumerate(index.classes.names)
    ]
    return sorted(facts, key=lambda fact: -fact.mean)


def binned(index: DriveIndex, column: NDArray[np.float32], bins: int = BINS) -> NDArray[np.float64]:
    """Return the means of a column, (N,) or (N, K), over equal parts of the drive; a part without a frame repeats."""
    count = min(bins, len(index))
    places = (index.pts_s - index.start_s) / max(index.end_s - index.start_s, 1e-9) * count
    at = np.clip(places.astype(int), 0, count - 1)
    rows = np.asarray(column, np.float64).reshape(len(index), -1)
    sums = np.zeros((count, rows.shape[1]))
    np.add.at(sums, at, rows)
    frames = np.bincount(at, minlength=count)
    filled = np.maximum.accumulate(np.where(frames > 0, np.arange(count), 0))
    means = (sums / np.maximum(frames, 1)[:, None])[filled]
    return means if column.ndim > 1 else means[:, 0]


def hardest(index: DriveIndex, count: int = HARDEST) -> list[HardMoment]:
    """Return the moments of least confidence and most flicker, in time order, not close to each other."""
    if not count:
        return []
    trouble = _standing_out(_smooth(index.flicker))
    unsure = not np.isnan(index.confidence).all()
    if unsure:
        trouble = trouble + _standing_out(-_smooth(np.nan_to_num(index.confidence, nan=1.0)))
    apart_s = max(1.0, (index.end_s - index.start_s) / (3 * count))
    chosen: list[int] = []
    for at in np.argsort(-trouble, kind="stable"):
        if len(chosen) == count or trouble[at] <= 0:
            break
        if all(abs(index.pts_s[at] - index.pts_s[other]) >= apart_s for other in chosen):
            chosen.append(int(at))
    moments = []
    for at in sorted(chosen):
        why = f"{index.flicker[at]:.1%} of the pixels changed class"
        if unsure:
            why = f"confidence {index.confidence[at]:.0%}, {why}"
        moments.append(HardMoment(at, float(index.pts_s[at]), why))
    return moments


def _smooth(column: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the running mean over 5 frames: one frame alone may be a glitch of the codec."""
    return np.convolve(np.pad(column.astype(np.float64), 2, mode="edge"), np.full(5, 0.2), mode="valid")


def _standing_out(column: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how far each value stands out, in standard deviations."""
    return np.asarray((column - column.mean()) / (column.std() or 1.0), np.float64)
