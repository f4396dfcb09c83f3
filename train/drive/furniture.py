"""Lamp posts, traffic signs and lights, bollards, fences and railings."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from train.drive.canvas import Canvas, Texture, noise, to_picture
from train.drive.world import NEAR_M, Camera, Floats, Light

POLE, SIGN, FENCE = 2, 6, 7

_UP = np.array([0.0, 0.0, 1.0])
_PLAIN_M = 50.0
"""Beyond this distance a panel is one colour."""


@dataclass(frozen=True)
class Post:
    """An upright pole at (s, u), perhaps with an arm towards the road and with signs.

    Attributes:
        arm: metres that a street lamp reaches over the road (0 for none).
        signs: (texture, height of its lower edge, size in metres), each facing the traffic.
    """

    s: float
    u: float
    height: float
    radius: float
    colour: Floats
    arm: float = 0.0
    signs: tuple[tuple[Texture, float, float], ...] = ()


@dataclass(frozen=True)
class Panel:
    """A piece of fence or hedge from s0 to s1 at u."""

    s0: float
    s1: float
    u: float
    height: float
    texture: Texture
    label: int


def draw_post(canvas: Canvas, camera: Camera, light: Light, post: Post, foot: Floats, heading: float) -> None:
    """Paint a post standing at the world point `foot` (3,) where the road runs towards `heading`."""
    depth = float(camera.view(foot)[2])
    if depth < NEAR_M * 2:
        return
    inwards = np.array([math.cos(heading), -math.sin(heading), 0.0]) * -np.sign(post.u)
    top = foot + _UP * post.height
    colour = light.through_air(post.colour * light.gain(-inwards, 0.6), depth)
    _stick(canvas, camera, foot, top, post.radius, post.radius * 0.75, colour)
    if post.arm:
        elbow = top + _UP * 0.5 + inwards * post.arm * 0.4
        end = elbow + inwards * post.arm * 0.6 + _UP * 0.12
        _stick(canvas, camera, top, elbow, post.radius * 0.7, post.radius * 0.6, colour)
        _stick(canvas, camera, elbow, end, post.radius * 0.6, post.radius * 0.6, colour)
        _stick(canvas, camera, end - inwards * 0.35, end + inwards * 0.35, 0.11, 0.09, colour * 0.9)
    share = float(1 - math.exp(-depth / light.haze_m))
    for texture, above, size in post.signs:
        at = camera.screen(camera.view(foot + _UP * above))
        px = size * camera.focal / depth
        canvas.sprite(texture, (float(at[0]), float(at[1])), px, SIGN, haze=(light.haze, share))


def _stick(
    canvas: Canvas, camera: Camera, a: Floats, b: Floats, radius_a: float, radius_b: float, colour: Floats
) -> None:
    view = camera.view(np.stack([a, b]))
    if view[:, 2].min() < NEAR_M:
        return
    (pa, pb), scale = camera.screen(view), camera.focal / view[:, 2]
    along = (pb - pa) / max(float(np.hypot(*(pb - pa))), 1e-6)
    side = np.array([-along[1], along[0]])
    wa, wb = max(radius_a * scale[0], 0.7), max(radius_b * scale[1], 0.7)
    canvas.polygon([pa + side * wa, pb + side * wb, pb - side * wb, pa - side * wa], colour, POLE)
    if wa > 2:
        lit = np.clip(colour * 1.35, 0, 255)
        canvas.polygon(
            [pa + side * wa * 0.1, pb + side * wb * 0.1, pb - side * wb * 0.6, pa - side * wa * 0.6], lit, None
        )


def draw_panel(canvas: Canvas, camera: Camera, light: Light, panel: Panel, ends: Floats) -> None:
    """Paint a panel between two world points (2, 3) on the ground."""
    near, far = ends
    depth = float(camera.view((near + far) / 2)[2])
    top = _UP * panel.height
    if depth > _PLAIN_M:
        corners = camera.screen(camera.view(np.array([near, far, far + top, near + top])))
        canvas.polygon(corners, light.through_air(panel.texture.mean, depth), panel.label)
        return
    share = float(1 - math.exp(-max(depth, 0) / light.haze_m))
    canvas.plane(panel.texture, camera.plane(near + top, far - near, -top), panel.label, haze=(light.haze, share))


def sign(rng: np.random.Generator, light: Light) -> Texture:
    """Return a round, triangular or square traffic sign of the European kind, 96 pixels high."""
    rgb = np.full((96, 96, 3), 200, np.uint8)
    cover = np.zeros((96, 96), np.uint8)
    kind = rng.choice(["limit", "order", "warning", "square", "back"])
    centre = (48, 48)
    if kind in ("limit", "order"):
        cv2.circle(cover, centre, 46, 255, -1)
        cv2.circle(rgb, centre, 47, (196, 26, 34) if kind == "limit" else (24, 78, 170), -1)
        if kind == "limit":
            cv2.circle(rgb, centre, 35, (240, 240, 236), -1)
            cv2.putText(rgb, str(rng.choice([20, 30, 40])), (20, 64), cv2.FONT_HERSHEY_SIMPLEX, 1.45, (20, 20, 24), 6)
        else:
            cv2.arrowedLine(rgb, (30, 30), (66, 68), (244, 244, 244), 10, tipLength=0.45)
    elif kind == "warning":
        outer = np.array([[48, 4], [94, 90], [2, 90]], np.int32)
        cv2.fillConvexPoly(cover, outer, 255)
        cv2.fillConvexPoly(rgb, outer, (200, 28, 34))
        cv2.fillConvexPoly(rgb, np.array([[48, 26], [78, 81], [18, 81]], np.int32), (242, 242, 238))
        cv2.line(rgb, (48, 44), (48, 74), (24, 24, 26), 7)
    else:
        cover[4:92, 12:84] = 255
        rgb[:] = (130, 132, 134) if kind == "back" else ((30, 88, 60), (32, 74, 150), (226, 224, 214))[rng.integers(3)]
        if kind == "square":
            rgb[10:14, 18:78] = rgb[82:86, 18:78] = 236
            for y in (30, 48, 66):
                rgb[y : y + 8, 24 : int(rng.integers(50, 76))] = 240 if rgb[50, 15].mean() < 150 else 40
    return Texture(to_picture(rgb * np.clip(light.ambient + 0.35 * light.direct, 0, 1.15)), cover)


def traffic_light(rng: np.random.Generator) -> Texture:
    """Return a signal head: black box, one lamp on."""
    rgb = np.full((120, 60, 3), 26, np.uint8)
    rgb[:, :5] = rgb[:, -5:] = 48
    on = int(rng.integers(0, 3))
    colours = ((240, 60, 44), (246, 176, 50), (70, 236, 150))
    for i, colour in enumerate(colours):
        dim = np.array(colour) * 0.22
        cv2.circle(rgb, (30, 22 + 38 * i), 14, colour if i == on else dim.tolist(), -1)
    return Texture(rgb, np.full((120, 60), 255, np.uint8))


def fence(rng: np.random.Generator, light: Light, normal: Floats) -> Texture:
    """Return 4 m of fence: close boards, or dark palisade railings on a low wall."""
    h, w = 128, 288
    gain = light.gain(normal)
    grain = noise(rng, (h, w), 30, 4)
    if rng.random() < 0.5:
        wood = np.array([[132.0, 104, 76], [112, 98, 82], [96, 82, 66]][rng.integers(3)])
        boards = np.repeat(rng.normal(1, 0.07, w // 12), 12)[None, :, None]
        rgb = wood * boards * (1 + 0.07 * grain[..., None])
        rgb[:, ::12] *= 0.55
        rgb[16:24] *= 1.1
        rgb[24:27] *= 0.6
        rgb[:, :12] *= 0.78
        return Texture(to_picture(rgb * gain), np.full((h, w), 255, np.uint8))
    iron = np.array([[38.0, 42, 44], [44, 62, 52], [120, 124, 126]][rng.integers(3)])
    rgb = np.broadcast_to(iron, (h, w, 3)) * (1 + 0.1 * grain[..., None])
    cover = np.zeros((h, w), np.uint8)
    for x in range(2, w, 12):
        cover[6:, x : x + 7] = 255
        rgb[:, x + 1 : x + 3] *= 1.3
    cover[18:24] = cover[96:102] = 255
    cover[:, :9] = 255
    rgb[106:] = np.array([150.0, 138, 122]) * (1 + 0.06 * grain[106:, :, None])
    cover[106:] = 255
    return Texture(to_picture(rgb * gain), cover)
