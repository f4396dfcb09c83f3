"""Colour label maps, and blend the colours over the picture. No torch, no Qt."""

from __future__ import annotations

from collections.abc import Collection

import cv2
import numpy as np
from numpy.typing import NDArray

from segnet_live.classes import ClassSet
from segnet_live.errors import UsageError
from segnet_live.frame import RGB, LabelMap


class Overlay:
    """The colours and opacity of label maps. Immutable: to change anything make a new one (three small tables).

    Blending is two table look-ups and one weighted sum per pixel, all in uint8: about 1 ms for 960x540
    on one core, where indexing a palette with NumPy alone takes 5 ms.

    Args:
        classes: names, colours and void id of the label maps to come.
        opacity: 0 (picture alone) to 1 (class colours alone).
        shown: class ids to show in colour, None for all. Others, and void, leave the picture as it is (black in
            `colourise`).

    Raises:
        UsageError: `opacity` is not in 0..1.
        ValueError: `shown` holds an id the class set has not.
    """

    def __init__(self, classes: ClassSet, *, opacity: float = 0.5, shown: Collection[int] | None = None) -> None:
        if not 0 <= opacity <= 1:
            raise UsageError(f"opacity got {opacity:g}; give a number from 0 (picture) to 1 (class colours)")
        ids = np.array(sorted(range(len(classes)) if shown is None else set(shown)), np.intp)
        if len(ids) and not 0 <= ids[0] <= ids[-1] < len(classes):
            raise ValueError(f"got class ids {ids.tolist()}; this class set has 0 to {len(classes) - 1}")
        self.classes = classes
        self.opacity = opacity
        self.shown = frozenset(ids.tolist())
        palette = np.zeros((256, 1, 3), np.uint8)
        palette[ids] = classes.palette[ids, None]
        self._palette = palette
        self._tint = np.rint(palette * opacity).astype(np.uint8)
        self._hidden = np.full(256, 255, np.uint8)
        self._hidden[ids] = 0

    def colourise(self, labels: LabelMap) -> RGB:
        """Return (H, W, 3) uint8 RGB class colours of a (H, W) label map; classes not shown, and void, are black."""
        return _look_up(labels, self._palette)

    def blend(self, rgb: RGB, labels: LabelMap) -> RGB:
        """Return (H, W, 3) uint8 RGB with the colours of its (H, W) label map laid over it; `rgb` itself stays.

        Raises:
            ValueError: picture and label map differ in size.
        """
        if rgb.shape[:2] != labels.shape:
            raise ValueError(
                f"got a picture of {rgb.shape[:2]} and a label map of {labels.shape}; bring them to one size"
            )
        if self.opacity == 0 or not self.shown:
            return rgb.copy()
        out = cv2.addWeighted(rgb, 1 - self.opacity, _look_up(labels, self._tint), 1, 0).astype(np.uint8, copy=False)
        hidden = cv2.LUT(labels, self._hidden)
        if cv2.countNonZero(hidden):
            cv2.copyTo(rgb, hidden, out)
        return out


def _look_up(labels: LabelMap, table: NDArray[np.uint8]) -> RGB:
    """Return (H, W) ids looked up in a (256, 1, 3) table; the channel order stays, whatever OpenCV calls it."""
    return cv2.applyColorMap(labels, table).astype(np.uint8, copy=False)
