"""Labelled images, checked pair by pair and held in memory; CamVid's layout is built in, `train/sets.py` has others."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray

from segnet_live.classes import CAMVID, ClassSet
from segnet_live.engine.resize import fit_input, network_size
from segnet_live.errors import DataError, first_line
from segnet_live.frame import LabelMap, Size
from segnet_live.labels import labels_at
from segnet_live.system.files import write_atomically
from segnet_live.video.images import read_rgb as decode_rgb
from segnet_live.video.location import IMAGE_SUFFIXES
from segnet_live.video.opencv import decode_picture


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """A labelled image: (H, W, 3) uint8 RGB and its (H, W) uint8 label map (void id where unlabelled).

    Attributes:
        depth: (H, W) uint16 millimetres, 0 where nothing was measured; None where depth was not asked for.
    """

    name: str
    rgb: NDArray[np.uint8]
    labels: LabelMap
    depth: NDArray[np.uint16] | None = None

    def at(self, size: Size) -> Sample:
        """Return the image and its labels at `size`, (height, width)."""
        depth = None if self.depth is None else resized_depth(self.depth, size)
        return Sample(self.name, fit_input(self.rgb, size), labels_at(self.labels, size), depth)


def read_rgb(path: Path) -> NDArray[np.uint8]:
    """Return a picture as (H, W, 3) uint8 RGB.

    Raises:
        DataError: the file is missing or no image.
    """
    rgb = decode_rgb(path)
    if rgb is None:
        raise DataError(f"{path} is missing or no image", "every image needs a readable file")
    return rgb


PICTURES = tuple(f"*{suffix}" for suffix in IMAGE_SUFFIXES)


class LabelledSet:
    """A labelled set: where its pairs lie and what their numbers mean; subclass it for another set.

    A subclass names its `classes` and overrides `pairs`; if the label files hold other ids than 0..K-1 and void, also
    `decode`. This class is CamVid's own layout: `root/{split}/*` (PNG, JPEG or WebP), `root/{split}annot/*.png`; a
    set of one's own may have depth, which CamVid has not, in `root/{split}depth/*.png`.

    Attributes:
        licence: what the data's owners allow; weights trained on it say so on their card.
        mean, std: of the training split, per RGB channel of values 0..1; they travel with the weights.
        drives: prefixes of the recordings that make up the set, for leaving one out.
    """

    name: ClassVar[str] = "camvid"
    classes: ClassVar[ClassSet] = CAMVID
    licence: ClassVar[str] = "research use"
    mean: ClassVar[tuple[float, float, float]] = (0.412, 0.425, 0.433)
    std: ClassVar[tuple[float, float, float]] = (0.307, 0.312, 0.307)
    drives: ClassVar[tuple[str, ...]] = ("0001TP", "0006R0", "0016E5")

    def pairs(self, root: Path, split: str) -> list[tuple[str, Path, Path]]:
        """Return (name, image file, label file) of a split, by name.

        Raises:
            DataError: a folder is missing, or a file has no partner.
        """
        images, annotations = root / split, root / f"{split}annot"
        for folder in (images, annotations):
            if not folder.is_dir():
                raise DataError(f"{folder} is no folder", f"{self.name} has {split}/ and {split}annot/ side by side")
        return matched(files_by_stem(images, *PICTURES), files_by_stem(annotations, "*.png"), images, annotations)

    def depths(self, root: Path, split: str) -> dict[str, Path]:
        """Return the depth pictures of a split, by the names that `pairs` gives.

        Raises:
            DataError: there is no depth.
        """
        folder = root / f"{split}depth"
        if not folder.is_dir():
            raise DataError(
                f"{folder} is no folder",
                f"depth lies in {split}depth/ beside {split}/, as 16-bit PNGs of millimetres; CamVid itself has none",
            )
        return files_by_stem(folder, "*.png")

    def decode_depth(self, stored: NDArray[np.uint16]) -> NDArray[np.uint16]:
        """Turn (H, W) uint16 as stored in a depth file into millimetres, 0 for unknown; the identity here."""
        return stored

    def read_depth(self, path: Path) -> NDArray[np.uint16]:
        """Return (H, W) uint16 millimetres from a file, 0 where nothing was measured.

        Raises:
            DataError: the file is missing, or not single-channel 16-bit.
        """
        try:
            stored = decode_picture(path, cv2.IMREAD_UNCHANGED)
        except (OSError, ValueError) as error:
            problem = f"{path} is missing or no image ({first_line(error)})"
            raise DataError(problem, "every image needs a depth PNG of the same name") from error
        if stored.ndim != 2 or stored.dtype != np.uint16:
            raise DataError(
                f"{path} is {stored.dtype} of shape {stored.shape}",
                "depth is a single-channel 16-bit PNG of millimetres",
            )
        return self.decode_depth(stored.astype(np.uint16, copy=False))

    def decode(self, labels: LabelMap) -> LabelMap:
        """Turn (H, W) uint8 as stored in a label file into class ids 0..K-1 or void; the identity here."""
        return labels

    def read_labels(self, path: Path) -> LabelMap:
        """Return (H, W) uint8 class ids from a file.

        Raises:
            DataError: the file is missing, not single-channel 8-bit, or holds an id that is neither a class nor void.
        """
        try:
            stored = decode_picture(path, cv2.IMREAD_UNCHANGED)
        except (OSError, ValueError) as error:
            problem = f"{path} is missing or no image ({first_line(error)})"
            raise DataError(problem, "every image needs a label PNG of the same name") from error
        if stored.ndim != 2 or stored.dtype != np.uint8:
            raise DataError(f"{path} is {stored.dtype} of shape {stored.shape}", "labels are single-channel 8-bit PNGs")
        labels = self.decode(stored.astype(np.uint8, copy=False))
        void_id = self.classes.void_id
        seen = np.flatnonzero(np.bincount(labels.ravel(), minlength=256))
        strange = [int(i) for i in seen if i >= len(self.classes) and i != void_id]
        if strange:
            raise DataError(
                f"{path} holds class id {strange[0]}", f"expected 0..{len(self.classes) - 1} or void {void_id}"
            )
        return labels

    def load(self, root: Path, split: str, drives: Sequence[str] | None = None, *, depth: bool = False) -> list[Sample]:
        """Return all pairs of a split, checked.

        Args:
            drives: keep only the names that begin with one of these.
            depth: with their depth.

        Raises:
            DataError: a folder is missing or empty, a pair is incomplete, sizes differ, or a label id is unexpected.
        """
        samples, depths = [], self.depths(root, split) if depth else {}
        for name, image, annotation in self.pairs(root, split):
            if drives is not None and not name.startswith(tuple(drives)):
                continue
            sample = Sample(name, read_rgb(image), self.read_labels(annotation))
            if sample.rgb.shape[:2] != sample.labels.shape:
                got, wanted = sample.labels.shape, sample.rgb.shape
                raise DataError(
                    f"{annotation} is {got[1]}x{got[0]} but its image is {wanted[1]}x{wanted[0]}", "sizes must agree"
                )
            if depth:
                sample = self._with_depth(sample, image, depths.get(name))
            samples.append(sample)
        if not samples:
            raise DataError(f"{root}: split {split} holds no image{' of ' + ', '.join(drives) if drives else ''}")
        return samples

    def _with_depth(self, sample: Sample, image: Path, path: Path | None) -> Sample:
        if path is None:
            raise DataError(f"{image} has no depth picture", "every image needs one of the same name")
        depth = self.read_depth(path)
        if depth.shape != sample.labels.shape:
            got, wanted = depth.shape, sample.labels.shape
            raise DataError(
                f"{path} is {got[1]}x{got[0]} but its image is {wanted[1]}x{wanted[0]}",
                "depth must be registered to the image, at its size",
            )
        return replace(sample, depth=depth)


def resized_depth(depth: NDArray[np.uint16], size: Size) -> NDArray[np.uint16]:
    """Return a depth picture at `size`, each pixel from the nearest: a mean of two distances is nothing's distance."""
    return cv2.resize(depth, size[::-1], interpolation=cv2.INTER_NEAREST_EXACT).astype(np.uint16, copy=False)


