"""Load unlabelled pictures of other roads and cameras, to learn from beside the labelled set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from segnet_live.errors import DataError
from segnet_live.learning.data import PICTURES, files_by_stem, read_rgb
from train.opinions import Opinions
from train.sky import with_sky

LONGEST = 640
"""Larger pictures are reduced to this width or height: the networks run at about 173 000 pixels."""


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """An unlabelled picture: (H, W, 3) uint8 RGB, and (K, h, w) uint8 probabilities of the teachers times 255."""

    name: str
    rgb: NDArray[np.uint8]
    soft: NDArray[np.uint8]

    @property
    def source(self) -> str:
        """Return the collection that a picture comes from: its name up to the last underscore."""
        return self.name.rpartition("_")[0] or self.name


def load_pictures(folder: Path, opinions: Opinions, held_out: Sequence[str] = ()) -> list[Picture]:
    """Return the folder's pictures on which there is an opinion, by name, without those named in `held_out`.

    Where blue sky or haze is plain to see, it counts instead of the opinion (`train.sky`).

    Raises:
        DataError: the folder is missing, or no picture in it has an opinion.
    """
    if not folder.is_dir():
        raise DataError(f"{folder} is no folder", "pass one of unlabelled pictures (PNG, JPEG or WebP)")
    pictures = []
    for name, path in files_by_stem(folder, *PICTURES).items():
        soft = None if name in held_out else opinions.of(name)
        if soft is None:
            continue
        rgb = reduced(read_rgb(path))
        pictures.append(Picture(name, rgb, with_sky(soft, rgb, opinions.classes)))
    if not pictures:
        raise DataError(f"{folder} holds no picture that --opinions know", "soft labels are named as their pictures")
    return pictures


def reduced(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a picture (H, W, 3), made smaller where it is higher or wider than LONGEST."""
    shrink = LONGEST / max(rgb.shape[:2])
    if shrink >= 1:
        return rgb
    size_wh = (round(rgb.shape[1] * shrink), round(rgb.shape[0] * shrink))
    return cv2.resize(rgb, size_wh, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)


def source_chances(pictures: Sequence[Picture]) -> NDArray[np.float64]:
    """Return (N,) the chance of each picture: a source of n is drawn in proportion to sqrt(n), its pictures evenly."""
    count: dict[str, int] = {}
    for picture in pictures:
        count[picture.source] = count.get(picture.source, 0) + 1
    chances = np.array([count[p.source] ** -0.5 for p in pictures])
    return np.asarray(chances / chances.sum())
