"""Train the decoder variants of arXiv:1511.00561, Table 1, by one protocol.

A run is one variant with one balancing and one seed. All runs of a seed see the same crops in the same order for the
same number of steps, and their encoders start from the same weights.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from segnet_live.learning.data import LabelledSet
from segnet_live.nets.networks import TABLE_1
from segnet_live.nets.segnet import Network
from train.card_fields import shown_command
from train.checkpoint import current_commit
from train.config import Balancing, FitConfig, from_options
from train.distributed import init_distributed
from train.fit import Run, Session
from train.initialise import Images, starting_network

POWERS: dict[Balancing, float] = {"median": 1.0, "natural": 0.0}
ENCODERS_OF = "segnet-basic"


@dataclass(frozen=True, slots=True)
class StudyRun:
    """One run of the study."""

    model: str
    balancing: Balancing
    seed: int

    def folder(self, out: Path) -> Path:
        """Return the folder of the run in the study's."""
        return out / f"{self.balancing}-{self.seed}" / self.model

    def config(self, args: argparse.Namespace) -> FitConfig:
        """Return the settings: the recipe's with the command's changes, balancing and seed."""
        own = {"model": self.model, "seed": self.seed, "weight_power": POWERS[self.balancing], "dropout": 0.0}
        return from_options(argparse.Namespace(**vars(args) | own), args.crop)


def planned(models: Sequence[str], balancings: Sequence[Balancing], seeds: int) -> list[StudyRun]:
    """Return all runs: whole tables one after the other, the variants in the paper's order."""
    order = [model for model in TABLE_1 if model in models]
    return [StudyRun(model, b, seed) for b in balancings for seed in range(seeds) for model in order]


def study_network(config: FitConfig, labelled: LabelledSet) -> Network:
    """Return the variant as it starts: its encoders equal those of every other variant of the same seed."""
    network = starting_network(config, labelled, "", "")
    common = starting_network(replace(config, model=ENCODERS_OF), labelled, "", "")
    network.get_submodule("encoders").load_state_dict(common.get_submodule("encoders").state_dict())
    return network


def train_run(
    run: StudyRun, args: argparse.Namespace, labelled: LabelledSet, images: Images, stop_after_s: float
) -> bool:
    """Train one run, or go on with it; return True once it is complete."""
    about = {
        "command": shown_command(args.command_line),
        "commit": current_commit(),
        "data": images.about,
        "seen": images.seen.as_json(names=True),
    }
    config = run.config(args)
    session = Session(run.folder(args.out), about, False, args.checkpoint_every, stop_after_s)
    with init_distributed() as processes:
        network = study_network(config, labelled)
        return Run(config, labelled, images.train, images.val, network, processes, session).run()


def train_all(args: argparse.Namespace, labelled: LabelledSet, images: Images) -> bool:
    """Train what is not complete; return False where this call's time was up first."""
    ends_s = time.monotonic() + 60 * args.stop_after if args.stop_after else 0.0
    for run in planned(args.model, args.balancing, args.seeds):
        left_s = max(1.0, ends_s - time.monotonic()) if ends_s else 0.0
        print(f"{run.model}, {run.balancing} frequency balancing, seed {run.seed}", flush=True)
        if not train_run(run, args, labelled, images, left_s):
            return False
    return True