def files_by_stem(folder: Path, *patterns: str) -> dict[str, Path]:
    """Return the folder's files that match one of the patterns, by name without extension, sorted."""
    return {path.stem: path for path in sorted(p for pattern in patterns for p in folder.glob(pattern))}


def matched(
    images: dict[str, Path], annotations: dict[str, Path], image_folder: Path, annotation_folder: Path
) -> list[tuple[str, Path, Path]]:
    """Return (key, image, label file) of equal keys.

    Raises:
        DataError: a key has only one of the two.
    """
    lone = sorted(images.keys() ^ annotations.keys())
    if lone:
        has, lacks = (images, annotation_folder) if lone[0] in images else (annotations, image_folder)
        raise DataError(f"{has[lone[0]]} has no partner in {lacks}", "every image needs its labels")
    return [(key, images[key], annotations[key]) for key in images]


def write_compact(samples: Sequence[Sample], root: Path, split: str, quality: int = 92) -> None:
    """Write the samples in CamVid's layout under `root`, images as JPEG: a quarter of the size, to carry to a GPU.

    Raises:
        OutputError: a file cannot be written.
    """
    images, annotations = root / split, root / f"{split}annot"
    for sample in samples:
        packed = cv2.imencode(".jpg", sample.rgb[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        write_atomically(images / f"{sample.name}.jpg", packed.tobytes())
        write_atomically(annotations / f"{sample.name}.png", cv2.imencode(".png", sample.labels)[1].tobytes())


def consecutive(earlier: str, later: str, frames: int = 3) -> bool:
    """Return whether two names are at most `frames` frames of one recording apart (CamVid's val: 2 at 30 Hz)."""
    a, b = re.fullmatch(r"(.*?)(\d+)", earlier), re.fullmatch(r"(.*?)(\d+)", later)
    return bool(a and b and a[1] == b[1] and 0 < int(b[2]) - int(a[2]) <= frames)


def size_at(source: Size, zoom: float) -> Size:
    """Return the network's (height, width) for images of `source` shown at `zoom`; their own at 1."""
    return source if zoom == 1 else network_size(source, round(source[0] * source[1] * zoom**2))


def class_frequencies(samples: Sequence[Sample], classes: ClassSet) -> NDArray[np.float64]:
    """Return (K,) each class's share of all labelled pixels of the images where it is present (section 3.2)."""
    count = np.zeros(len(classes))
    present = np.zeros(len(classes))
    for sample in samples:
        here = np.bincount(sample.labels.ravel(), minlength=256)[: len(classes)]
        count += here
        present += np.where(here > 0, here.sum(), 0)
    return count / np.maximum(present, 1)


def median_frequency_weights(frequencies: NDArray[np.float64], power: float = 1.0) -> NDArray[np.float64]:
    """Return (median / frequency) ** power, the paper's balancing at power 1; a class that never occurs weighs 0."""
    seen = frequencies > 0
    median = np.median(frequencies[seen])
    return np.where(seen, (median / np.where(seen, frequencies, 1.0)) ** power, 0.0)
