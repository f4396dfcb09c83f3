"""Lay out a lap: plots with houses or gardens along both sides, street furniture, and their shadows."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from train.drive import buildings, foliage, furniture
from train.drive.canvas import Picture
from train.drive.ground import Profile, shadow_map
from train.drive.world import LAP_M, Floats, Light, Road


@dataclass(frozen=True)
class Kind:
    """A kind of street: its measures and how often things occur (metres between them, or shares)."""

    half: tuple[float, float]
    pavement: tuple[float, float]
    setback: tuple[float, float]
    houses: float
    shops: float
    floors: tuple[int, int]
    tree_m: float
    walker_m: float
    parked: float
    bend: float


KINDS = {
    "town": Kind((3.7, 5.2), (1.9, 3.2), (0.0, 0.0), 0.9, 0.5, (2, 4), 60, 11, 0.45, 1 / 420),
    "avenue": Kind((3.9, 5.6), (1.8, 2.6), (3.0, 6.0), 0.72, 0.04, (2, 3), 13, 22, 0.5, 1 / 260),
    "edge": Kind((4.2, 6.2), (1.6, 2.4), (5.0, 9.0), 0.35, 0.02, (2, 3), 10, 30, 0.15, 1 / 220),
}


class Plots:
    """Houses in rows, gardens between them, fences and hedges in front, trees behind and along the pavement."""

    def __init__(self, rng: np.random.Generator, kind: Kind, profile: Profile, light: Light, road: Road) -> None:
        self.houses: list[buildings.Building] = []
        self.panels: list[furniture.Panel] = []
        self.trees: list[foliage.Tree] = []
        self._rng, self._kind, self._light, self._road = rng, kind, light, road
        winter = rng.random() < 0.45
        self._kinds = [foliage.bare(rng, light) if winter and i % 4 else foliage.leafy(rng, light) for i in range(5)]
        self._bushes = [foliage.leafy(rng, light, trunk=0.0) for _ in range(2)]
        for side in (-1, 1):
            normal = np.array([-side, 0.0, 0.1])
            self._fences = [(furniture.fence(rng, light, normal), furniture.FENCE) for _ in range(2)]
            self._fences.append((foliage.hedge(rng, light, normal), foliage.TREE))
            self._fill(side, profile.half + profile.pavement[0 if side < 0 else 1])

    def _fill(self, side: int, line: float) -> None:
        """Add plots from the first metre of the lap to the last, behind the pavement's far edge at `line`."""
        rng, kind = self._rng, self._kind
        s, left_in_row = 0.0, 0
        while s < LAP_M - 5:
            left_in_row -= 1
            if rng.random() < kind.houses:
                if left_in_row < 0:
                    left_in_row, setback = int(rng.integers(1, 5)), rng.uniform(*kind.setback)
                    floors, storey = int(rng.integers(kind.floors[0], kind.floors[1] + 1)), rng.uniform(2.7, 3.3)
                    rise = 0.0 if rng.random() < 0.2 else rng.uniform(1.6, 3.6)
                    shop = bool(rng.random() < kind.shops)
                width = rng.uniform(5.5, 12) if kind.setback[1] == 0 else rng.uniform(7, 14)
                width = min(width, LAP_M - s)
                height = floors * storey + rng.uniform(-0.3, 0.5) + (0.7 if shop else 0)
                house = buildings.Building(
                    s0=s,
                    s1=s + width,
                    u=side * (line + setback),
                    depth=rng.uniform(7, 10),
                    height=height,
                    rise=rise,
                    floors=floors,
                    shop=shop,
                    shade=self._shade(side, line),
                    seed=int(rng.integers(1 << 30)),
                    light=self._light,
                    road=self._road,
                )
                self.houses.append(house)
                if setback > 1:
                    self._front(s, s + width, side * (line + 0.25), gate=True)
                if setback > 2.5 and rng.random() < 0.6:
                    self._plant(s + rng.uniform(0, width), side * (line + setback * 0.5))
                s += width if left_in_row > 0 or kind.setback[1] == 0 else width + rng.uniform(1.5, 5)
            else:
                width = min(rng.uniform(8, 26), LAP_M - s)
                if rng.random() < 0.85:
                    self._front(s, s + width, side * (line + 0.3), gate=False)
                for _ in range(int(width / 5)):
                    self._plant(s + rng.uniform(0, width), side * (line + rng.uniform(2, 11)))
                s, left_in_row = s + width, 0
        at = side * (line - 0.5 if kind.setback[1] == 0 else line + 0.9)
        for place in np.arange(rng.uniform(0, kind.tree_m), LAP_M, kind.tree_m):
            if rng.random() < 0.75:
                texture = self._kinds[rng.integers(len(self._kinds))]
                self.trees.append(foliage.Tree(place + rng.uniform(-2, 2), at, rng.uniform(5.5, 9.5), texture))

    def _shade(self, side: int, line: float) -> float:
        """Return the metres up to which 9 m high houses opposite keep the sun from a facade on this side."""
        sun = self._light.sun
        if sun[0] * -side <= 0:
            return 0.0
        fall = float(sun[2]) / max(float(np.hypot(*sun[:2])) * 0.8, 0.05)
        return max(9.0 - (2 * line + sum(self._kind.setback)) * fall, 0.0)

    def _front(self, s0: float, s1: float, u: float, *, gate: bool) -> None:
        """Add fence or hedge along a plot, in panels of 4 m, with a way in where there is a house."""
        texture, label = self._fences[self._rng.integers(len(self._fences))]
        height = self._rng.uniform(1.1, 1.8) if label == foliage.TREE else self._rng.uniform(1.0, 1.7)
        for s in np.arange(s0, s1 - 1.0, 4.0):
            end = min(s + 4.0, s1)
            if gate and s + 4 > s1 - 4:
                end = min(end, s1 - 2.2)
            if end - s > 0.6:
                self.panels.append(furniture.Panel(s, end, u, height, texture, label))

    def _plant(self, s: float, u: float) -> None:
        rng = self._rng
        bush = rng.random() < 0.4
        height = rng.uniform(1.2, 2.8) if bush else rng.uniform(5, 11)
        textures = self._bushes if bush else self._kinds
        self.trees.append(foliage.Tree(s, u, height, textures[rng.integers(len(textures))]))


