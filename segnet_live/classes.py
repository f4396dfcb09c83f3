"""Class sets: names, colours and the void id that a label map's numbers stand for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segnet_live.errors import UsageError


@dataclass(frozen=True, slots=True)
class ClassSet:
    """Names and RGB colours of K classes, ids 0..K-1, and the id of unlabelled pixels.

    Raises:
        ValueError: names and colours differ in number, or there are more than 255 classes.
    """

    names: tuple[str, ...]
    colours: tuple[tuple[int, int, int], ...]
    void_id: int

    def __post_init__(self) -> None:
        if len(self.names) != len(self.colours):
            raise ValueError(
                f"got {len(self.names)} class names and {len(self.colours)} colours; give one colour a class"
            )
        if not 0 < len(self.names) < 256:
            raise ValueError(f"got {len(self.names)} classes; a uint8 label map holds 1 to 255")

    def __len__(self) -> int:
        return len(self.names)

    @property
    def palette(self) -> NDArray[np.uint8]:
        """(256, 3) uint8 RGB lookup table; ids beyond the classes (void) are black."""
        table = np.zeros((256, 3), np.uint8)
        table[: len(self.colours)] = self.colours
        return table

    def ids(self, names: Sequence[str]) -> tuple[int, ...]:
        """Return the ids of the named classes, ignoring case.

        Raises:
            UsageError: a name is not in this class set.
        """
        known = {name.lower(): i for i, name in enumerate(self.names)}
        unknown = [name for name in names if name.strip().lower() not in known]
        if unknown:
            raise UsageError(f"unknown class {unknown[0]!r}; this model has: {', '.join(self.names)}")
        return tuple(known[name.strip().lower()] for name in names)


CAMVID_NAMES = (
    "Sky", "Building", "Pole", "Road", "Pavement", "Tree", "SignSymbol", "Fence", "Car", "Pedestrian", "Bicyclist",
)  # fmt: skip

CAMVID = ClassSet(
    names=CAMVID_NAMES,
    colours=(
        (128, 128, 128), (128, 0, 0), (192, 192, 128), (128, 64, 128), (60, 40, 222), (128, 128, 0),
        (192, 128, 128), (64, 64, 128), (64, 0, 128), (64, 64, 0), (0, 128, 192),
    ),
    void_id=11,
)  # fmt: skip
"""CamVid's 11 road-scene classes with the colours of the SegNet paper's figures."""

COLOUR_BLIND_SAFE = (
    (153, 204, 255), (170, 68, 102), (255, 255, 255), (80, 80, 80), (204, 187, 119), (17, 119, 51),
    (240, 228, 66), (136, 86, 20), (0, 68, 170), (230, 97, 1), (204, 102, 255),
)  # fmt: skip
"""CamVid's classes in colours told apart with red-green and blue-yellow colour blindness (lightness differs too)."""
