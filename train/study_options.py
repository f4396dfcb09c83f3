"""The options of `python -m train study`, apart so that `--help` loads nothing heavy."""

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
    add("--balancing", nargs="+", choices=BALANCINGS, default=list(BALANCINGS), help="of the classes (default both)")
    add("--seeds", type=int, default=1, metavar="N", help="runs of each, with seeds 0 to N - 1 (default 1)")
    add("--out", type=Path, default=Path("runs/study"), help="folder of the runs, which go on there")
    add("--table", action="store_true", help="print the table of what is complete, and train nothing")
    add("--markdown", action="store_true", help="print the table as Markdown")
    add("--stop-after", type=float, default=0, metavar="MINUTES", help="end this call, to go on later")
    add("--checkpoint-every", type=float, default=300, metavar="SECONDS", help="within an epoch")
    add_options(command, SETTINGS)
    add(
        "--crop",
        type=partial(parse_size, option="--crop"),
        metavar="HxW",
        help="size of the random crops, in multiples of 32",
    )
