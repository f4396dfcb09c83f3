"""Random changes: images and labels move together, chance is reproducible, and the JPEG stand-in resembles JPEG."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from segnet_live.classes import CAMVID
from segnet_live.learning.augment import Params, apply, compressed, sample_params

K, VOID = len(CAMVID), CAMVID.void_id


def params(count: int, paste: float = 0.0, crop: tuple[int, int] = (64, 96), photometric: float = 1.0) -> list[Params]:
    return [
        sample_params(np.random.default_rng((7, i)), (90, 120), crop, K, paste=paste, photometric=photometric)
        for i in range(count)
    ]


def scene(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Images whose grey says the class: 20 x id; void nowhere."""
    labels = np.zeros((count, 90, 120), np.uint8)
    labels[:, 40:, :] = 3
    labels[:, 20:70, 30:60] = 8
    labels[:, 10:80, 80:90] = 5
    rgb = np.repeat((labels * 20)[:, None], 3, 1)
    return torch.from_numpy(rgb), torch.from_numpy(labels)


def test_labels_go_where_their_pixels_go_and_without_photometric_changes_pixels_keep_their_values() -> None:
    rgb, labels = scene(8)
    x, y, _ = apply(rgb, labels, params(8, photometric=0), (64, 96), VOID, 0)
    known = y != VOID
    assert 0.5 < known.float().mean() <= 1
    right = (x[:, 0] * 255 - 20 * y).abs() < 10  # apart from mixed pixels on edges
    assert right[known].float().mean() > 0.9


def test_stronger_photometric_changes_alter_pixels_more() -> None:
    rgb, labels = scene(48)
    still = apply(rgb, labels, params(48, photometric=0), (64, 96), VOID, 0)[0]
    changed = [
        float((apply(rgb, labels, params(48, photometric=a), (64, 96), VOID, 0)[0] - still).abs().mean())
        for a in (0.5, 1, 2)
    ]
    assert 0.01 < changed[0] < changed[1] < changed[2]


def test_zoom_sets_how_much_of_a_picture_a_crop_shows() -> None:
    rgb, labels = scene(24)
    far = [
        sample_params(np.random.default_rng((7, i)), (90, 120), (64, 96), K, photometric=0, zoom=0.3) for i in range(24)
    ]
    x, y, _ = apply(rgb, labels, far, (64, 96), VOID, 0)
    known = y != VOID
    assert known.float().mean() < 0.5  # most of the picture, with room around it
    assert float((y == 5).sum() / known.sum()) == pytest.approx(700 / (90 * 120), rel=0.25)
    assert ((x[:, 0] * 255 - 20 * y).abs() < 10)[known].float().mean() > 0.8


def test_values_shapes_and_ids_stay_in_range() -> None:
    rgb, labels = scene(24)
    x, y, _ = apply(rgb, labels, params(24, paste=0.3), (64, 96), VOID, 0)
    assert x.shape == (24, 3, 64, 96)
    assert y.shape == (24, 64, 96)
    assert x.dtype == torch.float32
    assert bool(x.isfinite().all())
    assert float(x.min()) >= 0
    assert float(x.max()) <= 1
    assert set(y.unique().tolist()) <= {0, 3, 5, 8, VOID}


def test_a_crop_depends_on_its_own_numbers_only() -> None:
    rgb, labels = scene(6)
    every = [{**d, "noise": np.zeros((), np.float32)} for d in params(6)]
    together = apply(rgb, labels, every, (64, 96), VOID, 0)
    alone = apply(rgb[4:5], labels[4:5], every[4:5], (64, 96), VOID, 1)
    torch.testing.assert_close(together[0][4:5], alone[0], atol=1e-5, rtol=0)
    assert bool((together[1][4:5] == alone[1]).all())


def test_equal_seeds_give_equal_crops() -> None:
    rgb, labels = scene(12)
    once, again = (apply(rgb, labels, params(12, 0.2), (64, 96), VOID, 5)[:2] for _ in range(2))
    assert bool((once[0] == again[0]).all())
    assert bool((once[1] == again[1]).all())


def test_pasting_brings_pixels_and_labels_of_the_next_crop() -> None:
    rgb, labels = scene(2)
    rgb[1], labels[1] = 200, 10
    pasted = np.zeros(K, np.float32)
    pasted[10] = 1
    pair = [{**d, "pasted": pasted * (i == 0)} for i, d in enumerate(params(2, photometric=0))]
    x, y, _ = apply(rgb, labels, pair, (64, 96), VOID, 0)
    covered = y[0] == 10
    assert bool(covered.any())
    assert float((x[0, 0][covered] * 255 - 200).abs().median()) < 1
    assert not bool((y[1] != 10).logical_and(y[1] != VOID).any())


def test_compression_looks_like_the_real_one() -> None:
    rng = np.random.default_rng(0)
    coarse = rng.uniform(0, 255, (8, 12, 3)).astype(np.float32)
    rgb = np.clip(cv2.resize(coarse, (96, 64), interpolation=cv2.INTER_CUBIC), 0, 255).astype(np.uint8)
    x = torch.from_numpy(rgb).permute(2, 0, 1)[None].float() / 255
    errors = []
    for quality in (20, 75):
        packed = cv2.imencode(".jpg", rgb[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        real = cv2.imdecode(packed, cv2.IMREAD_COLOR)[..., ::-1] / 255.0
        ours = compressed(x, torch.tensor([float(quality)]))[0].permute(1, 2, 0).numpy()
        loss = np.abs(real - rgb / 255.0).mean()
        assert np.abs(ours - real).mean() < 0.75 * loss
        errors.append(loss)
    assert errors[0] > errors[1]
