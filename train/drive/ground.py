"""The ground: asphalt with markings and repairs, kerbs, pavement, grass, and the shadows that lie on them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from segnet_live.frame import LabelMap
from train.drive.canvas import Canvas, Picture, Texture, noise, to_picture
from train.drive.world import LAP_M, SIGHT_M, Camera, Floats, Light, Road

Map = NDArray[np.float32]

ROAD, PAVEMENT, GRASS = 3, 4, 5

HALF_M = 20.0
"""The baked ground reaches this far to both sides of the centre line; beyond, its edge goes on."""
_ACROSS_PX, _ALONG_PX = 25, 16
_GRAIN_M, _GRAIN_PX = 4.0, 512


@dataclass(frozen=True, slots=True)
class Profile:
    """The cross-section of the street.

    Attributes:
        half: metres from the centre line to the kerb.
        pavement: metres of pavement behind the kerb on the (left, right).
        grass: is what lies behind the pavement grass (else paving)?
        lines: "dashes", "solid" or "none" along the centre.
        edge_lines: a line by the kerb (two yellow ones in town).
    """

    half: float
    pavement: tuple[float, float]
    grass: tuple[bool, bool]
    lines: str
    edge_lines: str

    def zones(self) -> list[tuple[float, int]]:
        """Return (u at which it begins, class id) from left to right."""
        left = GRASS if self.grass[0] else PAVEMENT
        right = GRASS if self.grass[1] else PAVEMENT
        bounds = [-self.half - self.pavement[0], -self.half, self.half, self.half + self.pavement[1]]
        return [(-math.inf, left), *zip(bounds, (PAVEMENT, ROAD, PAVEMENT, right), strict=True)]


class Ground:
    """The baked lap of ground, and its painting onto the lower part of a canvas."""

    def __init__(self, rng: np.random.Generator, profile: Profile, light: Light, shadow: Picture) -> None:
        """Bake the ground; `shadow` is the (LAP_M * 4, HALF_M * 8) uint8 share of sunlight (rows along s)."""
        self._profile = profile
        albedo = _bake(rng, profile)
        sunny, shaded = light.gain([0, 0, 1.0]), light.gain([0, 0, 1.0], 0.0)
        arrives = cv2.resize(shadow, albedo.shape[1::-1], interpolation=cv2.INTER_LINEAR)
        gain = np.stack([np.interp(np.arange(256), [0, 255], [a, b]) for a, b in zip(shaded, sunny, strict=True)], 1)
        table = to_picture(np.clip(gain, 0, 2) * 127).reshape(1, 256, 3)
        self._texture = Texture(
            cv2.multiply(albedo, cv2.LUT(cv2.merge([arrives] * 3), table), scale=1 / 127).astype(np.uint8, copy=False)
        )
        self._haze, self._haze_m = light.haze, light.haze_m
        grain = noise(rng, (_GRAIN_PX, _GRAIN_PX), 3, 2) * 4.5 + noise(rng, (_GRAIN_PX, _GRAIN_PX), 60, 3) * 2
        self._grain = to_picture(128 + grain)

    def draw(self, canvas: Canvas, camera: Camera, road: Road, u: float) -> None:
        """Paint everything below the horizon, seen from `u` metres right of the centre line."""
        height, width = canvas.size
        top = max(int(camera.horizon) + 1, 0)
        while camera.height * camera.focal / (top - camera.horizon) > SIGHT_M * 4:
            top += 1
        rows = np.arange(top, height)
        z: Floats = np.asarray(camera.height * camera.focal / (rows - camera.horizon), np.float64)
        ahead = np.arange(-10.0, SIGHT_M * 1.2)
        centre = camera.view(np.concatenate([road.at(camera.s + ahead), np.zeros((len(ahead), 1))], 1))
        s = np.interp(z, centre[:, 2], camera.s + ahead)
        middle = np.interp(z, centre[:, 2], centre[:, 0])
        bend = road.heading(s) - camera.yaw
        cosine, sine = np.cos(bend), np.sin(bend)
        columns = (np.arange(width) - camera.centre).astype(np.float32)
        metres = (z / camera.focal).astype(np.float32)
        map_u = (metres * cosine).astype(np.float32)[:, None] * columns - (middle * cosine).astype(np.float32)[:, None]
        start = (np.mod(s, LAP_M) - middle * sine).astype(np.float32)
        map_s = (metres * sine).astype(np.float32)[:, None] * columns + start[:, None]
        self._paint(canvas, camera, top, z, map_u, map_s)
        self._label(canvas.labels[top:], map_u)

    def _paint(self, canvas: Canvas, camera: Camera, top: int, z: Floats, map_u: Map, map_s: Map) -> None:
        along = np.log2(np.maximum(z**2 / (camera.focal * camera.height) * _ALONG_PX, 1))
        across = np.log2(np.maximum(z / camera.focal * _ACROSS_PX, 1))
        band = np.minimum(along, 9).astype(int) * 16 + np.minimum(across, 5).astype(int)
        edges = [0, *(np.flatnonzero(np.diff(band)) + 1).tolist(), len(z)]
        for first, last in pairwise(edges):
            level = self._texture.level(band[first] % 16, band[first] // 16)
            h, w = level.shape[:2]
            x = np.clip((map_u[first:last] + HALF_M) * (w / (2 * HALF_M)) - 0.5, 0, w - 1)
            y = map_s[first:last] * (h / LAP_M) - 0.5
            seen = cv2.remap(level, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
            depth = float(z[(first + last) // 2])
            if depth > 25:
                share = 1 - math.exp(-depth / self._haze_m)
                seen = cv2.transform(seen, np.concatenate([np.eye(3) * (1 - share), (self._haze * share)[:, None]], 1))
            elif depth < 14:
                k = _GRAIN_PX / _GRAIN_M
                near_s = map_s[first:last] - math.floor(float(map_s[last - 1, 0]) / _GRAIN_M) * _GRAIN_M
                grain = cv2.remap(
                    self._grain, map_u[first:last] * k, near_s * k, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP
                )
                seen = cv2.addWeighted(
                    seen, 1.0, cv2.merge([grain] * 3), min(1.0, 6 / depth), -128 * min(1.0, 6 / depth)
                )
            canvas.rgb[top + first : top + last] = seen

    def _label(self, labels: LabelMap, map_u: Map) -> None:
        zones = self._profile.zones()
        labels[:] = zones[0][1]
        for begin, class_id in zones[1:]:
            labels[map_u >= begin] = class_id


def _bake(rng: np.random.Generator, profile: Profile) -> Picture:
    """Return (LAP_M * _ALONG_PX, 2 HALF_M * _ACROSS_PX, 3) uint8 colours of one lap before light."""
    h, w = LAP_M * _ALONG_PX, int(2 * HALF_M * _ACROSS_PX)
    u = (np.arange(w) + 0.5) / _ACROSS_PX - HALF_M
    asphalt = np.array([128.0, 128, 129]) * rng.uniform(0.85, 1.12)
    paving = np.array([164.0, 160, 152]) * rng.uniform(0.85, 1.05)
    grass = np.array([92.0, 104, 58]) * rng.uniform(0.8, 1.1)
    row = np.empty((w, 3))
    for begin, class_id in profile.zones():
        row[u >= begin] = {ROAD: asphalt, PAVEMENT: paving, GRASS: grass}[class_id]
    for lane in (-0.5, 0.5):
        for wheel in (-0.75, 0.75):
            row *= (1 - 0.07 * np.exp(-(((u - lane * profile.half - wheel) / 0.3) ** 2)))[:, None]
    gutter = np.abs(np.abs(u) - profile.half + 0.2) < 0.16
    row[gutter] *= 0.78
    kerb = (np.abs(u) - profile.half >= 0) & (np.abs(u) - profile.half < 0.16)
    row[kerb] = paving * 1.12
    ground = np.broadcast_to(to_picture(row), (h, w, 3)).copy()
    _slabs(ground, u, profile, rng)
    _repairs(ground, rng, profile)
    _markings(ground, profile, rng)
    coarse = noise(rng, (h // 8, w // 4), 40, 4) * 7 + 128
    stains = cv2.resize(to_picture(coarse), (w, h), interpolation=cv2.INTER_LINEAR)
    speckle = np.tile(to_picture(128 + rng.normal(0, 4, (512, w))), (h // 512, 1))
    cv2.addWeighted(ground, 1.0, cv2.merge([stains] * 3), 1.0, -128, dst=ground)
    cv2.addWeighted(ground, 1.0, cv2.merge([speckle] * 3), 1.0, -128, dst=ground)
    rough = np.abs(u) > profile.half + np.where(u < 0, *profile.pavement)
    if any(profile.grass):
        tufts = cv2.resize(
            to_picture(128 + 20 * noise(rng, (h // 4, w // 4), 12, 4)), (w, h), interpolation=cv2.INTER_LINEAR
        )
        for side in (0, 1):
            if profile.grass[side]:
                strip = np.flatnonzero(rough & ((u > 0) == bool(side)))
                part = ground[:, strip[0] : strip[-1] + 1]
                cv2.addWeighted(part, 1.0, cv2.merge([tufts[:, strip[0] : strip[-1] + 1]] * 3), 1.0, -128, dst=part)
    return ground


def _columns(low: float, high: float) -> slice:
    return slice(max(round((low + HALF_M) * _ACROSS_PX), 0), max(round((high + HALF_M) * _ACROSS_PX), 0))


def _slabs(ground: Picture, u: Floats, profile: Profile, rng: np.random.Generator) -> None:
    """Paint joints between paving slabs."""
    if rng.random() < 0.35:
        return
    paved = np.abs(u) > profile.half + 0.2
    for side, pavement, grass in (
        (-1, profile.pavement[0], profile.grass[0]),
        (1, profile.pavement[1], profile.grass[1]),
    ):
        reach = pavement if grass else HALF_M
        here = paved & (u * side > 0) & (np.abs(u) < profile.half + reach)
        first, last = np.flatnonzero(here)[[0, -1]]
        part = ground[:, first : last + 1]
        part[:: int(0.75 * _ALONG_PX)] = part[:: int(0.75 * _ALONG_PX)] * 0.86
        part[:, :: int(0.6 * _ACROSS_PX)] = part[:, :: int(0.6 * _ACROSS_PX)] * 0.88


def _repairs(ground: Picture, rng: np.random.Generator, profile: Profile) -> None:
    """Paint patches of other asphalt, tar seams, manhole covers and drain grates."""
    for _ in range(rng.integers(8, 18)):
        s, u = rng.uniform(0, LAP_M - 14), rng.uniform(-profile.half, profile.half - 1.4)
        rows = slice(int(s * _ALONG_PX), int((s + rng.uniform(1, 12)) * _ALONG_PX))
        part = ground[rows, _columns(u, u + rng.uniform(0.6, 1.6))]
        part[:] = np.clip(part * rng.uniform(0.82, 1.08), 0, 255)
    for _ in range(14):
        s, u = rng.uniform(2, LAP_M - 2), rng.uniform(-profile.half + 0.5, profile.half - 0.5)
        centre = (int((u + HALF_M) * _ACROSS_PX), int(s * _ALONG_PX))
        cv2.ellipse(
            ground, centre, (int(0.3 * _ACROSS_PX), int(0.3 * _ALONG_PX)), 0, 0, 360, (70, 68, 66), -1, cv2.LINE_AA
        )
    for s in np.arange(7, LAP_M, 23.0):
        for side in (-1, 1):
            edge = sorted((side * (profile.half - 0.05), side * (profile.half - 0.42)))
            ground[int(s * _ALONG_PX) : int((s + 0.45) * _ALONG_PX), _columns(*edge)] = (48, 48, 48)


def _markings(ground: Picture, profile: Profile, rng: np.random.Generator) -> None:
    """Paint worn markings: the centre line, lines by the kerb, and a zebra crossing once a lap."""
    white = np.array([222.0, 222, 216]) * rng.uniform(0.85, 1.0)
    worn = cv2.resize(noise(rng, (ground.shape[0] // 2, 64), 12, 3), (64, ground.shape[0]))

    def paint(s0: float, s1: float, u0: float, u1: float, colour: Floats) -> None:
        rows = slice(round(s0 * _ALONG_PX), round(s1 * _ALONG_PX))
        part = ground[rows, _columns(u0, u1)]
        strength = np.clip(0.86 - 0.14 * worn[rows, : part.shape[1]], 0.2, 1)[..., None]
        part[:, : strength.shape[1]] = part[:, : strength.shape[1]] * (1 - strength) + colour * strength

    if profile.lines == "solid":
        paint(0, LAP_M, -0.06, 0.06, white)
    elif profile.lines == "dashes":
        for s in np.arange(0, LAP_M, 8.0):
            paint(s, s + 3.4, -0.06, 0.06, white)
    yellow = np.array([206.0, 176, 72])
    for side in (-1, 1):
        if profile.edge_lines == "double yellow":
            for inset in (0.32, 0.55):
                paint(0, LAP_M, side * (profile.half - inset) - 0.04, side * (profile.half - inset) + 0.04, yellow)
        elif profile.edge_lines == "white":
            paint(0, LAP_M, side * (profile.half - 0.45) - 0.05, side * (profile.half - 0.45) + 0.05, white)
    crossing = rng.uniform(60, LAP_M - 60)
    for u in np.arange(-profile.half + 0.3, profile.half - 0.5, 1.1):
        paint(crossing, crossing + 2.8, u, u + 0.55, white)


def shadow_map(
    polygons: Sequence[Floats], blots: Sequence[tuple[float, float, float]], rng: np.random.Generator
) -> Picture:
    """Return the share of sunlight on one lap of ground, 0.25 m a pixel.

    Args:
        polygons: (N, 2) outlines of shadows as (s, u).
        blots: (s, u, radius) of dappled tree shadows.
    """
    size = (LAP_M * 4, int(HALF_M * 8))
    light = np.full(size, 255, np.uint8)
    for corners in polygons:
        for lap in (-LAP_M, 0, LAP_M):
            points = np.stack([(corners[:, 1] + HALF_M) * 4, (corners[:, 0] + lap) * 4], 1)
            cv2.fillPoly(light, [np.rint(points * 16).astype(np.int32)], 0.0, cv2.LINE_AA, 4)
    dapple = noise(rng, size, 5, 2)
    for s, u, radius in blots:
        for lap in (-LAP_M, 0, LAP_M):
            disc = np.zeros(size, np.uint8)
            centre = (round((u + HALF_M) * 4), round((s + lap) * 4))
            if -40 < centre[1] < size[0] + 40:
                cv2.circle(disc, centre, round(radius * 4), 1, -1)
                light[(disc > 0) & (dapple > -0.7)] = 0
    return cv2.GaussianBlur(light, (0, 0), 1.2).astype(np.uint8, copy=False)
