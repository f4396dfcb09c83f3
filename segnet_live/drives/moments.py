"""Find the moments of a drive that a question means."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from segnet_live.drives.index import DriveIndex
from segnet_live.drives.query import Question, length_s, runs
from segnet_live.errors import UsageError

JOIN_S = 0.5
"""Two finds that lie closer together are one moment: labels flicker, and nobody wants ten clips of one pedestrian."""


@dataclass(frozen=True, slots=True)
class Moment:
    """A moment of a drive.

    Attributes:
        start_s, end_s: source time in seconds.
        best_s: source time of the frame that shows best what was asked for.
        figures: what the question compares, at that frame, by name; shares 0..1.
    """

    start_s: float
    end_s: float
    best_s: float
    figures: dict[str, float]

    @property
    def length_s(self) -> float:
        """Its length in seconds."""
        return self.end_s - self.start_s


def find_moments(index: DriveIndex, question: Question, *, join_s: float = JOIN_S) -> list[Moment]:
    """Return the moments that `question` means, in time order.

    Raises:
        UsageError: it asks for confidence, and the index has none.
    """
    asked = {name for comparison in question.comparisons() for name in comparison.names}
    if "confidence" in asked and np.isnan(index.confidence).all():
        raise UsageError(f"the index of {index.facts.title} has no confidence", "make it anew with find --fresh")
    spans: list[tuple[int, int]] = []
    for first, last in runs(question.answer(index)):
        if spans and index.pts_s[first] - (index.pts_s[spans[-1][0]] + length_s(index, *spans[-1])) < join_s:
            spans[-1] = spans[-1][0], last
        else:
            spans.append((first, last))
    return [_moment(index, question, first, last) for first, last in spans]


def _moment(index: DriveIndex, question: Question, first: int, last: int) -> Moment:
    comparisons = [c for c in question.comparisons() if c.names != ("time",)]
    best = first
    if comparisons:
        leading = comparisons[0]
        values = leading.values(index)[first : last + 1]
        most = leading.sign.startswith(">")
        if not np.isnan(values).all():
            best = first + int(np.nanargmax(values) if most else np.nanargmin(values))
    figures = {" + ".join(c.names): float(c.values(index)[best]) for c in comparisons}
    start_s = float(index.pts_s[first])
    return Moment(start_s, start_s + length_s(index, first, last), float(index.pts_s[best]), figures)
