"""`render(seed, index, size)`: one picture of a drive and the class of each of its pixels."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from functools import lru_cache, partial

import cv2
import numpy as np
from numpy.typing import NDArray

from segnet_live.frame import LabelMap
from train.drive import buildings, foliage, furniture, people, vehicles
from train.drive.canvas import Canvas, Picture, noise, to_picture
from train.drive.scene import Scene, build
from train.drive.world import LAP_M, SIGHT_M, Camera, Floats

SKY = 0

RATE = Fraction(25)
SHIPPED_SEED, SHIPPED_SIZE, SHIPPED_FRAMES = 18, (360, 640), 200
"""The drive that ships: frame i of `assets/drive.mp4` is `render(SHIPPED_SEED, i, SHIPPED_SIZE)`."""
_TREES_M = 160.0
"""Trees are seen from here, growing out of the skyline over the next 50 m instead of popping up."""


def render(seed: int, index: int, size: tuple[int, int], *, rate: Fraction = RATE) -> tuple[Picture, LabelMap]:
    """Return frame `index` of the drive that `seed` stands for: the same arguments always give the same arrays.

    Every seed is another street, light, traffic and camera; consecutive indices are 1 / `rate` seconds apart and the
    drive never ends. Building a seed's street takes about half a second and the last four are kept, so ask for the
    frames of one seed together.

    Args:
        size: (height, width) in pixels.

    Returns:
        (H, W, 3) uint8 RGB, and its (H, W) uint8 CamVid label map: the class that covers most of each pixel.
    """
    scene = build(seed)
    time_s = float(index / rate)
    canvas = Canvas(size)
    camera = _camera(scene, time_s, canvas.size)
    _sky(canvas, camera, scene)
    _skyline(canvas, camera, scene)
    scene.ground.draw(canvas, camera, scene.road, scene.own_u)
    for _, draw in sorted(_things(canvas, camera, scene, time_s), key=lambda item: -item[0]):
        draw()
    rgb, truth = canvas.frame()
    return _photograph(rgb, scene, index), truth


def _camera(scene: Scene, time_s: float, size: tuple[int, int]) -> Camera:
    """Return where the car is, and how its suspension and steering move the lens."""
    s = scene.start_s + scene.speed * time_s
    phase = scene.seed % 97
    bump = (
        0.5 * math.sin(7.3 * time_s + phase) + 0.3 * math.sin(13.1 * time_s + 2 * phase) + 0.2 * math.sin(23.7 * time_s)
    )
    weave = math.sin(0.55 * time_s + phase)
    u = scene.own_u + 0.1 * weave
    focal = scene.focal_share * size[1]
    return Camera(
        ground=scene.road.at(s, u),
        s=s,
        yaw=float(scene.road.heading(s + 4)) + 0.004 * math.cos(0.55 * time_s + phase),
        height=scene.eye_m + 0.008 * bump,
        focal=focal,
        horizon=scene.horizon_share * size[0] + focal * 0.0016 * bump,
        size=size,
    )


def _things(canvas: Canvas, camera: Camera, scene: Scene, time_s: float) -> list[tuple[float, Callable[[], None]]]:
    """Return (metres ahead of its far end, how to paint it) of all in sight.

    Painting in falling order is right because what stands closer to the road never hides behind what stands further
    off it, and a house counts from its far end: all that stands in front of its facade is nearer than that.
    """
    out: list[tuple[float, Callable[[], None]]] = []
    light, road = scene.light, scene.road

    def ahead(s: Floats, reach: float, behind: float = 0.0) -> tuple[NDArray[np.int64], Floats]:
        """Return (indices, metres ahead) of those between `behind` metres behind the camera and `reach` ahead of it."""
        away = np.mod(s - camera.s + behind, LAP_M) - behind
        near = np.flatnonzero(away < reach)
        return near, away[near]

    def ground(s: Floats, u: Floats) -> Floats:
        flat = road.at(s, u)
        return np.concatenate([flat, np.zeros((*flat.shape[:-1], 1))], -1)

    spans, lines = scene.house_spans
    for i, away in zip(*ahead(spans[:, 1], SIGHT_M), strict=True):
        s0, s1 = camera.s + away - spans[i, 1] + spans[i]
        corners = ground(np.array([s0, s1, s1, s0, s0, s1]), lines[i])
        view = camera.view(corners)
        if camera.sees(view, 2.0).any() or s0 < camera.s:
            out.append((away, partial(buildings.draw, canvas, camera, scene.houses[i], corners, s0 > camera.s)))
    spans, lines = scene.panel_spans
    near, aways = ahead(spans[:, 1], SIGHT_M * 0.5)
    ends = ground((camera.s + aways - spans[near, 1])[:, None] + spans[near], lines[near])
    for i, away, pair, seen in zip(near, aways, ends, np.any(camera.sees(camera.view(ends), 4.0), 1), strict=True):
        if seen:
            out.append((away, partial(furniture.draw_panel, canvas, camera, light, scene.panels[i], pair)))
    near, aways = ahead(scene.tree_places[0], _TREES_M)
    views = camera.view(ground(camera.s + aways, scene.tree_places[1][near]))
    for i, away, view, seen in zip(near, aways, views, camera.sees(views, 4.0), strict=True):
        if seen and view[2] > 1.5:
            out.append(
                (
                    away,
                    partial(
                        foliage.draw, canvas, camera, light, scene.trees[i], view, min((_TREES_M - away) / 50, 1.0)
                    ),
                )
            )
    near, aways = ahead(scene.post_places[0], SIGHT_M * 0.5)
    feet = ground(camera.s + aways, scene.post_places[1][near])
    for i, away, foot, seen in zip(near, aways, feet, camera.sees(camera.view(feet), 1.5), strict=True):
        if seen:
            heading = float(road.heading(camera.s + away))
            out.append((away, partial(furniture.draw_post, canvas, camera, light, scene.posts[i], foot, heading)))
    s, u, speed = scene.mover_places
    near, aways = ahead(s + speed * time_s, SIGHT_M * 0.6, behind=4.0)
    feet = ground(camera.s + aways, u[near])
    for i, away, foot, seen in zip(near, aways, feet, camera.sees(camera.view(feet), 3.0), strict=True):
        if seen:
            mover, place = scene.movers[i], camera.s + away
            heading = float(road.heading(place)) + (math.pi if mover.speed < 0 else 0.0)
            pose = (mover.thing, foot[:2], heading)
            sunlit = scene.sunlit(place, mover.u)
            if isinstance(mover.thing, vehicles.Vehicle):
                out.append((away + 2, partial(vehicles.draw, canvas, camera, light, *pose, sunlit)))
            else:
                figure = people.draw_cyclist if mover.rides else people.draw_walker
                out.append((away, partial(figure, canvas, camera, light, *pose, abs(mover.speed) * time_s, sunlit)))
    return out


@lru_cache(maxsize=4)
def _dome(seed: int) -> Picture:
    """Return (256, 2048, 3) uint8 sky: rows from 50 degrees up down to the horizon, columns once around."""
    scene = build(seed)
    rng = np.random.default_rng([seed, 2])
    size = (256, 2048)
    horizon, zenith = scene.sky
    up = np.linspace(1, 0, size[0])[:, None, None] ** 0.7
    dome = horizon * (1 - up) + zenith * up
    squeezed = cv2.resize(noise(rng, (256, 2048), 220, 6), size[::-1])
    stretched = squeezed * np.linspace(1.0, 0.6, size[0])[:, None]
    wrap = np.linspace(0, 1, 128)
    stretched[:, -128:] = stretched[:, -128:] * (1 - wrap) + stretched[:, :128][:, ::-1] * wrap
    cover = np.clip(stretched * 0.55 + scene.cloudiness - 0.5, 0, 1)[..., None]
    shade = np.clip(1.02 - 0.16 * np.clip(np.roll(stretched, 6, 0), -1, 2), 0.6, 1.1)[..., None]
    return to_picture(dome * (1 - cover) + horizon * 1.03 * shade * cover)


def _sky(canvas: Canvas, camera: Camera, scene: Scene) -> None:
    """Paint the sky at a quarter of the canvas's resolution: it holds nothing sharp."""
    bottom = min(max(int(camera.horizon) + 2, 4), canvas.size[0])
    rows, columns = math.ceil(bottom / 4), math.ceil(canvas.size[1] / 4)
    x = (np.arange(columns) * 4 + 1.5 - camera.centre)[None, :]
    y = camera.horizon - (np.arange(rows) * 4 + 1.5)[:, None]
    around = (camera.yaw + np.arctan2(x, camera.focal)) / (2 * math.pi) * 2048
    up = np.arctan2(y, np.hypot(x, camera.focal)) / math.radians(50)
    dome = _dome(scene.seed)
    map_x = np.broadcast_to(np.mod(around, 2048), up.shape).astype(np.float32)
    map_y = np.clip((1 - up) * 255, 0, 255).astype(np.float32)
    seen = cv2.remap(dome, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
    canvas.rgb[:bottom] = cv2.resize(seen, (columns * 4, rows * 4), interpolation=cv2.INTER_LINEAR)[
        :bottom, : canvas.size[1]
    ]
    canvas.labels[:bottom] = SKY


@lru_cache(maxsize=4)
def _ridges(seed: int) -> tuple[tuple[Floats, int, Floats], ...]:
    """Return (elevation in radians at 4096 headings, class, colour) of distant roofs and woods, far ones first."""
    rng = np.random.default_rng([seed, 3])
    scene = build(seed)
    out = []
    for i, tint in enumerate(((118, 118, 114), (96, 104, 84), (74, 84, 60))):
        if i == 0:
            heights = np.repeat(rng.uniform(0.008, 0.038, 410), 10)[:4096]
            heights = np.roll(heights, 3)
        else:
            shape = noise(rng, (1, 4096), 160, 7)[0] if i == 1 else noise(rng, (1, 4096), 90, 7)[0]
            heights = np.clip(0.02 + 0.009 * shape - 0.006 * (i - 1), 0.002, 0.06)
        colour = scene.light.through_air(
            np.array(tint) * (scene.light.ambient + scene.light.direct * 0.4), 620 - 140 * i
        )
        out.append((heights, foliage.TREE if i else buildings.BUILDING, np.clip(colour, 0, 255)))
    return tuple(out)


def _skyline(canvas: Canvas, camera: Camera, scene: Scene) -> None:
    x = np.arange(-4.0, canvas.size[1] + 6, 2)
    around = np.mod((camera.yaw + np.arctan2(x - camera.centre, camera.focal)) / (2 * math.pi), 1) * 4096
    foot = camera.horizon + 3
    for heights, label, colour in _ridges(scene.seed):
        up = heights[around.astype(int)] if label == buildings.BUILDING else np.interp(around, np.arange(4096), heights)
        top = camera.horizon - up * np.hypot(x - camera.centre, camera.focal)
        outline = np.concatenate([np.stack([x, top], 1), [[x[-1], foot], [x[0], foot]]])
        canvas.polygon(outline, colour, label, convex=False)


@lru_cache(maxsize=8)
def _lens(size: tuple[int, int]) -> Picture:
    """Return the (H, W, 3) uint8 share of light that arrives, 255 in the middle."""
    y, x = np.mgrid[0 : size[0], 0 : size[1]]
    radius = np.hypot((x - size[1] / 2) / size[1], (y - size[0] / 2) / size[1]) * 2
    return np.repeat(to_picture(255 * (1 - 0.16 * radius**2))[..., None], 3, 2)


@lru_cache(maxsize=8)
def _sensor_noise(size: tuple[int, int]) -> Picture:
    rng = np.random.default_rng(5)
    grain = rng.normal(0, 2.2, (size[0] + 64, size[1] + 64, 1)) + rng.normal(0, 1.2, (size[0] + 64, size[1] + 64, 3))
    return to_picture(128 + cv2.GaussianBlur(grain, (0, 0), 0.55) * 1.7)


def _photograph(rgb: Picture, scene: Scene, index: int) -> Picture:
    """Return the picture with glare of bright sky, vignette, tone, a soft lens, sharpening and sensor noise."""
    height, width = rgb.shape[:2]
    small = cv2.resize(rgb, (max(width // 8, 1), max(height // 8, 1)), interpolation=cv2.INTER_AREA)
    bright = cv2.LUT(small, np.maximum(np.arange(256) - 150, 0).astype(np.uint8))
    glare = cv2.resize(cv2.GaussianBlur(bright, (0, 0), 4), (width, height), interpolation=cv2.INTER_LINEAR)
    lit = cv2.multiply(cv2.addWeighted(rgb, 1.0, glare, 0.22, 0), _lens((height, width)), scale=1 / 255)
    level = np.arange(256) / 255 * scene.exposure * 1.12
    tone = level**1.05 - 0.042 * np.sin(2 * math.pi * np.clip(level**1.05, 0, 1))
    tone = np.where(tone < 0.8, tone, 0.8 + 0.2 * np.tanh((tone - 0.8) / 0.2))
    sigma = 0.6 * max(width / 640, 0.6)
    soft = cv2.GaussianBlur(cv2.LUT(lit, to_picture(tone * 255)), (0, 0), sigma)
    sharp = cv2.addWeighted(soft, 1.5, cv2.GaussianBlur(soft, (0, 0), 2.2 * sigma), -0.5, 0)
    shift = np.random.default_rng([scene.seed, index]).integers(0, 64, 2)
    grain = _sensor_noise((height, width))[shift[0] : shift[0] + height, shift[1] : shift[1] + width]
    return np.asarray(cv2.addWeighted(sharp, 1.0, grain, 1.0, -128), np.uint8)
