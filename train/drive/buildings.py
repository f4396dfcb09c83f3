"""Houses along the street: facades with windows, doors, shops and weather, gable walls, roofs and chimneys."""

# ruff: noqa: RUF005 - `+` adds numpy arrays here, it joins no lists
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np

from train.drive.canvas import Canvas, Texture, noise, to_picture
from train.drive.world import Camera, Floats, Light, Road

BUILDING = 1

_PX_PER_M = 36
_PLAIN_M, _CHIMNEYS_M = 100.0, 55.0
"""Beyond these distances a house is drawn in plain colours (its windows are about a pixel), and without chimneys."""

_WALLS = (
    (146, 94, 74), (168, 112, 86), (176, 152, 114), (160, 136, 104), (120, 88, 70),
    (214, 206, 186), (222, 220, 214), (196, 190, 178), (158, 152, 142), (206, 188, 160),
)  # fmt: skip
_ROOFS = ((86, 84, 88), (98, 80, 72), (112, 84, 70), (74, 74, 78))
_DOORS = ((42, 58, 90), (92, 34, 34), (34, 66, 48), (40, 40, 44), (206, 200, 188))
_FASCIAS = ((150, 30, 34), (30, 70, 120), (26, 84, 60), (40, 38, 42), (190, 150, 60), (216, 212, 200), (90, 60, 110))


@dataclass
class Building:
    """A house whose street front runs from s0 to s1 at u (its depth goes away from the road).

    Attributes:
        height, rise: metres to the eaves, and from there to the ridge (0 is a flat roof).
        shade: metres above ground up to which the houses opposite keep the sun away.
    """

    s0: float
    s1: float
    u: float
    depth: float
    height: float
    rise: float
    floors: int
    shop: bool
    shade: float
    seed: int
    light: Light
    road: Road

    @property
    def side(self) -> int:
        return 1 if self.u > 0 else -1

    @cached_property
    def wall(self) -> Floats:
        rng = np.random.default_rng(self.seed)
        return np.clip(
            np.array(_WALLS[rng.integers(len(_WALLS))]) * rng.uniform(0.82, 1.08) + rng.normal(0, 5, 3), 25, 238
        )

    @cached_property
    def roof_colour(self) -> Floats:
        rng = np.random.default_rng(self.seed + 1)
        return np.array(_ROOFS[rng.integers(len(_ROOFS))]) * rng.uniform(0.85, 1.15)

    def _normals(self) -> tuple[Floats, Floats, Floats]:
        """Return unit normals of the street front, the near end and the roof's street slope."""
        heading = float(self.road.heading((self.s0 + self.s1) / 2))
        right = np.array([np.cos(heading), -np.sin(heading), 0.0])
        ahead = np.array([np.sin(heading), np.cos(heading), 0.0])
        slope = np.array([0.0, 0.0, self.depth / 2]) - right * self.side * self.rise
        return -self.side * right, -ahead, slope / max(float(np.linalg.norm(slope)), 1e-6)

    @cached_property
    def gains(self) -> Floats:
        """(3, 3) RGB gains of front, end and roof in full light."""
        return self.light.gain(np.array(self._normals()))

    @cached_property
    def front(self) -> Texture:
        rng = np.random.default_rng(self.seed + 2)
        albedo = _facade(rng, self.s1 - self.s0, self.height, self.floors, self.wall, self.shop)
        shaded = self.light.gain(self._normals()[0], sunlit=0.0)
        rows = np.linspace(self.height, 0, albedo.shape[0])[:, None, None]
        edge = self.shade + np.interp(
            np.arange(albedo.shape[1]), [0, albedo.shape[1] / 2, albedo.shape[1]], rng.normal(0, 0.5, 3)
        )
        sunlit = np.clip((rows - edge[None, :, None]) * 4 + 0.5, 0, 1)
        gain = shaded + (self.gains[0] - shaded) * sunlit
        return Texture(to_picture(albedo * gain))

    @cached_property
    def end(self) -> Texture:
        rng = np.random.default_rng(self.seed + 3)
        size = (int(self.height * 14), int(self.depth * 14))
        wall = _masonry(rng, size, self.wall * 0.95, 14)
        wall *= np.linspace(1.03, 0.88, size[0])[:, None, None]
        if rng.random() < 0.4:
            x, y = rng.integers(10, max(size[1] - 30, 11)), int(size[0] * rng.uniform(0.15, 0.4))
            wall[y : y + 20, x : x + 13] = (58, 62, 68)
        return Texture(to_picture(wall * self.gains[1]))

    @cached_property
    def roof(self) -> Texture:
        rng = np.random.default_rng(self.seed + 4)
        size = (48, int((self.s1 - self.s0) * 10))
        tiles = self.roof_colour * (1 + 0.07 * noise(rng, size, 12)[..., None])
        tiles[::4] *= 0.88
        return Texture(to_picture(tiles * self.gains[2]))


