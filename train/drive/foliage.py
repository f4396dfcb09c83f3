"""Trees, bushes and hedges: leafy or bare, irregular at every scale."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from train.drive.canvas import Canvas, Texture, noise, to_picture
from train.drive.world import Camera, Floats, Light

TREE = 5

_LEAVES = ((82, 98, 52), (98, 106, 58), (70, 88, 52), (116, 108, 62), (76, 84, 60))
_BARK = np.array([92.0, 82, 72])


@dataclass(frozen=True)
class Tree:
    """One plant at (s, u); its texture is `height` metres tall and shared with others of its kind."""

    s: float
    u: float
    height: float
    texture: Texture


def draw(canvas: Canvas, camera: Camera, light: Light, tree: Tree, view: Floats, grown: float) -> None:
    """Paint a plant, at `grown` of its height, whose foot is at these view coordinates (`Camera.view`)."""
    x, y = camera.screen(view).tolist()
    haze = (light.haze, float(1 - math.exp(-view[2] / light.haze_m)))
    canvas.sprite(tree.texture, (x, y), grown * tree.height * camera.focal / float(view[2]), TREE, haze=haze)


def leafy(rng: np.random.Generator, light: Light, *, trunk: float = 0.28) -> Texture:
    """Return a crown of many leaf clusters; `trunk` is the share of its height that is bare stem (0 makes a bush)."""
    h, w = 384, int(384 * rng.uniform(0.7, 0.95) * (1.25 if trunk == 0 else 1))
    colour = np.array(_LEAVES[rng.integers(len(_LEAVES))]) * rng.uniform(0.8, 1.15)
    lit = np.zeros((h, w), np.float32)
    crown = np.zeros((h, w), np.float32)
    base, middle = h * (1 - trunk), h * (1 - trunk) / 2 + 6
    for _ in range(110):
        angle, reach = rng.uniform(0, 2 * math.pi), math.sqrt(rng.random())
        x = w / 2 + math.cos(angle) * reach * w * 0.39
        y = middle + math.sin(angle) * reach * base * 0.41
        radius = int(w * rng.uniform(0.05, 0.115))
        up = (middle - y) / base
        cv2.circle(crown, (int(x), int(y)), radius, 1.0, -1)
        cv2.circle(lit, (int(x), int(y - radius * 0.25)), radius, 0.72 + 0.62 * up + rng.uniform(-0.16, 0.2), -1)
        cv2.circle(lit, (int(x), int(y + radius * 0.6)), int(radius * 0.6), 0.5 + 0.45 * up, -1)
    fine = noise(rng, (h, w), 10, 4)
    coarse = noise(rng, (h, w), 40, 3)
    cover = cv2.GaussianBlur(crown, (0, 0), 9) + 0.17 * fine + 0.17 * coarse
    lit = cv2.GaussianBlur(lit, (0, 0), 2.0) + 0.2 * fine + 0.1 * coarse
    leaves = colour * np.clip(lit, 0.22, 1.6)[..., None] * (light.ambient + light.direct * 0.75)
    stem = np.zeros((h, w), np.uint8)
    if trunk:
        foot = np.array([w / 2, h - 1])
        _branch(rng, stem, foot, -math.pi / 2, h * 0.28, w * 0.05, 3)
    bark = _BARK * (1 + 0.18 * fine[..., None]) * (light.ambient + light.direct * 0.3) * 0.8
    covered = _without_specks(cover > 0.5)
    rgb = np.where(covered[..., None], leaves, bark)
    edge = np.where(covered, np.clip((cover - 0.5) * 900 + 128, 0, 255), 0)
    return Texture(to_picture(_bleed(rgb, covered | (stem > 127))), to_picture(np.maximum(edge, stem)))


def bare(rng: np.random.Generator, light: Light) -> Texture:
    """Return a winter tree: a stem that divides until its twigs are a pixel wide."""
    h, w = 512, int(512 * rng.uniform(0.8, 0.95))
    stem = np.zeros((h, w), np.uint8)
    _branch(rng, stem, np.array([w / 2, h - 1.0]), -math.pi / 2, h * 0.2, w * 0.04, 9)
    fine = noise(rng, (h, w), 8, 2)
    thin = noise(rng, (h, w), 44, 4)
    haze_of_twigs = np.clip(
        cv2.GaussianBlur(stem, (0, 0), 3).astype(np.float32) * 1.05 - 18 + 44 * fine + 34 * thin, 0, 180
    )
    rows = np.linspace(0, 1, h)[:, None]
    cover = np.maximum(stem, haze_of_twigs * (rows < 0.7))
    tone = _BARK * rng.uniform(0.75, 1.1) * (light.ambient + light.direct * 0.35)
    rgb = tone * (0.85 + 0.16 * fine + 0.2 * (1 - rows))[..., None]
    return Texture(to_picture(rgb), to_picture(cover))


def hedge(rng: np.random.Generator, light: Light, normal: Floats) -> Texture:
    """Return a clipped hedge of 4 m by 1.6 m with an uneven top."""
    h, w = 96, 240
    colour = np.array(_LEAVES[rng.integers(len(_LEAVES))]) * 0.85
    fine, coarse = noise(rng, (h, w), 7, 3), noise(rng, (h, w), 36, 3)
    rows = np.linspace(1.15, 0.6, h)[:, None]
    rgb = colour * np.clip(rows + 0.22 * fine + 0.1 * coarse, 0.2, 2)[..., None] * light.gain(normal)
    top = 8 + 4 * coarse[0] + 3 * fine[0]
    cover = np.where(np.arange(h)[:, None] > top, 255, 0)
    return Texture(to_picture(rgb), to_picture(cover))


def _branch(
    rng: np.random.Generator, stem: np.ndarray, foot: Floats, angle: float, length: float, width: float, depth: int
) -> None:
    tip = foot + length * np.array([math.cos(angle), math.sin(angle)])
    a, b = (np.rint(p * 8).astype(int).tolist() for p in (foot, tip))
    cv2.line(stem, a, b, 255, max(1, round(width)), cv2.LINE_AA, 3)
    if depth == 0:
        return
    for turn in rng.normal(0, 0.14, 1).tolist() + (rng.choice([-1, 1], 2) * rng.uniform(0.3, 0.75, 2)).tolist():
        if depth > 6 or rng.random() < 0.83:
            lifted = angle + turn - 0.06 * math.cos(angle) * (1 if math.sin(angle) < 0 else -1)
            _branch(rng, stem, tip, lifted, length * rng.uniform(0.68, 0.86), width * 0.66, depth - 1)


def _without_specks(solid: np.ndarray) -> np.ndarray:
    """Return the same mask without islands of less than 150 pixels: no leaf hangs in the air."""
    _, part, stats, _ = cv2.connectedComponentsWithStats(solid.astype(np.uint8), connectivity=4)
    return np.asarray(solid & (stats[part, cv2.CC_STAT_AREA] >= 150))


def _bleed(rgb: Floats, solid: np.ndarray) -> Floats:
    """Return colours spread into what the cover hides, so that shrinking mixes no stray colour into the edge."""
    weight = solid.astype(np.float32)
    spread = cv2.blur(rgb * weight[..., None], (15, 15)) / np.maximum(cv2.blur(weight, (15, 15)), 1e-3)[..., None]
    return np.where(solid[..., None], rgb, spread)
