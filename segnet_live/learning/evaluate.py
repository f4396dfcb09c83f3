"""Measure on whole images, through an engine as users run it or through a network while it trains."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from segnet_live.classes import ClassSet
from segnet_live.config import SourceSpec
from segnet_live.engine.base import Engine
from segnet_live.frame import LabelMap
from segnet_live.labels import labels_at
from segnet_live.learning.data import Sample, consecutive
from segnet_live.quality import Confusion, Flicker, boundary_f1
from segnet_live.system.files import write_atomically
from segnet_live.video.open import open_source

Segment = Callable[[NDArray[np.uint8]], LabelMap]
"""(H, W, 3) uint8 RGB -> (H, W) uint8 class ids at the same size."""
SegmentSample = Callable[[Sample], LabelMap]
"""An image with its depth, if it has any -> (H, W) uint8 class ids at the same size."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The paper's measures of one set of images, shares 0..1, and flicker; nan where there was nothing to measure.

    Attributes:
        iou: per class name.
        flicker: over the pairs of consecutive frames among the images.
    """

    images: int
    global_accuracy: float
    class_accuracy: float
    miou: float
    bf: float
    iou: dict[str, float]
    flicker: float

    def as_json(self) -> dict[str, Any]:
        """Return the figures rounded to 4 digits, nan as null."""

        def rounded(value: float) -> float | None:
            return None if math.isnan(value) else round(value, 4)

        return {
            "images": self.images,
            "G": rounded(self.global_accuracy),
            "C": rounded(self.class_accuracy),
            "mIoU": rounded(self.miou),
            "BF": rounded(self.bf),
            "flicker": rounded(self.flicker),
            "IoU": {name: rounded(value) for name, value in self.iou.items()},
        }


def through(engine: Engine) -> Segment:
    """Return the engine as a function from images to label maps of the same size."""
    return lambda rgb: labels_at(engine.segment(rgb), (rgb.shape[0], rgb.shape[1]))


def on_samples(segment: Segment) -> SegmentSample:
    """Return `segment` as a function of labelled images, of which it takes the RGB."""
    return lambda sample: segment(sample.rgb)


def evaluate(
    segment: SegmentSample,
    samples: Sequence[Sample],
    classes: ClassSet,
    *,
    pictures: Path | None = None,
    bf: bool = True,
) -> Evaluation:
    """Return all measures over `samples`; with `pictures`, also write a comparison per image there.

    Args:
        bf: False leaves out BF, which takes longer than the rest together.

    Raises:
        OutputError: a picture cannot be written.
    """
    confusion, flicker, boundaries = Confusion(len(classes)), Flicker(len(classes)), []
    before = ""
    for sample in samples:
        labels = segment(sample)
        confusion.add(sample.labels, labels)
        if bf:
            boundaries.append(boundary_f1(sample.labels, labels, len(classes)))
        if not consecutive(before, sample.name):
            flicker.cut()
        flicker.add(labels, sample.labels)
        before = sample.name
        if pictures is not None:
            write_picture(pictures / f"{sample.name}.png", comparison(sample, labels, classes))
    scores = confusion.scores()
    measured = [value for value in boundaries if not math.isnan(value)]
    return Evaluation(
        images=len(samples),
        global_accuracy=scores.global_accuracy,
        class_accuracy=scores.class_accuracy,
        miou=scores.miou,
        bf=float(np.mean(measured)) if measured else math.nan,
        iou=dict(zip(classes.names, scores.iou.tolist(), strict=True)),
        flicker=flicker.value(),
    )


def clip_flicker(segment: Segment, clip: Path, classes: ClassSet) -> tuple[float, int]:
    """Return the flicker over a video without truth, and the number of frame pairs it was measured on.

    Raises:
        SourceError: the file cannot be opened or read.
    """
    flicker = Flicker(len(classes))
    source = open_source(SourceSpec("video", str(clip)))
    try:
        while (frame := source.read()) is not None:
            flicker.add(segment(frame.rgb))
    finally:
        source.close()
    return flicker.value(), flicker.pairs


def comparison(sample: Sample, labels: LabelMap, classes: ClassSet) -> NDArray[np.uint8]:
    """Return (H, 3 W, 3) uint8 RGB: the image, the labels over it, and where they are wrong (white; black is void)."""
    coloured = classes.palette[labels]
    mixed = cv2.addWeighted(sample.rgb, 0.45, coloured, 0.55, 0).astype(np.uint8, copy=False)
    known = sample.labels < len(classes)
    wrong = np.where((labels != sample.labels) & known, 255, np.where(known, 64, 0)).astype(np.uint8)
    return np.concatenate((sample.rgb, mixed, np.repeat(wrong[..., None], 3, 2)), 1)


def write_picture(path: Path, rgb: NDArray[np.uint8]) -> None:
    """Write a PNG at `path`, its folder made if missing.

    Raises:
        OutputError: the file cannot be written.
    """
    write_atomically(path, cv2.imencode(".png", rgb[..., ::-1])[1].tobytes())


def print_evaluation(result: Evaluation, title: str) -> None:
    """Print the measures as a table."""
    console = Console()
    console.print(title, highlight=False)
    table = Table()
    for heading in ("measure", "value"):
        table.add_column(heading, justify="right" if heading == "value" else "left")
    rows = {"G": result.global_accuracy, "C": result.class_accuracy, "mIoU": result.miou, "BF": result.bf}
    for name, value in (rows | {"flicker": result.flicker}).items():
        table.add_row(name, f"{value:.4f}", style="bold")
    for name, value in result.iou.items():
        table.add_row(f"IoU {name}", f"{value:.4f}")
    console.print(table)


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write `content` at `path`, lists of numbers on one line.

    Raises:
        OutputError: the file cannot be written.
    """
    text = re.sub(r"\[[^][{}\"]*]", lambda match: " ".join(match[0].split()), json.dumps(content, indent=1))
    write_atomically(path, text + "\n")
