"""Measure whether confidence means something: how often a network is right where it is how sure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from segnet_live.engine.base import Engine, run_engine
from segnet_live.frame import ConfidenceMap, LabelMap
from segnet_live.labels import confidence_at, labels_at
from segnet_live.learning.data import Sample

LEVELS = 256


@dataclass(frozen=True, slots=True)
class Decile:
    """A tenth of all labelled pixels, sorted by confidence.

    Attributes:
        low, high: its confidences, 0..255.
        accuracy: share 0..1 of its pixels whose class is right.
        errors: share 0..1 of all wrong pixels that lie in it.
    """

    low: int
    high: int
    accuracy: float
    errors: float


class ByConfidence:
    """A count of right and wrong pixels at each confidence; pixels whose truth is no class are left out."""

    def __init__(self, classes: int) -> None:
        self._classes = classes
        self._pixels = np.zeros(LEVELS, np.int64)
        self._right = np.zeros(LEVELS, np.int64)

    def add(self, truth: LabelMap, labels: LabelMap, confidence: ConfidenceMap) -> None:
        """Count one image; all (H, W) uint8 of one size."""
        known = truth < self._classes
        self._pixels += np.bincount(confidence[known], minlength=LEVELS)
        self._right += np.bincount(confidence[known & (truth == labels)], minlength=LEVELS)

    def deciles(self) -> list[Decile]:
        """Return the ten tenths, the least sure first.

        Pixels of equal confidence belong to no order: where they lie across a border, both tenths get their share.

        Raises:
            ValueError: no labelled pixel was added.
        """
        total = int(self._pixels.sum())
        if not total:
            raise ValueError("no labelled pixel was added; nothing to sort")
        ends = np.concatenate(([0], np.cumsum(self._pixels)))
        right = np.concatenate(([0], np.cumsum(self._right)))
        edges = np.linspace(0, total, 11)
        right_up_to = np.interp(edges, ends, right)
        wrong = np.diff(edges) - np.diff(right_up_to)
        levels: NDArray[np.int64] = np.searchsorted(ends[1:], edges, side="left").clip(0, LEVELS - 1)
        lows = np.searchsorted(ends[1:], edges[:-1], side="right").clip(0, LEVELS - 1)
        errors = wrong / max(1, total - int(self._right.sum()))
        accuracy = np.diff(right_up_to) / np.diff(edges)
        rows = zip(lows, levels[1:], accuracy, errors, strict=True)
        return [Decile(int(low), int(high), float(a), float(e)) for low, high, a, e in rows]


def by_confidence(engine: Engine, samples: Sequence[Sample], classes: int) -> list[Decile]:
    """Return the deciles of an engine that was opened with confidence, as the app shows both maps: at image size."""
    count = ByConfidence(classes)
    for sample in samples:
        found, size = run_engine(engine, sample.rgb), (sample.rgb.shape[0], sample.rgb.shape[1])
        assert found.confidence is not None, "the engine was opened with confidence"
        count.add(sample.labels, labels_at(found.labels, size), confidence_at(found.confidence, size))
    return count.deciles()


def print_deciles(deciles: Sequence[Decile], title: str) -> None:
    """Print the deciles as a table, and the share of errors among the least sure tenth."""
    console = Console()
    console.print(title, highlight=False)
    table = Table()
    for heading in ("pixels, least sure first", "confidence", "accuracy", "of all errors"):
        table.add_column(heading, justify="left" if heading.startswith("pixels") else "right")
    for index, row in enumerate(deciles):
        span = f"{row.low}" if row.low == row.high else f"{row.low} to {row.high}"
        table.add_row(f"{10 * index} to {10 * index + 10} %", span, f"{row.accuracy:.4f}", f"{row.errors:.1%}")
    console.print(table)
    console.print(f"{deciles[0].errors:.1%} of the errors lie in the least sure 10 % of the pixels", highlight=False)


def as_json(deciles: Sequence[Decile]) -> dict[str, Any]:
    """Return the deciles' figures, the least sure first."""
    return {
        "accuracy_by_decile": [round(row.accuracy, 4) for row in deciles],
        "errors_by_decile": [round(row.errors, 4) for row in deciles],
        "confidence_by_decile": [[row.low, row.high] for row in deciles],
    }
