"""Measure label maps: G, C and mIoU from one confusion matrix, BF at boundaries, flicker in time."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from segnet_live.frame import LabelMap

BF_TOLERANCE = 0.0075
"""Share of the image diagonal that a boundary may be off (section 3.3, after Csurka et al. 2013): 4.5 px at 480x360."""


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """The paper's measures (section 4): shares 0..1.

    Attributes:
        iou: (K,) per class; nan for a class absent from truth and prediction.
        accuracy: (K,) share of each class's pixels that were found; nan for a class absent from the truth.
    """

    global_accuracy: float
    class_accuracy: float
    miou: float
    iou: NDArray[np.float64]
    accuracy: NDArray[np.float64]


class Confusion:
    """A K x K count of pixels, rows truth, columns prediction; pixels whose truth is no class are left out.

    Against another engine's label maps in place of the truth it measures agreement: overall `global_accuracy`, per
    class `accuracy`.
    """

    def __init__(self, classes: int) -> None:
        self.counts = np.zeros((classes, classes), np.int64)

    def add(self, truth: LabelMap, labels: LabelMap) -> None:
        """Count one image; both (H, W) uint8 of the same size.

        Raises:
            ValueError: the sizes differ or a predicted id is no class.
        """
        _same_size(truth, labels)
        k = len(self.counts)
        inside = truth < k
        predicted = labels[inside].astype(np.int64)
        if predicted.size and predicted.max() >= k:
            raise ValueError(f"predicted class id {predicted.max()}; expected 0..{k - 1}")
        self.counts += np.bincount(truth[inside].astype(np.int64) * k + predicted, minlength=k * k).reshape(k, k)

    def scores(self) -> Scores:
        """Return G, C and mIoU over everything added so far; the means are over the classes that occur in the truth.

        Raises:
            ValueError: no labelled pixel was added.
        """
        hit = np.diag(self.counts).astype(np.float64)
        truth, predicted = self.counts.sum(1), self.counts.sum(0)
        present = truth > 0
        if not present.any():
            raise ValueError("no labelled pixel was added; nothing to score")
        with np.errstate(divide="ignore", invalid="ignore"):
            iou = hit / (truth + predicted - hit)
            accuracy = hit / truth
        overall = float(hit.sum() / truth.sum())
        return Scores(overall, float(accuracy[present].mean()), float(iou[present].mean()), iou, accuracy)


def _same_size(truth: LabelMap, labels: LabelMap) -> None:
    if truth.shape != labels.shape:
        raise ValueError(f"got truth {truth.shape} and labels {labels.shape}; sizes must agree")


def _on_boundary(labels: LabelMap, known: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return (H, W) known pixels with a known 4-neighbour of another class; picture rim and void make no boundary."""
    edge = np.zeros(labels.shape, np.bool_)
    across = (labels[:, 1:] != labels[:, :-1]) & known[:, 1:] & known[:, :-1]
    down = (labels[1:] != labels[:-1]) & known[1:] & known[:-1]
    edge[:, 1:] |= across
    edge[:, :-1] |= across
    edge[1:] |= down
    edge[:-1] |= down
    return edge


def _distance(boundary: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return the (H, W) distances in pixels to the nearest boundary pixel; the boundary must not be empty."""
    return cv2.distanceTransform((~boundary).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE).astype(np.float32)


def boundary_f1(truth: LabelMap, labels: LabelMap, classes: int, tolerance: float = BF_TOLERANCE) -> float:
    """Return BF of one image, 0..1: F1 of boundary precision and recall, averaged over the classes of the truth.

    A boundary pixel of a class counts as found if the other map has one of that class within `tolerance` x the diagonal
    (Euclidean). Void pixels have no known class, so boundaries inside or against them count for neither side. A class
    without a boundary in either map (it fills the picture) says nothing and is left out. A set's BF is the mean over
    its images.

    Args:
        truth, labels: (H, W) uint8 of the same size; truth ids from `classes` on are void.

    Returns:
        nan if no class of the truth has a boundary in either map.

    Raises:
        ValueError: the sizes differ.
    """
    _same_size(truth, labels)
    reach = tolerance * math.hypot(*truth.shape)
    known = truth < classes
    truth_edge, labels_edge = _on_boundary(truth, known), _on_boundary(labels, known)
    scores = []
    for class_id in np.flatnonzero(np.bincount(truth[known], minlength=classes)):
        wanted, found = truth_edge & (truth == class_id), labels_edge & (labels == class_id)
        if wanted.any() and found.any():
            precision = float((_distance(wanted)[found] <= reach).mean())
            recall = float((_distance(found)[wanted] <= reach).mean())
            scores.append(2 * precision * recall / (precision + recall) if precision + recall else 0.0)
        elif wanted.any() or found.any():
            scores.append(0.0)
    return float(np.mean(scores)) if scores else math.nan


class Flicker:
    """The share of pixels that change class between frames, less the share that changes in the truth if there is one.

    Attributes:
        pairs: consecutive frames compared so far.
    """

    def __init__(self, classes: int) -> None:
        self.pairs = 0
        self._classes = classes
        self._sum = 0.0
        self._last: tuple[LabelMap, LabelMap | None] | None = None

    def add(self, labels: LabelMap, truth: LabelMap | None = None) -> None:
        """Count a frame, (H, W) uint8; where both frames of a pair have a truth, only pixels labelled in both count.

        Raises:
            ValueError: the size changed within a run of frames.
        """
        last, self._last = self._last, (labels, truth)
        if last is None:
            return
        before, truth_before = last
        _same_size(before, labels)
        changed = before != labels
        if truth is None or truth_before is None:
            self._sum += float(changed.mean())
        else:
            known = (truth < self._classes) & (truth_before < self._classes)
            if not known.any():
                return
            self._sum += float(changed[known].mean()) - float((truth != truth_before)[known].mean())
        self.pairs += 1

    def cut(self) -> None:
        """Count no pair of the last frame and the next, which does not follow it."""
        self._last = None

    def value(self) -> float:
        """Return the mean over the pairs, 0..1 (below 0 if the labels move less than the truth); nan without a pair."""
        return self._sum / self.pairs if self.pairs else math.nan
