"""`segnet-live compile`: make engines before they are needed, and show how far they agree with fp32 eager."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from segnet_live.card import DEFAULT_MODEL, Card, find_card
from segnet_live.config import PRECISIONS, Backend, format_size, parse_size
from segnet_live.errors import UsageError

if TYPE_CHECKING:
    from segnet_live.frame import Size

BACKENDS: tuple[Backend, ...] = ("auto", "openvino", "inductor", "tensorrt", "tensorrt-rtx")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "--model",
        action="append",
        metavar="NAME|DIR",
        help=f"model to compile; may be repeated (default: {DEFAULT_MODEL})",
    )
    add(
        "--backend", choices=BACKENDS, default="auto", help="what is to run the network (default: the fastest there is)"
    )
    add(
        "--precision",
        choices=PRECISIONS,
        default="auto",
        help="arithmetic of the network (default: the backend's fast one)",
    )
    add("--size", action="append", metavar="HxW", help="network input; may be repeated (default: for 4:3 and for 16:9)")
    add(
        "--for",
        dest="targets",
        metavar="GPUS",
        help="with --backend tensorrt-rtx: build for these GPU generations, on any machine and without trying the "
        "engine; a list such as sm75,sm86,sm89,sm120 (RTX 20, 30, 40, 50)",
    )
    add("--beside-weights", action="store_true", help="with --for: put the engines into the model's own folder")


def run(arguments: argparse.Namespace) -> int:
    """Compile everything asked for, one after the other, and print a table.

    Raises:
        SegnetLiveError: the first engine that cannot be made; those before it are kept.
    """
    from segnet_live.engine.open import open_engine
    from segnet_live.engine.parity import measure, remember
    from segnet_live.engine.resize import network_size

    if arguments.targets is None and arguments.beside_weights:
        raise UsageError("--beside-weights is for engines that travel", "add --for and the GPUs they are for")
    if arguments.targets is not None and arguments.backend != "tensorrt-rtx":
        raise UsageError(
            f"--for got {arguments.targets!r}, and --backend {arguments.backend} builds for this machine",
            "add --backend tensorrt-rtx or leave it out",
        )
    asked = [parse_size(text, "--size") for text in arguments.size or []]
    cards = [find_card(name) for name in arguments.model or [DEFAULT_MODEL]]
    if arguments.targets is not None:
        return _build_ahead(arguments, cards, asked)
    backend = fastest() if arguments.backend == "auto" else arguments.backend
    console = Console(highlight=False, markup=False)
    table = Table(title="parity: pixels labelled as fp32 eager labels them", title_justify="left")
    for column in ("model", "engine", "precision", "input (HxW)", "seconds", "parity", "least"):
        table.add_column(column)
    for card in cards:
        for size in asked or [network_size(shape, card.pixels) for shape in ((3, 4), (9, 16))]:
            console.print(f"compiling {card.name} for {backend} at {format_size(size)} ...")
            start = time.perf_counter()
            engine = open_engine(card, backend=backend, size=size, precision=arguments.precision)
            took_s = time.perf_counter() - start
            try:
                parity = measure(engine, card)
                remember(card, engine.info, parity)
                info = engine.info
                what = (card.name, info.backend, info.precision, format_size(size), f"{took_s:.1f}")
                table.add_row(*what, *parity.words(card))
            finally:
                engine.close()
    console.print(table)
    return 0


def _build_ahead(arguments: argparse.Namespace, cards: Sequence[Card], asked: Sequence[Size]) -> int:
    """Build TensorRT-RTX engines for other machines and print a table; none of them is run."""
    from segnet_live.engine.artifacts import ENGINE
    from segnet_live.engine.nvidia.tensorrt_rtx import build, parse_generations, stores
    from segnet_live.engine.resize import network_size

    targets = parse_generations(arguments.targets)
    console = Console(highlight=False)
    table = Table(title=f"TensorRT-RTX engines for {', '.join(targets)}; not run here", title_justify="left")
    for column in ("model", "precision", "input (HxW)", "seconds", "MiB", "in"):
        table.add_column(column, overflow="fold")
    for card in cards:
        store = stores(card)[arguments.beside_weights]
        for size in asked or [network_size(shape, card.pixels) for shape in ((3, 4), (9, 16))]:
            began_s = time.perf_counter()
            entry = build(card, size, arguments.precision, targets, store)
            took = f"{time.perf_counter() - began_s:.1f}"
            mib = f"{len(entry.files[ENGINE]) / (1 << 20):.1f}"
            row = (card.name, entry.key_fields["precision"], format_size(size), took, mib, str(store.folder))
            table.add_row(*row)
    console.print(table)
    return 0


def fastest() -> Backend:
    """Return the fastest backend that this machine can compile for."""
    from segnet_live.engine.nvidia.inductor import inductor_problem
    from segnet_live.engine.nvidia.tensorrt import tensorrt_problem
    from segnet_live.engine.nvidia.tensorrt_rtx import rtx_problem

    if tensorrt_problem() is None:
        return "tensorrt"
    if rtx_problem() is None:
        return "tensorrt-rtx"
    return "inductor" if inductor_problem() is None else "openvino"
