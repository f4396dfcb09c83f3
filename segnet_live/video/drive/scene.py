"""What one seed means: the street's kind, its light, and everything that stands or moves along one lap of it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property, lru_cache

import numpy as np

from segnet_live.video.drive import buildings, foliage, furniture, people, vehicles
from segnet_live.video.drive.canvas import Picture, Texture
from segnet_live.video.drive.ground import HALF_M, Ground, Profile, shadow_map
from segnet_live.video.drive.world import LAP_M, Floats, Light, Road


@dataclass(frozen=True)
class Mover:
    """Something at (s, u) that goes along the road at `speed` m/s (towards smaller s if negative, 0 stands)."""

    thing: vehicles.Vehicle | people.Person
    s: float
    u: float
    speed: float
    rides: bool = False


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


@dataclass
class Scene:
    """Everything `render` needs besides time; build it with `build`."""

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
        """Share of direct sunlight that reaches the ground there, 0..1."""
        row = int(s % LAP_M * 4) % self.sunshine.shape[0]
        column = min(max(int((u + HALF_M) * 4), 0), self.sunshine.shape[1] - 1)
        return float(self.sunshine[row, column]) / 255


def _light(rng: np.random.Generator) -> tuple[Light, tuple[Floats, Floats], float]:
    """The light, the sky's colours at (horizon, zenith), and how much of it clouds cover."""
    elevation, azimuth = math.radians(rng.uniform(22, 50)), rng.uniform(0, 2 * math.pi)
    sun = np.array([math.sin(azimuth) * math.cos(elevation), math.cos(azimuth) * math.cos(elevation), math.sin(elevation)])
    pale = np.array([240.0, 243, 246])
    if rng.random() < 0.4:
        ambient = np.array([0.92, 0.94, 0.96]) * rng.uniform(0.8, 1.1)
        sky = (pale * rng.uniform(0.9, 1.04), np.array([196.0, 202, 210]) * rng.uniform(0.88, 1.12))
        return Light(sun, np.array([0.06, 0.06, 0.05]), ambient, sky[0] * 0.92, rng.uniform(350, 900)), sky, rng.uniform(0.9, 1.3)
    warmth = rng.uniform(0, 0.12)
    direct = np.array([0.86 + warmth, 0.81, 0.74 - warmth]) * rng.uniform(0.8, 1.05)
    ambient = np.array([0.52, 0.55, 0.60]) * rng.uniform(0.9, 1.15)
    sky = (pale * rng.uniform(0.93, 1.04), np.array([118.0, 156, 206]) * rng.uniform(0.9, 1.15))
    return Light(sun, direct, ambient, sky[0] * 0.9, rng.uniform(600, 1400)), sky, rng.uniform(0.2, 0.9)


@lru_cache(maxsize=4)
def build(seed: int) -> Scene:
    """The scene of a seed; takes about half a second, so the last few are kept."""
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
    houses, panels, trees = _both_sides(rng, kind, profile, light, road)
    posts = _posts(rng, kind, profile, light, own)
    sunshine = _sunshine(rng, houses, trees, posts, light, road)
    scene = Scene(
        seed, road, light, Ground(rng, profile, light, sunshine), sunshine, sky, cloudiness,
        own_u=own * half * 0.44, start_s=rng.uniform(0, LAP_M), speed=rng.uniform(6, 11), eye_m=rng.uniform(1.2, 1.6),
        focal_share=rng.uniform(0.82, 1.0), horizon_share=rng.uniform(0.42, 0.52), exposure=rng.uniform(0.85, 1.15),
        houses=houses, trees=trees, panels=panels, posts=posts,
    )  # fmt: skip
    scene.movers = _movers(rng, kind, profile, scene, own)
    return scene


def _both_sides(
    rng: np.random.Generator, kind: Kind, profile: Profile, light: Light, road: Road
) -> tuple[list[buildings.Building], list[furniture.Panel], list[foliage.Tree]]:
    houses: list[buildings.Building] = []
    panels: list[furniture.Panel] = []
    trees: list[foliage.Tree] = []
    winter = rng.random() < 0.45
    kinds = [foliage.bare(rng, light) if winter and i % 4 else foliage.leafy(rng, light) for i in range(5)]
    bushes = [foliage.leafy(rng, light, trunk=0.0) for _ in range(2)]
    for side in (-1, 1):
        normal = np.array([-side, 0.0, 0.1])
        fences = [(furniture.fence(rng, light, normal), furniture.FENCE) for _ in range(2)]
        fences.append((foliage.hedge(rng, light, normal), foliage.TREE))
        line = profile.half + profile.pavement[0 if side < 0 else 1]
        opposite = 2 * line + sum(kind.setback)
        fall = float(light.sun[2]) / max(float(np.hypot(*light.sun[:2])) * 0.8, 0.05)
        s, row = 0.0, 0
        while s < LAP_M - 5:
            row -= 1
            if rng.random() < kind.houses:
                if row < 0:
                    row, setback = int(rng.integers(1, 5)), rng.uniform(*kind.setback)
                    floors, storey = int(rng.integers(kind.floors[0], kind.floors[1] + 1)), rng.uniform(2.7, 3.3)
                    rise = 0.0 if rng.random() < 0.2 else rng.uniform(1.6, 3.6)
                    shop = rng.random() < kind.shops
                width = min(rng.uniform(5.5, 12) if kind.setback[1] == 0 else rng.uniform(7, 14), LAP_M - s)
                height = floors * storey + rng.uniform(-0.3, 0.5) + (0.7 if shop else 0)
                shade = max(9.0 - opposite * fall, 0.0) if light.sun[0] * -side > 0 else 0.0
                houses.append(
                    buildings.Building(
                        s, s + width, side * (line + setback), rng.uniform(7, 10), height, rise, floors, shop,
                        shade, int(rng.integers(1 << 30)), light, road,
                    )  # fmt: skip
                )
                _front(rng, panels, fences, s, s + width, side * (line + 0.25), setback > 1, gate=True)
                if setback > 2.5 and rng.random() < 0.6:
                    _plant(rng, trees, kinds, bushes, s + rng.uniform(0, width), side * (line + setback * 0.5))
                s += width if row > 0 or kind.setback[1] == 0 else width + rng.uniform(1.5, 5)
            else:
                width = min(rng.uniform(8, 26), LAP_M - s)
                _front(rng, panels, fences, s, s + width, side * (line + 0.3), rng.random() < 0.85, gate=False)
                for _ in range(int(width / 3.5)):
                    _plant(rng, trees, kinds, bushes, s + rng.uniform(0, width), side * (line + rng.uniform(2, 11)))
                s, row = s + width, 0
        gap = kind.tree_m
        for place in np.arange(rng.uniform(0, gap), LAP_M, gap):
            if rng.random() < 0.75:
                at = side * (line - 0.5 if kind.setback[1] == 0 else line + 0.9)
                trees.append(foliage.Tree(place + rng.uniform(-2, 2), at, rng.uniform(5.5, 9.5), kinds[rng.integers(len(kinds))]))
    return houses, panels, trees


