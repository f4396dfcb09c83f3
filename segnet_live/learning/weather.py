"""Paint night and snow into pictures by what is where: skies go black, lamps shine, ground turns white.

Changes of light alone cannot make a night from a day: a night's sky is darker than its street. So these take the class
map of the picture. They stand in for pictures that the training sets lack; only the student sees them, its targets
stay those of the day.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

SKY, BUILDING, ROAD, PAVEMENT, TREE, CAR = 0, 1, 3, 4, 5, 8
"""CamVid's ids."""
NUMBERS = 96
"""Random numbers 0..1 that one picture's night or snow is made of."""

_SODIUM, _WHITE = torch.tensor([1.0, 0.72, 0.42]), torch.tensor([0.85, 0.95, 1.1])


def _between(number: Tensor, low: float, high: float) -> Tensor:
    return low + (high - low) * number


def _field(shape: tuple[int, int], cells: tuple[int, int], seed: Tensor, mode: str) -> Tensor:
    """Return (1, h, w) random values 0..1 on a grid of `cells`, brought to `shape`."""
    generator = torch.Generator().manual_seed(int(float(seed) * 2**30))
    field = torch.rand((1, 1, *cells), generator=generator).to(seed.device)
    return F.interpolate(field, shape, mode=mode)[0]


def _spot(down: Tensor, across: Tensor, at: tuple[Tensor, Tensor], reach: tuple[Tensor, Tensor]) -> Tensor:
    """Return (1, h, w) a Gaussian of height 1."""
    (v, u), (dv, du) = at, reach
    return torch.exp(-(((down - v) / dv) ** 2 + ((across - u) / du) ** 2) / 2)


def night(x: Tensor, scene: Tensor, n: Tensor) -> Tensor:
    """Paint a picture as a night: dark, lit by head lamps, street lamps and windows.

    Args:
        x: (3, h, w) float32 of values 0..1; scene: (h, w) class ids; n: (NUMBERS,) random numbers 0..1.
    """
    height, width = scene.shape
    down = torch.linspace(0, 1, height, device=x.device).view(1, -1, 1)
    across = torch.linspace(0, 1, width, device=x.device).view(1, 1, -1)
    tint = torch.lerp(_WHITE.to(x.device), _SODIUM.to(x.device), n[0]).view(3, 1, 1)
    relit = x ** _between(n[1], 1.0, 1.8) * tint
    light = 0.1 + 0.5 * n[2] ** 2  # what is everywhere
    light = light + _between(n[3], 0.1, 0.9) * _spot(
        down, across, (_between(n[4], 0.7, 1.0), _between(n[5], 0.35, 0.65)), (0.1 + 0.2 * n[6], 0.15 + 0.3 * n[7])
    )
    for k in range(3):  # pools of street lamps
        a, b, c, d = n[8 + 4 * k : 12 + 4 * k]
        light = light + (d > 0.4) * 0.7 * c * _spot(down, across, (a, b), (0.05 + 0.2 * c, 0.05 + 0.25 * d))
    lit = relit * light
    sky = F.avg_pool2d((scene == SKY).float()[None], 5, 1, 2, count_include_pad=False)
    glow = 0.12 * n[20] ** 2 + 0.15 * n[21] ** 2 * down  # the town's light in the air
    lit = torch.lerp(lit, glow * tint + 0.1 * n[22] * relit, sky)
    windows = (
        _field((height, width), (height // 7, width // 6), n[23], "nearest") > _between(n[24], 0.75, 1.05)
    ).float()
    colour = torch.lerp(_SODIUM.to(x.device), _WHITE.to(x.device), n[25] ** 2).view(3, 1, 1)
    walls = (scene == BUILDING).float()[None]
    lit = torch.lerp(lit, colour * _between(n[26], 0.3, 1.0), windows * walls * 0.9)
    glare = torch.zeros_like(x)
    for k in range(8):  # lamps above, each with a halo
        u, v, strength, hue, reach = n[27 + 5 * k : 32 + 5 * k]
        if float(strength) < 0.5:
            continue
        core = 0.004 + 0.012 * reach
        spot = 1.5 * _spot(down, across, (0.6 * v, u), (core, core)) + 0.35 * hue * _spot(
            down, across, (0.6 * v, u), (6 * core, 6 * core)
        )
        glare = glare + strength * spot * torch.lerp(_SODIUM.to(x.device), _WHITE.to(x.device), hue).view(3, 1, 1)
    cars = (scene == CAR).nonzero()
    for k in range(6):  # lamps of cars, white or red
        where, strength, red = n[67 + 3 * k : 70 + 3 * k]
        if not len(cars) or float(strength) < 0.4:
            continue
        v, u = cars[int(float(where) * (len(cars) - 1))] / torch.tensor([height, width], device=x.device)
        colour = torch.tensor([1.0, 0.12, 0.08] if float(red) > 0.5 else [1.0, 0.97, 0.9], device=x.device)
        spot = _spot(down, across, (v, u), (0.012 * strength, 0.012 * strength))
        halo = _spot(down, across, (v, u), (0.05 * strength, 0.05 * strength))
        glare = glare + (1.5 * spot + 0.3 * halo) * colour.view(3, 1, 1)
    generator = torch.Generator().manual_seed(int(float(n[90]) * 2**30))
    grain = torch.randn(x.shape, generator=generator).to(x.device) * _between(n[91], 0.0, 0.04)
    return (lit + glare + grain).clamp(0, 1)


def snow(x: Tensor, scene: Tensor, n: Tensor) -> Tensor:
    """Paint a picture with snow on the ground and on trees, under a pale sky; arguments as of `night`."""
    height, width = scene.shape
    down = torch.linspace(0, 1, height, device=x.device).view(1, -1, 1)
    patches = 0.6 * _field((height, width), (5, 7), n[0], "bilinear") + 0.4 * _field(
        (height, width), (20, 30), n[1], "bilinear"
    )
    weight = torch.zeros(256, device=x.device)
    weight[ROAD], weight[PAVEMENT], weight[TREE], weight[BUILDING] = n[2] ** 2, 0.9, 0.8 * n[3], 0.2 * n[4]
    ground = F.avg_pool2d(weight[scene.clamp(0, 255)][None], 3, 1, 1)
    ground = ground * torch.where(scene[None] == TREE, 0.3 + 0.7 * down, 1.0)
    cover = torch.sigmoid((patches - 1 + ground) * 14) * (ground > 0.02)
    grey = x.mean(0, keepdim=True)
    tone = torch.tensor([0.95, 0.98, 1.02], device=x.device).view(3, 1, 1)
    x = torch.lerp(x, (0.62 + 0.3 * n[5] + 0.35 * (grey - 0.5)) * tone, cover * 0.95)
    sky = (scene == SKY).float()[None]
    x = torch.lerp(x, grey.expand_as(x) * 0.3 + 0.55 + 0.15 * n[6], sky * n[7])
    if float(n[8]) > 0.5:  # falling
        flakes = _field((height, width), (height // 2, width // 2), n[9], "bilinear") > 0.93
        x = torch.lerp(x, torch.ones_like(x), F.avg_pool2d(flakes.float(), 3, 1, 1) * 0.8 * n[10])
    return x.clamp(0, 1)
