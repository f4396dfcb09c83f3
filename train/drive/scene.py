"""Build a seed's scene: the street's kind, its light, and everything that stands or moves along one lap of it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property, lru_cache

import numpy as np

from train.drive import buildings, foliage, furniture, people, vehicles
from train.drive.canvas import Picture
from train.drive.ground import HALF_M, Ground, Profile
from train.drive.layout import KINDS, Kind, Plots, posts_along, sunshine_between
from train.drive.world import LAP_M, Floats, Light, Road


@dataclass(frozen=True)
class Mover:
    """Something at (s, u) that goes along the road at `speed` m/s (towards smaller s if negative, 0 stands)."""

    thing: vehicles.Vehicle | people.Person
    s: float
    u: float
    speed: float
    rides: bool = False


@dataclass
class Scene:
    """The scene of a drive, all that `render` needs besides time; build it with `build`."""

    seed: int
    road: Road
    light: Light
    ground: Ground
    sunshine: Picture
    sky: tuple[Floats, Floats]
    cloudiness: float
    own_u: float
    start_s: float
    speed: float
    eye_m: float
    focal_share: float
    horizon_share: float
    exposure: float
    houses: list[buildings.Building] = field(default_factory=list)
    trees: list[foliage.Tree] = field(default_factory=list)
    panels: list[furniture.Panel] = field(default_factory=list)
    posts: list[furniture.Post] = field(default_factory=list)
    movers: list[Mover] = field(default_factory=list)

    @cached_property
    def house_spans(self) -> tuple[Floats, Floats]:
        """(N, 2) from..to along the road, and (N, 6) metres right of it of the corners `buildings.draw` wants."""
        lines = []
        for house in self.houses:
            back = house.u + house.side * house.depth
            lines.append([house.u, house.u, back, back, (house.u + back) / 2, (house.u + back) / 2])
        return np.array([[h.s0, h.s1] for h in self.houses]).reshape(-1, 2), np.array(lines).reshape(-1, 6)

    @cached_property
    def panel_spans(self) -> tuple[Floats, Floats]:
        """(N, 2) from..to along the road, and (N, 2) metres right of it."""
        spans = np.array([[p.s0, p.s1] for p in self.panels]).reshape(-1, 2)
        return spans, np.array([[p.u, p.u] for p in self.panels]).reshape(-1, 2)

    @cached_property
    def tree_places(self) -> tuple[Floats, Floats]:
        return np.array([t.s for t in self.trees]), np.array([t.u for t in self.trees])

    @cached_property
    def post_places(self) -> tuple[Floats, Floats]:
        return np.array([p.s for p in self.posts]), np.array([p.u for p in self.posts])

    @cached_property
    def mover_places(self) -> tuple[Floats, Floats, Floats]:
        """(N,) s at time 0, u and speed."""
        rows = np.array([[m.s, m.u, m.speed] for m in self.movers])
        return rows[:, 0], rows[:, 1], rows[:, 2]

    def sunlit(self, s: float, u: float) -> float:
        """Return the share of direct sunlight that reaches the ground there, 0..1."""
        row = int(s % LAP_M * 4) % self.sunshine.shape[0]
        column = min(max(int((u + HALF_M) * 4), 0), self.sunshine.shape[1] - 1)
        return float(self.sunshine[row, column]) / 255


def _light(rng: np.random.Generator) -> tuple[Light, tuple[Floats, Floats], float]:
    """Return the light, the sky's colours at (horizon, zenith), and how much of it clouds cover."""
    elevation, azimuth = math.radians(rng.uniform(22, 50)), rng.uniform(0, 2 * math.pi)
    sun = np.array(
        [math.sin(azimuth) * math.cos(elevation), math.cos(azimuth) * math.cos(elevation), math.sin(elevation)]
    )
    pale = np.array([240.0, 243, 246])
    if rng.random() < 0.4:
        ambient = np.array([0.92, 0.94, 0.96]) * rng.uniform(0.8, 1.1)
        sky = (pale * rng.uniform(0.9, 1.04), np.array([196.0, 202, 210]) * rng.uniform(0.88, 1.12))
        return (
            Light(sun, np.array([0.06, 0.06, 0.05]), ambient, sky[0] * 0.92, rng.uniform(350, 900)),
            sky,
            rng.uniform(0.9, 1.3),
        )
    warmth = rng.uniform(0, 0.12)
    direct = np.array([0.86 + warmth, 0.81, 0.74 - warmth]) * rng.uniform(0.8, 1.05)
    ambient = np.array([0.52, 0.55, 0.60]) * rng.uniform(0.9, 1.15)
    sky = (pale * rng.uniform(0.93, 1.04), np.array([118.0, 156, 206]) * rng.uniform(0.9, 1.15))
    return Light(sun, direct, ambient, sky[0] * 0.9, rng.uniform(600, 1400)), sky, rng.uniform(0.2, 0.9)


