"""A picture as video carries it: brightness at full size, colour at half, in the source's own matrix and range."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, Self, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

Plane: TypeAlias = NDArray[np.uint8]
Matrix: TypeAlias = Literal["bt601", "bt709"]
_KR_KB: dict[Matrix, tuple[float, float]] = {"bt601": (0.299, 0.114), "bt709": (0.2126, 0.0722)}
"""Weights of red and blue in brightness (ITU-R BT.601 and BT.709, section 3)."""


@dataclass(frozen=True, slots=True)
class Colours:
    """How numbers stand for colours.

    Attributes:
        matrix: the weights of red, green and blue.
        full: 0 to 255 is black to white; False for 16 to 235, as video usually has it.
    """

    matrix: Matrix
    full: bool = False


class Planes:
    """A 4:2:0 picture of 8 bits, with even sides. Any thread; nothing is written to once it has been handed on.

    Attributes:
        y: (H, W) uint8 brightness.
        u, v: (H / 2, W / 2) uint8 colour differences, blue and red.
        colours: what the numbers mean.
        buffer: (H * 3 / 2, W) uint8, the three planes one after the other, where they lie so in memory.
    """

    __slots__ = ("_lock", "_make_rgb", "_rgb", "buffer", "colours", "u", "v", "y")

    def __init__(
        self,
        y: Plane,
        u: Plane,
        v: Plane,
        colours: Colours,
        *,
        make_rgb: Callable[[], NDArray[np.uint8]] | None = None,
        buffer: Plane | None = None,
    ) -> None:
        """Take the planes as they are, without copying them.

        Args:
            make_rgb: makes `rgb` where something more exact than these planes is at hand.
        """
        self.y, self.u, self.v, self.colours, self.buffer = y, u, v, colours, buffer
        self._make_rgb = make_rgb
        self._rgb: NDArray[np.uint8] | None = None
        self._lock = threading.Lock()

    @classmethod
    def blank(cls, size: tuple[int, int], colours: Colours) -> Self:
        """Return planes of `size`, (height, width), both even, whose values are not set yet."""
        height, width = size
        buffer = np.empty((height * 3 // 2, width), np.uint8)
        u, v = buffer[height:].reshape(2, height // 2, width // 2)
        return cls(buffer[:height], u, v, colours, buffer=buffer)

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return self.y.shape[0], self.y.shape[1]

    @property
    def rgb(self) -> NDArray[np.uint8]:
        """The picture as (H, W, 3) uint8 RGB, made when it is first asked for; not to be written to."""
        with self._lock:
            if self._rgb is None:
                self._rgb = self.rgb_at(self.size) if self._make_rgb is None else self._make_rgb()
                self._make_rgb = None
            return self._rgb

    def rgb_at(self, size: tuple[int, int], *, quick: bool = False) -> NDArray[np.uint8]:
        """Return the picture scaled to `size`, (height, width), as (height, width, 3) uint8 RGB.

        Args:
            quick: shrink by less than half without the area filter, which takes nine times as long: for the screen.
        """
        # Colour has half the detail: what aliases in it is not seen.
        u, v = (_resized(plane, size, cv2.INTER_LINEAR) for plane in (self.u, self.v))
        y = _resized(self.y, size, cv2.INTER_LINEAR if quick else cv2.INTER_AREA)
        return to_rgb(y, u, v, self.colours)


def to_rgb(y: Plane, u: Plane, v: Plane, colours: Colours) -> NDArray[np.uint8]:
    """Return (H, W, 3) uint8 RGB of three (H, W) uint8 planes."""
    return cv2.transform(cv2.merge((y, u, v)), rgb_matrix(colours)).astype(np.uint8, copy=False)


def from_rgb(rgb: NDArray[np.float64], colours: Colours) -> NDArray[np.float64]:
    """Return the (..., 3) Y, U and V of (..., 3) RGB, both 0..255 and neither rounded."""
    weights, offsets = _from_rgb(colours)
    values: NDArray[np.float64] = rgb @ weights.T + offsets
    return values


@lru_cache(maxsize=8)
def _from_rgb(colours: Colours) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    kr, kb = _KR_KB[colours.matrix]
    brightness = np.array((kr, 1 - kr - kb, kb))
    blue = (np.array((0, 0, 1)) - brightness) / (2 * (1 - kb))
    red = (np.array((1, 0, 0)) - brightness) / (2 * (1 - kr))
    scales = np.array((1.0, 1.0, 1.0) if colours.full else (219 / 255, 224 / 255, 224 / 255))
    return np.stack((brightness, blue, red)) * scales[:, None], np.array((0.0 if colours.full else 16.0, 128.0, 128.0))


@lru_cache(maxsize=8)
def rgb_matrix(colours: Colours) -> NDArray[np.float32]:
    """Return the (3, 4) matrix from Y, U, V and 1 to RGB."""
    weights, offsets = _from_rgb(colours)
    inverse = np.linalg.inv(weights)
    return np.column_stack((inverse, -inverse @ offsets)).astype(np.float32)


def _resized(plane: Plane, size: tuple[int, int], shrinking: int) -> Plane:
    """Return a plane at `size`: halved while it can be, then bilinear; by the filter `shrinking` if it was not halved.

    After a halving, what is left to shrink is as near to an RGB picture's area filter either way.
    """
    height, width = size
    while plane.shape[0] >= 2 * height and plane.shape[1] >= 2 * width:
        # Halving is OpenCV's quickest filter by far. An odd last row or column is left out, as it is half a pixel.
        rows, columns = plane.shape[0] // 2, plane.shape[1] // 2
        plane = cv2.resize(plane[: 2 * rows, : 2 * columns], (columns, rows), interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
        shrinking = cv2.INTER_LINEAR
    if plane.shape == size:
        return plane
    filter_ = shrinking if plane.shape[0] > height and plane.shape[1] > width else cv2.INTER_LINEAR
    return cv2.resize(plane, (width, height), interpolation=filter_).astype(np.uint8, copy=False)
