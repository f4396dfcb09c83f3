"""Choose the frames that teach most: the model is unsure of them, and they are far from each other in time and look."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from segnet_live.frame import RGB

LOOK_SIZE = (9, 16)
"""(rows, columns) of the small picture by which looks are compared."""
LOOK_APART = 0.06
"""Difference of two looks, as the mean over channels of values 0..1, at which they count as 63 % different."""
TIMES_APART = 2.0
"""By how many mean gaps between the wanted frames two must differ in time to count as 98 % different."""


CANDIDATES = 10
"""Frames that are looked at for each that is wanted."""
STILL = 0.01
"""Mean grey difference, 0..1, of two frames in which hardly anything moved."""
_NOTHING = np.zeros(0, np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """A frame that may be chosen.

    Attributes:
        time_s: its place in the source.
        look: (n,) float32, the frame as a very small picture, values 0..1.
        why: figures by name, each larger where the model is less to be trusted: `unsure` (1 - confidence), `flicker`
            (change of labels by change of the picture), `disagreement` (share of pixels that two models label apart).
    """

    time_s: float
    look: NDArray[np.float32]
    why: dict[str, float] = field(default_factory=dict)


def look(rgb: RGB) -> NDArray[np.float32]:
    """Return the very small picture of a frame, (n,) float32 of values 0..1."""
    rows, columns = LOOK_SIZE
    small = cv2.resize(rgb, (columns, rows), interpolation=cv2.INTER_AREA)
    return (small.ravel() / np.float32(255)).astype(np.float32)


def hardest(
    times_s: NDArray[np.float64],
    flicker: NDArray[np.float32],
    motion: NDArray[np.float32],
    confidence: NDArray[np.float32],
    count: int,
) -> list[Candidate]:
    """Return the hardest frame of each of some ten times `count` stretches of a drive, in order of time.

    Args:
        times_s: (N,) of the frames. flicker: (N,) share of pixels whose class changed. motion: (N,) how much the
            picture changed, 0..1: labels that change while it stands still are guesses.
        confidence: (N,) 0..1, NaN where it is not known.
    """
    unstable = flicker / (STILL + motion)
    every = [
        Candidate(float(time_s), _NOTHING, {"flicker": float(u)} | ({} if np.isnan(c) else {"unsure": float(1 - c)}))
        for time_s, u, c in zip(times_s, unstable, confidence, strict=True)
    ]
    hard = hardness(every)
    stretches = np.array_split(np.arange(len(every)), min(len(every), CANDIDATES * count))
    return [every[int(stretch[hard[stretch].argmax()])] for stretch in stretches if len(stretch)]


def hardness(candidates: Sequence[Candidate]) -> NDArray[np.float64]:
    """Return (n,) 0..1 for each candidate: the mean of its ranks by the figures that there are.

    Ranks, because confidence, flicker and disagreement have no common scale.
    """
    names = sorted({name for candidate in candidates for name in candidate.why})
    if not names or len(candidates) < 2:
        return np.ones(len(candidates))
    total = np.zeros(len(candidates))
    for name in names:
        values = np.array([candidate.why.get(name, 0.0) for candidate in candidates])
        order = values.argsort(kind="stable").argsort(kind="stable").astype(np.float64)
        _, inverse = np.unique(values, return_inverse=True)
        same = np.bincount(inverse, order) / np.bincount(inverse)  # equal figures, equal ranks
        total += same[inverse] / (len(candidates) - 1)
    return total / len(names)


def chosen(candidates: Sequence[Candidate], count: int) -> list[int]:
    """Return the indices of at most `count` candidates, in order of time.

    One after the other is taken, each time the one with the largest product of hardness and distance, in time and in
    look, from those taken before. No two of one moment and look are taken.
    """
    if not candidates:
        return []
    hard = 0.05 + hardness(candidates)
    times = np.array([candidate.time_s for candidate in candidates])
    looks = np.stack([candidate.look for candidate in candidates])
    gap_s = max((times.max() - times.min()) / max(count, 1), 1e-6) / TIMES_APART
    apart = np.ones(len(candidates))
    taken: list[int] = []
    while len(taken) < min(count, len(candidates)):
        gain = hard * apart
        best = int(gain.argmax())
        if gain[best] <= 1e-9:
            break
        taken.append(best)
        in_time = 1 - np.exp(-(((times - times[best]) / gap_s) ** 2))
        in_look = 1 - np.exp(-np.abs(looks - looks[best]).mean(1) / LOOK_APART)
        apart = np.minimum(apart, in_time * (0.25 + 0.75 * in_look))
        apart[best] = 0.0
    return sorted(taken, key=lambda i: times[i])