def draw(canvas: Canvas, camera: Camera, house: Building, corners: Floats, shows_end: bool) -> None:
    """Paint a house.

    Args:
        corners: (6, 3) world points on the ground: street front near and far, back far and near, below the ridge near
            and far.
        shows_end: is its near end in front of the camera?
    """
    near, far, _, near_back = corners[:4]
    up = np.array([0.0, 0.0, house.height])
    ridge = corners[4:] + [0, 0, house.height + house.rise]
    depth = float(camera.view((near + far) / 2)[2])
    haze = (house.light.haze, float(1 - np.exp(-max(depth, 0) / house.light.haze_m)))
    plain = depth > _PLAIN_M

    def face(points: Floats, colour: Floats) -> None:
        view = camera.view(points)
        if view[:, 2].min() > 1.0:
            canvas.polygon(camera.screen(view), house.light.through_air(colour, depth), BUILDING)

    wall = house.wall * house.gains[1]
    if shows_end:
        if plain:
            face(np.array([near, near_back, near_back + up, near + up]), wall)
        else:
            canvas.plane(house.end, camera.plane(near + up, near_back - near, -up), BUILDING, haze=haze)
    if house.rise:
        if shows_end:
            face(np.array([near + up, near_back + up, ridge[0]]), wall * 0.95)
        if depth < _CHIMNEYS_M:
            _chimneys(house, ridge, face)
        if plain:
            face(np.array([near + up, far + up, ridge[1], ridge[0]]), house.roof_colour * house.gains[2])
        else:
            canvas.plane(
                house.roof, camera.plane(ridge[0], ridge[1] - ridge[0], near + up - ridge[0]), BUILDING, haze=haze
            )
    if plain:
        face(np.array([near, far, far + up, near + up]), house.wall * house.gains[0] * 0.82)
    else:
        canvas.plane(house.front, camera.plane(near + up, far - near, -up), BUILDING, haze=haze)


def _chimneys(house: Building, ridge: Floats, face: Callable[[Floats, Floats], None]) -> None:
    rng = np.random.default_rng(house.seed + 5)
    along = (ridge[1] - ridge[0]) / np.linalg.norm(ridge[1] - ridge[0])
    across = np.array([along[1], -along[0], 0.0]) * -house.side
    for part in rng.choice([0.06, 0.5, 0.94], size=rng.integers(0, 3), replace=False):
        base = ridge[0] + (ridge[1] - ridge[0]) * part - [0, 0, 0.6]
        tall = np.array([0, 0, rng.uniform(1.5, 2.3)])
        a, b, c = (
            base - along * 0.35 + across * 0.5,
            base + along * 0.35 + across * 0.5,
            base - along * 0.35 - across * 0.5,
        )
        face(np.array([a, c, c + tall, a + tall]), house.wall * 0.8 * house.gains[1])
        face(np.array([a, b, b + tall, a + tall]), house.wall * 0.8 * house.gains[0])
        for step in (-0.2, 0.2):
            pot, top = base + across * step + tall, np.array([0, 0, 0.45])
            width = along * 0.12
            face(
                np.array([pot - width, pot + width, pot + width + top, pot - width + top]),
                np.array([150, 96, 70.0]) * house.gains[0],
            )


