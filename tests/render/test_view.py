"""The view: one renderer for the window and for recordings."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from numpy.typing import NDArray

from segnet_live.classes import CAMVID, COLOUR_BLIND_SAFE
from segnet_live.config import LAYERS, VIEWS, Layer, View
from segnet_live.frame import Frame, FrameResult
from segnet_live.labels import labels_at
from segnet_live.render.overlay import Overlay
from segnet_live.render.view import ViewSettings, compose, compose_for_screen, for_screen
from tests.support.sources import FakeSource

RGB = np.random.default_rng(1).integers(0, 256, (37, 54, 3), dtype=np.uint8)
LABELS = np.random.default_rng(2).integers(0, len(CAMVID) + 1, (37, 54)).astype(np.uint8)


def view(view: View, **options: object) -> NDArray[np.uint8]:
    return compose(RGB, LABELS, CAMVID, ViewSettings(view, 0.3, **options))  # type: ignore[arg-type]


@pytest.mark.parametrize("left", LAYERS)
@pytest.mark.parametrize("right", LAYERS)
def test_side_by_side_and_wiper_hold_their_two_layers(left: Layer, right: Layer) -> None:
    both, wiped = view("side-by-side", layers=(left, right)), view("wiper", layers=(left, right), wiper=1 / 3)
    assert both.shape == (37, 108, 3)
    assert np.array_equal(both[:, :54], view(left))
    assert np.array_equal(both[:, 54:], view(right))
    assert wiped.shape == RGB.shape
    assert np.array_equal(wiped[:, :18], view(left)[:, :18])
    assert np.array_equal(wiped[:, 18:], view(right)[:, 18:])


def test_side_by_side_is_picture_then_overlay_unless_told_otherwise() -> None:
    assert np.array_equal(view("side-by-side"), np.hstack((RGB, view("overlay"))))
    assert np.array_equal(view("overlay"), Overlay(CAMVID, opacity=0.3).blend(RGB, LABELS))


def test_the_original_is_the_picture_itself_and_no_view_writes_to_it() -> None:
    before = RGB.copy()
    for name in VIEWS:
        view(name)
    assert np.array_equal(view("original"), before)


def test_hidden_classes_and_other_colours_count_in_every_view() -> None:
    labels = view("labels", hidden=frozenset({3}), colours=COLOUR_BLIND_SAFE)
    assert not labels[LABELS == 3].any()
    assert tuple(labels[LABELS == 4][0]) == COLOUR_BLIND_SAFE[4]


@pytest.mark.parametrize("view", VIEWS)
def test_a_view_composed_for_the_screen_is_the_one_composed_at_source_size(view: View) -> None:
    ramp = np.linspace(20, 230, 640, dtype=np.uint8)
    rgb = np.dstack([np.tile(ramp, (360, 1)), np.full((360, 640), 90, np.uint8), np.tile(ramp[::-1], (360, 1))])
    labels = np.full((90, 160), 3, np.uint8)
    labels[:, 80:] = 0
    settings = ViewSettings(view)
    captured = FrameResult.unlabelled(Frame(rgb, 0, 0, Fraction(1, 25)), FakeSource(1).info, CAMVID)
    result = captured.with_labels(labels, CAMVID, 1.0)
    got = compose_for_screen(result, settings, (180, 640))
    wanted = for_screen(compose(rgb, labels_at(labels, (360, 640)), CAMVID, settings), (180, 640))
    assert got.shape == wanted.shape
    assert (abs(got.astype(int) - wanted).max(axis=2) > 3).mean() < 0.02  # an edge's own pixels are not mixed


def test_the_second_engine_s_labels_and_where_they_differ_are_views() -> None:
    other = LABELS.copy()
    other[:10] = (other[:10] + 1) % len(CAMVID)

    def composed(**options: object) -> NDArray[np.uint8]:
        settings = ViewSettings(opacity=0.3, **options)  # type: ignore[arg-type]
        assert settings.needs_other
        return compose(RGB, LABELS, CAMVID, settings, other=other)

    both = composed(view="side-by-side", layers=("overlay", "other"))
    assert np.array_equal(both[:, :54], Overlay(CAMVID, opacity=0.3).blend(RGB, LABELS))
    assert np.array_equal(both[:, 54:], Overlay(CAMVID, opacity=0.3).blend(RGB, other))
    differ = composed(view="disagreement")
    grey = (differ == differ[..., :1]).all(2)
    assert np.array_equal(~grey, other != LABELS)
    assert not ViewSettings(view="overlay", layers=("overlay", "other")).needs_other, "no layers are shown"
