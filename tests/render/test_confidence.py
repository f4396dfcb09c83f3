"""How sure the network is, in colours: an even map, its legend, and an overlay that fades."""

from __future__ import annotations

import numpy as np
import pytest

from segnet_live.classes import CAMVID
from segnet_live.config import View, shows_confidence
from segnet_live.labels import UNSURE, confidence_at, mean_confidence, unsure_share
from segnet_live.render.confidence import colourise
from segnet_live.render.overlay import Overlay
from segnet_live.render.view import ViewSettings, compose

RGB = np.random.default_rng(1).integers(0, 256, (240, 320, 3), dtype=np.uint8)
LABELS = np.full((240, 320), 3, np.uint8)
RAMP = np.tile(np.linspace(0, 255, 320).astype(np.uint8), (240, 1))


def test_colours_grow_evenly_darker_the_surer_the_network_is() -> None:
    colours = colourise(np.arange(256, dtype=np.uint8)[None])[0].astype(float)
    lightness = colours @ (0.2126, 0.7152, 0.0722)
    steps = np.diff(lightness)
    assert (steps < 0.01).all(), "no step back"
    assert lightness[0] - lightness[-1] > 150
    assert abs(steps.min()) < 4 * abs(steps.mean()), "no step stands out"


def test_the_view_is_the_map_with_a_legend_in_the_corner() -> None:
    shown = compose(RGB, LABELS, CAMVID, ViewSettings("confidence"), RAMP)
    expected = colourise(RAMP)
    changed = (shown != expected).any(-1)
    assert not changed[:200].any()
    assert changed[200:, 100:].any(), "the legend"
    assert shown.shape == RGB.shape
    small = compose(RGB[:20, :30], LABELS[:20, :30], CAMVID, ViewSettings("confidence"), RAMP[:20, :30].copy())
    assert (small == colourise(RAMP[:20, :30].copy())).all(), "no room for a legend"


def test_until_there_is_a_map_the_picture_stands_in_and_nothing_fades() -> None:
    assert compose(RGB, LABELS, CAMVID, ViewSettings("confidence")) is RGB
    plain = compose(RGB, LABELS, CAMVID, ViewSettings())
    assert (compose(RGB, LABELS, CAMVID, ViewSettings(fade_unsure=True)) == plain).all()


def test_an_overlay_fades_from_full_colour_to_the_picture_as_confidence_falls() -> None:
    faded = compose(RGB, LABELS, CAMVID, ViewSettings(fade_unsure=True), RAMP).astype(int)
    blended = Overlay(CAMVID).blend(RGB, LABELS).astype(int)
    assert np.abs(faded[:, :2] - RGB[:, :2]).max() <= 2
    assert np.abs(faded[:, -2:] - blended[:, -2:]).max() <= 2
    expected = RGB + (blended - RGB) * RAMP[..., None] / 255
    assert np.abs(faded - expected).max() <= 2


@pytest.mark.parametrize(
    ("view", "layers", "fade", "needed"),
    [
        ("overlay", ("original", "overlay"), False, False),
        ("overlay", ("original", "overlay"), True, True),
        ("labels", ("original", "overlay"), True, False),
        ("labels", ("original", "confidence"), False, False),
        ("wiper", ("original", "confidence"), False, True),
        ("side-by-side", ("original", "overlay"), True, True),
        ("confidence", ("original", "overlay"), False, True),
    ],
)
def test_a_map_is_wanted_only_where_it_is_drawn(view: View, layers: tuple[str, str], fade: bool, needed: bool) -> None:
    assert shows_confidence(view, layers, fade) == needed  # type: ignore[arg-type]
    assert ViewSettings(view, layers=layers, fade_unsure=fade).needs_confidence == needed  # type: ignore[arg-type]


def test_maps_change_size_and_are_summed_up() -> None:
    half = np.full((10, 12), 255, np.uint8)
    half[:, :6] = UNSURE - 1
    assert unsure_share(half) == 0.5
    assert mean_confidence(half) == pytest.approx((255 + UNSURE - 1) / 2 / 255)
    larger = confidence_at(half, (20, 24))
    assert larger.shape == (20, 24)
    assert mean_confidence(larger) == pytest.approx(mean_confidence(half), abs=0.01)
    assert confidence_at(half, (5, 6)).tolist()[0] == [127, 127, 127, 255, 255, 255]
    assert confidence_at(half, (10, 12)) is half
