"""What a run looked like: curves as CSV and as a PNG plot."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from segnet_live.errors import OutputError
from train.evaluate import write_picture

FIELDS = ("epoch", "step", "minutes", "loss", "lr", "images_per_s", "device_busy", "G", "C", "mIoU")

Row = dict[str, float]


def write_curves(folder: Path, rows: Sequence[Row]) -> None:
    """`curves.csv` and `curves.png` from all epochs so far; a row lacks what was not measured.

    Raises:
        OutputError: the folder cannot be written.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, FIELDS, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({key: f"{value:.6g}" for key, value in row.items()})
    path = folder / "curves.csv"
    partial = folder / "curves.csv.partial"
    try:
        partial.write_text(text.getvalue(), encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise OutputError(
            f"{path} cannot be written ({error.strerror}); free disk space or pass another --out"
        ) from error
    write_picture(folder / "curves.png", plotted(rows))


def plotted(rows: Sequence[Row], size: tuple[int, int] = (720, 960)) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 RGB: the loss above, G, C and mIoU below, over the epochs."""
    height, width = size
    picture = np.full((height, width, 3), 255, np.uint8)
    upper, lower = picture[: height // 2], picture[height // 2 :]
    losses = [row["loss"] for row in rows]
    _panel(upper, rows, {"loss": (31, 119, 180)}, (0.0, max([*losses, 1e-6]) * 1.05))
    _panel(lower, rows, {"G": (44, 160, 44), "C": (255, 127, 14), "mIoU": (214, 39, 40)}, (0.0, 1.0))
    return picture


def _panel(
    panel: NDArray[np.uint8],
    rows: Sequence[Row],
    colours: dict[str, tuple[int, int, int]],
    limits: tuple[float, float],
) -> None:
    """One diagram with its frame, five grid lines with figures, and a line and its last value for every measure."""
    height, width = panel.shape[:2]
    left, right, top, bottom = 70, width - 130, 20, height - 40
    last_epoch = max([row["epoch"] for row in rows], default=1.0)

    def text(words: str, x: int, y: int, colour: tuple[int, int, int] = (60, 60, 60)) -> None:
        cv2.putText(panel, words, (x, y), cv2.FONT_HERSHEY_SIMPLEX, 0.45, colour, 1, cv2.LINE_AA)

    def place(epoch: float, value: float) -> tuple[int, int]:
        across, up = epoch / last_epoch, (value - limits[0]) / (limits[1] - limits[0])
        return round(left + across * (right - left)), round(bottom - up * (bottom - top))

    for i in range(5):
        value = limits[0] + (limits[1] - limits[0]) * i / 4
        y = place(0, value)[1]
        cv2.line(panel, (left, y), (right, y), (225, 225, 225))
        text(f"{value:.2f}", 20, y + 5)
        text(f"{last_epoch * i / 4:.0f}", place(last_epoch * i / 4, limits[0])[0] - 8, bottom + 18)
    cv2.rectangle(panel, (left, top), (right, bottom), (120, 120, 120))
    for i, (name, colour) in enumerate(colours.items()):
        points = [place(row["epoch"], row[name]) for row in rows if name in row]
        if points:
            cv2.polylines(panel, [np.array(points, np.int32)], False, colour, 2, cv2.LINE_AA)
            value = next(row[name] for row in reversed(rows) if name in row)
            text(f"{name} {value:.4f}", right + 10, top + 20 + 22 * i, colour)
