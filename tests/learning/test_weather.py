"""A painted night is dark above and lit below, painted snow is white on the ground, a painted tunnel hides the sky."""

from __future__ import annotations

import numpy as np
import torch

from segnet_live.learning.augment import apply, sample_params
from segnet_live.learning.weather import BUILDING, NUMBERS, PAVEMENT, ROAD, SKY, night, snow, tunnel


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


def test_a_tunnel_hides_the_sky_and_says_where() -> None:
    x, ids = scene()
    for seed in range(24):
        painted, walls = tunnel(x, ids, numbers(seed))
        assert 0 <= painted.min() <= painted.max() <= 1
        assert walls[:40].float().mean() > 0.7  # the rest is an exit
        assert not walls[40:].any()  # road and pavement stay
        assert painted[:, :40][:, walls[:40]].median() < 0.75  # where the sky had 0.9


def test_a_picture_without_road_becomes_no_tunnel() -> None:
    x, ids = scene()
    painted, walls = tunnel(x, torch.full_like(ids, SKY), numbers(0))
    assert torch.equal(painted, x)
    assert not walls.any()


def test_a_crop_in_a_tunnel_is_taught_walls_where_its_sky_was() -> None:
    x, ids = scene()
    size = (96, 128)
    params = sample_params(np.random.default_rng(3), size, size, 11, photometric=0, in_tunnel=1)
    soft = torch.zeros((1, 11, 48, 64), dtype=torch.uint8)
    soft[:, SKY, :20], soft[:, ROAD, 20:] = 255, 255
    rgb = (x * 255).to(torch.uint8)[None]
    _, labels, opinion = apply(rgb, ids.to(torch.uint8)[None], [params], size, 255, 0, soft)
    _, by_day, _ = apply(rgb, ids.to(torch.uint8)[None], [params | {"tunnel": np.float32(0)}], size, 255, 0, soft)
    assert opinion is not None
    hidden = (by_day == SKY) & (labels == BUILDING)
    assert hidden.sum() > 0.6 * (by_day == SKY).sum()
    assert torch.equal(labels[~hidden], by_day[~hidden])
    inside = torch.nn.functional.avg_pool2d(hidden.float(), 2)[0] == 1
    assert (opinion[0, BUILDING][inside] == 1).all()
    assert (opinion.sum(1) < 1.001).all()
