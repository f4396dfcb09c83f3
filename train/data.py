"""Labelled images: CamVid's folder layout, checked pair by pair, held in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from segnet_live.classes import CAMVID, ClassSet
from segnet_live.errors import DataError
from segnet_live.frame import LabelMap


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """One labelled image: (H, W, 3) uint8 RGB and its (H, W) uint8 label map (void id where unlabelled)."""

    name: str
    rgb: NDArray[np.uint8]
    labels: LabelMap


def read_rgb(path: Path) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 RGB.

    Raises:
        DataError: the file is missing or no image.
    """
    bgr = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if bgr is None:
        raise DataError(f"{path} is missing or no image; every image needs a readable file")
    return np.ascontiguousarray(bgr[..., ::-1])


def read_labels(path: Path, classes: ClassSet) -> LabelMap:
    """(H, W) uint8 class ids.

    Raises:
        DataError: the file is missing, not single-channel 8-bit, or holds an id that is neither a class nor void.
    """
    labels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if labels is None:
        raise DataError(f"{path} is missing or no image; every image needs a label PNG of the same name")
    if labels.ndim != 2 or labels.dtype != np.uint8:
        raise DataError(f"{path} is {labels.dtype} of shape {labels.shape}; labels are single-channel 8-bit PNGs")
    seen = np.flatnonzero(np.bincount(labels.ravel(), minlength=256))
    strange = [int(i) for i in seen if i >= len(classes) and i != classes.void_id]
    if strange:
        raise DataError(
            f"{path} holds class id {strange[0]}; expected 0..{len(classes) - 1} or void {classes.void_id}"
        )
    return labels.astype(np.uint8, copy=False)


def load_camvid(root: Path, split: str, *, drives: Sequence[str] | None = None, classes: ClassSet = CAMVID) -> list[Sample]:
    """All pairs `root/split/*.png` and `root/{split}annot/*.png`, by name.

    Args:
        drives: keep only the names that begin with one of these ("0001TP", ...).

    Raises:
        DataError: a folder is missing or empty, a pair is incomplete, sizes differ, or a label id is unexpected.
    """
    images, annotations = root / split, root / f"{split}annot"
    for folder in (images, annotations):
        if not folder.is_dir():
            raise DataError(f"{folder} is no folder; CamVid's layout has {split}/ and {split}annot/ side by side")
    names = sorted(p.stem for p in images.glob("*.png"))
    unpaired = sorted({p.stem for p in annotations.glob("*.png")} ^ set(names))
    if unpaired:
        raise DataError(f"{unpaired[0]}.png is in only one of {images} and {annotations}; every image needs its labels")
    if drives is not None:
        names = [n for n in names if n.startswith(tuple(drives))]
    if not names:
        raise DataError(f"{images} holds no PNG{' of ' + ', '.join(drives) if drives else ''}")
    samples = []
    for name in names:
        sample = Sample(name, read_rgb(images / f"{name}.png"), read_labels(annotations / f"{name}.png", classes))
        if sample.rgb.shape[:2] != sample.labels.shape:
            raise DataError(
                f"{annotations / name}.png is {sample.labels.shape[1]}x{sample.labels.shape[0]} but its image is "
                f"{sample.rgb.shape[1]}x{sample.rgb.shape[0]}; sizes must agree"
            )
        samples.append(sample)
    return samples


def class_frequencies(samples: Sequence[Sample], classes: ClassSet) -> NDArray[np.float64]:
    """(K,) share of each class's pixels among all pixels of the images where it is present (section 3.2's count)."""
    count = np.zeros(len(classes))
    present = np.zeros(len(classes))
    for sample in samples:
        histogram = np.bincount(sample.labels.ravel(), minlength=256)
        labelled = histogram.sum() - histogram[classes.void_id]
        here = histogram[: len(classes)]
        count += here
        present += np.where(here > 0, labelled, 0)
    return count / np.maximum(present, 1)


def median_frequency_weights(frequencies: NDArray[np.float64], power: float = 1.0) -> NDArray[np.float64]:
    """(median / frequency) ** power, the paper's balancing at power 1; a class that never occurs weighs 0."""
    seen = frequencies > 0
    median = np.median(frequencies[seen])
    return np.where(seen, (median / np.where(seen, frequencies, 1.0)) ** power, 0.0)
