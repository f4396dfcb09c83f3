"""How good label maps are: one confusion matrix for G, C and mIoU."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segnet_live.frame import LabelMap


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """The paper's measures (section 4): shares 0..1; a class absent from the truth and the prediction is nan in `iou`."""

    global_accuracy: float
    class_accuracy: float
    miou: float
    iou: NDArray[np.float64]


class Confusion:
    """A K x K count of pixels, rows truth, columns prediction; pixels whose truth is no class are left out."""

    def __init__(self, classes: int) -> None:
        self.counts = np.zeros((classes, classes), np.int64)

    def add(self, truth: LabelMap, labels: LabelMap) -> None:
        """Count one image; both (H, W) uint8 of the same size.

        Raises:
            ValueError: the sizes differ or a predicted id is no class.
        """
        if truth.shape != labels.shape:
            raise ValueError(f"got truth {truth.shape} and labels {labels.shape}; sizes must agree")
        k = len(self.counts)
        inside = truth < k
        predicted = labels[inside].astype(np.int64)
        if predicted.size and predicted.max() >= k:
            raise ValueError(f"predicted class id {predicted.max()}; expected 0..{k - 1}")
        self.counts += np.bincount(truth[inside].astype(np.int64) * k + predicted, minlength=k * k).reshape(k, k)

    def scores(self) -> Scores:
        """G, C and mIoU over everything added so far; the means are over the classes that occur in the truth."""
        hit = np.diag(self.counts).astype(np.float64)
        truth, predicted = self.counts.sum(1), self.counts.sum(0)
        union = truth + predicted - hit
        with np.errstate(divide="ignore", invalid="ignore"):
            iou = hit / union
            accuracy = hit / truth
        present = truth > 0
        if not present.any():
            raise ValueError("no labelled pixel was added; nothing to score")
        return Scores(float(hit.sum() / truth.sum()), float(accuracy[present].mean()), float(iou[present].mean()), iou)
