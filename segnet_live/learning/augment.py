"""Random changes of labelled images, on any device: geometry, light, weather-like haze, blur, noise and compression.

CamVid was filmed with one camera in one town. The changes stand for what users' cameras add: other focal lengths and
mountings, white balance, exposure, dusk and night, haze, defocus, motion blur, sensor noise and compression.

Chance and pixels are apart: `sample_params` makes one sample's numbers on the host from its own generator, `apply` puts
a batch of them into effect as tensor operations. So a crop does not depend on the batch it is in or on the number of
processes.

kornia 0.9 has functions for the crop, gamma, saturation, blur and JPEG; with them a batch of 8 crops of 256x320 takes
179 ms of CPU time instead of 133 (one core, PyTorch 2.13, n = 24, interleaved), so these stay.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from segnet_live.learning.weather import BUILDING, NUMBERS, night, snow, tunnel

Params: TypeAlias = Mapping[str, NDArray[np.float32]]
"""One sample's numbers, see `sample_params`."""

KERNEL = 9
"""Taps of the blur; a motion of at most 8 pixels."""

# ITU-T T.81, annex K: the tables that JPEG encoders scale by quality
_LUMA = """16 11 10 16 24 40 51 61 12 12 14 19 26 58 60 55 14 13 16 24 40 57 69 56 14 17 22 29 51 87 80 62
           18 22 37 56 68 109 103 77 24 35 55 64 81 104 113 92 49 64 78 87 103 121 120 101 72 92 95 98 112 100 103 99"""
_CHROMA = (
    "17 18 24 47 99 99 99 99 18 21 26 66 99 99 99 99 24 26 56 99 99 99 99 99 47 66 99 99 99 99 99 99 " + "99 " * 32
)

_GREY = torch.tensor([0.299, 0.587, 0.114])
_TO_YCC = torch.tensor([[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]])
_FROM_YCC = torch.linalg.inv(_TO_YCC)


def _geometry(
    rng: np.random.Generator,
    source: tuple[int, int],
    crop: tuple[int, int],
    zoom: float,
    focus: tuple[float, float] | None = None,
) -> dict[str, object]:
    """Return a random crop (scaled, tilted, mirrored): the map from its normalised coordinates to source pixels.

    With `focus`, a (row, column) of the source, the crop shows that pixel, anywhere in it.
    """
    height, width = source
    scale = zoom * np.exp(rng.uniform(np.log(0.55), np.log(2.0)))
    aspect, angle = np.exp(rng.uniform(-0.12, 0.12)), np.deg2rad(rng.normal(0, 1.8))
    sx, sy, flip = scale * aspect, scale / aspect, -1.0 if rng.random() < 0.5 else 1.0
    cos, sin = np.cos(angle), np.sin(angle)
    forward = np.array([[flip * sx * cos, -flip * sx * sin], [sy * sin, sy * cos]])
    half = np.diag([crop[1] / 2, crop[0] / 2])

    def centre(full: int, part: float) -> float:
        """Return a place that keeps the crop inside, or near the middle if it is larger."""
        slack = max(full - part, 0.0)
        return full / 2 + rng.uniform(-0.5, 0.5) * (slack or 0.15 * full)

    middle = [centre(width, crop[1] / sx), centre(height, crop[0] / sy)]
    if focus is not None:
        middle = [
            _kept(focus[1] + rng.uniform(-0.4, 0.4) * crop[1] / sx, width, crop[1] / sx),
            _kept(focus[0] + rng.uniform(-0.4, 0.4) * crop[0] / sy, height, crop[0] / sy),
        ]
    return {"matrix": np.linalg.inv(forward) @ half, "middle": middle, "scale": scale}


def _kept(centre: float, full: int, part: float) -> float:
    """Return `centre` moved so that the crop stays inside, or in the middle if it is larger."""
    return full / 2 if part >= full else min(max(centre, part / 2), full - part / 2)


