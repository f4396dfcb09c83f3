"""The road's curve, the light and the camera of a rendered drive.

World coordinates are metres: x, y on the ground (y along the road at its start), z up. A place on the road is (s, u):
metres along the centre line and metres to the right of it. The road is a lap of `LAP_M` metres repeated for ever.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

LAP_M = 320
"""Length after which the street repeats; what is out of sight is at most `SIGHT_M` ahead, so no repeat is ever seen."""
SIGHT_M = 270.0
NEAR_M = 0.6


class Road:
    """A gently curving centre line; its heading returns to the same value after each lap."""

    def __init__(self, rng: np.random.Generator, bend: float) -> None:
        """Make a lap whose largest curvature is `bend` in 1/m; 0 makes a straight road."""
        s = np.arange(LAP_M * 2 + 1) / 2.0
        curvature = np.zeros_like(s)
        for harmonic, share in ((1, 0.6), (2, 0.4)):
            curvature += bend * share * np.sin(2 * math.pi * harmonic * s / LAP_M + rng.uniform(0, 2 * math.pi))
        self._heading = np.concatenate([[0.0], np.cumsum(curvature[:-1])]) * 0.5
        step = np.stack([np.sin(self._heading), np.cos(self._heading)], 1)[:-1] * 0.5
        self._point = np.concatenate([np.zeros((1, 2)), np.cumsum(step, 0)])

    def heading(self, s: ArrayLike) -> Floats:
        """Return the heading in radians, clockwise from the y axis."""
        return np.asarray(np.interp(np.mod(s, LAP_M) * 2, np.arange(len(self._heading)), self._heading))

    def at(self, s: ArrayLike, u: ArrayLike = 0.0) -> Floats:
        """Return (..., 2) ground points `u` metres right of the centre line at `s`."""
        s = np.asarray(s, np.float64)
        laps = np.floor(s / LAP_M)
        position = (s - laps * LAP_M) * 2
        low = np.minimum(position.astype(np.int64), len(self._point) - 2)
        part = (position - low)[..., None]
        centre = self._point[low] * (1 - part) + self._point[low + 1] * part + laps[..., None] * self._point[-1]
        heading = self.heading(s)
        right = np.stack([np.cos(heading), -np.sin(heading)], -1)
        return np.asarray(centre + np.asarray(u, np.float64)[..., None] * right)


@dataclass(frozen=True, slots=True)
class Light:
    """Sun, sky light and haze, as gains on and blends with a surface's own colour.

    Attributes:
        sun: unit vector towards the sun in world coordinates.
        direct, ambient: (3,) RGB gains of sun and sky; an overcast day has no direct light.
        haze: (3,) RGB 0..255 that distance fades to, and `haze_m`, the distance at which 63 % is gone.
    """

    sun: Floats
    direct: Floats
    ambient: Floats
    haze: Floats
    haze_m: float

    def gain(self, normals: ArrayLike, sunlit: float = 1.0) -> Floats:
        """Return (..., 3) RGB gain of surfaces with these unit normals; `sunlit` 0 is full shade."""
        n = np.asarray(normals, np.float64)
        sky = 0.78 + 0.22 * n[..., 2:3]
        direct = np.clip(n @ self.sun, 0, None)[..., None] * sunlit
        return np.asarray(sky * self.ambient + direct * self.direct)

    def through_air(self, colour: ArrayLike, depth_m: ArrayLike) -> Floats:
        """Return (..., 3) RGB colours as seen from `depth_m` metres away."""
        clear = np.exp(-np.asarray(depth_m, np.float64) / self.haze_m)[..., None]
        return np.asarray(np.asarray(colour, np.float64) * clear + self.haze * (1 - clear))


class Camera:
    """A pinhole whose pitch is a shift of the horizon, so that verticals stay vertical. Pixel centres are integers.

    Attributes:
        s: metres along the road; eye: (3,) world point of the lens.
        yaw: radians; focal, horizon, size: pixels of the (supersampled) picture.
    """

    def __init__(
        self, ground: Floats, s: float, yaw: float, height: float, focal: float, horizon: float, size: tuple[int, int]
    ) -> None:
        self.s, self.yaw, self.height, self.focal, self.horizon, self.size = s, yaw, height, focal, horizon, size
        self.eye = np.array([ground[0], ground[1], height])
        self.centre = (size[1] - 1) / 2
        sine, cosine = math.sin(yaw), math.cos(yaw)
        self._turn = np.array([[cosine, 0, sine], [-sine, 0, cosine], [0, 1, 0]])
        self._intrinsics = np.array([[focal, 0, self.centre], [0, -focal, horizon], [0, 0, 1]])

    def view(self, points: ArrayLike) -> Floats:
        """Return (..., 3) world points as (..., 3) metres right of, above and in front of the lens."""
        return np.asarray((np.asarray(points, np.float64) - self.eye) @ self._turn)

    def turn(self, directions: ArrayLike) -> Floats:
        """Return (..., 3) world directions as (right, up, ahead)."""
        return np.asarray(np.asarray(directions, np.float64) @ self._turn)

    def screen(self, view: Floats) -> Floats:
        """Return (..., 2) pixel positions (x, y) of view coordinates; depth must be positive."""
        out = view[..., :2] * (self.focal / view[..., 2:])
        out *= (1.0, -1.0)
        out += (self.centre, self.horizon)
        return np.asarray(out)

    def sees(self, view: Floats, around_m: float) -> NDArray[np.bool_]:
        """Return (...,) whether a thing within `around_m` of these view coordinates can be in the picture's width."""
        half = self.centre / self.focal
        return np.asarray(
            (view[..., 2] > -around_m) & (np.abs(view[..., 0]) < (view[..., 2] + around_m) * half + around_m)
        )

    def plane(self, origin: ArrayLike, across: ArrayLike, down: ArrayLike) -> Floats:
        """Return the (3, 3) homography from (p, q, 1), the world point origin + p across + q down, to pixels."""
        columns = np.empty((3, 3))
        columns[:, 0], columns[:, 1], columns[:, 2] = self.turn(across), self.turn(down), self.view(origin)
        return np.asarray(self._intrinsics @ columns)
