"""`segnet-live compile`: make engines before they are needed, and show how far they agree with fp32 eager."""

from __future__ import annotations

import argparse
import time

from rich.console import Console
from rich.table import Table

from segnet_live.card import DEFAULT_MODEL, find_card
from segnet_live.config import PRECISIONS, Backend, format_size, parse_size

BACKENDS: tuple[Backend, ...] = ("auto", "openvino", "inductor", "tensorrt")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--model", action="append", metavar="NAME|DIR", help=f"may be repeated (default: {DEFAULT_MODEL})")
    add("--backend", choices=BACKENDS, default="auto", help="default: the fastest that this machine has")
    add("--precision", choices=PRECISIONS, default="auto", help="default: the backend's fast one")
    add("--size", action="append", metavar="HxW", help="network input; may be repeated (default: for 4:3 and for 16:9)")


def run(arguments: argparse.Namespace) -> int:
    """Compile everything asked for, one after the other, and print a table.

    Raises:
        SegnetLiveError: the first engine that cannot be made; those before it are kept.
    """
    from segnet_live.engine.open import open_engine
    from segnet_live.engine.parity import measure, remember
    from segnet_live.engine.resize import network_size

    asked = [parse_size(text, "--size") for text in arguments.size or []]
    cards = [find_card(name) for name in arguments.model or [DEFAULT_MODEL]]
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


def fastest() -> Backend:
    """Return the fastest backend that this machine can compile for."""
    from segnet_live.engine.nvidia.inductor import inductor_problem
    from segnet_live.engine.nvidia.tensorrt import tensorrt_problem

    if tensorrt_problem() is None:
        return "tensorrt"
    return "inductor" if inductor_problem() is None else "openvino"
