"""`segnet-live models`: what is installed, read from cards and file headers; no weights are loaded."""

from __future__ import annotations

import argparse
import json
import math
import struct
from pathlib import Path

from rich.console import Console
from rich.table import Table

from segnet_live.card import Card, read_card
from segnet_live.errors import CardError
from segnet_live.paths import models_dir

NOT_TRAINED = ("running_mean", "running_var", "num_batches_tracked")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--dir", type=Path, help="list this folder of model folders instead of the installed ones")


def run(arguments: argparse.Namespace) -> int:
    """A table of all models; a damaged one is left out and named in the error.

    Raises:
        CardError: no model is there, or one is damaged.
    """
    folder: Path = arguments.dir or models_dir()
    table = Table(title=f"models in {folder}", title_justify="left")
    for column in ("name", "architecture", "parameters", "MiB", "input (HxW)", "classes", "metrics", "licence"):
        table.add_column(column, overflow="fold")
    damaged: list[CardError] = []
    for path in sorted(folder.glob("*/card.json")):
        try:
            table.add_row(*_row(read_card(path.parent)))
        except CardError as error:
            damaged.append(error)
    if table.row_count:
        Console(highlight=False).print(table)
    if damaged:
        raise damaged[0]
    if not table.row_count:
        raise CardError(f"{folder} holds no model; a model is a folder with card.json and weights.safetensors")
    return 0


def _row(card: Card) -> tuple[str, ...]:
    height, width = card.input_size
    metrics = ", ".join(f"{name} {value:.3g}" for name, value in card.metrics.items() if isinstance(value, float))
    return (
        card.name,
        card.architecture,
        f"{parameters(card):,}",
        f"{card.weights_path.stat().st_size / 2**20:.1f}",
        f"{height}x{width}",
        str(len(card.classes)),
        metrics or "none on the card",
        card.licence,
    )


def parameters(card: Card) -> int:
    """Trained numbers in the card's weights, from the file's header alone.

    Raises:
        CardError: the file is missing or no safetensors file.
    """
    try:
        with card.weights_path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            header = json.loads(file.read(min(length, 1 << 24)))
        return sum(
            math.prod(tensor["shape"])
            for name, tensor in header.items()
            if name != "__metadata__" and not name.endswith(NOT_TRAINED)
        )
    except OSError as error:
        raise CardError(f"{card.weights_path} cannot be read ({error.strerror}); reinstall or copy it again") from error
    except (struct.error, ValueError, KeyError, TypeError) as error:
        raise CardError(f"{card.weights_path} is no safetensors file; copy the model folder again") from error