def _light(rng: np.random.Generator, strength: float) -> dict[str, object]:
    """Return exposure, contrast, white balance, saturation, gamma; one in ten night-like: dark, steep, tinted."""
    numbers: dict[str, Any] = dict.fromkeys(("gain", "contrast", "saturation", "gamma"), 1.0)
    numbers |= {"balance": np.ones(3), "tint": np.ones(3)}
    if rng.random() < 0.9:
        numbers["gain"], numbers["contrast"] = np.exp(rng.normal(0, 0.22 * strength, 2))
        numbers["balance"] = np.exp(rng.normal(0, 0.08 * strength, 3))
        washed_out = rng.random() < 0.08 * strength
        numbers["saturation"] = rng.uniform(0.0, 0.3) if washed_out else np.exp(rng.normal(0, 0.3 * strength))
        numbers["gamma"] = np.exp(rng.normal(0, 0.25 * strength))
        if rng.random() < 0.1 * strength:
            numbers["gamma"] *= rng.uniform(1.3, 2.2)
            numbers["tint"] = rng.uniform(0.45, 0.9) * np.array([1.0, rng.uniform(0.85, 1), rng.uniform(0.6, 1.1)])
    hazy, shaded = rng.random() < 0.15 * strength, rng.random() < 0.2 * strength
    veil = (rng.uniform(0, 0.5), rng.uniform(0, 0.3)) if hazy else (0.0, 0.0)
    ramp = (rng.uniform(1, 6), rng.uniform(-3, 3), rng.uniform(-0.55, 0.4)) if shaded else (0.0, 0.0, 0.0)
    return numbers | {"veil": veil, "veil_light": rng.uniform(0.6, 1.0), "ramp": ramp}


