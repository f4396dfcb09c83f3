"""Single pictures kept on a key: a snapshot of what is shown, and hard frames as drafts for training."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from segnet_live.classes import ClassSet
from segnet_live.errors import OutputError
from segnet_live.frame import FrameResult

DRAFTS_README = """Hard frames, kept while watching: DRAFTS, not ground truth.

train/NAME.png       the frame
trainannot/NAME.png  class ids (see below): the model's own guess

The labels are what the model believed, mistakes included. Correct every trainannot picture before `python -m train`
reads this folder; training on uncorrected ones teaches the model its own errors.

"""


def write_png(path: Path, picture: NDArray[np.uint8]) -> None:
    """`picture`, (H, W, 3) RGB or (H, W) ids, is in `path`: wholly, or not at all.

    Raises:
        OutputError: the place cannot be written.
    """
    bgr = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR) if picture.ndim == 3 else picture
    partial = path.with_suffix(".partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(memoryview(cv2.imencode(".png", bgr)[1]))  # type: ignore[arg-type]
        os.replace(partial, path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise OutputError(f"{path} cannot be written ({error.strerror}); choose another folder in Recording") from error


def save_snapshot(stem: Path, result: FrameResult, picture: NDArray[np.uint8]) -> tuple[Path, Path, Path]:
    """Frame, picture as shown and label map (class ids) are in STEM-frame.png, STEM-shown.png and STEM-labels.png.

    Raises:
        OutputError: the place cannot be written.
    """
    frame, shown, labels = (stem.with_name(f"{stem.name}-{kind}.png") for kind in ("frame", "shown", "labels"))
    write_png(frame, result.frame.rgb)
    write_png(shown, picture)
    write_png(labels, result.labels)
    return frame, shown, labels


def save_hard_frame(folder: Path, name: str, result: FrameResult, classes: ClassSet, model: str) -> Path:
    """Frame and label map lie in `folder` in CamVid's layout; README.txt there says that the labels are a guess.

    Returns:
        The frame's path, train/NAME.png.

    Raises:
        OutputError: the place cannot be written.
    """
    image, annotation = folder / "train" / f"{name}.png", folder / "trainannot" / f"{name}.png"
    write_png(image, result.frame.rgb)
    write_png(annotation, result.labels)
    ids = [f"{i:3d} {class_name}" for i, class_name in enumerate(classes.names)] + [f"{classes.void_id:3d} unlabelled"]
    readme = folder / "README.txt"
    try:
        if not readme.exists():
            readme.write_text(DRAFTS_README + "\n".join(ids) + "\n", encoding="utf-8")
        with (folder / "drafts.txt").open("a", encoding="utf-8") as file:
            file.write(f"{name}.png labelled by {model}, not yet corrected\n")
    except OSError as error:
        raise OutputError(f"{readme} cannot be written ({error.strerror}); choose another folder") from error
    return image
