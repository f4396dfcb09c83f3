"""The options of `python -m train study` and `layerwise`, apart so that `--help` loads nothing heavy."""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

from segnet_live.config import parse_size
from segnet_live.nets.networks import TABLE_1
from train.config import BALANCINGS, add_options

SETTINGS = (
    "epochs", "evaluations", "batch", "zoom", "photometric", "augment_decay", "boundary", "lr", "weight_decay",
    "schedule", "ema_decay", "precision",
)  # fmt: skip
"""Settings of a run that may differ from the recipe, for all runs of the study alike; minutes would not be alike."""


def add_study_options(command: argparse.ArgumentParser) -> None:
    """Add all options to the parser."""
    add = command.add_argument
    add("--data", type=Path, required=True, metavar="DIR", help="CamVid's folder")
    add("--model", nargs="+", choices=TABLE_1, default=list(TABLE_1), help="these variants only")
    add(
        "--balancing",
        nargs="+",
        choices=BALANCINGS,
        default=list(BALANCINGS),
        help="balancing of the classes (default both)",
    )
    add("--seeds", type=int, default=1, metavar="N", help="runs of each, with seeds 0 to N - 1 (default 1)")
    add("--out", type=Path, default=Path("runs/study"), help="folder of the runs, which go on there")
    add("--table", action="store_true", help="print the table of what is complete, and train nothing")
    add("--markdown", action="store_true", help="print the table as Markdown")
    add("--stop-after", type=float, default=0, metavar="MINUTES", help="end this call, to go on later")
    add("--checkpoint-every", type=float, default=300, metavar="SECONDS", help="save this often within an epoch")
    add_options(command, SETTINGS)
    add(
        "--crop",
        type=partial(parse_size, option="--crop"),
        metavar="HxW",
        help="size of the random crops, in multiples of 32",
    )


def add_layerwise_options(command: argparse.ArgumentParser) -> None:
    """Add the options of `python -m train layerwise`."""
    add = command.add_argument
    add(
        "--out",
        type=Path,
        default=Path("runs/segnet-2015"),
        metavar="DIR",
        help="the run's folder; it goes on there",
    )
    add("--depth", action="store_true", help="RGB-D input, as in fit")
    add("--steps", type=int, default=200, metavar="N", help="mini-batches of each stage (default %(default)s)")
    add(
        "--iterations",
        type=int,
        default=8,
        metavar="N",
        help="iterations of L-BFGS on each mini-batch (default %(default)s)",
    )
    add("--batch", type=int, default=8, metavar="N", help="crops in a mini-batch (default %(default)s)")
    add(
        "--crop", type=partial(parse_size, option="--crop"), default=(256, 320), metavar="HxW", help="size of the crops"
    )
    add("--zoom", type=float, default=1.0, metavar="X", help="mean scale of the pictures (default 1)")
    add("--seed", type=int, default=0, metavar="N", help="random seed (default 0)")
    add("--stop-after", type=float, default=0, metavar="MINUTES", help="end this call, to go on later")
