"""Which frames are chosen: hard ones, far from each other in time and look."""

from __future__ import annotations

import itertools

import numpy as np

from segnet_live.drafts.choose import Candidate, chosen, hardest, hardness


def candidate(time_s: float, shade: float, **why: float) -> Candidate:
    return Candidate(time_s, np.full(12, shade, np.float32), why)


def test_labels_that_change_while_the_picture_stands_still_are_hard() -> None:
    times = np.arange(100) / 10
    flicker, motion = np.full(100, 0.05, np.float32), np.full(100, 0.05, np.float32)
    motion[42] = 0.0
    flicker[77] = motion[77] = 0.3  # a thing that moves changes labels with reason
    unknown = np.full(100, np.nan, np.float32)
    (first,) = [c for c in hardest(times, flicker, motion, unknown, 1) if 4 <= c.time_s < 5]
    assert first.time_s == 4.2
    assert set(first.why) == {"flicker"}
    assert len(hardest(times, flicker, motion, unknown, 3)) == 30
    assert len(hardest(times[:2], flicker[:2], motion[:2], unknown[:2], 3)) == 2
    sure = np.full(100, 0.9, np.float32)
    sure[55] = 0.2
    assert 5.5 in [c.time_s for c in hardest(times, motion, motion, sure, 1)]


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
