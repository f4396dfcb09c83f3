"""A painted night is dark above and lit below, painted snow is white on the ground; both keep to 0..1."""

from __future__ import annotations

import numpy as np
import torch

from segnet_live.learning.weather import NUMBERS, PAVEMENT, ROAD, SKY, night, snow


def scene() -> tuple[torch.Tensor, torch.Tensor]:
    ids = torch.full((96, 128), ROAD)
    ids[:40] = SKY
    ids[40:, :30] = PAVEMENT
    x = torch.full((3, 96, 128), 0.4)
    x[:, :40] = 0.9
    return x, ids


def numbers(seed: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).random(NUMBERS, np.float32))


def test_the_skies_of_nights_are_dark() -> None:
    x, ids = scene()
    nights = torch.stack([night(x, ids, numbers(seed)) for seed in range(24)])
    assert nights.min() >= 0
    assert nights.max() <= 1
    assert nights.std((0, 1)).mean() > 0.02  # no two alike
    sky = nights[:, :, :36].flatten(1).median(1).values
    assert (sky < 0.3).all()
    assert nights[:, :, 60:].mean() < 0.3


def test_snow_whitens_the_pavement_and_leaves_the_road_darker() -> None:
    x, ids = scene()
    snowed = torch.stack([snow(x, ids, numbers(seed)) for seed in range(24)])
    assert snowed.min() >= 0
    assert snowed.max() <= 1
    assert snowed[:, :, 44:, 2:28].mean() > 0.6
    assert snowed[:, :, 44:, 34:].mean() < snowed[:, :, 44:, 2:28].mean() - 0.1
