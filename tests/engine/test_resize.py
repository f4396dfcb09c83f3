"""Host steps that every engine shares: sizes, and label maps at source size."""

from __future__ import annotations

import numpy as np
import pytest

from segnet_live.engine.resize import fit_input, network_size
from segnet_live.labels import labels_at


@pytest.mark.parametrize("source", [(540, 960), (720, 1280), (2160, 3840), (1280, 720), (481, 639)])
def test_network_size_keeps_aspect_and_stays_near_its_budget(source: tuple[int, int]) -> None:
    height, width = network_size(source)
    assert height % 32 == 0
    assert width % 32 == 0
    assert width / height == pytest.approx(source[1] / source[0], rel=0.07)
    assert 0.8 < height * width / (480 * 360) < 1.25


def test_frames_of_about_the_right_size_are_not_resampled() -> None:
    assert network_size((360, 480)) == (360, 480)
    assert network_size((352, 480)) == (352, 480)
    assert network_size((361, 481)) == (352, 480), "pooling halves: multiples of 8 are needed"


@pytest.mark.parametrize("pixels", [240 * 320, 180 * 240])
def test_small_networks_squeeze_no_more_than_large_ones(pixels: int) -> None:
    for source in [(540, 960), (1080, 1920), (600, 960), (1280, 720)]:
        height, width = network_size(source, pixels)
        assert width / height == pytest.approx(source[1] / source[0], rel=0.07)
        assert 0.75 < height * width / pixels < 1.3


def test_an_aspect_ratio_that_multiples_of_8_can_have_is_kept_exactly() -> None:
    assert network_size((480, 640)) == (360, 480)
    assert network_size((1080, 1440)) == (360, 480)
    assert network_size((360, 480), 240 * 320) == (240, 320)
    assert network_size((3, 4), 240 * 320) == (240, 320)


def test_network_size_of_extreme_shapes_is_never_empty() -> None:
    for source in [(16, 4000), (4000, 16), (1, 1)]:
        height, width = network_size(source)
        assert height >= 32
        assert width >= 32


def test_labels_keep_their_size_untouched() -> None:
    labels = np.arange(12, dtype=np.uint8).reshape(3, 4)
    assert labels_at(labels, (3, 4)) is labels


def test_enlarged_diagonal_is_smooth_and_mixes_in_no_third_class() -> None:
    rows, columns = np.mgrid[:40, :40]
    labels = np.where(columns > rows, 9, 2).astype(np.uint8)
    large = labels_at(labels, (160, 160))
    assert set(np.unique(large)) == {2, 9}
    edge = np.array([np.argmax(row == 9) for row in large[8:150]])
    steps = np.diff(edge)
    assert steps.max() <= 2, "a stair-step of a whole network pixel is four source pixels wide"
    truth = np.mgrid[:160, :160][1] > np.mgrid[:160, :160][0]
    assert ((large == 9) == truth).mean() > 0.985


def test_enlarging_keeps_one_pixel_wide_things() -> None:
    labels = np.full((20, 20), 3, np.uint8)
    labels[:, 10] = 1
    large = labels_at(labels, (60, 60))
    assert ((large == 1).sum(1) >= 2).all()


def test_shrinking_takes_the_class_that_covers_most() -> None:
    labels = np.zeros((4, 4), np.uint8)
    labels[:, 1:] = 5
    assert labels_at(labels, (1, 1)) == 5


def test_fit_input_shrinks_with_the_area_filter() -> None:
    rgb = np.zeros((4, 4, 3), np.uint8)
    rgb[::2] = 200
    assert (fit_input(rgb, (2, 2)) == 100).all()
