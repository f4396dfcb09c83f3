"""The measure of what `--hide` covers counts true pixels, pieces and spill, and lets neighbours help each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from segnet_live.card import Card
from segnet_live.learning.data import Sample
from segnet_live.render.hiding import Hiding
from train.hiding import measure_hiding

PERSON = 9
SIZE = (60, 80)


class RedChannel:
    """An engine that takes the red channel for the label map."""

    def segment(self, rgb: np.ndarray) -> np.ndarray:
        return rgb[..., 0].copy()

    def close(self) -> None:
        pass


@dataclass
class Via:
    confidence: bool = False

    def opened(self, card: Card, source: tuple[int, int]) -> RedChannel:
        return RedChannel()


def sample(name: str, *, found: bool) -> Sample:
    """Two people of 10x10; the network finds the left one at most."""
    truth = np.full(SIZE, 3, np.uint8)
    truth[20:30, 10:20] = truth[20:30, 60:70] = PERSON
    guess = np.full(SIZE, 3, np.uint8)
    if found:
        guess[20:30, 10:20] = PERSON
    return Sample(name, np.repeat(guess[..., None], 3, axis=2), truth)


def measured(samples: list[Sample], **settings: Any) -> tuple[float, int, int, int]:
    card: Any = type("AnyCard", (), {"classes": range(11)})
    via: Any = Via()
    coverage = measure_hiding(card, samples, Hiding(frozenset({PERSON}), **settings), via)
    return coverage.recall, coverage.spilt, coverage.covered, coverage.pieces


def test_what_is_found_is_covered_and_what_is_missed_is_not() -> None:
    recall, spilt, covered, pieces = measured([sample("a_001", found=True)], grow=0.02, hold=0)
    assert recall == 0.5
    assert (covered, pieces) == (1, 2)
    assert 0 < spilt < 200


@pytest.mark.parametrize(("hold", "recall"), [(0, 0.25), (1, 0.5)])
def test_frames_of_one_recording_help_each_other(hold: int, recall: float) -> None:
    samples = [sample("a_001", found=False), sample("a_003", found=True)]
    assert measured(samples, hold=hold)[0] == recall


def test_frames_of_other_recordings_do_not() -> None:
    samples = [sample("a_001", found=False), sample("b_003", found=True), sample("b_030", found=False)]
    assert measured(samples, hold=5)[0] == pytest.approx(1 / 6)