@lru_cache(maxsize=4)
def build(seed: int) -> Scene:
    """Return the scene of a seed; takes about half a second, so the last few are kept."""
    rng = np.random.default_rng([seed, 0x5E67])
    kind = KINDS[str(rng.choice(list(KINDS), p=[0.45, 0.35, 0.2]))]
    light, sky, cloudiness = _light(rng)
    road = Road(rng, kind.bend * rng.uniform(0.2, 1))
    half = rng.uniform(*kind.half)
    pavement = (rng.uniform(*kind.pavement), rng.uniform(*kind.pavement))
    open_side = kind.setback[1] > 0
    profile = Profile(
        half,
        pavement,
        (open_side, open_side),
        str(rng.choice(["dashes", "dashes", "solid", "none"])),
        str(rng.choice(["double yellow", "none"] if not open_side else ["white", "none", "double yellow"])),
    )
    own = -1 if rng.random() < 0.75 else 1
    plots = Plots(rng, kind, profile, light, road)
    posts = posts_along(rng, profile, light, own)
    sunshine = sunshine_between(rng, plots, posts, light, road)
    scene = Scene(
        seed, road, light, Ground(rng, profile, light, sunshine), sunshine, sky, cloudiness,
        own_u=own * half * (0.44 if half < 5 else 0.36),
        start_s=rng.uniform(0, LAP_M), speed=rng.uniform(6, 11), eye_m=rng.uniform(1.2, 1.6),
        focal_share=rng.uniform(0.82, 1.0), horizon_share=rng.uniform(0.42, 0.52), exposure=rng.uniform(0.85, 1.15),
        houses=plots.houses, trees=plots.trees, panels=plots.panels, posts=posts,
    )  # fmt: skip
    scene.movers = _movers(rng, kind, profile, scene, own)
    return scene


def _movers(rng: np.random.Generator, kind: Kind, profile: Profile, scene: Scene, own: int) -> list[Mover]:
    movers: list[Mover] = []
    start, half = scene.start_s, profile.half
    movers.append(Mover(vehicles.random_vehicle(rng), start + rng.uniform(13, 32), scene.own_u, scene.speed))
    s = start + rng.uniform(55, 90)
    while s < start + LAP_M - 20:
        if rng.random() < 0.5:
            movers.append(Mover(vehicles.random_vehicle(rng), s, scene.own_u + rng.normal(0, 0.1), scene.speed))
        s += rng.uniform(16, 50)
    s = start + rng.uniform(20, 45)
    while s < start + LAP_M - 10:
        movers.append(Mover(vehicles.random_vehicle(rng), s, -scene.own_u + rng.normal(0, 0.12), -9.0))
        s += rng.uniform(22, 75)
    kerbside = own if half > 5.0 and rng.random() < 0.5 else (-own if half > 4.6 else 0)
    for side in (-1, 1):
        roomy = side == kerbside
        for s in np.arange(rng.uniform(0, 6), LAP_M - 3, 6.2):
            if roomy and rng.random() < kind.parked:
                direction = 1e-9 if side == own or rng.random() < 0.2 else -1e-9
                movers.append(Mover(vehicles.random_vehicle(rng), s, side * (half - 1.0), direction))
        line = profile.pavement[0 if side < 0 else 1]
        for s in np.arange(rng.uniform(0, kind.walker_m), LAP_M, kind.walker_m * 2):
            for _ in range(int(rng.choice([1, 1, 2, 3]))):
                speed = rng.uniform(0.9, 1.6) * rng.choice([-1, 1])
                at = half + rng.uniform(0.9, max(line - 0.35, 1.1))
                movers.append(Mover(people.random_person(rng), s + rng.uniform(-3, 3), side * at, speed))
        if roomy:
            continue
        for s in np.arange(rng.uniform(0, 40), LAP_M, 42.0):
            speed = rng.uniform(3.5, 5.5) * (1 if side == own else -1)
            movers.append(Mover(people.random_person(rng), s, side * (half - 0.55), speed, rides=True))
    return movers
