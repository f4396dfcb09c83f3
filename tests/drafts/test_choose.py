"""Which frames are chosen: hard ones, far from each other in time and look."""

from __future__ import annotations

import itertools

import numpy as np

from segnet_live.drafts.choose import Candidate, chosen, flicker, hardness, spread


def candidate(time_s: float, shade: float, **why: float) -> Candidate:
    return Candidate(time_s, np.full(12, shade, np.float32), why)


def test_what_changes_and_comes_back_flickers_and_what_moves_does_not() -> None:
    before = np.zeros((10, 10), np.uint8)
    spot = before.copy()
    spot[:2] = 4
    assert flicker(before, spot, before) == 0.2
    assert flicker(before, spot, spot) == 0.0
    assert flicker(before, before, spot) == 0.0


def test_the_hard_are_taken_first() -> None:
    every = [candidate(t, 0.1 * t, flicker=0.3 if t in (2, 7) else 0.01) for t in range(10)]
    assert chosen(every, 2) == [2, 7]


def test_two_hard_frames_of_one_moment_are_one() -> None:
    every = [candidate(t, 0.5 if t < 6 else 0.9, flicker=0.3 if 3 <= t < 3.5 else 0.01) for t in np.arange(0, 10, 0.1)]
    times = [every[i].time_s for i in chosen(every, 5)]
    assert sum(3 <= t < 3.5 for t in times) == 1
    assert min(b - a for a, b in itertools.pairwise(times)) > 0.5


def test_of_equally_hard_frames_those_that_look_different_come_first() -> None:
    every = [candidate(10 * t, 0.9 if t == 6 else 0.2, flicker=0.1) for t in range(10)]
    assert 6 in chosen(every, 2)


def test_figures_without_a_common_scale_count_alike() -> None:
    every = [candidate(0, 0, flicker=0.001, disagreement=0.9), candidate(1, 0, flicker=0.002, disagreement=0.1)]
    assert hardness(every).tolist() == [0.5, 0.5]
    assert hardness([candidate(0, 0), candidate(1, 0)]).tolist() == [1, 1]


def test_there_are_no_more_than_there_are() -> None:
    assert chosen([], 5) == []
    assert chosen([candidate(0, 0)], 5) == [0]
    assert len(chosen([candidate(t, 0.1 * t) for t in range(3)], 5)) == 3
    assert spread(None, 50) == 0.5
    assert spread(10.0, 50) == 0.25
    assert spread(36000.0, 50) == 2.0
