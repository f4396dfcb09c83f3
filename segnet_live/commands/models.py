"""`segnet-live models`: list what is installed, from cards and file headers; no weights are loaded."""

from __future__ import annotations

import argparse
import json
import math
import sys
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from safetensors import SafetensorError, safe_open

from segnet_live.card import HELD_OUT, WEIGHTS, Card, model_folders, own_file, read_card
from segnet_live.config import format_size
from segnet_live.display_text import plain
from segnet_live.errors import CardError, first_line
from segnet_live.system.paths import models_dir

LOG_WIDTH = 160
SHOWN = ("G", "C", "mIoU", "BF")
NOT_TRAINED = ("running_mean", "running_var", "num_batches_tracked")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--dir", type=Path, help="list this folder of model folders instead of the installed ones")
    parser.add_argument("--json", action="store_true", help="print the list as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Print a table of all models; a damaged one is left out and named in the error.

    Raises:
        CardError: no model is there, or one is damaged.
    """
    folder: Path = arguments.dir or models_dir()
    folders = model_folders() if arguments.dir is None else [path.parent for path in sorted(folder.glob("*/card.json"))]
    title = f"models in {folder}" if all(folder in path.parents for path in folders) else "models"
    table = Table(title=title, title_justify="left", box=box.SIMPLE)
    for column in ("name", "architecture", "parameters", "MiB", "input (HxW)", "classes"):
        table.add_column(
            column, no_wrap=True, justify="right" if column in ("parameters", "MiB", "classes") else "left"
        )
    table.add_column("metrics")
    table.add_column("licence")
    damaged: list[CardError] = []
    cards = []
    for path in folders:
        try:
            cards.append(read_card(path))
            table.add_row(*_row(cards[-1]))
        except CardError as error:
            damaged.append(error)
    if arguments.json:
        json.dump([_facts(card) for card in cards], sys.stdout, indent=1)
        print()
    elif table.row_count:
        # In a log or a pipe nobody sees the terminal's width, which would break the lines at 80 columns.
        console = Console(highlight=False, markup=False, width=None if sys.stdout.isatty() else LOG_WIDTH)
        console.print(table)
        console.print(_parity(cards))
    if damaged:
        raise damaged[0]
    if not table.row_count:
        raise CardError(f"{folder} holds no model", "a model is a folder with card.json and weights.safetensors")
    return 0


def _facts(card: Card) -> dict[str, Any]:
    """Return what a program would ask of a model."""
    return {
        "name": card.name,
        "folder": str(card.folder),
        "architecture": card.architecture,
        "parameters": parameters(card),
        "input_size": list(card.input_size),
        "classes": list(card.classes.names),
        "void_id": card.classes.void_id,
        "metrics": card.metrics,
        "licence": card.licence,
        "sha256": card.sha256,
        **({"retrained_sha256": card.retrained_sha256} if card.retrained_sha256 else {}),
    }


def _row(card: Card) -> tuple[str, ...]:
    return (
        card.name,
        card.architecture,
        f"{parameters(card):,}",
        f"{card.weights_mib:.1f}",
        format_size(card.input_size),
        str(len(card.classes)),
        _metrics(card) or "none on the card",
        card.licence,
    )


def _parity(cards: list[Card]) -> Table | str:
    """Return how far each engine agrees with fp32 eager, as far as that was measured on this machine."""
    from segnet_live.engine.parity import recorded

    table = Table(title="pixels labelled as fp32 eager labels them", title_justify="left", box=box.SIMPLE)
    for column in ("name", "engine", "precision", "input (HxW)", "all", "least", "device"):
        table.add_column(column)
    for card in cards:
        for info, parity in recorded(card):
            size = format_size(info.input_size)
            table.add_row(card.name, info.backend, info.precision, size, *parity.words(card), info.device)
    return table if table.row_count else "`segnet-live compile` measures how far each engine agrees with fp32 eager"


def _metrics(card: Card) -> str:
    """Return one line for each data set the card has figures of; figures on images that were trained on say so."""
    lines = []
    for where, figures in card.metrics.items():
        found = figures if isinstance(figures, dict) else {}
        if f"{where}{HELD_OUT}" in card.metrics:
            continue
        shown = ", ".join(f"{name} {value:.3f}" for name in SHOWN if isinstance(value := found.get(name), float))
        if shown:
            caution = plain(str(found.get("caution", ""))).partition(";")[0].removeprefix("the weights were ")
            lines.append(f"{plain(where)}: {shown}" + (f" ({caution})" if caution else ""))
    return "\n".join(lines)


def parameters(card: Card) -> int:
    """Return how many trained numbers the card's weights have, from the file's header alone.

    Raises:
        CardError: the file is missing or no safetensors file.
    """
    try:
        with safe_open(own_file(card.folder, WEIGHTS), "numpy") as file:
            trained = [name for name in file.keys() if not name.endswith(NOT_TRAINED)]  # noqa: SIM118  # it is no dict
            return sum(math.prod(file.get_slice(name).get_shape()) for name in trained)
    except OSError as error:
        raise CardError(
            f"{card.weights_path} cannot be read ({first_line(error)})", "reinstall or copy it again"
        ) from error
    except SafetensorError as error:
        raise CardError(f"{card.weights_path} is no safetensors file", "copy the model folder again") from error