def _lens(rng: np.random.Generator, strength: float) -> dict[str, object]:
    """Return defocus, motion or sharpening (two 1-D kernels and their share), sensor noise, JPEG quality (0: none)."""
    taps = np.arange(KERNEL) - KERNEL // 2
    still = (taps == 0).astype(float)
    rows, columns, share = still, still, 0.0
    kind = rng.random() / max(strength, 1e-9)
    if kind < 0.15 or 0.22 <= kind < 0.34:
        sigma = rng.uniform(0.4, 1.6) if kind < 0.15 else 1.2
        rows = columns = np.exp(-(taps**2) / (2 * sigma**2))
        share = 1.0 if kind < 0.15 else -rng.uniform(0.3, 1.2)
    elif kind < 0.22:  # motion, mostly sideways
        length = int(rng.integers(3, KERNEL))
        box = ((taps >= -(length // 2)) & (taps < length - length // 2)).astype(float)
        rows, columns = (still, box) if rng.random() < 0.75 else (box, still)
        share = 1.0
    noise = rng.uniform(0.005, 0.05) if rng.random() < 0.25 * strength else 0.0
    quality = rng.integers(20, 75) if rng.random() < 0.2 * strength else 0
    return {
        "rows": rows / rows.sum(), "columns": columns / columns.sum(), "share": share,
        "noise": noise, "quality": quality,
    }  # fmt: skip


def sample_params(
    rng: np.random.Generator,
    source: tuple[int, int],
    crop: tuple[int, int],
    classes: int,
    *,
    paste: float = 0.0,
    photometric: float = 1.0,
    zoom: float = 1.0,
    focus: tuple[float, float] | None = None,
    night: float = 0.0,
    snow: float = 0.0,
    in_tunnel: float = 0.0,
) -> Params:
    """Return the numbers of one random crop of size `crop` from an image of size `source`, both (height, width).

    Args:
        paste: chance that each class is copied over from the batch's next crop, see `apply`.
        zoom: mean scale; pictures are shown at 0.55 to 2 times it.
        photometric: strength of the changes of light and lens; 0 makes none, up to 2.
        focus: (row, column) of the source that the crop must show.
        night, snow, in_tunnel: chances of what `segnet_live.learning.weather` paints.
    """
    numbers = _geometry(rng, source, crop, zoom, focus) | _light(rng, photometric) | _lens(rng, photometric)
    numbers["pasted"] = rng.random(classes) < paste
    weather = rng.random()
    numbers["night"], numbers["snow"] = weather < night, night <= weather < night + snow
    numbers["tunnel"] = night + snow <= weather < night + snow + in_tunnel
    numbers["weather"] = rng.random(NUMBERS)
    return {key: np.asarray(value, np.float32) for key, value in numbers.items()}


@torch.no_grad()
def apply(
    rgb: Tensor,
    labels: Tensor,
    params: Sequence[Params],
    crop: tuple[int, int],
    void_id: int,
    seed: int,
    soft: Tensor | None = None,
    depth: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Cut and change a batch of random crops.

    Args:
        rgb: (N, 3, H, W) uint8 and labels: (N, H, W) uint8, on any device; smaller images padded below and to the
            right, with void.
        params: one for each image.
        seed: of the sensor noise.
        soft: (N, K, H/2, W/2) uint8, the teachers' probabilities times 255.
        depth: (N, 1, H, W) metres in a floating dtype, 0 where unknown. It is cropped, tilted and mirrored as the
            picture is, from the nearest pixel, and nothing else changes it: a crop that shows more or less of the
            picture stands for another focal length, through which everything is as far away as before.

    Returns:
        (N, 3, h, w) float32 of values 0..1, and (N, h, w) int64 class ids; what lies outside the picture is void. With
        `soft`, also (N, K, h/2, w/2) float32 probabilities, 0 outside. With `depth`, the first is (N, 4, h, w): metres
        are the fourth channel, 0 outside.
    """
    n = {key: _sent(torch.from_numpy(np.stack([d[key] for d in params])), rgb.device) for key in params[0]}
    x, y, q, far = _cropped(rgb, labels, n, crop, void_id, [float(d["scale"]) for d in params], soft, depth)
    if any(d["pasted"].any() for d in params):
        x, y, over = _pasted(x, y, n["pasted"])
        if far is not None:
            far = torch.where(over[:, None], far.roll(-1, 0), far)
        if q is not None:
            q = q * (F.avg_pool2d(over.float()[:, None], 2) == 0)  # teachers saw the picture without it
    x = _relit(x, n)
    for i, d in enumerate(params):
        if d["night"] or d["snow"]:
            scene = _scene(y[i], None if q is None else q[i], void_id)
            x[i] = (night if d["night"] else snow)(x[i], scene, n["weather"][i])
        elif d["tunnel"]:
            x[i], walls = tunnel(x[i], _scene(y[i], None if q is None else q[i], void_id), n["weather"][i])
            y[i] = torch.where(walls & (y[i] != void_id), BUILDING, y[i])
            if q is not None:
                _replace_opinion(q[i], walls)
    if any(d["share"] for d in params):
        x = _blurred(x, n)
    # which samples: known on the host, so nothing waits for the device
    if noisy := [i for i, d in enumerate(params) if d["noise"]]:
        which = _sent(torch.tensor(noisy), rgb.device)
        generator = torch.Generator(rgb.device).manual_seed(seed)
        grain = torch.randn((len(noisy), *x.shape[1:]), generator=generator, device=x.device)
        x[which] = x[which] + grain * _each(n["noise"][which])
    x = x.clamp(0, 1)
    if packed := [i for i, d in enumerate(params) if d["quality"]]:
        which = _sent(torch.tensor(packed), rgb.device)
        x[which] = compressed(x[which], n["quality"][which])
    return x if far is None else torch.cat((x, far), 1), y, q


def _scene(labels: Tensor, soft: Tensor | None, void_id: int) -> Tensor:
    """Return (h, w) class ids: the labels, and where they are void the teachers' likeliest class."""
    if soft is None:
        return labels
    likeliest = F.interpolate(soft[None], labels.shape, mode="bilinear")[0].max(0).indices  # faster than argmax
    return torch.where(labels == void_id, likeliest, labels)


def _replace_opinion(soft: Tensor, walls: Tensor) -> None:
    """Set what teachers think of a picture (K, h/2, w/2) to Building where `walls` (h, w) were painted over it."""
    share = F.avg_pool2d(walls.float()[None], 2)
    soft *= 1 - share
    soft[BUILDING] += share[0]


def _sent(values: Tensor, device: torch.device) -> Tensor:
    """Send `values` to the device without waiting for what it still computes: the host draws ahead of it."""
    return values.to(device, non_blocking=True)


def _each(number: Tensor) -> Tensor:
    """Bring (N,) or (N, 3) to (N, 1 or 3, 1, 1)."""
    return number.reshape(len(number), -1, 1, 1)


def _cropped(
    rgb: Tensor,
    labels: Tensor,
    n: Mapping[str, Tensor],
    crop: tuple[int, int],
    void_id: int,
    scales: Sequence[float],
    soft: Tensor | None,
    depth: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
    size = _sent(torch.tensor([labels.shape[2], labels.shape[1]], dtype=torch.float32), rgb.device)
    theta = torch.cat((n["matrix"] * (2 / size)[:, None], (n["middle"] * 2 / size - 1)[..., None]), 2)
    grid = F.affine_grid(theta, [len(rgb), 1, *crop], align_corners=False)
    cut = F.grid_sample(rgb.float(), grid, align_corners=False)
    # bilinear sampling has no area filter: small scales read a reduced picture, so that thin things do not alias
    for factor in (2, 4):
        if small := [i for i, scale in enumerate(scales) if scale < 1.4 / factor]:
            which = _sent(torch.tensor(small), rgb.device)
            reduced = F.avg_pool2d(rgb[which].float(), factor)
            cut[which] = F.grid_sample(reduced, grid[which], align_corners=False)
    fill = rgb[..., ::4, ::4].float().mean((2, 3), keepdim=True)
    inside = (grid.abs() <= 1).all(3)[:, None]
    x = torch.where(inside, cut, fill) / 255
    shifted = labels[:, None].float() - void_id
    y = F.grid_sample(shifted, grid, mode="nearest", align_corners=False)[:, 0] + void_id
    far = None
    if depth is not None:
        far = F.grid_sample(depth.float(), grid, mode="nearest", align_corners=False)
    if soft is None:
        return x, y.round().long(), None, far
    half = F.affine_grid(theta, [len(rgb), 1, crop[0] // 2, crop[1] // 2], align_corners=False)
    return x, y.round().long(), F.grid_sample(soft.float(), half, align_corners=False) / 255, far


def _pasted(x: Tensor, y: Tensor, classes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Lay the next crop's pixels of each crop's drawn classes over it (ClassMix, arXiv:2007.07936); also where."""
    over_x, over_y = x.roll(-1, 0), y.roll(-1, 0)
    table = F.pad(classes, (0, 256 - classes.shape[1]))
    over = table.gather(1, over_y.flatten(1)).reshape(y.shape) > 0
    return torch.where(over[:, None], over_x, x), torch.where(over, over_y, y), over


def _relit(x: Tensor, n: Mapping[str, Tensor]) -> Tensor:
    height, width = x.shape[-2:]
    x = x * _each(n["gain"])
    mean = x.mean((1, 2, 3), keepdim=True)
    x = ((x - mean) * _each(n["contrast"]) + mean) * _each(n["balance"])
    grey = (x * _sent(_GREY, x.device).view(1, 3, 1, 1)).sum(1, keepdim=True)
    x = (grey + (x - grey) * _each(n["saturation"])).clamp(0, 1)
    x = (x * _each(n["tint"])).clamp(0, 1) ** _each(n["gamma"])
    down = torch.linspace(0, 1, height, device=x.device).view(1, 1, -1, 1)
    veil = torch.lerp(_each(n["veil"][:, 0]), _each(n["veil"][:, 1]), down)  # haze or glare that thins downwards
    x = x * (1 - veil) + veil * _each(n["veil_light"])
    across = torch.linspace(-1, 1, width, device=x.device).view(1, 1, 1, -1)
    steep, place, strength = (_each(v) for v in n["ramp"].unbind(1))
    return x * (1 + ((across * steep + place).clamp(-0.5, 0.5) + 0.5) * strength)  # a broad shadow with a soft edge


def _blurred(x: Tensor, n: Mapping[str, Tensor]) -> Tensor:
    count, channels = x.shape[:2]
    planes = F.pad(x, [KERNEL // 2] * 4, mode="replicate").flatten(0, 1)[None]
    rows = n["rows"].repeat_interleave(channels, 0)[:, None, :, None]
    columns = n["columns"].repeat_interleave(channels, 0)[:, None, None, :]
    groups = count * channels
    blurred = F.conv2d(F.conv2d(planes, rows, groups=groups), columns, groups=groups).reshape(x.shape)
    return torch.lerp(x, blurred, _each(n["share"]))


def _table(numbers: str, quality: Tensor) -> Tensor:
    """Return (N, 1, 1, 1, 8, 8) quantisation steps at each quality 1..100."""
    base = _sent(torch.tensor([float(v) for v in numbers.split()]), quality.device).reshape(8, 8)
    scale = torch.where(quality < 50, 5000 / quality, 200 - 2 * quality) / 100
    return (base * scale.reshape(-1, 1, 1, 1, 1, 1)).round().clamp(1, 255)


def _quantised(plane: Tensor, table: Tensor) -> Tensor:
    """Take (N, C, H, W) of values around 0 through the 8x8 cosine transform, the quantiser, and back."""
    count, channels, height, width = plane.shape
    i = torch.arange(8, device=plane.device, dtype=torch.float32)
    basis = torch.cos((2 * i[None] + 1) * i[:, None] * torch.pi / 16) / 2
    basis[0] /= 2**0.5
    blocks = plane.reshape(count, channels, height // 8, 8, width // 8, 8).transpose(3, 4)
    blocks = basis.T @ ((basis @ blocks @ basis.T / table).round() * table) @ basis
    return blocks.transpose(3, 4).reshape(plane.shape)


def compressed(x: Tensor, quality: Tensor) -> Tensor:
    """Show (N, 3, H, W) RGB of values 0..1 as JPEG of each quality (N,) 1..100 would; H and W in multiples of 16."""
    to_ycc, from_ycc = _sent(_TO_YCC, x.device), _sent(_FROM_YCC, x.device)
    ycc = torch.einsum("ij,njhw->nihw", to_ycc, x * 255)
    luma = _quantised(ycc[:, :1] - 128, _table(_LUMA, quality)) + 128
    chroma = _quantised(F.avg_pool2d(ycc[:, 1:], 2), _table(_CHROMA, quality))
    ycc = torch.cat((luma, F.interpolate(chroma, scale_factor=2, mode="bilinear")), 1)
    return (torch.einsum("ij,njhw->nihw", from_ycc, ycc) / 255).clamp(0, 1)
