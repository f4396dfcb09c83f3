"""`segnet-live adapt`: fit a model to your own road, from drafts that you have corrected."""

from __future__ import annotations

import argparse
import contextlib
import json
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

from segnet_live.card import DEFAULT_MODEL, find_card, remember_model
from segnet_live.display_text import fit_to_show
from segnet_live.errors import UsageError
from segnet_live.system.files import free_path
from segnet_live.system.paths import user_models_dir


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("drafts", type=Path, metavar="DRAFTS", help="a drafts folder; only frames that a person corrected are learnt")
    add("--model", metavar="NAME|DIR", default=DEFAULT_MODEL, help=f"model to begin with (default: {DEFAULT_MODEL})")
    add("--out", type=Path, metavar="DIR", help="the new model's folder (default: MODEL-DRAFTS among your own models)")
    add(
        "--old",
        type=Path,
        metavar="DIR",
        help="labelled roads that must not get worse, in CamVid's layout: train/ is rehearsed, val/ measured (default: "
        "the example drive)",
    )
    add("--minutes", type=float, default=4.0, metavar="N", help="train no longer than this (default: 4)")
    add("--rate", type=float, default=None, metavar="X", help="learning rate: smaller changes less (default: 2e-3)")
    add(
        "--seed", type=int, default=0, metavar="N", help="random seed; another one learns from other crops (default: 0)"
    )
    add("--overwrite", action="store_true", help="replace the model that is in --out")
    add("--json", action="store_true", help="print the outcome as JSON, and what happens to stderr")


def run(arguments: argparse.Namespace) -> int:
    """Adapt, print figures before and after, write pictures, and let the new model appear in the list.

    Raises:
        SegnetLiveError: what cannot be carried out, or got worse: nothing was written then.
    """
    if not 0 < arguments.minutes <= 600:
        raise UsageError(f"--minutes is {arguments.minutes:g}", "give minutes, more than 0")
    if arguments.rate is not None and not 0 < arguments.rate < 1:
        raise UsageError(f"--rate is {arguments.rate:g}", "give a learning rate between 0 and 1, such as 1e-3")
    if not 0 <= arguments.seed < 2**31:
        raise UsageError(f"--seed is {arguments.seed}", "give a whole number from 0 to 2147483647")
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    from segnet_live.adapt.adapt import Job, adapt
    from segnet_live.adapt.finetune import Recipe
    from segnet_live.adapt.report import print_outcome, write_report

    card = find_card(arguments.model)
    out = arguments.out or free_path(user_models_dir() / f"{card.file_name}-{arguments.drafts.resolve().name}")
    rate = {} if arguments.rate is None else {"lr": arguments.rate}
    recipe = Recipe(minutes=arguments.minutes, seed=arguments.seed, **rate)
    job = Job(card, arguments.drafts, out, arguments.old, arguments.overwrite, recipe)
    console = Console(stderr=arguments.json, highlight=False)
    columns = (TextColumn("adapting"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("adapting", total=1.0)
        shown = -1

        def progress(done: float) -> None:
            nonlocal shown
            bar.update(task, completed=done)
            if not console.is_terminal and int(done * 20) > shown:  # one line for each 5 %, in a log or for the window
                shown = int(done * 20)
                console.print(f"adapting {done:.0%}")

        with _termination_interrupts():
            outcome = adapt(job, lambda line: console.print(fit_to_show(line), markup=False), progress)
    pictures = write_report(outcome, card)
    remember_model(outcome.card.folder)
    print_outcome(outcome, console)
    console.print(
        f"learnt {outcome.learnt} drafts in {outcome.steps} steps, {outcome.seconds:.0f} s in all; pictures before and "
        f"after: {fit_to_show(str(pictures))}; use it with --model {fit_to_show(str(outcome.card.folder))}",
        markup=False,
        soft_wrap=True,
    )
    if arguments.json:
        json.dump(outcome.as_json() | {"pictures": str(pictures)}, sys.stdout, indent=1)
        print()
    return 0


@contextlib.contextmanager
def _termination_interrupts() -> Iterator[None]:
    """Let SIGTERM end the body as Ctrl-C does, which removes a half-made model."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
