"""Paint nights, snow and tunnels over labelled pictures of days: kinds of road of which there are no pictures.

What a network gets right on them says whether it learnt what training paints; not how it does on a real night.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal, TypeAlias

import cv2
import numpy as np
import torch
import torch.nn.functional as F

from segnet_live.errors import DataError
from segnet_live.learning.weather import BUILDING, NUMBERS, night, snow, tunnel
from train.opinions import Opinions
from train.pictures import reduced
from train.points import Shot

Painting: TypeAlias = Literal["night", "snow", "tunnel"]
VERSIONS = 4
"""Paintings of each picture, to lessen chance."""


def paint_shots(shots: Sequence[Shot], painting: Painting, opinions: Opinions) -> list[Shot]:
    """Return VERSIONS paintings of each picture, always the same; points that walls hide are Building.

    Raises:
        DataError: there is no opinion on a picture, by which to tell what is where.
    """
    return [
        _painted(shot, painting, opinions, (at, version))
        for at, shot in enumerate(shots)
        for version in range(VERSIONS)
    ]


def _painted(shot: Shot, painting: Painting, opinions: Opinions, seed: tuple[int, int]) -> Shot:
    soft = opinions.of(shot.name)
    if soft is None:
        raise DataError(f"no opinion on {shot.name}", "painting needs soft labels of every labelled picture")
    rgb = reduced(shot.rgb)
    x = torch.from_numpy(rgb).permute(2, 0, 1).float() / 255
    scene = F.interpolate(torch.from_numpy(soft).float()[None], rgb.shape[:2], mode="bilinear")[0].argmax(0)
    numbers = torch.from_numpy(np.random.default_rng(seed).random(NUMBERS, np.float32))
    points = list(shot.points)
    if painting == "tunnel":
        x, walls = tunnel(x, scene, numbers)
        points = [replace(p, class_id=BUILDING) if walls[p.pixel(*walls.shape)] else p for p in points]
    else:
        x = (night if painting == "night" else snow)(x, scene, numbers)
    painted = (x.permute(1, 2, 0) * 255).round().to(torch.uint8).numpy()
    return Shot(shot.name, cv2.resize(painted, shot.rgb.shape[1::-1]).astype(np.uint8, copy=False), points)
