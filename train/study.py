"""Train the decoder variants of arXiv:1511.00561, Table 1, by one protocol, and measure them as the paper did.

A run is one variant with one balancing and one seed. All runs of a seed see the same crops in the same order for the
same number of steps, and their encoders start from the same weights. Everything is kept in the study's folder; the
same command goes on there.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from segnet_live.errors import UsageError
from segnet_live.learning.data import LabelledSet, Sample
from segnet_live.learning.evaluate import write_json
from segnet_live.learning.model_folder import scratch_folder
from segnet_live.nets.networks import TABLE_1
from segnet_live.nets.segnet import Network
from train.card_fields import shown_command
from train.checkpoint import current_commit, load, read_checkpoint
from train.config import Balancing, FitConfig, from_options, require_same
from train.distributed import init_distributed
from train.fit import Run, Session
from train.initialise import Images, starting_network
from train.measure import Through, measured
from train.package import as_model

POWERS: dict[Balancing, float] = {"median": 1.0, "natural": 0.0}
ENCODERS_OF = "segnet-basic"
FIGURES = "figures.json"


@dataclass(frozen=True, slots=True)
class StudyRun:
    """One run of the study; `folder` holds it."""

    model: str
    balancing: Balancing
    seed: int
    folder: Path

    def config(self, args: argparse.Namespace) -> FitConfig:
        """Return the settings: the recipe's with the command's changes, balancing and seed."""
        own = {"model": self.model, "seed": self.seed, "weight_power": POWERS[self.balancing], "dropout": 0.0}
        return from_options(argparse.Namespace(**vars(args) | own), args.crop)

    def check(self, wanted: FitConfig) -> None:
        """Check that the run, which is complete, had these settings.

        Raises:
            UsageError: it had not; names the first that differs.
        """
        path = self.folder / "config.json"
        stored = json.loads(path.read_text(encoding="utf-8"))
        require_same(stored, wanted, path)
        if stored["epochs"] != wanted.epochs:
            raise UsageError(
                f"{path} was trained with epochs = {stored['epochs']}, not {wanted.epochs}",
                "pass the same, or another --out",
            )

    @property
    def figures(self) -> dict[str, Any] | None:
        """What was measured of it, as `Evaluation.as_json` has it; None before it is complete."""
        path = self.folder / FIGURES
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def planned(args: argparse.Namespace) -> list[StudyRun]:
    """Return all runs: whole tables one after the other, the variants in the paper's order.

    Raises:
        UsageError: no seed is asked for.
    """
    if args.seeds < 1:
        raise UsageError(f"--seeds got {args.seeds}", "it must be above 0")
    models = [model for model in TABLE_1 if model in args.model]
    return [
        StudyRun(model, balancing, seed, args.out / f"{balancing}-{seed}" / model)
        for balancing in args.balancing
        for seed in range(args.seeds)
        for model in models
    ]


def study_network(config: FitConfig, labelled: LabelledSet) -> Network:
    """Return the variant as it starts: its encoders equal those of every other variant of the same seed."""
    network = starting_network(config, labelled, "", "")
    common = starting_network(replace(config, model=ENCODERS_OF), labelled, "", "")
    network.get_submodule("encoders").load_state_dict(common.get_submodule("encoders").state_dict())
    return network


def train_all(args: argparse.Namespace, labelled: LabelledSet, images: Images) -> bool:
    """Train and measure what is not complete; return False where this call's time was up first.

    Raises:
        UsageError: a run in the folder had other settings. DivergedError: a loss is no longer a number.
    """
    ends_s = time.monotonic() + 60 * args.stop_after if args.stop_after else math.inf
    for run in planned(args):
        if run.figures is not None:
            run.check(run.config(args))
            continue
        print(f"{run.model}, {run.balancing} frequency balancing, seed {run.seed}", flush=True)
        if not _train(run, args, labelled, images, ends_s):
            return False
        _measure(run, labelled, images.val)
    return True


def _train(run: StudyRun, args: argparse.Namespace, labelled: LabelledSet, images: Images, ends_s: float) -> bool:
    """Train one run, or go on with it; return True once it is complete."""
    about = {
        "command": shown_command(args.command_line),
        "commit": current_commit(),
        "data": images.about,
        "seen": images.seen.as_json(names=True),
    }
    config = run.config(args)
    left_s = max(0.01, ends_s - time.monotonic()) if ends_s < math.inf else 0.0
    session = Session(run.folder, about, False, args.checkpoint_every, left_s)
    with init_distributed() as processes:
        network = study_network(config, labelled)
        return Run(config, labelled, images.train, images.val, network, processes, session).run()


def _measure(run: StudyRun, labelled: LabelledSet, val: Sequence[Sample]) -> None:
    """Write what the run's best weights reach on `val`, through the app's default engine."""
    best = run.folder / "best.pt"
    with scratch_folder(run.folder) as scratch:
        card = as_model(read_checkpoint(best), labelled, Path(scratch) / "model", name=run.model)
        figures = measured(card, val, Through())
    write_json(run.folder / FIGURES, figures | {"step": load(best)["step"]})
