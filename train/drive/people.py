"""People on foot and on bicycles: jointed figures that walk and pedal."""

# ruff: noqa: RUF005 - `+` adds numpy arrays here, it joins no lists
from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from train.drive.canvas import Canvas, Picture
from train.drive.world import Camera, Floats, Light

PEDESTRIAN, BICYCLIST = 9, 10

_COATS = (
    (48, 50, 60),
    (74, 64, 58),
    (112, 38, 42),
    (56, 74, 112),
    (136, 126, 112),
    (36, 36, 40),
    (172, 168, 160),
    (82, 96, 72),
)
_TROUSERS = ((42, 50, 72), (30, 30, 34), (70, 64, 56), (54, 56, 62), (96, 90, 80))
_SKIN = ((206, 164, 138), (182, 136, 108), (120, 84, 62), (224, 182, 158))
_HAIR = ((44, 34, 26), (24, 20, 18), (112, 84, 52), (140, 136, 130))
_BAGS = ((40, 40, 46), (120, 40, 40), (60, 70, 90))


_TURN = np.linspace(0, 2 * math.pi, 16, endpoint=False)
_CIRCLE = np.stack([np.cos(_TURN), np.zeros(16), np.sin(_TURN)], 1)


@dataclass(frozen=True)
class Person:
    """A person's fixed traits: height in metres, build, colours, where in the stride they began."""

    height: float
    build: float
    coat: Floats
    trousers: Floats
    skin: Floats
    hair: Floats
    bag: Floats | None
    phase: float


def random_person(rng: np.random.Generator) -> Person:
    def one(colours: tuple[tuple[int, int, int], ...]) -> Floats:
        return np.clip(np.array(colours[rng.integers(len(colours))]) * rng.uniform(0.8, 1.2), 8, 235)

    bag = one(_BAGS) if rng.random() < 0.4 else None
    return Person(
        rng.uniform(1.58, 1.88), rng.uniform(0.88, 1.15), one(_COATS), one(_TROUSERS), one(_SKIN), one(_HAIR), bag,
        rng.uniform(0, 2 * math.pi),
    )  # fmt: skip


