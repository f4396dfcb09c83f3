"""Write the curves of a run, as CSV and, with matplotlib, as a PNG plot."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from segnet_live.system.files import replace_atomically, write_atomically

FIELDS = ("epoch", "step", "minutes", "loss", "lr", "images_per_s", "device_busy", "G", "C", "mIoU")
HINT = "curves.png is left out: matplotlib is missing; pip install 'segnet-live[train]'"
_ADVICE = "free disk space or pass another --out"

Row = dict[str, float]


def can_plot() -> bool:
    """Return whether matplotlib is installed."""
    return find_spec("matplotlib") is not None


def write_curves(folder: Path, rows: Sequence[Row]) -> None:
    """Write `curves.csv` and, with matplotlib, `curves.png` from all epochs so far.

    A row lacks what was not measured.

    Raises:
        OutputError: the folder cannot be written.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, FIELDS, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({key: f"{value:.6g}" for key, value in row.items()})
    write_atomically(folder / "curves.csv", text.getvalue(), advice=_ADVICE)
    if can_plot():
        plot(folder / "curves.png", rows)


def plot(path: Path, rows: Sequence[Row]) -> None:
    """Draw the loss above, and G, C and mIoU below, over the epochs.

    Raises:
        OutputError: the file cannot be written.
    """
    from matplotlib.figure import Figure  # pyplot would keep every figure, and look for a display

    figure = Figure((8, 6), layout="constrained")
    above, below = figure.subplots(2, sharex=True)
    for axes, names in ((above, ("loss",)), (below, ("G", "C", "mIoU"))):
        for name in names:
            points = [(row["epoch"], row[name]) for row in rows if name in row]
            if points:
                axes.plot(*zip(*points, strict=True), marker="." if len(points) < 50 else "", label=name)
        if axes.lines:
            axes.legend()
        axes.grid(alpha=0.3)
    above.set_ylim(bottom=0)
    below.set(ylim=(0, 1), xlabel="epoch")
    with replace_atomically(path, advice=_ADVICE) as scratch:
        figure.savefig(scratch, format="png")
