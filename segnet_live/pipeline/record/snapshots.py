"""Save single pictures: snapshots of what is shown, and hard frames as drafts for training; overwrite nothing."""

from __future__ import annotations

import itertools
from pathlib import Path

import cv2

from segnet_live.errors import OutputError, first_line
from segnet_live.frame import RGB, FrameResult, LabelMap
from segnet_live.system.files import write_atomically

DRAFTS_README = """Hard frames, kept while watching: DRAFTS, not ground truth.

train/NAME.png       the frame
trainannot/NAME.png  class ids (see below): the model's own guess

The labels are what the model believed, mistakes included. Correct every trainannot picture before `python -m train`
reads this folder; training on uncorrected ones teaches the model its own errors.

"""
_ADVICE = "choose another folder in Recording"


def write_png(path: Path, picture: RGB | LabelMap) -> None:
    """Write `picture`, (H, W, 3) uint8 RGB or (H, W) uint8 ids, to `path`, whole or not at all.

    Raises:
        OutputError: the place cannot be written.
    """
    bgr = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR) if picture.ndim == 3 else picture
    write_atomically(path, cv2.imencode(".png", bgr)[1].tobytes(), advice=_ADVICE)


def save_snapshot(stem: Path, result: FrameResult, picture: RGB) -> tuple[Path, Path, Path]:
    """Write STEM-frame.png, STEM-shown.png and STEM-labels.png, or STEM-2-frame.png ... where one of them exists.

    Args:
        picture: what is shown of `result`, uint8 RGB.

    Returns:
        The three paths, in this order.

    Raises:
        OutputError: the place cannot be written.
    """
    for number in itertools.count(1):
        name = stem.name if number == 1 else f"{stem.name}-{number}"
        frame, shown, ids = (stem.with_name(f"{name}-{kind}.png") for kind in ("frame", "shown", "labels"))
        if not any(path.exists() for path in (frame, shown, ids)):
            break
    write_png(frame, result.frame.rgb)
    write_png(shown, picture)
    write_png(ids, result.labels)
    return frame, shown, ids


def save_hard_frame(folder: Path, name: str, result: FrameResult, model: str) -> Path:
    """Write a frame and its label map to `folder` in CamVid's layout, with a README.txt that calls the labels a guess.

    Args:
        name: of both pictures, without suffix.
        model: what drew the labels.

    Returns:
        The frame's path, train/NAME.png.

    Raises:
        OutputError: the place cannot be written, or this frame has an annotation already: a person may have corrected
            it.
    """
    image, annotation = folder / "train" / f"{name}.png", folder / "trainannot" / f"{name}.png"
    if annotation.exists():
        raise OutputError(f"{annotation} is kept already, and may have been corrected", "move it away to draw it anew")
    write_png(image, result.frame.rgb)
    write_png(annotation, result.labels)
    classes = result.classes
    ids = [f"{i:3d} {class_name}" for i, class_name in enumerate(classes.names)] + [f"{classes.void_id:3d} unlabelled"]
    readme, drafts = folder / "README.txt", folder / "drafts.txt"
    if not readme.exists():
        write_atomically(readme, DRAFTS_README + "\n".join(ids) + "\n", advice=_ADVICE)
    try:
        with drafts.open("a", encoding="utf-8") as file:
            file.write(f"{name}.png labelled by {model}, not yet corrected\n")
    except OSError as error:
        raise OutputError(f"{drafts} cannot be written ({first_line(error)})", _ADVICE) from error
    return image
