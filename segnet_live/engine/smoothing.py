"""Smooth label maps over time: a pixel keeps its class, moved along with the picture, until another outvotes it.

Per frame: optical flow between the last picture and this one, at half the network's size (DIS, Kroeger et al.,
arXiv:1603.03590); the kept label map and its support are moved along; then the network's own labels vote. A vote for
the kept class raises its support, any other lowers it, and takes over where none is left. Where the moved picture
does not look like the new one (uncovered ground, a cut, a flow that failed) there is no support, and the network's
label counts at once: so nothing trails behind moving things.

The network's confidence is that of its own label. Where another one is kept, the network is against it: the confidence
of what is shown is 0 there. On a frame that the network skips, confidence is carried along with the labels, and is 0
where the moved picture does not look like the new one, for nobody looked there.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection

import cv2
import numpy as np
from numpy.typing import NDArray

from segnet_live.classes import ClassSet
from segnet_live.engine.base import Engine, EngineInfo, EngineOutput, Overlapping, overlaps, run_engine, shrinks
from segnet_live.engine.resize import fit_input
from segnet_live.frame import RGB, ConfidenceMap, LabelMap, Size
from segnet_live.planes import Planes

SUPPORT = 6
"""Frames in a row by which another class is outvoted where the kept one was undisputed; the next frame's wins."""
UNLIKE = 10
"""Mean grey difference (0..255, over 5x5 pixels at flow size) from which the moved picture is not the new one."""
CUT = 0.5
"""Share of pixels that are unlike from which nothing of the last picture counts."""
DOUBT = 3
"""Votes that one label against a class that moves on its own counts for."""
SMALLEST = 32
MOVING = frozenset(("car", "pedestrian", "bicyclist", "person", "rider", "cyclist", "truck", "bus", "van", "tram"))
"""Classes that move on their own: kept a third as long, as flow is least sure there and trails are seen at once."""


