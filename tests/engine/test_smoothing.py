"""Temporal smoothing on pictures whose motion and labels are known."""

from __future__ import annotations

import itertools

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from segnet_live.classes import CAMVID
from segnet_live.engine.smoothing import DOUBT, SUPPORT, SmoothedEngine, Smoother
from segnet_live.quality import Flicker
from tests.support.engines import FakeEngine

SIZE = (160, 224)
ROAD, TREE, CAR = 3, 5, 8


def texture(width: int, seed: int = 0) -> NDArray[np.uint8]:
    """Smooth random detail that optical flow can follow, (2 H, width, 3)."""
    noise = np.random.default_rng(seed).integers(0, 256, (2 * SIZE[0], width, 3), np.uint8)
    blurred = cv2.GaussianBlur(noise, (0, 0), 5).astype(np.float32)
    return np.clip((blurred - 128) * 6 + 128, 0, 255).astype(np.uint8)


def drive(frames: int, speed: int = 4) -> tuple[list[NDArray[np.uint8]], list[NDArray[np.uint8]]]:
    """A scene that moves sideways by `speed` label pixels a frame: pictures at twice the label size, and truth."""
    height, width = SIZE
    wide = texture(2 * (width + speed * frames))
    labels = np.where((np.arange(width + speed * frames) // 40) % 2, ROAD, TREE).astype(np.uint8)
    pictures = [np.ascontiguousarray(wide[:, 2 * speed * i :][:, : 2 * width]) for i in range(frames)]
    return pictures, [np.tile(labels[speed * i :][:width], (height, 1)) for i in range(frames)]


def with_noise(truth: list[NDArray[np.uint8]], share: float) -> list[NDArray[np.uint8]]:
    random = np.random.default_rng(1)
    return [np.where(random.random(t.shape) < share, np.uint8(0), t) for t in truth]


def errors(maps: list[NDArray[np.uint8]], truth: list[NDArray[np.uint8]]) -> float:
    return float(np.mean([(a != b).mean() for a, b in zip(maps[2:], truth[2:], strict=True)]))


def flicker(maps: list[NDArray[np.uint8]], truth: list[NDArray[np.uint8]]) -> float:
    measure = Flicker(len(CAMVID))
    for labels, true in zip(maps, truth, strict=True):
        measure.add(labels, true)
    return measure.value()


def test_flicker_more_than_halves_and_errors_fall_while_the_scene_moves() -> None:
    pictures, truth = drive(10)
    noisy = with_noise(truth, 0.1)
    smoother = Smoother()
    smoothed = [smoother(rgb, labels) for rgb, labels in zip(pictures, noisy, strict=True)]
    assert flicker(smoothed, truth) < 0.5 * flicker(noisy, truth)
    assert errors(smoothed, truth) < 0.5 * errors(noisy, truth)


def test_true_labels_pass_nearly_unchanged() -> None:
    pictures, truth = drive(8)
    smoother = Smoother()
    smoothed = [smoother(rgb, labels) for rgb, labels in zip(pictures, truth, strict=True)]
    assert errors(smoothed, truth) < 0.01


def test_a_cut_takes_the_new_labels_at_once() -> None:
    pictures, truth = drive(6)
    smoother = Smoother()
    for rgb, labels in zip(pictures, truth, strict=True):
        smoother(rgb, labels)
    other = np.ascontiguousarray(texture(2 * SIZE[1], seed=9)[::-1])
    new = np.full(SIZE, 1, np.uint8)
    assert (smoother(255 - other, new) == new).all()


def test_a_new_class_wins_once_it_has_outlasted_the_support_and_a_moving_class_goes_sooner() -> None:
    rgb = texture(2 * SIZE[1])

    def frames_until_left(kept: int) -> int:
        smoother = Smoother([CAR])
        for _ in range(10):
            smoother(rgb, np.full(SIZE, kept, np.uint8))
        for count in range(1, 20):
            if (smoother(rgb, np.full(SIZE, TREE, np.uint8)) == TREE).all():
                return count
        raise AssertionError("the new class never won")

    assert frames_until_left(ROAD) == SUPPORT + 1
    assert frames_until_left(CAR) == SUPPORT // DOUBT + 1


def test_another_size_starts_anew() -> None:
    smoother = Smoother()
    rgb = texture(2 * SIZE[1])
    smoother(rgb, np.full(SIZE, ROAD, np.uint8))
    small = np.full((96, 128), TREE, np.uint8)
    assert (smoother(rgb, small) == TREE).all()


@pytest.mark.parametrize("size", [(32, 32), (33, 95), (160, 544)])
@pytest.mark.parametrize("frame", [(24, 40), (540, 960), (2160, 3840)])
def test_any_sizes_go_together(size: tuple[int, int], frame: tuple[int, int]) -> None:
    smoother = Smoother()
    labels = np.random.default_rng(0).integers(0, 11, size, np.uint8)
    for shade in range(3):
        out = smoother(np.full((*frame, 3), shade, np.uint8), labels)
        assert (out.shape, out.dtype) == (size, np.uint8)
        assert (out == labels).all()


def test_a_smoothed_engine_is_the_inner_one_in_everything_else() -> None:
    inner = FakeEngine()
    engine = SmoothedEngine(inner, CAMVID)
    rgb = np.full((48, 64, 3), 7, np.uint8)
    assert engine.info is inner.info
    assert (engine.segment(rgb) == 7).all()
    engine.close()
    assert inner.closed == 1


@pytest.mark.parametrize("smooth", [True, False])
def test_labels_are_carried_along_to_frames_that_the_network_skips(smooth: bool) -> None:
    pictures, truth = drive(9)
    inner = FakeEngine()
    given = iter(truth[::3])
    inner.segment = lambda rgb: next(given)  # type: ignore[method-assign, assignment]
    turn = itertools.count()
    engine = SmoothedEngine(inner, CAMVID, smooth=smooth, skips=lambda: next(turn) % 3 != 0)
    maps = [engine.segment(rgb) for rgb in pictures]
    assert next(given, None) is None, "every third frame was segmented"
    assert errors(maps, truth) < 0.04
    stale = [truth[3 * (i // 3)] for i in range(9)]
    assert errors(stale, truth) > 0.1, "labels that stand still would be wrong"


def test_the_first_frame_is_never_skipped() -> None:
    inner = FakeEngine()
    engine = SmoothedEngine(inner, CAMVID, skips=lambda: True)
    rgb = np.full((48, 64, 3), 7, np.uint8)
    assert (engine.segment(rgb) == 7).all()
