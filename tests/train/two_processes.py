"""Run twice by `test_distributed.py`: train a network without batch norm, or one with a second classifier."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from segnet_live.learning.data import LabelledSet
from segnet_live.nets.networks import NETWORKS
from segnet_live.nets.pooling import MASK
from segnet_live.nets.segnet import Network
from train.config import FitConfig
from train.distributed import init_distributed
from train.fit import Run, Session


class Plain(Network):
    """Two convolutions: nothing in it depends on the batch's statistics."""

    def __init__(self) -> None:
        super().__init__()
        self.pooling = MASK
        self.layers = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 11, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.layers(x)
        return logits


def train(data: Path, out: Path, batch: int) -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    labelled = LabelledSet()
    config = FitConfig("segnet-fast", "release", epochs=3, crop=(32, 64), evaluations=1, precision="fp32")
    config = replace(config, batch=batch, optimiser="sgd", lr=0.1)
    samples, val = labelled.load(data, "train"), labelled.load(data, "val")
    with init_distributed() as processes:
        run = Run(config, labelled, samples, val, Plain(), processes, Session(out, {}))
        run.run()
        torch.save(run.network.state_dict(), out / f"weights-{processes.rank}.pt")


def train_auxiliary(data: Path, out: Path, batch: int) -> None:
    """Train SegNet-Fast with a second classifier, and write what this process made of that."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    labelled = LabelledSet()
    config = FitConfig("segnet-fast", "release", epochs=1, batch=batch, crop=(32, 64), evaluations=1, precision="fp32")
    samples, val = labelled.load(data, "train"), labelled.load(data, "val")
    with init_distributed() as processes:
        network = NETWORKS["segnet-fast"](len(labelled.classes))
        run = Run(replace(config, auxiliary=0.4), labelled, samples, val, network, processes, Session(out, {}))
        run.run()
        assert run.auxiliary is not None
        torch.save(run.auxiliary.state_dict(), out / f"weights-{processes.rank}.pt")


if __name__ == "__main__":
    (train_auxiliary if sys.argv[4:] == ["auxiliary"] else train)(
        Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    )
