"""Edits of a label map: what each tool changes, and that every step can be taken back."""

from __future__ import annotations

import numpy as np
import pytest

from segnet_live.drafts.editing import Editing
from segnet_live.drafts.regions import connected, superpixels

ROAD, CAR, TREE = 3, 8, 5


@pytest.fixture
def editing() -> Editing:
    """Road, with a car of 10x20 in it; in the picture the car is 4 pixels further right."""
    labels = np.full((60, 80), ROAD, np.uint8)
    labels[20:30, 30:50] = CAR
    rgb = np.full((60, 80, 3), 100, np.uint8)
    rgb[20:30, 34:54] = 220
    return Editing(rgb, labels)


def step(editing: Editing, change: object) -> None:
    editing.begin()
    change()  # type: ignore[operator]
    editing.end()


def test_a_brush_paints_a_line_as_wide_as_it_is(editing: Editing) -> None:
    step(editing, lambda: editing.brush([(10, 50), (40, 50)], 2, TREE))
    painted = editing.labels == TREE
    assert painted[50, 10:41].all()
    assert 4 <= painted[:, 25].sum() <= 6
    assert not painted[:40].any()
    assert editing.is_changed


def test_a_polygon_needs_three_corners_and_fills_what_they_span(editing: Editing) -> None:
    assert editing.polygon([(1, 1), (9, 9)], TREE) is None
    step(editing, lambda: editing.polygon([(2, 2), (12, 2), (12, 12), (2, 12)], TREE))
    assert (editing.labels[3:12, 3:12] == TREE).all()
    assert (editing.labels == TREE).sum() <= 11 * 11


def test_fill_takes_the_connected_region_only(editing: Editing) -> None:
    editing.labels[40:44, 5:9] = CAR
    step(editing, lambda: editing.fill((35, 25), TREE))
    assert (editing.labels[20:30, 30:50] == TREE).all()
    assert (editing.labels[40:44, 5:9] == CAR).all()
    assert connected(editing.labels, 6, 41).sum() == 16


def test_a_region_ends_where_the_picture_has_an_edge(editing: Editing) -> None:
    regions = superpixels(editing.rgb, 10)
    assert regions.min() >= 1
    across = np.unique(regions[:, :][np.s_[21:29, 35:53]])
    outside = np.unique(np.concatenate((regions[:18].ravel(), regions[32:].ravel())))
    assert not set(across.tolist()) & set(outside.tolist()), "no region reaches over the car's edge by two pixels"
    step(editing, lambda: editing.region((44, 25), 10, TREE))
    taken = editing.labels == TREE
    assert taken[25, 44]
    assert not taken[:18].any()


def test_a_large_picture_has_regions_too() -> None:
    regions = superpixels(np.random.default_rng(0).integers(0, 255, (1080, 1920, 3), np.uint8), 40)
    assert regions.shape == (1080, 1920)
    assert regions.min() >= 1


def test_every_step_can_be_taken_back_and_done_again(editing: Editing) -> None:
    states = [editing.labels.copy()]
    for change in (
        lambda: editing.brush([(10, 50), (40, 50)], 3, TREE),
        lambda: editing.fill((35, 25), TREE),
        lambda: editing.polygon([(0, 0), (79, 0), (79, 59)], CAR),
    ):
        step(editing, change)
        states.append(editing.labels.copy())
    for state in reversed(states[:-1]):
        assert editing.undo() is not None
        assert np.array_equal(editing.labels, state)
    assert editing.undo() is None
    assert not editing.is_changed
    for state in states[1:]:
        editing.redo()
        assert np.array_equal(editing.labels, state)
    editing.undo()
    step(editing, lambda: editing.fill((5, 55), TREE))
    assert not editing.can_redo, "a new step is another way on"


def test_outside_the_picture_nothing_happens(editing: Editing) -> None:
    before = editing.labels.copy()
    for point in ((-1.0, 5.0), (80.0, 5.0), (5.0, 60.0)):
        assert editing.fill(point, TREE) is None
        assert editing.region(point, 10, TREE) is None
        assert editing.class_at(point) is None
    assert np.array_equal(editing.labels, before)
