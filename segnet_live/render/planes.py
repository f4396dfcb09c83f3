"""Compose the picture that is recorded where its frame is planes: the views of `view.py`, without a detour by RGB."""

from __future__ import annotations

from functools import cached_property, lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from segnet_live.classes import ClassSet
from segnet_live.config import Layer
from segnet_live.frame import LabelMap
from segnet_live.labels import LabelsAt
from segnet_live.planes import Colours, Plane, Planes, from_rgb
from segnet_live.render.view import ViewSettings


def compose_planes(picture: Planes, labels: LabelMap, classes: ClassSet, settings: ViewSettings) -> Planes:
    """Return the chosen view of a frame's planes and its label map, twice as wide side by side.

    The result is new, of limited range, and what `compose` gives but for rounding and edges of colour, which lie at
    half size here.

    Args:
        labels: (h, w) uint8, of any size.
    """
    height, width = picture.size
    out = Planes.blank(
        (height, 2 * width if settings.view == "side-by-side" else width), Colours(picture.colours.matrix)
    )
    painter = _Painter(picture, labels, settings.recolour(classes), settings)
    for channel, plane in enumerate((out.y, out.u, out.v)):
        columns = plane.shape[1]
        if settings.view == "side-by-side":
            for layer, part in zip(settings.layers, np.hsplit(plane, 2), strict=True):
                painter.paint(layer, channel, part)
        elif settings.view == "wiper":
            column = round(settings.wiper * columns)
            left, right = settings.layers
            painter.paint(right, channel, plane)
            if left != right and column:
                whole = np.empty_like(plane)
                painter.paint(left, channel, whole)
                plane[:, :column] = whole[:, :column]
        else:
            painter.paint(settings.view, channel, plane)
    return out


class _Painter:
    """A painter of the layers of one frame, plane by plane."""

    def __init__(self, picture: Planes, labels: LabelMap, classes: ClassSet, settings: ViewSettings) -> None:
        self._planes = picture.y, picture.u, picture.v
        self._labels = labels
        self._tables = _tables(classes, settings.opacity, settings.hidden, picture.colours)

    @cached_property
    def _at_full(self) -> LabelsAt:
        return LabelsAt(self._labels, (self._planes[0].shape[0], self._planes[0].shape[1]))

    @cached_property
    def _at_half(self) -> LabelsAt | None:
        """None where that would shrink the label map: quicker by way of the full size."""
        height, width = self._planes[1].shape
        fits = self._labels.shape[0] <= height and self._labels.shape[1] <= width
        return LabelsAt(self._labels, (height, width), beside=self._at_full) if fits else None

    @cached_property
    def _hides(self) -> bool:
        """Whether the picture shows unchanged anywhere."""
        return bool(cv2.LUT(self._labels, self._tables.hidden).any())

    def _look_up(self, channel: int, table: NDArray[np.uint8]) -> Plane:
        """Return what `table` has for the labels, at the size of a plane."""
        if channel == 0:
            return self._at_full.look_up(table)
        if self._at_half is not None:
            return self._at_half.look_up(table)
        height, width = self._planes[channel].shape
        full = self._at_full.look_up(table)
        return cv2.resize(full, (width, height), interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)

    def paint(self, layer: Layer, channel: int, out: Plane) -> None:
        """Write one layer into `out`, a plane of the frame's size."""
        source, tables = self._planes[channel], self._tables
        if layer == "labels":
            out[:] = self._look_up(channel, tables.colours[channel])
            return
        scale, offset = tables.limited[channel]
        opacity = tables.opacity if layer == "overlay" else 0.0
        if opacity:
            cv2.addWeighted(source, (1 - opacity) * scale, self._look_up(channel, tables.tints[channel]), 1, 0, dst=out)
            if not self._hides:
                return
        plain = source
        if scale != 1:
            plain = cv2.convertScaleAbs(source, alpha=scale, beta=offset).astype(np.uint8, copy=False)
        if opacity:
            cv2.copyTo(plain, self._look_up(channel, tables.hidden), out)
        else:
            np.copyto(out, plain)


class _Tables:
    """What painting needs of the classes' colours, in one matrix.

    Attributes:
        limited: scale and offset of each plane from its own range to the limited one.
        colours: (256,) class colours by plane; black where a class is hidden, and for void.
        tints: what the class adds to each plane of a picture whose rest is scaled by 1 - opacity.
        hidden: 255 where a class leaves the picture as it is, else 0.
    """

    def __init__(self, classes: ClassSet, opacity: float, hidden: frozenset[int], source: Colours) -> None:
        shown = sorted(set(range(len(classes))) - hidden)
        palette = np.zeros((256, 3))
        palette[shown] = classes.palette[shown]
        exact = from_rgb(palette, Colours(source.matrix))
        self.opacity = opacity if shown else 0.0
        self.limited = (
            ((219 / 255, 16.0), *[(224 / 255, 128 - 128 * 224 / 255)] * 2) if source.full else ((1.0, 0.0),) * 3
        )
        offsets = np.array([offset for _, offset in self.limited])
        self.colours = np.rint(exact).astype(np.uint8).T.copy()
        self.tints = np.rint((1 - opacity) * offsets + opacity * exact).astype(np.uint8).T.copy()
        self.hidden = np.full(256, 255, np.uint8)
        self.hidden[shown] = 0


@lru_cache(maxsize=8)
def _tables(classes: ClassSet, opacity: float, hidden: frozenset[int], source: Colours) -> _Tables:
    return _Tables(classes, opacity, hidden, source)