def posts_along(rng: np.random.Generator, profile: Profile, light: Light, own: int) -> list[furniture.Post]:
    """Return street lamps, signs (mostly on the side `own` that traffic keeps to), traffic lights and bollards."""
    posts = []
    metal = np.array([[118.0, 122, 124], [58, 62, 62], [92, 98, 92]][rng.integers(3)])
    lamp_m, height = rng.uniform(24, 34), rng.uniform(6, 8.5)
    for i, s in enumerate(np.arange(rng.uniform(0, lamp_m), LAP_M - 5, lamp_m)):
        side = -1 if i % 2 else 1
        posts.append(furniture.Post(s, side * (profile.half + 0.55), height, 0.085, metal, arm=rng.uniform(1.2, 2.0)))
    for s in np.arange(rng.uniform(0, 20), LAP_M, 17.0):
        side = own if rng.random() < 0.65 else -own
        plates = [(furniture.sign(rng, light), 2.1, rng.uniform(0.65, 0.9))]
        if rng.random() < 0.35:
            plates.append((furniture.sign(rng, light), 2.95, 0.6))
        top = plates[-1][1] + plates[-1][2]
        posts.append(
            furniture.Post(s + rng.uniform(-5, 5), side * (profile.half + 0.5), top, 0.045, metal, signs=tuple(plates))
        )
    junction = rng.uniform(30, LAP_M - 30)
    for side in (-1, 1):
        head = ((furniture.traffic_light(rng), 2.3, 0.95),)
        posts.append(
            furniture.Post(junction, side * (profile.half + 0.45), 3.2, 0.06, np.array([60.0, 62, 64]), signs=head)
        )
    start = rng.uniform(0, LAP_M)
    kerb, black = -own * (profile.half + 0.4), np.array([46.0, 46, 48])
    posts += [furniture.Post((start + s) % LAP_M, kerb, 0.95, 0.07, black) for s in range(0, 16, 2)]
    return posts


def sunshine_between(
    rng: np.random.Generator, plots: Plots, posts: list[furniture.Post], light: Light, road: Road
) -> Picture:
    """Return where houses, trees and posts keep the sun from the ground (see `ground.shadow_map`)."""
    if light.direct.max() < 0.2:
        return shadow_map([], [], rng)

    def cast(s: float, height: float) -> Floats:
        heading = float(road.heading(s))
        east, north = -light.sun[:2] / max(float(light.sun[2]), 0.2) * height
        ahead, right = (
            math.sin(heading) * east + math.cos(heading) * north,
            math.cos(heading) * east - math.sin(heading) * north,
        )
        return np.array([ahead, right])

    polygons = []
    for house in plots.houses:
        throw = cast(house.s0, house.height + house.rise * 0.4)
        back = house.u + house.side * house.depth
        low, high = sorted((house.u, back))
        corners = np.array([[house.s0, low], [house.s1, low], [house.s1, high], [house.s0, high]])
        for i in range(4):
            a, b = corners[i], corners[(i + 1) % 4]
            polygons.append(np.stack([a, b, b + throw, a + throw]))
    for post in posts:
        foot = np.array([post.s, post.u])
        width = np.array([0.08, 0.0])
        throw = cast(post.s, post.height)
        polygons.append(np.stack([foot - width, foot + width, foot + width + throw, foot - width + throw]))
    blots = []
    for tree in plots.trees:
        throw = cast(tree.s, tree.height * 0.6)
        blots.append((tree.s + throw[0], tree.u + throw[1], tree.height * 0.33))
        foot, thin = np.array([tree.s, tree.u]), np.array([0.15, 0.0])
        polygons.append(np.stack([foot - thin, foot + thin, foot + thin + throw, foot - thin + throw]))
    return shadow_map(polygons, blots, rng)