def _front(
    rng: np.random.Generator, panels: list[furniture.Panel], fences: list[tuple[Texture, int]], s0: float, s1: float, u: float,
    wanted: bool, gate: bool,
) -> None:  # fmt: skip
    """Fence or hedge along a plot, in panels of 4 m, with a way in where there is a house."""
    if not wanted:
        return
    texture, label = fences[rng.integers(len(fences))]
    height = rng.uniform(1.1, 1.8) if label == foliage.TREE else rng.uniform(1.0, 1.7)
    for s in np.arange(s0, s1 - 1.0, 4.0):
        end = min(s + 4.0, s1)
        if gate and s + 4 > s1 - 4:
            end = min(end, s1 - 2.2)
        if end - s > 0.6:
            panels.append(furniture.Panel(s, end, u, height, texture, label))


def _plant(
    rng: np.random.Generator, trees: list[foliage.Tree], kinds: list[Texture], bushes: list[Texture], s: float, u: float
) -> None:
    if rng.random() < 0.4:
        trees.append(foliage.Tree(s, u, rng.uniform(1.2, 2.8), bushes[rng.integers(len(bushes))]))
    else:
        trees.append(foliage.Tree(s, u, rng.uniform(5, 11), kinds[rng.integers(len(kinds))]))


def _posts(rng: np.random.Generator, kind: Kind, profile: Profile, light: Light, own: int) -> list[furniture.Post]:
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
        posts.append(furniture.Post(s + rng.uniform(-5, 5), side * (profile.half + 0.5), top, 0.045, metal, signs=tuple(plates)))
    junction = rng.uniform(30, LAP_M - 30)
    for side in (-1, 1):
        head = ((furniture.traffic_light(rng), 2.3, 0.95),)
        posts.append(furniture.Post(junction, side * (profile.half + 0.45), 3.2, 0.06, np.array([60.0, 62, 64]), signs=head))
    start = rng.uniform(0, LAP_M)
    for s in np.arange(0, 16, 2.0):
        posts.append(furniture.Post((start + s) % LAP_M, -own * (profile.half + 0.4), 0.95, 0.07, np.array([46.0, 46, 48])))
    return posts


def _sunshine(
    rng: np.random.Generator,
    houses: list[buildings.Building],
    trees: list[foliage.Tree],
    posts: list[furniture.Post],
    light: Light,
    road: Road,
) -> Picture:
    """Where houses, trees and posts keep the sun from the ground (see `ground.shadow_map`)."""
    if light.direct.max() < 0.2:
        return shadow_map([], [], rng)

    def cast(s: float, height: float) -> Floats:
        heading = float(road.heading(s))
        east, north = -light.sun[:2] / max(float(light.sun[2]), 0.2) * height
        ahead, right = math.sin(heading) * east + math.cos(heading) * north, math.cos(heading) * east - math.sin(heading) * north
        return np.array([ahead, right])

    polygons = []
    for house in houses:
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
    for tree in trees:
        throw = cast(tree.s, tree.height * 0.6)
        blots.append((tree.s + throw[0], tree.u + throw[1], tree.height * 0.33))
        foot, thin = np.array([tree.s, tree.u]), np.array([0.15, 0.0])
        polygons.append(np.stack([foot - thin, foot + thin, foot + thin + throw, foot - thin + throw]))
    return shadow_map(polygons, blots, rng)


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
    for side in (-1, 1):
        roomy = half > 5.0 or (side != own and half > 4.6)
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
        riding = half - (0.55 if not (roomy and kind.parked) else 2.5)
        if side == own and roomy:
            continue
        for s in np.arange(rng.uniform(0, 40), LAP_M, 42.0):
            speed = rng.uniform(3.5, 5.5) * (1 if side == own else -1)
            movers.append(Mover(people.random_person(rng), s, side * riding, speed, rides=True))
    return movers
