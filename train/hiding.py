"""Measure what `--hide` covers: the share of the hidden classes' true pixels, and what else goes with them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from segnet_live.card import Card
from segnet_live.engine.base import run_engine
from segnet_live.learning.data import Sample, consecutive
from segnet_live.render.hiding import Hiding, mask_at, together
from train.measure import Through

SMALLEST_PERSON_PX = 60
"""Connected pixels of hidden classes that count as something to hide; fewer are slips of the annotation."""
COVERED = 0.95
"""The share of its pixels from which one counts as covered."""


@dataclass(frozen=True, slots=True)
class Coverage:
    """What was covered, counts over all images.

    Attributes:
        hidden, wanted: pixels of hidden classes that were covered, and all of them, (K,) by class.
        spilt, others: pixels of other classes that were covered, and all of them.
        covered, pieces: connected pieces of hidden classes of which COVERED was covered, and all of them.
    """

    hidden: NDArray[np.int64]
    wanted: NDArray[np.int64]
    spilt: int
    others: int
    covered: int
    pieces: int

    @property
    def recall(self) -> float:
        """The share of all true pixels of hidden classes that was covered, 0..1."""
        return float(self.hidden.sum() / max(1, self.wanted.sum()))


def measure_hiding(card: Card, samples: Sequence[Sample], hiding: Hiding, via: Through) -> Coverage:
    """Return what `hiding` covers of labelled images; those that follow each other in a recording help each other."""
    size = (samples[0].rgb.shape[0], samples[0].rgb.shape[1])
    with closing(replace(via, confidence=hiding.unsure > 0).opened(card, size)) as engine:
        labelled = [run_engine(engine, sample.rgb) for sample in samples]
    masks = [hiding.mask(result.labels, result.confidence) for result in labelled]
    k = len(card.classes)
    hidden, wanted = np.zeros(k, np.int64), np.zeros(k, np.int64)
    spilt = others = covered = pieces = 0
    for at, sample in enumerate(samples):
        around = together([masks[at], *(masks[i] for i in _around(samples, at, hiding.hold))])
        cover = mask_at(around, (sample.labels.shape[0], sample.labels.shape[1])) > 0
        truth = np.bincount(sample.labels.ravel(), minlength=256)[:k]
        found = np.bincount(sample.labels[cover], minlength=256)[:k]
        ids = list(hiding.ids)
        hidden[ids] += found[ids]
        wanted[ids] += truth[ids]
        spilt += int(found.sum() - found[ids].sum())
        others += int(truth.sum() - truth[ids].sum())
        count, shapes, stats, _ = cv2.connectedComponentsWithStats(np.isin(sample.labels, ids).astype(np.uint8))
        for piece in range(1, count):
            if stats[piece, cv2.CC_STAT_AREA] >= SMALLEST_PERSON_PX:
                pieces += 1
                covered += bool(cover[shapes == piece].mean() >= COVERED)
    return Coverage(hidden, wanted, spilt, others, covered, pieces)


def _around(samples: Sequence[Sample], at: int, hold: int) -> list[int]:
    """Return the images at most `hold` before and after one, as far as the recording is unbroken."""
    found = []
    for step in (-1, 1):
        i = at
        for _ in range(hold):
            j = i + step
            if not 0 <= j < len(samples):
                break
            first, second = sorted((i, j))
            if not consecutive(samples[first].name, samples[second].name):
                break
            found.append(j)
            i = j
    return found


def print_hiding(card: Card, samples: Sequence[Sample], hiding: Hiding, via: Through) -> dict[str, Any]:
    """Measure without and with what goes beyond found pixels, print both, and return the figures."""
    bare = replace(hiding, grow=0.0, unsure=0.0, hold=0)
    figures: dict[str, Any] = {"model": card.name, "images": len(samples), "hold": hiding.hold}
    for name, what in (("found pixels alone", bare), ("as --hide does", hiding)):
        coverage = measure_hiding(card, samples, what, via)
        classes = {
            card.classes.names[i]: round(float(coverage.hidden[i] / coverage.wanted[i]), 4)
            for i in sorted(hiding.ids)
            if coverage.wanted[i]
        }
        figures[name] = {
            "recall": round(coverage.recall, 4),
            "classes": classes,
            "pieces_covered": [coverage.covered, coverage.pieces],
            "spilt": round(coverage.spilt / max(1, coverage.others), 4),
        }
        each = ", ".join(f"{n} {share:.1%}" for n, share in classes.items())
        print(
            f"{card.name}, {len(samples)} images, {name}: {coverage.recall:.1%} of the true pixels covered ({each}); "
            f"{coverage.covered} of {coverage.pieces} pieces covered to {COVERED:.0%}; "
            f"{coverage.spilt / max(1, coverage.others):.1%} of everything else covered, too",
            flush=True,
        )
    return figures
