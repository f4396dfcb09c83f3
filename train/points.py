"""Score a network on points labelled by hand on pictures of other roads: the share right, picture by picture."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from segnet_live.card import Card
from segnet_live.classes import ClassSet
from segnet_live.errors import DataError, first_line
from segnet_live.learning.data import PICTURES, files_by_stem, read_rgb
from segnet_live.learning.evaluate import through
from train.measure import Through
from train.sky import blue_sky_right

COLUMNS = ("picture", "x", "y", "class")
HERE = Path(__file__).parent / "roads-points.csv"
"""1047 points on 26 pictures of 18 public collections, which training leaves out (`--held-out`); coordinates alone."""


@dataclass(frozen=True, slots=True)
class Point:
    """A labelled place: fractions 0..1 of the picture's width and height, and its class id."""

    x: float
    y: float
    class_id: int

    def pixel(self, height: int, width: int) -> tuple[int, int]:
        """Return the row and the column of the pixel that the place lies in."""
        return min(int(self.y * height), height - 1), min(int(self.x * width), width - 1)


@dataclass(frozen=True, slots=True, eq=False)
class Shot:
    """A picture and what is at its points: (H, W, 3) uint8 RGB."""

    name: str
    rgb: NDArray[np.uint8]
    points: Sequence[Point]


@dataclass(slots=True)
class Score:
    """The points that are right and all points, by picture and by class name."""

    right: dict[str, int] = field(default_factory=dict)
    count: dict[str, int] = field(default_factory=dict)

    def add(self, key: str, right: bool) -> None:
        self.right[key] = self.right.get(key, 0) + right
        self.count[key] = self.count.get(key, 0) + 1

    def shares(self) -> dict[str, float]:
        return {key: self.right[key] / self.count[key] for key in self.count}


def read_points(path: Path, classes: ClassSet) -> dict[str, list[Point]]:
    """Return the points of a CSV file with the columns picture, x, y and class, by picture name without extension.

    Raises:
        DataError: the file is missing, lacks a column, or holds a number or class that is none.
    """
    points: dict[str, list[Point]] = {}
    try:
        with path.open(newline="", encoding="utf-8") as file:
            for number, row in enumerate(csv.DictReader(file), start=2):
                try:
                    place = Point(float(row["x"]), float(row["y"]), classes.names.index(row["class"]))
                    points.setdefault(Path(row["picture"]).stem, []).append(place)
                except (KeyError, ValueError) as error:
                    wanted = ", ".join(COLUMNS)
                    raise DataError(f"{path}, line {number}: {error}", f"needs the columns {wanted}") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read ({first_line(error)})", "pass a file of labelled points") from error
    return points


def read_shots(points: Path, pictures: Path, classes: ClassSet) -> list[Shot]:
    """Return the labelled pictures.

    Raises:
        DataError: see `read_points`; or a picture is missing.
    """
    labelled = read_points(points, classes)
    files = files_by_stem(pictures, *PICTURES)
    missing = sorted(set(labelled) - set(files))
    if missing:
        raise DataError(f"{pictures} has no picture {missing[0]}", "pass the folder that the points were labelled on")
    return [Shot(name, read_rgb(files[name]), at) for name, at in labelled.items()]


def score_points(card: Card, shots: Sequence[Shot], via: Through) -> dict[str, Any]:
    """Print and return the mean share of points right over the pictures, and the shares by picture and by class.

    And the share of the blue sky (`train.sky`) that is Sky, as the mean over the pictures that show any.
    """
    by_picture, by_class = Score(), Score()
    skies: dict[str, float] = {}
    for shot, labels in _labelled(card, shots, via):
        for point in shot.points:
            right = int(labels[point.pixel(*labels.shape)]) == point.class_id
            by_picture.add(shot.name, right)
            by_class.add(card.classes.names[point.class_id], right)
        if "Sky" in card.classes.names:
            share = blue_sky_right(labels, shot.rgb, card.classes.names.index("Sky"))
            skies |= {} if share is None else {shot.name: share}
    shares = by_picture.shares()
    table = Table(title=f"{card.name}: mean {np.mean(list(shares.values())):.3f} of {len(shares)} pictures")
    for heading in ("class", "right", "points"):
        table.add_column(heading)
    for name, share in by_class.shares().items():
        table.add_row(name, f"{share:.2f}", str(by_class.count[name]))
    Console().print(table)
    for name, share in sorted(shares.items(), key=lambda item: item[1])[:5]:
        print(f"{share:.2f} {name}")
    if skies:
        print(f"blue sky that is Sky: {np.mean(list(skies.values())):.3f} of {len(skies)} pictures")
    return {
        "mean": float(np.mean(list(shares.values()))),
        "pictures": shares,
        "classes": by_class.shares(),
        "points": sum(by_picture.count.values()),
        "blue sky": skies,
    }


def _labelled(card: Card, shots: Sequence[Shot], via: Through) -> Iterator[tuple[Shot, NDArray[np.uint8]]]:
    """Yield the label map (H, W) that the model gives each picture; one engine for all pictures of a size."""
    for size, group in groupby(sorted(shots, key=lambda s: s.rgb.shape), key=lambda s: s.rgb.shape[:2]):
        with closing(via.opened(card, (size[0], size[1]))) as engine:
            segment = through(engine)
            for shot in group:
                yield shot, segment(shot.rgb)
