"""Hide classes in pictures: which pixels, and what stands there instead. No torch, no Qt.

This hides most of what the network finds, not everything: what it misses stays visible. README says how much of the
people was covered on CamVid, and `python -m train hiding` measures it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any, Self

import cv2
import numpy as np
from numpy.typing import NDArray

from segnet_live.classes import ClassSet
from segnet_live.config import HIDE_UNSURE, HideSpec, HideWith
from segnet_live.frame import RGB, LabelMap, Size

GROW = 0.02
"""How far beyond its class a pixel is hidden, as a share of the picture's height."""
NEAR = 0.055
"""How far from a found pixel an unsure one counts as found, as a share of the picture's height."""
DOUBT = 0.4
"""Where the confidence is less than this part of the threshold, a place counts as found wherever it lies."""
LINE = 0.0085
"""Unsure pixels in a strip of half this width, as a share of the picture's height, are a border between two classes."""
COARSENESS = 22
"""Blur leaves this many squares in the picture's height: a face is a few of them at most."""
FILL = 40
"""The grey of what is filled."""

Mask = NDArray[np.uint8]
"""(h, w) uint8, 255 where something is to be hidden, else 0."""


@dataclass(frozen=True, slots=True)
class Hiding:
    """What to hide, and how.

    Attributes:
        ids: classes to hide.
        hold: frames before and after one that shows a pixel's class in which the pixel is hidden, too.
        grow: see GROW.
        unsure: the confidence 0..1 below which a pixel near a found one counts as found; 0 hides found ones alone.
    """

    ids: frozenset[int]
    style: HideWith = "blur"
    hold: int = 5
    grow: float = GROW
    unsure: float = HIDE_UNSURE

    @classmethod
    def of(cls, spec: HideSpec, classes: ClassSet) -> Self:
        """Return what `spec` asks for among `classes`.

        Raises:
            UsageError: one of its names is none of them.
        """
        return cls(frozenset(classes.ids(spec.names)), spec.style, spec.hold, unsure=spec.unsure)

    def mask(self, labels: LabelMap, confidence: NDArray[np.uint8] | None = None) -> Mask:
        """Return what is to be hidden by a (h, w) label map and its confidence, both at network size."""
        found = cv2.LUT(labels, _table(self.ids))
        if confidence is not None and self.unsure > 0:
            found = cv2.bitwise_or(found, self._unsure(found, confidence))
        return cv2.dilate(found, _disc(max(1, round(self.grow * labels.shape[0])))).astype(np.uint8, copy=False)

    def _unsure(self, found: NDArray[Any], confidence: NDArray[np.uint8]) -> NDArray[Any]:
        """Return the unsure pixels that count as found: those near what was found, and places of great doubt."""
        height = confidence.shape[0]
        unsure, doubtful = (
            cv2.threshold(confidence, round(limit * 255) - 1, 255, cv2.THRESH_BINARY_INV)[1]
            for limit in (self.unsure, self.unsure * DOUBT)
        )
        side = 2 * round(NEAR * height) + 1
        near = cv2.bitwise_and(unsure, cv2.dilate(found, np.ones((side, side), np.uint8)))
        # Every border between two classes is unsure, and a line; what may be a person is wider than that.
        places = cv2.morphologyEx(doubtful, cv2.MORPH_OPEN, _disc(max(1, round(LINE * height))))
        return cv2.bitwise_or(near, places)


def _disc(reach: int) -> Mask:
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1)).astype(np.uint8, copy=False)


def _table(ids: Collection[int]) -> NDArray[np.uint8]:
    table = np.zeros(256, np.uint8)
    table[list(ids)] = 255
    return table


def together(masks: Iterable[Mask]) -> Mask:
    """Return what any of some masks covers, at the size of the first."""
    first, *others = masks
    covered: Mask = first.copy()
    for other in others:
        if other.shape != covered.shape:  # a governor changed the network's size
            other = cv2.resize(other, covered.shape[::-1], interpolation=cv2.INTER_NEAREST).astype(np.uint8)
        np.bitwise_or(covered, other, out=covered)
    return covered


def mask_at(mask: Mask, size: Size) -> Mask:
    """Return a mask at `size`, (height, width): every pixel that it touches, as rounding must not show a face's rim."""
    large = cv2.resize(mask, size[::-1], interpolation=cv2.INTER_LINEAR)
    # Not `cv2.compare`, which takes an array of one or four numbers for a scalar, and refuses it beside another.
    return np.asarray(cv2.threshold(large, 0, 255, cv2.THRESH_BINARY, dst=large)[1], np.uint8)


def hide(rgb: RGB, mask: Mask, style: HideWith) -> RGB:
    """Return a (H, W, 3) uint8 picture without what `mask`, of any size, covers; `rgb` itself where nothing is."""
    if not mask.any():
        return rgb
    height, width = rgb.shape[:2]
    at = mask_at(mask, (height, width))
    out = rgb.copy()
    if style == "fill":
        out[at > 0] = FILL
        return out
    x, y, w, h = cv2.boundingRect(at)
    square = max(4, height // COARSENESS)
    left, top = x // square * square, y // square * square  # squares stay where they are from frame to frame
    right, bottom = min(width, -(-(x + w) // square) * square), min(height, -(-(y + h) // square) * square)
    part = rgb[top:bottom, left:right]
    size = max(1, -(-(right - left) // square)), max(1, -(-(bottom - top) // square))
    coarse = cv2.resize(part, size, interpolation=cv2.INTER_AREA)
    blurred = cv2.resize(coarse, (right - left, bottom - top), interpolation=cv2.INTER_LINEAR)
    cv2.copyTo(blurred, at[top:bottom, left:right], out[top:bottom, left:right])
    return out
