"""Measures of label maps, against cases worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from segnet_live.quality import Confusion, Flicker, boundary_f1

VOID = 11


def labels(*rows: str) -> np.ndarray:
    """'a' is class 0, 'b' 1, ...; '.' is void."""
    return np.array([[VOID if c == "." else ord(c) - ord("a") for c in row] for row in rows], np.uint8)


def test_g_c_and_miou_of_a_case_worked_out_by_hand() -> None:
    confusion = Confusion(3)
    confusion.add(labels("aaab", "bb.."), labels("aabb", "babb"))
    scores = confusion.scores()
    # truth: 3 a, 3 b; found: 2 of a, 2 of b; predicted a: 3, b: 3 outside the void
    assert scores.global_accuracy == pytest.approx(4 / 6)
    assert scores.class_accuracy == pytest.approx((2 / 3 + 2 / 3) / 2)
    assert scores.iou[:2] == pytest.approx([2 / 4, 2 / 4])
    assert math.isnan(scores.iou[2])
    assert scores.miou == pytest.approx(0.5)


def test_a_class_predicted_but_absent_from_the_truth_lowers_the_others_only() -> None:
    confusion = Confusion(3)
    confusion.add(labels("aabb"), labels("acbb"))
    scores = confusion.scores()
    assert scores.iou == pytest.approx([0.5, 1.0, 0.0])
    assert scores.miou == pytest.approx(0.75)


def test_counts_add_up_over_images() -> None:
    both, one = Confusion(2), Confusion(2)
    both.add(labels("ab"), labels("aa"))
    both.add(labels("bb"), labels("ab"))
    one.add(labels("abbb"), labels("aaab"))
    assert (both.counts == one.counts).all()


def test_bad_input_is_named() -> None:
    confusion = Confusion(2)
    with pytest.raises(ValueError, match="sizes must agree"):
        confusion.add(labels("ab"), labels("abb"))
    with pytest.raises(ValueError, match="class id 2"):
        confusion.add(labels("ab"), labels("ac"))
    with pytest.raises(ValueError, match="no labelled pixel"):
        confusion.scores()


def test_equal_maps_have_bf_one() -> None:
    picture = labels("aabb", "aabb", "ccbb")
    assert boundary_f1(picture, picture, 3) == 1.0


def test_bf_of_a_border_beyond_the_tolerance() -> None:
    truth, found = labels(*["aaaabbbb"] * 4), labels(*["aabbbbbb"] * 4)
    # the borders are 2 px apart: a's boundary columns are 3 and 1, b's 4 and 2
    diagonal = math.hypot(4, 8)
    assert boundary_f1(truth, found, 2, tolerance=1.9 / diagonal) == 0.0
    assert boundary_f1(truth, found, 2, tolerance=2.0 / diagonal) == 1.0


def test_bf_weighs_precision_against_recall() -> None:
    # one true border of a against b; a second, invented one further right makes half of a's boundary wrong
    truth, found = labels(*["aabbbbbbbb"] * 2), labels(*["aabbbbbbaa"] * 2)
    tight = 0.5 / math.hypot(2, 10)
    # class a: precision 1/2, recall 1 -> 2/3; class b: boundary columns 2 and 7 of which 2 is right -> 2/3
    assert boundary_f1(truth, found, 2, tolerance=tight) == pytest.approx(2 / 3)


def test_bf_averages_over_the_classes_of_the_truth() -> None:
    truth, found = labels("aabbcc"), labels("aabbbb")
    tight = 0.5 / math.hypot(1, 6)
    # a: right (1); b: boundary pixels 2, 3 in truth, 2 found (precision 1, recall 1/2 -> 2/3); c: missed (0)
    assert boundary_f1(truth, found, 3, tolerance=tight) == pytest.approx((1 + 2 / 3 + 0) / 3)


def test_the_default_tolerance_is_the_papers() -> None:
    truth, near, far = (np.zeros((360, 480), np.uint8) for _ in range(3))
    truth[:, 200:], near[:, 204:], far[:, 205:] = 1, 1, 1  # 0.75 % of the 600 px diagonal is 4.5 px
    assert boundary_f1(truth, near, 2) == 1.0
    assert boundary_f1(truth, far, 2) == 0.0


def test_void_makes_no_boundary_and_hides_predicted_ones() -> None:
    assert math.isnan(boundary_f1(labels("aa..", "aa.."), labels("aabb", "aaba"), 2))
    truth, found = labels("aabb....", "aabb...."), labels("aabbabab", "aabbabab")
    assert boundary_f1(truth, found, 2, tolerance=0.01) == 1.0


def test_a_class_that_fills_the_picture_says_nothing_unless_it_is_broken_up() -> None:
    whole = labels("aaaa", "aaaa")
    assert math.isnan(boundary_f1(whole, whole, 2))
    assert boundary_f1(whole, labels("aaaa", "aaab"), 2) == 0.0


def test_flicker_is_the_share_that_changes_less_what_changes_in_truth() -> None:
    flicker = Flicker(3)
    flicker.add(labels("aabb"), labels("aabb"))
    flicker.add(labels("abab"), labels("aaab"))  # 2 of 4 change, 1 of 4 in truth
    flicker.add(labels("abab"), labels("aaab"))
    assert flicker.pairs == 2
    assert flicker.value() == pytest.approx((0.25 + 0.0) / 2)


def test_flicker_without_truth_across_a_cut_and_with_void() -> None:
    flicker = Flicker(3)
    flicker.add(labels("aabb"))
    assert math.isnan(flicker.value())
    flicker.add(labels("aabc"))
    flicker.cut()
    flicker.add(labels("cccc"))
    assert flicker.value() == 0.25
    masked = Flicker(3)
    masked.add(labels("aabb"), labels("aa.."))
    masked.add(labels("abcc"), labels("aaaa"))  # only the first two pixels are labelled in both
    assert masked.value() == 0.5
