"""Label maps without flicker: a pixel keeps its class, moved along with the picture, until another has proven itself.

Per frame: optical flow between the last picture and this one, at half the network's size (DIS, Kroeger et al.,
arXiv:1603.03590); the kept label map and its confidence are moved along; then the network's own labels vote. A vote for
the kept class raises its confidence, any other lowers it, and takes over where none is left. Where the moved picture
does not look like the new one (uncovered ground, a cut, a flow that failed) there is no confidence, and the network's
label counts at once: so nothing trails behind moving things.
"""

from __future__ import annotations

from collections.abc import Collection

import cv2
import numpy as np
from numpy.typing import NDArray

from segnet_live.classes import ClassSet
from segnet_live.engine.base import Engine, EngineInfo, Size
from segnet_live.frame import LabelMap

CONFIDENCE = 4
"""Frames in a row by which another class is outvoted where the kept one was undisputed; the next frame's wins."""
UNLIKE = 14
"""Mean grey difference (0..255, over 5x5 pixels at flow size) from which the moved picture is not the new one."""
CUT = 0.5
"""Share of pixels that are unlike from which nothing of the last picture counts."""
SMALLEST = 32
MOVING = frozenset(("car", "pedestrian", "bicyclist", "person", "rider", "cyclist", "truck", "bus", "van", "tram"))
"""Classes that move on their own: kept half as long, because flow is least sure there and trails are seen at once."""


class Smoother:
    """Steadies the label maps of one stream. One thread, frames in order; a change of size starts anew.

    Works on label maps and pictures alone, so with every engine; half of its time is optical flow.

    Args:
        moving: ids of classes that move on their own.
    """

    def __init__(self, moving: Collection[int] = ()) -> None:
        self._doubt = np.ones(256, np.uint8)
        self._doubt[list(moving)] = 2
        self._flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
        self._flow.setFinestScale(1)
        self._flow.setPatchStride(6)  # half the time of 4, at no loss that could be measured
        self._grey: NDArray[np.uint8] | None = None
        self._kept = np.zeros((0, 0, 2), np.uint8)
        self._here = np.zeros((0, 0, 2), np.float32)
        self._here_small = np.zeros((0, 0, 2), np.float32)

    def reset(self) -> None:
        """The next frame does not follow the last one."""
        self._grey = None

    def __call__(self, rgb: NDArray[np.uint8], labels: LabelMap) -> LabelMap:
        """The steadied label map, of the size of `labels`.

        Args:
            rgb: (H, W, 3) uint8, the frame `labels` was made from, at any size.
            labels: (h, w) uint8.
        """
        height, width = labels.shape
        small_wh = max(SMALLEST, width // 2), max(SMALLEST, height // 2)
        before, self._grey = self._grey, _small_grey(rgb, small_wh)
        if before is None or self._kept.shape[:2] != labels.shape:
            self._kept = _paired(labels, np.zeros_like(labels))
            self._here, self._here_small = _grid(height, width) + 0.5, _grid(small_wh[1], small_wh[0])
            return labels
        flow = np.asarray(self._flow.calc(self._grey, before, np.zeros_like(self._here_small)), np.float32)
        kept, confidence = self._moved(flow)
        unlike = self._unlike(flow, before, self._grey)
        confidence[unlike if unlike.mean() < CUT else ...] = 0
        voted = np.asarray(cv2.subtract(confidence, cv2.LUT(kept, self._doubt)), np.uint8)
        np.copyto(voted, np.minimum(confidence, CONFIDENCE - 1) + 1, where=kept == labels)
        np.copyto(kept, labels, where=confidence == 0)
        self._kept = _paired(kept, voted)
        return kept

    def _moved(self, flow: NDArray[np.float32]) -> tuple[LabelMap, NDArray[np.uint8]]:
        """Kept labels and confidences where this picture has their content; confidence 0 for what was outside."""
        height, width = self._here.shape[:2]
        scaled = cv2.multiply(flow, (width / flow.shape[1], height / flow.shape[0], 0, 0))  # type: ignore[call-overload]
        large = cv2.add(cv2.resize(scaled, (width, height)), self._here)
        # whole pixels: a third less time than floating-point places that are then rounded; `_here` holds the half
        places = large.astype(np.int16)
        moved = cv2.remap(self._kept, places, None, cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT)  # type: ignore[call-overload]
        kept, confidence = cv2.split(moved)
        return kept.astype(np.uint8, copy=False), confidence.astype(np.uint8, copy=False)

    def _unlike(
        self, flow: NDArray[np.float32], before: NDArray[np.uint8], grey: NDArray[np.uint8]
    ) -> NDArray[np.bool_]:
        """(h, w) at label size: where the last picture, moved along, is not this one."""
        moved = cv2.remap(before, flow + self._here_small, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)  # type: ignore[call-overload]
        error = cv2.blur(cv2.absdiff(moved, grey), (5, 5))
        return np.asarray(cv2.resize(error, self._here.shape[1::-1]) > UNLIKE)


class SmoothedEngine:
    """An engine whose label maps are steadied; everything else is the inner engine's."""

    def __init__(self, inner: Engine, classes: ClassSet) -> None:
        self.inner = inner
        self._smoother = Smoother([i for i, name in enumerate(classes.names) if name.lower() in MOVING])

    @property
    def info(self) -> EngineInfo:
        return self.inner.info

    def segment(self, rgb: NDArray[np.uint8]) -> LabelMap:
        return self._smoother(rgb, self.inner.segment(rgb))

    def close(self) -> None:
        self.inner.close()


def _small_grey(rgb: NDArray[np.uint8], size_wh: Size) -> NDArray[np.uint8]:
    """(h, w) uint8 grey, by way of twice the size: an area filter from 960x540 takes 2 ms, this 0.3."""
    width, height = size_wh
    twice = cv2.cvtColor(cv2.resize(rgb, (2 * width, 2 * height)), cv2.COLOR_RGB2GRAY)
    return cv2.resize(twice, size_wh, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)


def _paired(labels: LabelMap, confidence: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(h, w, 2) uint8, as one picture that moves together."""
    return cv2.merge((labels, confidence)).astype(np.uint8, copy=False)


def _grid(height: int, width: int) -> NDArray[np.float32]:
    """(height, width, 2) float32: each pixel's own (x, y)."""
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    return np.ascontiguousarray(np.dstack((x, y)))
