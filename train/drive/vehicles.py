"""Cars and vans as closed bodies of some hundred shaded faces, right from every side."""

# ruff: noqa: RUF005 - `+` adds numpy arrays here, it joins no lists
from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from train.drive.canvas import Canvas, Picture
from train.drive.world import NEAR_M, Camera, Floats, Light

CAR = 8

_PAINTS = (
    (166, 170, 174), (120, 124, 130), (38, 40, 46), (26, 28, 32), (206, 208, 208), (52, 66, 104),
    (126, 28, 32), (40, 74, 62), (88, 108, 140), (92, 88, 84), (150, 30, 32),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Shape:
    """Metres, and shares of the length from the nose: windscreen's foot, roof from..to, rear window's foot."""

    length: float
    width: float
    height: float
    screen: float
    roof: tuple[float, float]
    tail: float
    windows: int


SHAPES = {
    "hatch": Shape(4.0, 1.72, 1.46, 0.25, (0.45, 0.84), 0.97, 2),
    "saloon": Shape(4.6, 1.78, 1.43, 0.27, (0.45, 0.70), 0.87, 2),
    "estate": Shape(4.6, 1.78, 1.50, 0.26, (0.43, 0.90), 0.98, 3),
    "tall": Shape(4.5, 1.86, 1.76, 0.25, (0.40, 0.88), 0.98, 3),
    "van": Shape(5.2, 2.0, 2.2, 0.14, (0.27, 0.97), 0.995, 1),
}


@dataclass
class Vehicle:
    """A car's body. Its own axes: x ahead, y left, z up, metres, origin on the ground below its middle."""

    shape: Shape
    paint: Floats

    @cached_property
    def mesh(self) -> _Mesh:
        return _build(self.shape, self.paint)


def random_vehicle(rng: np.random.Generator) -> Vehicle:
    name = rng.choice(list(SHAPES), p=[0.38, 0.2, 0.18, 0.14, 0.1])
    paint = np.array(_PAINTS[rng.integers(len(_PAINTS))], np.float64)
    if name == "van" and rng.random() < 0.6:
        paint = np.array([214.0, 216, 216])
    return Vehicle(SHAPES[str(name)], np.clip(paint * rng.uniform(0.9, 1.1) + rng.normal(0, 4, 3), 12, 235))


@dataclass(frozen=True)
class _Mesh:
    """Faces as runs of corners, with what shading needs of each; layers: 1 body, 2 wheels, 3 cabin, 4 on them."""

    corners: Floats
    begins: list[int]
    centres: Floats
    normals: Floats
    colours: Floats
    layers: NDArray[np.int64]
    gloss: Floats


class _Faces:
    """Collects faces while a body is built."""

    def __init__(self) -> None:
        self._faces: list[Floats] = []
        self._normals: list[Floats] = []
        self._colours: list[Floats] = []
        self._layers: list[int] = []
        self._gloss: list[float] = []

    def mesh(self) -> _Mesh:
        begins = np.cumsum([0, *(len(face) for face in self._faces)]).tolist()
        centres = np.array([face.mean(0) for face in self._faces])
        return _Mesh(
            np.concatenate(self._faces), begins, centres, np.array(self._normals), np.array(self._colours),
            np.array(self._layers), np.array(self._gloss),
        )  # fmt: skip

    def add(self, corners: ArrayLike, colour: ArrayLike, layer: int, gloss: float, middle: ArrayLike) -> None:
        """Add one face, which looks away from `middle`."""
        corners = np.asarray(corners, np.float64)
        normal = np.cross(corners[1] - corners[0], corners[2] - corners[0])
        if np.linalg.norm(normal) < 1e-9:
            normal = np.cross(corners[2] - corners[0], corners[-1] - corners[0])
        normal = normal / max(float(np.linalg.norm(normal)), 1e-9)
        centre = corners.mean(0)
        self._faces.append(corners)
        self._normals.append(normal if normal @ (centre - np.asarray(middle, np.float64)) > 0 else -normal)
        self._colours.append(np.asarray(colour, np.float64))
        self._layers.append(layer)
        self._gloss.append(gloss)

    def mirrored(self, corners: ArrayLike, colour: ArrayLike, layer: int, gloss: float, middle: ArrayLike) -> None:
        """Add the face and its mirror image on the other side."""
        flip = np.array([1, -1, 1])
        self.add(corners, colour, layer, gloss, middle)
        self.add(np.asarray(corners, np.float64) * flip, colour, layer, gloss, np.asarray(middle, np.float64) * flip)


_TRIM, _GLASS, _TYRE = np.array([30.0, 30, 32]), np.array([34.0, 40, 46]), np.array([22.0, 22, 23])


def _build(shape: Shape, paint: Floats) -> _Mesh:
    faces = _Faces()
    length, half, height = shape.length, shape.width / 2, shape.height
    belt = 0.92 if height < 1.6 else (1.0 if height < 2 else 1.12)
    places = np.array([0, 0.015, 0.045, 0.1, 0.16, shape.screen, 0.5, 0.82, 0.93, 0.975, 1.0])
    widths = np.array([0.7, 0.84, 0.93, 0.98, 1.0, 1.0, 1.0, 1.0, 0.97, 0.92, 0.82]) * half
    nose = belt * 0.8 if shape.screen > 0.2 else belt * 0.9
    rise = [nose * 0.88, nose * 0.95, nose, (nose + belt) / 2 + 0.02, belt, belt * 1.02, belt * 1.03, belt * 0.95]
    tops = np.interp(places, [0, 0.015, 0.045, 0.14, shape.screen, 0.8, 0.93, 1.0], rise)
    floors = np.interp(places, [0, 0.1, 0.9, 1], [0.26, 0.2, 0.2, 0.3])
    x = length * (0.5 - places)
    steps, flare = np.array([0, 0.14, 0.4, 0.68, 0.9, 1.0]), np.array([0.92, 0.975, 1.0, 0.99, 0.955, 0.88])
    rings = np.zeros((len(x), len(steps), 3))
    rings[:, :, 0] = x[:, None]
    rings[:, :, 1] = widths[:, None] * flare
    rings[:, :, 2] = floors[:, None] + (tops - floors)[:, None] * steps
    flip, middle = np.array([1, -1, 1]), np.array([0, 0, belt * 0.5])
    for i in range(len(x) - 1):
        for j in range(len(steps) - 1):
            quad = [rings[i, j], rings[i + 1, j], rings[i + 1, j + 1], rings[i, j + 1]]
            faces.mirrored(quad, _TRIM * 1.4 if j == 0 else paint, 1, 0.2 if j == 0 else 1.0, middle)
        faces.add([rings[i, -1], rings[i + 1, -1], rings[i + 1, -1] * flip, rings[i, -1] * flip], paint, 1, 1.0, middle)
    for end, sign in ((0, 1), (-1, -1)):
        for j in range(len(steps) - 1):
            quad = [rings[end, j], rings[end, j + 1], rings[end, j + 1] * flip, rings[end, j] * flip]
            faces.add(quad, _TRIM * 1.6 if j == 0 else paint, 1, 0.6, middle - [sign * 0.5, 0, 0])
    _wheels(faces, shape)
    _cabin(faces, shape, paint, belt)
    _lamps(faces, shape, widths, nose, belt)
    return faces.mesh()


def _wheels(faces: _Faces, shape: Shape) -> None:
    half = shape.width / 2
    angles = np.linspace(0, 2 * math.pi, 18, endpoint=False)
    circle = np.stack([np.cos(angles), np.zeros(18), np.sin(angles)], 1)
    for x in (shape.length * 0.31, -shape.length * 0.29):
        for sign in (-1, 1):
            tread = [[x + sign * 0.29, half - 0.24, 0], [x + sign * 0.29, half - 0.03, 0],
                     [x + sign * 0.27, half - 0.03, 0.45], [x + sign * 0.27, half - 0.24, 0.45]]  # fmt: skip
            faces.mirrored(tread, _TYRE, 0, 0, [x, half - 0.1, 0.2])
        hub = np.array([x, half * 0.985, 0.31])
        inside = hub - [0, 0.3, 0]
        for radius, out, colour, gloss in (
            (0.375, 0.0, _TYRE * 0.6, 0.0), (0.315, 0.005, _TYRE * 1.2, 0.0),
            (0.215, 0.01, np.array([128.0, 130, 132]), 0.3), (0.15, 0.012, np.array([84.0, 86, 88]), 0.0),
            (0.06, 0.014, np.array([140.0, 142, 144]), 0.0),
        ):  # fmt: skip
            corners = hub + circle * radius + [0, out, 0]
            corners[:, 2] = np.maximum(corners[:, 2], 0.0 if radius < 0.35 else 0.2)
            faces.mirrored(corners, colour, 2, gloss, inside)


def _cabin(faces: _Faces, shape: Shape, paint: Floats, belt: float) -> None:
    half, length, height = shape.width / 2, shape.length, shape.height
    base, roof = half * 0.9, half * (0.7 if height < 1.6 else (0.78 if height < 2 else 0.86))
    x0, x1 = length * (0.5 - shape.screen), length * (0.5 - shape.tail)
    r0, r1 = length * (0.5 - shape.roof[0]), length * (0.5 - shape.roof[1])
    front, rear = np.array([x0, base, belt]), np.array([x1, base, belt * 1.02])
    roof_front, roof_rear = np.array([r0, roof, height * 0.985]), np.array([r1, roof, height * 0.97])
    top, back = np.array([r0 + (r1 - r0) * 0.3, roof, height]), np.array([r0 + (r1 - r0) * 0.72, roof, height * 0.995])
    flip, middle = np.array([1, -1, 1]), np.array([(x0 + x1) / 2, 0, (belt + height) / 2])
    for a, b in ((front, roof_front), (roof_front, top), (top, back), (back, roof_rear), (roof_rear, rear)):
        faces.add([a, b, b * flip, a * flip], paint, 3, 1.0, middle)
    faces.mirrored([front, roof_front, top, back, roof_rear, rear], paint, 3, 1.0, middle)

    def glazed(a: Floats, b: Floats, edge: float) -> None:
        low, high = a + (b - a) * 0.05, a + (b - a) * 0.9
        pane = [low * [1, edge, 1], high * [1, edge, 1], high * [1, -edge, 1], low * [1, -edge, 1]]
        faces.add(pane, _GLASS, 4, 0.9, middle)

    glazed(front, roof_front, 0.9)
    if shape.windows > 1:
        glazed(rear, roof_rear, 0.86)
    cuts = np.linspace(0, 1, shape.windows + 1) if shape.windows > 1 else np.array([0, 0.36])
    sill, lintel = front + [-0.12, 0, 0.04], roof_front + [-0.06, 0, -0.07]
    sill_end, lintel_end = rear + [0.22, 0, 0.04], roof_rear + [0.1, 0, -0.06]
    for a, b in pairwise(cuts):
        pane = [sill + (sill_end - sill) * (a + 0.012), sill + (sill_end - sill) * (b - 0.012),
                lintel + (lintel_end - lintel) * (b - 0.012), lintel + (lintel_end - lintel) * (a + 0.012)]  # fmt: skip
        faces.mirrored(pane, _GLASS * 0.9, 4, 0.9, middle)
    mirror = front + [-0.25, 0.0, 0.0]
    glass = [mirror, mirror + [0, 0.2, 0.02], mirror + [0, 0.2, 0.15], mirror + [0, 0, 0.13]]
    faces.mirrored(glass, paint * 0.7, 4, 0.2, mirror - [1.0, 0, 0])
    faces.mirrored(glass, _TRIM, 4, 0.2, mirror + [1.0, 0, 0])


def _lamps(faces: _Faces, shape: Shape, widths: Floats, nose: float, belt: float) -> None:
    x, front, back = shape.length / 2 + 0.01, widths[0] * 0.98, widths[-1] * 0.98
    middle = np.zeros(3)

    def on_end(sign: int, y0: float, y1: float, z0: float, z1: float, colour: ArrayLike, gloss: float = 0.4) -> None:
        faces.add(
            [[sign * x, y0, z0], [sign * x, y1, z0], [sign * x, y1, z1], [sign * x, y0, z1]], colour, 4, gloss, middle
        )

    on_end(1, -front * 0.62, front * 0.62, nose * 0.68, nose * 0.82, _TRIM)
    on_end(1, -front * 0.85, front * 0.85, 0.3, 0.4, _TRIM)
    on_end(1, -0.26, 0.26, 0.41, 0.51, (226, 226, 220))
    on_end(-1, -0.26, 0.26, belt * 0.62, belt * 0.74, (222, 188, 64))
    on_end(-1, -back * 0.95, back * 0.95, 0.36, 0.46, _TRIM)
    for side in (-1, 1):
        lamp = [
            [0.0, 0.68, 0.62],
            [0.0, 1.0, 0.6],
            [-0.05, 1.17, 0.66],
            [-0.17, 1.3, 0.84],
            [-0.1, 1.0, 0.87],
            [-0.03, 0.7, 0.8],
        ]
        corners = np.array([[x + dx, side * front * y, nose * z] for dx, y, z in lamp])
        faces.add(corners, (222, 227, 230), 4, 0.7, corners.mean(0) - [1.0, side * 0.5, 0])
        on_end(-1, side * back * 0.7, side * back * 1.0, belt * 0.66, belt * 0.92, (168, 22, 24), 0.5)
        wrap = [[0.0, 1.0, 0.66], [0.1, 1.12, 0.68], [0.16, 1.13, 0.92], [0.02, 1.0, 0.92]]
        corners = np.array([[dx - x, side * back * y, belt * z] for dx, y, z in wrap])
        faces.add(corners, (150, 20, 22), 4, 0.5, corners.mean(0) + [0.5, -side * 1.0, 0])
        on_end(-1, side * back * 0.7, side * back * 0.9, belt * 0.7, belt * 0.76, (230, 130, 60), 0.5)


def _shadow() -> Picture:
    cover = np.zeros((48, 32), np.float32)
    cover[9:39, 8:24] = 1
    return np.asarray(255 - cv2.GaussianBlur(cover, (0, 0), 2.6) * 195, np.float32).astype(np.uint8)


_SHADOW = _shadow()


def draw(
    canvas: Canvas, camera: Camera, light: Light, vehicle: Vehicle, at: Floats, heading: float, sunlit: float
) -> None:
    """Paint the vehicle standing at the ground point `at` (2,), its nose towards `heading`; `sunlit` 0..1."""
    ahead = np.array([math.sin(heading), math.cos(heading), 0.0])
    left = np.array([-math.cos(heading), math.sin(heading), 0.0])
    turn = np.stack([ahead, left, np.array([0, 0, 1.0])])
    origin = np.array([at[0], at[1], 0.0])
    depth = float(camera.view(origin)[2])
    if depth < -1:
        return
    reach, side = vehicle.shape.length * 0.8, vehicle.shape.width
    corner = origin + ahead * reach + left * side
    canvas.darken(_SHADOW, camera.plane(corner, -left * side * 2, -ahead * reach * 2))
    mesh = vehicle.mesh
    centres = mesh.centres @ turn + origin
    normals = mesh.normals @ turn
    facing = np.einsum("ij,ij->i", normals, camera.eye - centres) > 0
    upward = np.clip(0.35 + normals[:, 2:] * 0.9, 0, 1)
    low = 1 - 0.35 * np.clip(0.6 - mesh.centres[:, 2:], 0, 1)
    colours = mesh.colours * light.gain(normals, sunlit) * low * (0.8 + 0.2 * upward)
    colours += light.haze * 0.2 * mesh.gloss[:, None] * upward**2
    colours = np.clip(light.through_air(colours, max(depth, 0)), 0, 255)
    order = np.lexsort((-camera.view(centres)[:, 2], mesh.layers))
    view = camera.view(mesh.corners @ turn + origin)
    near = view[:, 2] < NEAR_M
    view[near, 2] = NEAR_M
    at = camera.screen(view)
    for i in order[facing[order]].tolist():
        part = slice(mesh.begins[i], mesh.begins[i + 1])
        if not near[part].any():
            canvas.polygon(at[part], colours[i], CAR)
