"""Compose the picture that is shown and recorded: views, wiper, muted classes, scaling to the screen. No Qt."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from segnet_live.classes import ClassSet
from segnet_live.config import Layer, View, shows_confidence, shows_other
from segnet_live.engine.resize import picture_at
from segnet_live.frame import RGB, ConfidenceMap, Frame, FrameResult, LabelMap, Size
from segnet_live.labels import confidence_at, labels_at
from segnet_live.render.confidence import colourise, fade, with_legend
from segnet_live.render.disagreement import draw_disagreement
from segnet_live.render.overlay import Overlay


@dataclass(frozen=True, slots=True)
class ViewSettings:
    """The settings of what to show of a frame and its labels.

    Attributes:
        opacity: 0 (picture alone) to 1 (class colours alone).
        hidden: ids of muted classes.
        colours: other colours than the class set's own, None to keep those; used if there is one for each class.
        wiper: 0 to 1, how far from the left the wiper stands.
        layers: what stands left and right of the wiper, and side by side.
        fade_unsure: the overlay's colours fade where the network is unsure.
    """

    view: View = "overlay"
    opacity: float = 0.5
    hidden: frozenset[int] = frozenset()
    colours: tuple[tuple[int, int, int], ...] | None = None
    wiper: float = 0.5
    layers: tuple[Layer, Layer] = ("original", "overlay")
    fade_unsure: bool = False

    @property
    def needs_confidence(self) -> bool:
        """Whether drawing it takes a confidence map."""
        return shows_confidence(self.view, self.layers, self.fade_unsure)

    @property
    def needs_other(self) -> bool:
        """Whether drawing it takes the label map of a second engine."""
        return shows_other(self.view, self.layers)

    def recolour(self, classes: ClassSet) -> ClassSet:
        """Return `classes` in the chosen colours."""
        if self.colours is None or len(self.colours) != len(classes):
            return classes
        return ClassSet(classes.names, self.colours, classes.void_id)


@lru_cache(maxsize=8)
def _overlay(classes: ClassSet, opacity: float, hidden: frozenset[int]) -> Overlay:
    return Overlay(classes, opacity=opacity, shown=set(range(len(classes))) - hidden)


def compose(
    rgb: RGB,
    labels: LabelMap,
    classes: ClassSet,
    settings: ViewSettings,
    confidence: ConfidenceMap | None = None,
    other: LabelMap | None = None,
) -> RGB:
    """Return the chosen view of a (H, W, 3) uint8 RGB picture and its (H, W) label map; (H, 2 W, 3) side by side.

    The result may be `rgb` itself: it is never to be written to.

    Args:
        confidence: (H, W), if `settings.needs_confidence`; without one, while an engine that gives it is being opened,
            the confidence is the original and nothing fades.
        other: (H, W) labels of a second engine, if `settings.needs_other`; without them it shows the original.
    """
    overlay = _overlay(settings.recolour(classes), settings.opacity, settings.hidden)

    def layer(name: Layer) -> RGB:
        if name == "original" or (name == "confidence" and confidence is None):
            return rgb
        if name in ("other", "disagreement"):
            if other is None:
                return rgb
            return overlay.blend(rgb, other) if name == "other" else draw_disagreement(rgb, labels, other)
        if name == "confidence" and confidence is not None:
            return with_legend(colourise(confidence))
        if name == "labels":
            return overlay.colourise(labels)
        blended = overlay.blend(rgb, labels)
        return fade(rgb, blended, confidence) if settings.fade_unsure and confidence is not None else blended

    if settings.view == "side-by-side":
        return np.hstack([layer(name) for name in settings.layers])
    if settings.view == "wiper":
        column = round(settings.wiper * rgb.shape[1])
        left, right = settings.layers
        picture = layer(right)
        if left != right and column:
            picture = picture.copy() if picture is rgb else picture
            picture[:, :column] = layer(left)[:, :column]
        return picture
    return layer(settings.view)


def compose_result(result: FrameResult, settings: ViewSettings) -> RGB:
    """Return `compose` of a frame result at the source's size, with those of its maps that the view takes."""
    confidence = result.confidence if settings.needs_confidence else None
    other = result.other_labels if settings.needs_other else None
    return compose(result.rgb, result.labels, result.classes, settings, confidence, other)


def fit_within(size: Size, box: Size) -> Size:
    """Return the largest (height, width) of `size`'s aspect ratio inside `box`; 1 at least."""
    scale = min(box[0] / size[0], box[1] / size[1])
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def compose_for_screen(result: FrameResult, settings: ViewSettings, box: Size) -> NDArray[np.uint8]:
    """Return the chosen view as (h, w, 4) uint8 BGRX that fills `box` (device pixels), composed at that size.

    Frames that are smaller than the box are composed at their own size and enlarged.
    """
    frame = result.frame
    height, width = frame.size
    doubled = 2 if settings.view == "side-by-side" else 1
    fitted = fit_within((height, doubled * width), box)
    size = (fitted[0], max(1, round(fitted[1] / doubled)))
    if size[0] >= height or size[1] >= width:
        size = frame.size
    confidence = result.network_confidence if settings.needs_confidence else None
    other = result.network_other if settings.needs_other else None
    small = compose(
        picture_at(frame, size, quick=True),
        labels_at(result.network_labels, size),
        result.classes,
        settings,
        None if confidence is None else confidence_at(confidence, size),
        None if other is None else labels_at(other, size),
    )
    return for_screen(small, box)


def view_size(frame: Frame, settings: ViewSettings) -> Size:
    """Return (height, width) of the view of a frame at the source's size."""
    height, width = frame.size
    return height, 2 * width if settings.view == "side-by-side" else width


def for_screen(picture: RGB, box: Size) -> NDArray[np.uint8]:
    """Return a (H, W, 3) uint8 RGB picture as (h, w, 4) uint8 BGRX that fills `box` (device pixels), aspect ratio kept.

    BGRX is what screens take: drawing it needs no conversion in the GUI thread.
    """
    height, width = fit_within((picture.shape[0], picture.shape[1]), box)
    if (height, width) != picture.shape[:2]:
        shrink = height < picture.shape[0]
        filter_ = cv2.INTER_AREA if shrink else cv2.INTER_LINEAR
        picture = cv2.resize(picture, (width, height), interpolation=filter_).astype(np.uint8, copy=False)
    return cv2.cvtColor(picture, cv2.COLOR_RGB2BGRA).astype(np.uint8, copy=False)
