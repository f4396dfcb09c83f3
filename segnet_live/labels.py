"""Work on label and confidence maps, whatever made them: bring them to a size, count classes and unsure pixels."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from segnet_live.errors import EngineError

UNSURE = 128
"""Confidence (0..255) below which a pixel counts as unsure."""


def checked(labels: object) -> NDArray[np.uint8]:
    """Return what an engine gave, which is to be a label map, (h, w) uint8.

    Raises:
        EngineError: it is none.
    """
    if not isinstance(labels, np.ndarray) or labels.ndim != 2 or labels.dtype != np.uint8 or not labels.size:
        got = f"{labels.dtype} {labels.shape}" if isinstance(labels, np.ndarray) else type(labels).__name__
        raise EngineError(f"the engine gave {got} for a label map, (h, w) uint8")
    return labels


def labels_at(labels: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Return a label map at `size`, (height, width), with smooth edges instead of stair-steps.

    Each class's membership is interpolated linearly and the largest wins, so that a boundary becomes a line between
    pixel centres and no class appears that was not there. Shrinking takes the class that covers most of each pixel.
    """
    height, width = size
    if labels.shape == size:
        return labels
    ids = np.flatnonzero(np.bincount(labels.ravel(), minlength=256))
    if len(ids) == 1:
        return np.full(size, ids[0], np.uint8)
    shrink = labels.shape[0] * labels.shape[1] > height * width
    interpolation = cv2.INTER_AREA if shrink else cv2.INTER_LINEAR
    best = np.zeros(size, np.uint8)
    out = np.full(size, ids[0], np.uint8)
    for class_id in ids:
        member = cv2.inRange(labels, int(class_id), int(class_id))
        member = cv2.resize(member, (width, height), interpolation=interpolation)
        wins = cv2.compare(member, best, cv2.CMP_GT)
        cv2.max(member, best, best)
        # ids ascend, so the newest winner's is the largest: a maximum writes it without a masked copy
        np.maximum(out, np.bitwise_and(wins, np.uint8(class_id)), out=out)
    return out


def class_shares(labels: NDArray[np.uint8], classes: int) -> NDArray[np.float32]:
    """Return each class's share of all pixels, (classes,) float32 0..1; less than 1 in sum where pixels are void."""
    counts = cv2.calcHist([labels], [0], None, [256], [0, 256])
    return (counts.ravel()[:classes] / labels.size).astype(np.float32, copy=False)


def confidence_at(confidence: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Return a confidence map, uint8 0..255, at `size` (height, width): linear, or the mean of each area to shrink."""
    height, width = size
    if confidence.shape == size:
        return confidence
    shrink = confidence.shape[0] * confidence.shape[1] > height * width
    interpolation = cv2.INTER_AREA if shrink else cv2.INTER_LINEAR
    return cv2.resize(confidence, (width, height), interpolation=interpolation).astype(np.uint8, copy=False)


def mean_confidence(confidence: NDArray[np.uint8]) -> float:
    """Return the mean of a confidence map, 0..1."""
    return float(cv2.mean(confidence)[0]) / 255


def unsure_share(confidence: NDArray[np.uint8]) -> float:
    """Return the share of pixels whose confidence is below UNSURE, 0..1."""
    return cv2.countNonZero(cv2.compare(confidence, UNSURE, cv2.CMP_LT)) / confidence.size  # type: ignore[call-overload]