class Smoother:
    """A smoother of one stream's label maps. One thread, frames in order; a change of size starts anew.

    Works on label maps and pictures alone, so with every engine; half of its time is optical flow.

    Args:
        moving: ids of classes that move on their own.
        smooth: False hands label maps through as they are, for the sake of `carry` alone.
    """

    def __init__(self, moving: Collection[int] = (), *, smooth: bool = True) -> None:
        self._smooth = smooth
        self._doubt = np.ones(256, np.uint8)
        self._doubt[list(moving)] = DOUBT
        self._flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
        self._flow.setFinestScale(1)
        self._flow.setPatchStride(7)  # half the time of 4, at no loss that could be measured
        self._grey: NDArray[np.uint8] | None = None
        self._kept = np.zeros((0, 0, 2), np.uint8)
        self._here = np.zeros((0, 0, 2), np.int16)
        self._here_small = np.zeros((0, 0, 2), np.float32)
        self._places: cv2.typing.MatLike = self._here
        self._like: cv2.typing.MatLike = np.zeros((0, 0), np.uint8)

    def __call__(self, rgb: RGB, labels: LabelMap) -> LabelMap:
        """Return the smoothed label map, of the size of `labels`.

        Args:
            rgb: (H, W, 3) uint8, the frame `labels` was made from, at any size.
            labels: (h, w) uint8.
        """
        if not self._smooth:
            self._grey = _small_grey(rgb, _flow_size(labels.shape[:2]))
            return self._keep(labels, np.full_like(labels, SUPPORT))
        # What comes in from outside the picture has support 0: the network decides.
        followed = self._follow(rgb, labels.shape[:2], cv2.BORDER_CONSTANT)
        if followed is None:
            return self._keep(labels, np.zeros_like(labels))
        moved, support = followed
        # OpenCV's operations on whole pictures throughout: together a third of NumPy's time.
        voted = cv2.subtract(support, cv2.LUT(moved, self._doubt))
        raised = cv2.min(cv2.add(support, 1), SUPPORT)  # type: ignore[call-overload]
        cv2.copyTo(raised, cv2.compare(moved, labels, cv2.CMP_EQ), voted)
        cv2.copyTo(labels, cv2.compare(support, 0, cv2.CMP_EQ), moved)  # type: ignore[call-overload]
        return self._keep(moved, voted)

    def carry(self, rgb: RGB) -> LabelMap | None:
        """Return the last label map moved along to the next frame, which the network skips; None if there is none.

        Args:
            rgb: as for `__call__`.
        """
        followed = self._follow(rgb, self._kept.shape[:2], cv2.BORDER_REPLICATE)
        return None if followed is None else self._keep(*followed)

    def carry_confidence(self, confidence: ConfidenceMap) -> ConfidenceMap:
        """Return the confidence map of the last frame moved along as `carry` has just moved its label map.

        It is 0 at what comes in from outside the picture, and where the moved picture does not look like the new one.
        """
        moved = cv2.remap(confidence, self._places, None, cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT)  # type: ignore[call-overload]
        return cv2.bitwise_and(moved, self._like).astype(np.uint8, copy=False)

    def _keep(self, labels: cv2.typing.MatLike, support: cv2.typing.MatLike) -> LabelMap:
        self._kept = cv2.merge((labels, support)).astype(np.uint8, copy=False)
        return labels.astype(np.uint8, copy=False)

    def _follow(self, rgb: RGB, size: Size, border: int) -> tuple[cv2.typing.MatLike, cv2.typing.MatLike] | None:
        """Return what was kept, where it lies in the next frame: labels and support (h, w); None if nothing was."""
        before, self._grey = self._grey, _small_grey(rgb, _flow_size(size))
        if before is None or self._kept.shape[:2] != size or before.shape != self._grey.shape:
            return None
        if self._here.shape[:2] != size:
            self._here, self._here_small = _grid(*size).astype(np.int16), _grid(*self._grey.shape)
        flow = np.asarray(self._flow.calc(self._grey, before, np.zeros_like(self._here_small)), np.float32)
        labels, support = self._moved(flow, border)
        self._like = self._alike(flow, before, size[::-1])
        return labels, cv2.bitwise_and(support, self._like)

    def _moved(self, flow: NDArray[np.float32], border: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Return labels and supports (h, w) where this picture has their content."""
        height, width = self._kept.shape[:2]
        scale = width / flow.shape[1], height / flow.shape[0], 0, 0
        # Whole pixels, one step for each pixel of the flow, and both values as one 16-bit number: a third of the time.
        steps = cv2.multiply(flow, scale, dtype=cv2.CV_16S)  # type: ignore[call-overload]
        self._places = cv2.add(cv2.resize(steps, (width, height), interpolation=cv2.INTER_NEAREST), self._here)
        both = self._kept.view("<u2")[..., 0]
        moved = cv2.remap(both, self._places, None, cv2.INTER_NEAREST, borderMode=border)  # type: ignore[call-overload]
        # by NumPy's own conversions: cv2.split takes twelve times as long
        return moved.astype(np.uint8), (moved >> 8).astype(np.uint8)

    def _alike(self, flow: NDArray[np.float32], before: NDArray[np.uint8], size_wh: Size) -> NDArray[np.uint8]:
        """Return 255 at label size where the last picture, moved along, is this one, else 0; all 0 after a cut."""
        assert self._grey is not None
        places = cv2.add(flow, self._here_small)
        moved = cv2.remap(before, places, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)  # type: ignore[call-overload]
        error = cv2.blur(cv2.absdiff(moved, self._grey), (5, 5))
        alike = cv2.compare(error, UNLIKE, cv2.CMP_LE)  # type: ignore[call-overload]
        if cv2.countNonZero(alike) <= (1 - CUT) * alike.size:
            alike[:] = 0
        return np.asarray(cv2.resize(alike, size_wh, interpolation=cv2.INTER_NEAREST), np.uint8)


class SmoothedEngine:
    """An engine whose label maps are smoothed; everything else is the inner engine's.

    Args:
        smooth: False leaves its label maps as they are; only skipped frames differ.
        skips: asked once a frame; the inner engine is spared those for which it says yes, and the label map is carried
            on from the frame before.
    """

    def __init__(
        self, inner: Engine, classes: ClassSet, *, smooth: bool = True, skips: Callable[[], bool] = lambda: False
    ) -> None:
        self.inner = inner
        self._skips = skips
        self._under_way: deque[RGB] = deque()
        moving = [i for i, name in enumerate(classes.names) if name.lower() in MOVING]
        self._smoother = Smoother(moving, smooth=smooth)
        self._of_other: Smoother | None = None  # of a comparison's second label map, once there is one
        self._moving, self._smooth = moving, smooth
        self._confidence: ConfidenceMap | None = None

    @property
    def info(self) -> EngineInfo:
        return self.inner.info

    @property
    def shrinks(self) -> bool:
        return shrinks(self.inner)

    def segment(self, rgb: RGB) -> LabelMap:
        return self.segment_with_confidence(rgb).labels

    def segment_with_confidence(self, rgb: RGB) -> EngineOutput:
        carried = None
        if self._skips():
            rgb = self._rgb(rgb)
            carried = self._smoother.carry(rgb)
        if carried is not None:
            if self._confidence is not None:
                self._confidence = self._smoother.carry_confidence(self._confidence)
            other = None if self._of_other is None else self._of_other.carry(rgb)
            return EngineOutput(carried, _own(self._confidence), other=other)
        return self._smoothed(rgb, run_engine(self.inner, rgb))

    def _smoothed(self, rgb: RGB, found: EngineOutput) -> EngineOutput:
        rgb = self._rgb(rgb) if found.small is None else found.small
        labels = self._smoother(rgb, found.labels)
        confidence = found.confidence
        if confidence is not None:
            own = cv2.compare(labels, found.labels, cv2.CMP_EQ)
            confidence = cv2.bitwise_and(confidence, own).astype(np.uint8, copy=False)
        self._confidence = confidence
        at_source = found.at_source  # of the engine's own labels
        if self._smooth:
            at_source = None if found.enlarge is None else found.enlarge(labels)
        other = self._smoothed_other(rgb, found.other)
        return EngineOutput(labels, _own(confidence), found.variance, other, at_source=at_source)

    def _rgb(self, picture: RGB | Planes) -> RGB:
        """Return a picture as RGB: what an engine on a GPU gets may be planes."""
        return fit_input(picture, self.info.input_size) if isinstance(picture, Planes) else picture

    def _smoothed_other(self, rgb: RGB, labels: LabelMap | None) -> LabelMap | None:
        """Return the second label map of a comparison, smoothed like the first; None where there is none."""
        if labels is None:
            return None
        if self._of_other is None:
            self._of_other = Smoother(self._moving, smooth=self._smooth)
        return self._of_other(rgb, labels)

    @property
    def overlaps(self) -> bool:
        """Whether the next frame may be submitted to the inner engine."""
        return overlaps(self.inner)

    def submit(self, rgb: RGB) -> None:
        assert isinstance(self.inner, Overlapping)
        self.inner.submit(rgb)
        self._under_way.append(rgb)

    def wait(self) -> EngineOutput:
        assert isinstance(self.inner, Overlapping)
        return self._smoothed(self._under_way.popleft(), self.inner.wait())

    def close(self) -> None:
        self.inner.close()


def _own(confidence: ConfidenceMap | None) -> ConfidenceMap | None:
    """Return a copy, which the caller may write to."""
    return None if confidence is None else confidence.copy()


def _flow_size(size: Size) -> Size:
    return max(SMALLEST, size[0] // 2), max(SMALLEST, size[1] // 2)


def _small_grey(rgb: RGB, size: Size) -> NDArray[np.uint8]:
    """Return `size` uint8 of the green channel, most of grey, by way of twice the size: quicker than an area filter."""
    height, width = size
    twice = cv2.resize(cv2.extractChannel(rgb, 1), (2 * width, 2 * height))
    return cv2.resize(twice, (width, height), interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)


def _grid(height: int, width: int) -> NDArray[np.float32]:
    """Return (height, width, 2) float32: each pixel's own (x, y)."""
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    return np.ascontiguousarray(np.dstack((x, y)))
