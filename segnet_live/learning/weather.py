"""Paint night, snow and tunnels into pictures by what is where: skies go black, ground turns white, walls close in.

Changes of light alone cannot make a night from a day: a night's sky is darker than its street. So these take the class
map of the picture. They stand in for pictures that the training sets lack; only the student sees them. The targets of
night and snow stay those of the day; a tunnel hides what was there, so `tunnel` says where.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

SKY, BUILDING, ROAD, PAVEMENT, TREE, FENCE, CAR = 0, 1, 3, 4, 5, 7, 8
"""CamVid's ids."""
NUMBERS = 96
"""Random numbers 0..1 that one picture's night, snow or tunnel is made of."""

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
    return torch.exp(-(((down - v) / dv) ** 2) / 2) * torch.exp(-(((across - u) / du) ** 2) / 2)


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


def tunnel(x: Tensor, scene: Tensor, n: Tensor) -> tuple[Tensor, Tensor]:
    """Paint a picture as the inside of a tunnel: walls and a ceiling in place of what stands beside the road.

    They run to the point above the middle of the farthest road, with lamps in rows and joints; at times an exit shows
    what was there.
    A picture without road stays as it is.

    Args:
        x: (3, h, w) float32 of values 0..1; scene: (h, w) class ids; n: (NUMBERS,) random numbers 0..1.

    Returns:
        The picture, and (h, w) bool: where walls and ceiling are, which are Building.
    """
    height, width = scene.shape
    road = scene == ROAD
    shown = (road.sum(1) > 0.02 * width).nonzero()[:, 0].tolist()
    if not shown:
        return x, torch.zeros_like(road)
    far = shown[-1]  # from the nearest row upwards, without gaps: single pixels above are mistakes
    while far - 1 in shown:
        far -= 1
    middle = float(road[far].nonzero().float().mean())
    down = (torch.arange(height, device=x.device).view(-1, 1) - far + 0.04 * height) / height
    across = (torch.arange(width, device=x.device).view(1, -1) - middle) / height
    # how near the wall is that a pixel shows: it grows outwards from the vanishing point, in the shape of the tube
    roundness = _between(n[0], 1.5, 6.0)
    wide, high = _between(n[1], 0.8, 1.8), _between(n[2], 0.6, 1.2)
    near = ((across.abs() / wide) ** roundness + (down.abs() / high) ** roundness) ** (1 / roundness)
    near = near.clamp(min=0.01)
    depth = 1 / near  # in widths of the tube, roughly
    angle = torch.atan2(down, across.abs())  # -pi/2 overhead, 0 at eye level
    tint = torch.lerp(_WHITE.to(x.device), _SODIUM.to(x.device), n[3]).view(3, 1, 1)
    light = _between(n[4], 0.15, 0.95)
    concrete = _between(n[5], 0.35, 0.9) * (
        0.9 + 0.2 * _field((height, width), (height // 3, width // 3), n[6], "bilinear")
    )
    concrete = concrete * (1 - 0.25 * n[7] * (torch.sin(depth * _between(n[8], 4, 14)) > 0.9))  # joints across
    concrete = concrete * torch.where(angle > -_between(n[9], 0.1, 0.6), _between(n[10], 0.5, 1.3), 1.0)  # a lining
    wall = concrete * light * tint * (0.55 + 0.45 * near.clamp(max=1))
    place, spacing = -_between(n[11], 0.5, 1.45), _between(n[12], 5, 12)
    row = torch.exp(-(((angle - place) / 0.05) ** 2)) * near.clamp(max=0.7) ** 0.3
    lamps = row * torch.sigmoid((torch.sin(depth * spacing + 6.3 * n[13]) - _between(n[14], -1.5, 0.7)) * 12)
    spill = torch.exp(-(((angle - place) / 0.35) ** 2)) * 0.5 * light
    wall = wall * (1 + spill) + 1.3 * lamps * torch.lerp(tint, torch.ones_like(tint), 0.5)
    outside = near < _between(n[16], 0.03, 0.2) * (n[15] > 0.5)  # through the exit: as it was, but overexposed
    hidden = (scene == SKY) | (scene == BUILDING) | (scene == TREE) | (scene == FENCE) | (scene >= 11)
    hidden = hidden & ~outside & (torch.arange(height, device=x.device).view(-1, 1) < far + 0.35 * height)
    soft = F.avg_pool2d(hidden.float()[None], 3, 1, 1)
    shine = 1 + 0.6 * n[17] * torch.exp(-((across / 0.15) ** 2)) * (down > 0)
    relit = x ** _between(n[18], 1.0, 1.5) * tint * (0.15 + 1.1 * light) * shine
    relit = torch.where(outside, x * _between(n[19], 0.9, 2.5), relit)
    return torch.lerp(relit, wall, soft).clamp(0, 1), hidden
