"""Show what an adaptation gave: a table of figures, and pictures of the held-back drafts before and after."""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from segnet_live.adapt.adapt import Outcome, through_app
from segnet_live.card import Card
from segnet_live.learning.evaluate import comparison, write_json, write_picture

BAR_PX = 26
PICTURES = "before-after"


def print_outcome(outcome: Outcome, console: Console) -> None:
    """Print mIoU, G and each class's IoU before and after, on the held-back drafts and on old roads."""
    table = Table(title=f"{outcome.card.name}, measured with {outcome.engine}", title_justify="left")
    columns = ["", "drafts before", "after"]
    old = outcome.old_before, outcome.old_after
    if old[0] is not None:
        columns += [f"{outcome.about_old} before", "after"]
    for column in columns:
        table.add_column(column, justify="right" if column else "left")
    every = [outcome.before, outcome.after, *(e for e in old if e is not None)]
    table.add_row("images", *(str(e.images) for e in every))
    table.add_row("mIoU", *(f"{e.miou:.3f}" for e in every), style="bold")
    table.add_row("G", *(f"{e.global_accuracy:.3f}" for e in every))
    for name in outcome.card.classes.names:
        values = [e.iou[name] for e in every]
        table.add_row(name, *("-" if np.isnan(value) else f"{value:.3f}" for value in values))
    console.print(table)


def write_report(outcome: Outcome, before: Card) -> Path:
    """Write `adapted.json` and a picture for each held-back draft into the new model's folder; return their folder.

    A picture has two rows, before and after: the frame, the labels over it, and in white where they are wrong.

    Raises:
        OutputError: the folder cannot be written.
    """
    folder = outcome.card.folder
    shutil.rmtree(folder / PICTURES, ignore_errors=True)  # those of an adaptation that this one replaces
    write_json(folder / "adapted.json", outcome.as_json())
    with through_app(before) as (old, _), through_app(outcome.card) as (new, _):
        for sample in outcome.held:
            rows = [
                _titled(comparison(sample, segment(sample.rgb), outcome.card.classes), title)
                for segment, title in ((old, f"before: {before.name}"), (new, f"after: {outcome.card.name}"))
            ]
            write_picture(folder / PICTURES / f"{sample.name}.png", np.concatenate(rows))
    return folder / PICTURES


def _titled(picture: NDArray[np.uint8], title: str) -> NDArray[np.uint8]:
    bar = np.full((BAR_PX, picture.shape[1], 3), 24, np.uint8)
    cv2.putText(bar, title, (8, BAR_PX - 8), cv2.FONT_HERSHEY_SIMPLEX, 0.55, (235, 235, 235), 1, cv2.LINE_AA)
    return np.concatenate((bar, picture))