class _Figure:
    """Parts in a figure's own axes (x ahead, y left, z up, metres), collected and then painted in the order given."""

    def __init__(self, camera: Camera, at: Floats, heading: float) -> None:
        sine, cosine = math.sin(heading), math.cos(heading)
        self._camera, self._at = camera, np.array([at[0], at[1], 0.0])
        self._axes = np.array([[sine, cosine, 0], [-cosine, sine, 0], [0, 0, 1]])
        self.depth = float(camera.view(self._at)[2])
        self.left_is_near = bool(camera.turn(self._axes[1])[2] < 0)
        self.end_on = abs(float(camera.turn(self._axes[0])[0])) < 0.12
        self._points: list[Floats] = []
        self._radii: list[float] = []
        self._parts: list[tuple[str, int, Floats]] = []

    def limb(self, a: Floats, b: Floats, radius_a: float, radius_b: float, colour: Floats) -> None:
        self._parts.append(("limb", 2, colour))
        self._points += [a, b]
        self._radii += [radius_a, radius_b]

    def trunk(self, balls: Floats, radii: Sequence[float], colour: Floats) -> None:
        """Add the hull of several balls."""
        self._parts.append(("trunk", len(balls), colour))
        self._points += list(balls)
        self._radii += radii

    def tyre(self, middle: Floats, radius: float, width: float, colour: Floats) -> None:
        self._parts.append(("tyre", 2 * len(_CIRCLE), colour))
        self._points += [*(middle + _CIRCLE * radius), *(middle + _CIRCLE * (radius - width))]
        self._radii += [0.0] * (2 * len(_CIRCLE))

    def paint(self, canvas: Canvas, light: Light, sunlit: float, label: int, shadow: tuple[float, float]) -> None:
        """Paint all parts, with a soft shadow of (length, width) under them."""
        if self.depth < 45:
            ahead, left = self._axes[0] * shadow[0], self._axes[1] * shadow[1]
            canvas.darken(_SHADOW, self._camera.plane(self._at + ahead + left, -2 * left, -2 * ahead))
        view = self._camera.view(np.array(self._points) @ self._axes + self._at)
        np.maximum(view[:, 2], 0.5, out=view[:, 2])
        at, scale = self._camera.screen(view), self._camera.focal / max(self.depth, 0.5)
        radii = np.maximum(np.array(self._radii) * scale, 0.5)
        gain = light.gain([0.0, 0.0, 1.0], max(sunlit, 0.25)) * 1.1
        colours = light.through_air(np.array([c for _, _, c in self._parts]) * gain, self.depth)
        sun_side = float(self._camera.turn(light.sun)[0]) * sunlit
        shift, brighter = math.copysign(0.35, sun_side), 1 + 0.28 * min(abs(sun_side) * 2, 1)
        lit = np.clip(colours * brighter, 0, 255)
        first = 0
        for i, (kind, count, _) in enumerate(self._parts):
            p, r = at[first : first + count], radii[first : first + count]
            first += count
            if kind == "limb":
                canvas.capsule(p[0], p[1], r[0], r[1], colours[i], label)
                if r[0] > 3:
                    p = p + r[:, None] * (shift, 0.0)
                    canvas.capsule(p[0], p[1], r[0] * 0.55, r[1] * 0.55, lit[i], label)
            elif kind == "tyre":
                canvas.ring(p[: count // 2], p[count // 2 :], colours[i], label)
            else:
                canvas.polygon(_hull(p, r), colours[i], label)
                if r[0] > 3:
                    thin = p.mean(0) + (p - p.mean(0)) * (0.6, 1.0) + (shift * r.mean(), 0.0)
                    canvas.polygon(_hull(thin, r * 0.7), lit[i], label)


def _hull(balls: Floats, radii: Floats) -> Floats:
    dots = (balls[:, None] + _CIRCLE[:, ::2] * radii[:, None, None]).reshape(-1, 2)
    return np.asarray(cv2.convexHull(dots.astype(np.float32))[:, 0], np.float64)


def _point(x: float, y: float, z: float) -> Floats:
    return np.array([x, y, z])


def draw_walker(
    canvas: Canvas,
    camera: Camera,
    light: Light,
    person: Person,
    at: Floats,
    heading: float,
    walked_m: float,
    sunlit: float,
) -> None:
    """Paint a person at the ground point `at` who has walked `walked_m` metres (0 speed stands still)."""
    body = _Figure(camera, at, heading)
    if body.depth < 1.0:
        return
    h, wide = person.height, person.build
    stride = person.phase + walked_m * 2 * math.pi / 1.45
    hip, shoulder = 0.52 * h + 0.012 * math.cos(2 * stride), 0.815 * h
    sways = []
    for side, swing in ((1, math.sin(stride)), (-1, -math.sin(stride))):
        knee = _point(0.235 * h * math.sin(0.42 * swing + 0.12), side * 0.085 * wide, hip - 0.24 * h)
        bend = 0.42 * swing - 0.55 * max(0.0, math.cos(stride) * side)
        foot = knee + _point(0.25 * h * math.sin(bend), 0, -0.25 * h * math.cos(bend))
        foot[2] = max(foot[2], 0.05)
        elbow = _point(-0.17 * h * math.sin(0.4 * swing), side * 0.215 * wide, shoulder - 0.17 * h)
        hand = elbow + _point(-0.12 * h * math.sin(0.5 * swing) + 0.06, -side * 0.02, -0.14 * h)
        sways.append((side, knee, foot, elbow, hand))
    if not body.left_is_near:
        sways.reverse()
    sways.reverse()
    for i, (side, knee, foot, elbow, hand) in enumerate(sways):
        leg = person.trousers * (0.85 if i == 0 else 1.0)
        body.limb(_point(0, side * 0.08 * wide, hip), knee, 0.085 * wide, 0.062, leg)
        body.limb(knee, foot, 0.062, 0.045, leg)
        body.limb(foot + [-0.05, 0, -0.01], foot + [0.15, 0, -0.025], 0.045, 0.035, np.array([30.0, 28, 28]))
        if i == 0:
            body.limb(_point(0, side * 0.19 * wide, shoulder), elbow, 0.055, 0.048, person.coat * 0.85)
            body.limb(elbow, hand, 0.047, 0.04, person.coat * 0.85)
    hem = hip - 0.06 * h
    trunk = np.array([[0, 0.14, hem], [0, -0.14, hem], [0, 0.155, shoulder], [0, -0.155, shoulder]]) * [1, wide, 1]
    body.trunk(trunk, [0.08, 0.08, 0.065, 0.065], person.coat)
    if person.bag is not None:
        body.limb(_point(-0.16, 0, shoulder - 0.04), _point(-0.16, 0, shoulder - 0.3), 0.13, 0.14, person.bag)
    side, _, _, elbow, hand = sways[1]
    body.limb(_point(0, side * 0.19 * wide, shoulder), elbow, 0.055, 0.048, person.coat * 1.05)
    body.limb(elbow, hand, 0.047, 0.04, person.coat * 1.05)
    body.limb(hand, hand + [0.01, 0, -0.06], 0.035, 0.03, person.skin)
    _head(body, person, _point(0.02, 0, shoulder), h)
    body.paint(canvas, light, sunlit, PEDESTRIAN, (0.7, 0.6))


def _head(body: _Figure, person: Person, neck: Floats, h: float) -> None:
    body.limb(neck, neck + [0.01, 0, 0.05 * h], 0.06, 0.05, person.coat * 0.9)
    crown = neck + [0.02, 0, 0.098 * h]
    body.limb(crown + [0.005, 0, -0.035], crown + [0, 0, 0.025], 0.07, 0.082, person.skin)
    body.limb(crown + [-0.035, 0, -0.015], crown + [-0.01, 0, 0.05], 0.078, 0.076, person.hair)


def draw_cyclist(
    canvas: Canvas,
    camera: Camera,
    light: Light,
    person: Person,
    at: Floats,
    heading: float,
    ridden_m: float,
    sunlit: float,
) -> None:
    """Paint a rider and bicycle at the ground point `at` who has ridden `ridden_m` metres."""
    body = _Figure(camera, at, heading)
    if body.depth < 1.5:
        return
    turn = person.phase + ridden_m * 2 * math.pi / 5.0
    steel, rubber = np.clip(person.coat[::-1] * 1.2 + 30, 0, 220), np.array([26.0, 26, 28])
    for x in (-0.52, 0.53):
        body.tyre(_point(x, 0, 0.35), 0.35, 0.045, rubber)
        if body.end_on:
            body.limb(_point(x, 0, 0.02), _point(x, 0, 0.68), 0.022, 0.022, rubber)
    saddle, crank, bar = _point(-0.2, 0, 0.92), _point(-0.06, 0, 0.3), _point(0.4, 0, 1.0)
    rear, front = _point(-0.52, 0, 0.34), _point(0.53, 0, 0.34)
    for a, b in (
        (rear, crank),
        (rear, saddle),
        (crank, saddle),
        (crank, bar),
        (saddle, bar - [0.02, 0, 0.14]),
        (front, bar),
    ):
        body.limb(a, b, 0.022, 0.022, steel)
    body.limb(bar + [0, 0.26, 0.02], bar + [0, -0.26, 0.02], 0.02, 0.02, rubber)
    h, wide = person.height, person.build
    hip, shoulder = saddle + [0, 0, 0.09], _point(0.12, 0, 0.95 + 0.3 * h)
    for i, side in enumerate((-1, 1) if body.left_is_near else (1, -1)):
        pedal = crank + [
            0.17 * math.cos(turn + (side > 0) * math.pi),
            side * 0.11,
            0.17 * math.sin(turn + (side > 0) * math.pi),
        ]
        joint = hip + [0, side * 0.09, 0]
        reach = pedal + [0, 0, 0.06] - joint
        knee = joint + reach / 2 + _point(0.9, 0, 0.35) * math.sqrt(max(0.42**2 - float(reach @ reach) / 4, 0.0))
        leg = person.trousers * (0.85 if i == 0 else 1.0)
        body.limb(joint, knee, 0.085, 0.065, leg)
        body.limb(knee, pedal + [0, 0, 0.06], 0.06, 0.042, leg)
        body.limb(pedal + [-0.06, 0, 0.04], pedal + [0.13, 0, 0.03], 0.04, 0.035, rubber)
        grip, top = bar + [0, side * 0.24, 0.05], shoulder + [0, side * 0.17 * wide, 0]
        elbow = (grip + top) / 2 + [-0.04, side * 0.05, -0.09]
        body.limb(top, elbow, 0.055, 0.046, person.coat * (0.85 if i == 0 else 1.05))
        body.limb(elbow, grip, 0.045, 0.04, person.coat * (0.85 if i == 0 else 1.05))
        if i == 0:
            trunk = np.stack([hip + [0, 0.11, 0], hip - [0, 0.11, 0], shoulder + [0, 0.14, 0], shoulder - [0, 0.14, 0]])
            body.trunk(trunk, [0.09, 0.09, 0.075, 0.075], person.coat)
    if person.bag is not None:
        body.limb(hip + [-0.12, 0, 0.2], shoulder + [-0.16, 0, -0.08], 0.13, 0.12, person.bag)
    _head(body, person, shoulder + [0.06, 0, 0.02], h)
    body.paint(canvas, light, sunlit, BICYCLIST, (1.2, 0.5))


def _shadow() -> Picture:
    cover = np.zeros((32, 32), np.uint8)
    cv2.circle(cover, (16, 16), 7, 130, -1)
    return (255 - cv2.GaussianBlur(cover, (0, 0), 3.2)).astype(np.uint8)


_SHADOW = _shadow()
