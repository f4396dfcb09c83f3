"""Save single pictures: snapshots of what is shown, and hard frames as drafts for training; overwrite nothing."""

from __future__ import annotations

import itertools
from pathlib import Path

from segnet_live.display_text import mask_password
from segnet_live.drafts.folder import DraftFolder, Record, draft_name, png
from segnet_live.frame import RGB, FrameResult, LabelMap
from segnet_live.system.files import write_atomically

_ADVICE = "choose another folder in Recording"


def write_png(path: Path, picture: RGB | LabelMap) -> None:
    """Write `picture`, (H, W, 3) uint8 RGB or (H, W) uint8 ids, to `path`, whole or not at all.

    Raises:
        OutputError: the place cannot be written.
    """
    write_atomically(path, png(picture), advice=_ADVICE)


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


def save_hard_frame(folder: Path, result: FrameResult, model: str) -> Path:
    """Keep a frame and its label map in the drafts folder `folder`.

    Args:
        model: what drew the labels.

    Returns:
        The frame's path, train/NAME.png.

    Raises:
        OutputError: the place cannot be written, or this frame has an annotation already: a person may have corrected
            it.
    """
    source = mask_password(result.source.location or result.source.title)
    name = draft_name(source, result.pts_s)
    record = Record(source, round(result.pts_s, 3), model)
    return DraftFolder(folder, advice=_ADVICE).add(name, result.frame.rgb, result.labels, result.classes, record).image
