"""Aim crops at classes drawn evenly, so that rare ones come up more often than their pixels would.

Of unlabelled pictures, first a class is drawn, then a picture in which the teachers are sure of it, then one of its
pixels. DAFormer (Hoyer et al., arXiv:2111.14887) draws its labelled images so: rare class sampling, with higher chances
for rarer classes where ours are even.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from segnet_live.learning.losses import CONFIDENT
from train.pictures import Picture, source_chances

PER_CLASS = 24
"""Pixels per class and image that a crop may be aimed at."""
LEAST_PIXELS = 20
"""Of a class, at the size of the soft labels: fewer are as often a teacher's mistake."""

Places = dict[int, NDArray[np.float64]]
"""By class id, (n, 2) rows and columns of up to PER_CLASS of its pixels."""


def label_places(labels: NDArray[np.uint8], classes: int, rng: np.random.Generator) -> Places:
    """Return places of each class in a label map (H, W)."""
    return _places(labels, classes, 1, rng)


def picture_places(picture: Picture, rng: np.random.Generator) -> Places:
    """Return places, in pixels of the picture, of each class that the teachers are sure to see in it."""
    classes, height, _ = picture.soft.shape
    ids = np.where(picture.soft.max(0) >= CONFIDENT * 255, picture.soft.argmax(0), classes)
    found = _places(ids, classes, LEAST_PIXELS, rng)
    return {class_id: places * (picture.rgb.shape[0] / height) for class_id, places in found.items()}


def _places(ids: NDArray[np.integer], classes: int, least: int, rng: np.random.Generator) -> Places:
    found = {}
    for class_id in range(classes):
        places = np.argwhere(ids == class_id)
        if len(places) >= least:
            some = rng.choice(len(places), min(len(places), PER_CLASS), replace=False)
            found[class_id] = places[some].astype(np.float64)
    return found


def one_of(places: NDArray[np.float64], rng: np.random.Generator) -> tuple[float, float]:
    """Return the row and the column of a place drawn from (n, 2)."""
    row, column = places[int(rng.integers(len(places)))]
    return float(row), float(column)


class PictureDraw:
    """Draw unlabelled pictures: each source by the root of its size, or a class first.

    Args:
        pictures: with their soft labels.
        uniform: chance that a class is drawn, evenly among those in any picture, and then a picture that shows it.
        seed: of the places kept for each class.
    """

    def __init__(self, pictures: Sequence[Picture], uniform: float, seed: int) -> None:
        self._chances, self._uniform = source_chances(pictures), uniform
        rng = np.random.default_rng((seed, len(pictures)))
        self._places = [picture_places(picture, rng) for picture in pictures] if uniform else []
        by_class: dict[int, list[int]] = {}
        for index, places in enumerate(self._places):
            for class_id in places:
                by_class.setdefault(class_id, []).append(index)
        self._by_class = [(class_id, np.array(shown)) for class_id, shown in sorted(by_class.items())]

    def draw(self, rng: np.random.Generator) -> tuple[int, tuple[float, float] | None]:
        """Return a picture's index and, where a class was drawn, the pixel of it that the crop is to show."""
        if not self._by_class or rng.random() >= self._uniform:
            return int(rng.choice(len(self._chances), p=self._chances)), None
        class_id, shown = self._by_class[int(rng.integers(len(self._by_class)))]
        chances = self._chances[shown]
        index = int(rng.choice(shown, p=chances / chances.sum()))
        return index, one_of(self._places[index][class_id], rng)
