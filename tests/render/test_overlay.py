"""The overlay's arithmetic, against a slow reference; class shares."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from segnet_live.classes import CAMVID, COLOUR_BLIND_SAFE
from segnet_live.errors import UsageError
from segnet_live.labels import class_shares
from segnet_live.render.overlay import Overlay
from segnet_live.render.view import ViewSettings

VOID = CAMVID.void_id


@pytest.fixture
def rgb() -> NDArray[np.uint8]:
    return np.random.default_rng(1).integers(0, 256, (37, 53, 3), dtype=np.uint8)


@pytest.fixture
def labels() -> NDArray[np.uint8]:
    ids = np.array([*range(len(CAMVID)), VOID, 255], np.uint8)
    return np.random.default_rng(2).choice(ids, (37, 53))


@pytest.mark.parametrize("opacity", [0.0, 0.25, 0.5, 1.0])
@pytest.mark.parametrize("shown", [None, {3}, {0, 10}, set()])
def test_blend_is_a_weighted_mean_where_a_class_is_shown_and_the_picture_elsewhere(
    rgb: NDArray[np.uint8], labels: NDArray[np.uint8], opacity: float, shown: set[int] | None
) -> None:
    before = rgb.copy()
    out = Overlay(CAMVID, opacity=opacity, shown=shown).blend(rgb, labels)
    coloured = np.isin(labels, list(range(len(CAMVID)) if shown is None else shown))
    alpha = np.where(coloured, opacity, 0.0)[..., None]
    expected = rgb * (1 - alpha) + CAMVID.palette[labels] * alpha
    assert np.abs(out - expected).max() <= 1  # three roundings to 8 bits
    assert np.array_equal(out[~coloured], rgb[~coloured])
    assert np.array_equal(rgb, before)
    assert not np.shares_memory(out, rgb)


def test_full_opacity_shows_the_palette_exactly(rgb: NDArray[np.uint8], labels: NDArray[np.uint8]) -> None:
    known = labels < len(CAMVID)
    assert np.array_equal(Overlay(CAMVID, opacity=1).blend(rgb, labels)[known], CAMVID.palette[labels][known])


def test_colours_are_red_green_blue_in_this_order() -> None:
    road = np.full((2, 2), CAMVID.names.index("Road"), np.uint8)
    assert Overlay(CAMVID).colourise(road)[0, 0].tolist() == [128, 64, 128]
    pavement = np.full((2, 2), CAMVID.names.index("Pavement"), np.uint8)
    assert Overlay(CAMVID).colourise(pavement)[0, 0].tolist() == [60, 40, 222]
    other = ViewSettings(colours=COLOUR_BLIND_SAFE).recolour(CAMVID)
    assert Overlay(other).colourise(road)[0, 0].tolist() == list(COLOUR_BLIND_SAFE[3])


def test_class_colours_are_black_where_void_or_hidden(labels: NDArray[np.uint8]) -> None:
    out = Overlay(CAMVID, shown={4}).colourise(labels)
    assert np.array_equal(out[labels == 4], CAMVID.palette[labels][labels == 4])
    assert not out[labels != 4].any()


def test_refuses_what_does_not_fit(rgb: NDArray[np.uint8], labels: NDArray[np.uint8]) -> None:
    with pytest.raises(ValueError, match="one size"):
        Overlay(CAMVID).blend(rgb[1:], labels)
    with pytest.raises(ValueError, match="0 to 10"):
        Overlay(CAMVID, shown={11})
    with pytest.raises(UsageError, match="opacity"):
        Overlay(CAMVID, opacity=float("nan"))


def test_class_shares_count_every_pixel_and_leave_void_out() -> None:
    labels = np.full((10, 10), 255, np.uint8)
    labels[:5] = 3
    labels[5, :] = 8
    shares = class_shares(labels, len(CAMVID))
    assert shares.shape == (11,)
    assert shares[3] == pytest.approx(0.5)
    assert shares[8] == pytest.approx(0.1)
    assert shares.sum() == pytest.approx(0.6)