def _masonry(rng: np.random.Generator, size: tuple[int, int], colour: Floats, px_per_m: int) -> Floats:
    """Return the (h, w, 3) float colours of a wall: bricks that differ, and stains."""
    courses = (max(size[0] * 13 // px_per_m, 1), max(size[1] * 4 // px_per_m, 1))
    bricks = cv2.resize(rng.normal(0, 0.045, courses).astype(np.float32), size[::-1], interpolation=cv2.INTER_NEAREST)
    stains = noise(rng, size, px_per_m * 3) * 0.055
    return np.asarray(colour * (1 + bricks + stains)[..., None], np.float64)


def _facade(rng: np.random.Generator, width: float, height: float, floors: int, wall: Floats, shop: bool) -> Floats:
    """Return (h, w, 3) float colours of a street front before light, `_PX_PER_M` pixels per metre."""
    size = (round(height * _PX_PER_M), round(width * _PX_PER_M))
    picture = _masonry(rng, size, wall, _PX_PER_M)
    trim = np.array([226, 222, 210]) * rng.uniform(0.8, 1.0) if rng.random() < 0.7 else wall * 0.8

    def paint(x0: float, z0: float, x1: float, z1: float, colour: Floats | tuple[int, ...]) -> None:
        """Paint a rectangle in metres from the left and from the ground."""
        rows = slice(max(size[0] - round(z1 * _PX_PER_M), 0), max(size[0] - round(z0 * _PX_PER_M), 0))
        picture[rows, max(round(x0 * _PX_PER_M), 0) : max(round(x1 * _PX_PER_M), 0)] = colour

    def glass(x0: float, z0: float, x1: float, z1: float, interior: float) -> None:
        rows = slice(max(size[0] - round(z1 * _PX_PER_M), 0), max(size[0] - round(z0 * _PX_PER_M), 0))
        part = picture[rows, max(round(x0 * _PX_PER_M), 0) : max(round(x1 * _PX_PER_M), 0)]
        if part.size:
            mirrored = np.linspace(rng.uniform(50, 120), rng.uniform(24, 44), part.shape[0])[:, None, None]
            part[:] = mirrored * [0.92, 1.0, 1.08] + noise(rng, part.shape[:2], 30, 3)[..., None] * 6
            for _ in range(int(interior * part.shape[1] / 14)):
                tall, wide = rng.integers(8, max(part.shape[0] // 2, 9)), rng.integers(4, 16)
                x, y = rng.integers(0, part.shape[1]), part.shape[0] - tall - rng.integers(0, 8)
                part[y : y + tall, x : x + wide] *= 0.4
                part[y : y + tall, x : x + wide] += rng.uniform(10, 90) * rng.uniform(0.7, 1.1, 3)

    def window(x: float, z: float, w: float, h: float) -> None:
        paint(x - 0.1, z - 0.14, x + w + 0.1, z, trim)
        paint(x - 0.1, z - 0.2, x + w + 0.1, z - 0.14, wall * 0.62)
        paint(x - 0.1, z + h, x + w + 0.1, z + h + 0.2, trim * 0.94)
        paint(x, z, x + w, z + h, frame)
        glass(x + 0.07, z + 0.07, x + w - 0.07, z + h - 0.07, 0.4)
        if rng.random() < 0.5:
            veil = rng.uniform(0.15, 0.3) * w
            paint(x + 0.07, z + 0.07, x + veil, z + h - 0.07, (158, 152, 142))
            paint(x + w - veil, z + 0.07, x + w - 0.07, z + h - 0.07, (142, 138, 130))
        paint(x, z + h / 2 - 0.03, x + w, z + h / 2 + 0.03, frame)
        if bars:
            paint(x + w / 2 - 0.025, z, x + w / 2 + 0.025, z + h, frame)
        paint(x, z + h - 0.09, x + w, z + h, frame * 0.45)

    frame = np.array([232.0, 230, 224]) if rng.random() < 0.75 else np.array([70.0, 66, 62])
    bars = rng.random() < 0.6
    storey = height / floors
    columns = max(1, int(width / rng.uniform(2.1, 2.9)))
    pitch = width / columns
    w, h = min(rng.uniform(0.95, 1.35), pitch - 0.5), min(rng.uniform(1.35, 1.75), storey - 1.0)
    for floor in range(1, floors):
        for column in range(columns):
            window(pitch * (column + 0.5) - w / 2, storey * floor + 0.75, w, h * (0.85 if floor == floors - 1 else 1))
    if shop:
        _shop(rng, paint, glass, width, storey)
    else:
        paint(0, 0, width, 0.35, wall * 0.72)
        door = int(rng.integers(columns))
        for column in range(columns):
            x = pitch * (column + 0.5)
            if column == door:
                paint(x - 0.62, 0, x + 0.62, 2.55, trim)
                paint(x - 0.47, 0.12, x + 0.47, 2.1, _DOORS[rng.integers(len(_DOORS))])
                glass(x - 0.47, 2.15, x + 0.47, 2.45, 0.2)
                paint(x - 0.62, 0, x + 0.62, 0.14, (150, 146, 140))
            else:
                window(x - w * 0.55, 0.85, w * 1.1, min(h * 1.05, storey - 1.2))
    if floors > 1 and rng.random() < 0.5:
        paint(0, storey - 0.12, width, storey + 0.06, trim * 0.95)
    paint(0, height - 0.3, width, height, trim * 0.92)
    paint(0, height - 0.42, width, height - 0.3, wall * 0.55)
    if rng.random() < 0.7:
        x = rng.choice([0.15, width - 0.25])
        paint(x, 0, x + 0.1, height - 0.3, (58, 58, 60))
    paint(0, 0, 0.04, height, wall * 0.6)
    soot = 1 - 0.16 * np.exp(-np.linspace(height, 0, size[0]) / 0.7)
    return picture * soot[:, None, None]


def _shop(
    rng: np.random.Generator, paint: Callable[..., None], glass: Callable[..., None], width: float, storey: float
) -> None:
    colour = np.array(_FASCIAS[rng.integers(len(_FASCIAS))], np.float64) * rng.uniform(0.7, 1.0)
    paint(0, 0, width, storey, colour * 0.75)
    paint(0.1, storey - 0.85, width - 0.1, storey - 0.15, colour)
    ink = np.array([232.0, 226, 206]) if colour.mean() < 120 else np.array([46.0, 42, 44])
    x = width * rng.uniform(0.15, 0.3)
    while x < width * 0.8:
        letter = rng.uniform(0.12, 0.26)
        if rng.random() < 0.85:
            paint(x, storey - 0.66, x + letter, storey - rng.uniform(0.3, 0.4), ink)
            paint(x + letter * 0.35, storey - 0.58, x + letter * 0.7, storey - 0.45, colour)
        x += letter + 0.09
    door = rng.uniform(0.25, 0.75) * width
    paint(0, storey - 0.95, width, storey - 0.85, colour * 0.4)
    for x0, x1 in ((0.25, door - 0.65), (door + 0.65, width - 0.25)):
        if x1 - x0 > 0.6:
            glass(x0, 0.55, x1, storey - 1.0, 1.8)
            paint((x0 + x1) / 2 - 0.04, 0.55, (x0 + x1) / 2 + 0.04, storey - 1.0, colour * 0.9)
    glass(door - 0.45, 0.1, door + 0.45, storey - 1.15, 0.8)
