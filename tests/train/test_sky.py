"""A sky that a teacher calls Car is not learnt as Car; blue and white things on the road stay what they are."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from segnet_live.classes import CAMVID, ClassSet
from train.opinions import Opinions, write_opinion
from train.pictures import load_pictures
from train.sky import blue_sky, blue_sky_right, with_sky

ID = {name: i for i, name in enumerate(CAMVID.names)}
BLUE, WHITE, GREY, GREEN = (40, 110, 200), (235, 235, 240), (110, 110, 110), (40, 90, 40)


@pytest.fixture
def street() -> np.ndarray:
    """A blue sky with a white cloud and a tree in it, a road below, a blue van on the road."""
    rgb = np.full((240, 320, 3), GREY, np.uint8)
    rgb[:120] = BLUE
    rgb[40:70, 80:140] = WHITE
    rgb[60:120, 240:280] = GREEN
    rgb[150:200, 120:220] = BLUE
    return rgb


def said(class_name: str, height: int, width: int) -> np.ndarray:
    soft = np.zeros((len(CAMVID), height, width), np.uint8)
    soft[ID[class_name]] = 255
    return soft


def test_blue_sky_is_what_reaches_the_top_and_no_blue_van(street: np.ndarray) -> None:
    sky = blue_sky(street)
    assert sky[:30].all()
    assert not sky[122:].any()
    assert not sky[42:68, 84:136].any()  # the cloud
    assert not sky[64:116, 244:276].any()  # the tree
    assert 0.4 < sky.mean() < 0.5


def test_a_grey_or_a_speckled_top_is_no_blue_sky(street: np.ndarray) -> None:
    street[:120] = (200, 205, 210)
    assert not blue_sky(street).any()
    noise = np.random.default_rng(0).integers(0, 2, (120, 320, 1))
    street[:120] = np.where(noise, BLUE, GREY)  # a facade of blue tiles
    assert not blue_sky(street).any()


def test_a_sky_called_car_becomes_sky_and_its_cloud_is_left_open(street: np.ndarray) -> None:
    soft = said("Car", 120, 160)
    soft[:, 32:60, 121:139] = said("Tree", 28, 18)
    kept = with_sky(soft, street, CAMVID)
    assert (kept[ID["Sky"], :12] == 255).all()
    assert kept[:, :12].sum(0).max() == 255
    assert not kept[:, 24:32, 46:64].any()  # the cloud: the teacher's Car is not believed, nothing else is known
    assert (kept[ID["Tree"], 34:58, 124:136] == 255).all()
    np.testing.assert_array_equal(kept[:, 64:], soft[:, 64:])  # the van and the road
    assert (soft[ID["Car"], :12] == 255).all()  # the caller's own is untouched


def test_a_pale_sky_called_building_is_left_open_and_what_is_called_sky_or_tree_stays(street: np.ndarray) -> None:
    street[:120] = (225, 228, 232)
    soft = said("Building", 120, 160)
    soft[:, :, :40], soft[:, :, 40:80] = said("Sky", 120, 40), said("Tree", 120, 40)
    kept = with_sky(soft, street, CAMVID)
    assert not kept[:, :54, 82:].any()
    np.testing.assert_array_equal(kept[..., :80], soft[..., :80])
    np.testing.assert_array_equal(kept[:, 64:], soft[:, 64:])


def test_haze_below_a_blue_sky_called_road_becomes_sky_and_a_pole_in_it_and_a_white_house_stay(
    street: np.ndarray,
) -> None:
    fade = np.clip((np.arange(120) - 20) / 80, 0, 1)[:, None, None]
    street[:120] = (1 - fade) * np.array(BLUE) + fade * np.array((205, 212, 220))
    street[80:120, 20:80] = (250, 250, 250)
    street[80:120, 18:20] = street[80:120, 80:82] = street[78:80, 18:82] = GREY
    soft = said("Road", 120, 160)
    soft[:, 20:60, 100:104] = said("Pole", 40, 4)
    soft[:, 40:60, 10:40] = said("Building", 20, 30)
    kept = with_sky(soft, street, CAMVID)
    assert (kept[ID["Sky"], :56, 60:95] == 255).all()
    assert (kept[ID["Pole"], 52:56, 100:104] == 255).all()
    assert (kept[ID["Building"], 44:58, 14:36] == 255).all()
    np.testing.assert_array_equal(kept[:, 64:], soft[:, 64:])


def test_classes_without_a_sky_keep_their_opinions(street: np.ndarray) -> None:
    classes = ClassSet(("Floor", "Wall"), ((0, 0, 0), (9, 9, 9)), 255)
    soft = np.full((2, 120, 160), 127, np.uint8)
    assert with_sky(soft, street, classes) is soft


def test_pictures_are_loaded_with_their_blue_sky(street: np.ndarray, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    assert cv2.imwrite(str(tmp_path / "images" / "a.png"), street[..., ::-1])
    write_opinion(tmp_path / "soft" / "a.png", said("Car", 120, 160).astype(np.float32) / 255, CAMVID)
    (picture,) = load_pictures(tmp_path / "images", Opinions([tmp_path / "soft"], CAMVID))
    assert (picture.soft[ID["Sky"], :12] == 255).all()
    assert (picture.soft[ID["Car"], 80:96, 70:100] == 255).all()


def test_the_share_of_blue_sky_that_is_right_counts_blue_sky_alone(street: np.ndarray) -> None:
    labels = np.full(street.shape[:2], ID["Car"], np.uint8)
    assert blue_sky_right(labels, street, ID["Sky"]) == 0
    labels[:, :160] = ID["Sky"]
    share = blue_sky_right(labels, street, ID["Sky"])
    assert share == pytest.approx(blue_sky(street)[:, :160].sum() / blue_sky(street).sum())
    large = blue_sky_right(
        np.repeat(np.repeat(labels, 4, 0), 4, 1), np.repeat(np.repeat(street, 4, 0), 4, 1), ID["Sky"]
    )
    assert large == pytest.approx(share, abs=0.02)
    street[:120] = GREY
    assert blue_sky_right(labels, street, ID["Sky"]) is None
