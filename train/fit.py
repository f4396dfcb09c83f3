"""The training loop: one readable function over stateless random numbers, so that a resumed run equals an unbroken one."""

from __future__ import annotations

import csv
import json
import math
import os
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from segnet_live.classes import CAMVID
from segnet_live.nets.segnet import NETWORKS, Network
from segnet_live.quality import Confusion, Scores
from train.augment import augmented
from train.data import Sample, class_frequencies, median_frequency_weights

MEAN = (0.412, 0.425, 0.433)
STD = (0.307, 0.312, 0.307)
"""CamVid train's mean and standard deviation per RGB channel, of values 0..1."""


@dataclass(frozen=True, slots=True)
class FitConfig:
    """Everything that decides a run's result, saved beside its checkpoints."""

    model: str
    epochs: int
    batch: int = 8
    crop: tuple[int, int] = (256, 320)
    lr: float = 2e-3
    weight_decay: float = 0.02
    warmup_epochs: int = 3
    ema_decay: float = 0.998
    weight_power: float = 0.5
    seed: int = 0
    workers: int = 1
    evaluate_every: int = 5


class Crops(Dataset[tuple[Tensor, Tensor]]):
    """Augmented crops whose randomness depends only on (seed, epoch, position)."""

    def __init__(self, samples: list[Sample], config: FitConfig, epoch: int) -> None:
        self.samples, self.config, self.epoch = samples, config, epoch
        self.order = np.random.default_rng((config.seed, epoch)).permutation(len(samples))

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, position: int) -> tuple[Tensor, Tensor]:
        cv2.setNumThreads(1)
        rng = np.random.default_rng((self.config.seed, self.epoch, position))
        sample = self.samples[self.order[position]]
        rgb, labels = augmented(sample.rgb, sample.labels, self.config.crop, CAMVID.void_id, rng)
        return torch.from_numpy(rgb), torch.from_numpy(labels)


def normalised(rgb: Tensor) -> Tensor:
    """(N, H, W, 3) uint8 RGB -> (N, 3, H, W) float32, channels-last, zero mean and unit variance on CamVid."""
    mean = torch.tensor(MEAN, device=rgb.device) * 255
    std = torch.tensor(STD, device=rgb.device) * 255
    return ((rgb.float() - mean) / std).permute(0, 3, 1, 2)


@torch.no_grad()
def evaluate(network: nn.Module, samples: list[Sample], device: torch.device) -> Scores:
    """Scores of `network` on whole images at their own size."""
    network.eval()
    confusion = Confusion(len(CAMVID))
    for sample in samples:
        x = normalised(torch.from_numpy(sample.rgb)[None].to(device))
        with torch.autocast(device.type, torch.bfloat16):
            labels = network.label_ids(x) if isinstance(network, Network) else network(x).argmax(1)
        confusion.add(sample.labels, labels[0].to("cpu", torch.uint8).numpy())
    return confusion.scores()


def learning_rate(config: FitConfig, step: int, steps_per_epoch: int) -> float:
    """Linear warm-up, then a half cosine to zero."""
    warmup, total = config.warmup_epochs * steps_per_epoch, config.epochs * steps_per_epoch
    if step < warmup:
        return config.lr * (step + 1) / warmup
    return config.lr * 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, total - warmup)))


def parameter_groups(network: nn.Module, weight_decay: float) -> list[dict[str, object]]:
    """Weight decay for convolution kernels only, none for batch norm and biases."""
    kernels = [p for p in network.parameters() if p.ndim > 1]
    rest = [p for p in network.parameters() if p.ndim <= 1]
    return [{"params": kernels, "weight_decay": weight_decay}, {"params": rest, "weight_decay": 0.0}]


@torch.no_grad()
def update_average(average: nn.Module, network: nn.Module, decay: float) -> None:
    """Exponential moving average of weights and batch-norm statistics."""
    for a, b in zip(average.state_dict().values(), network.state_dict().values(), strict=True):
        if a.dtype.is_floating_point:
            a.lerp_(b, 1 - decay)
        else:
            a.copy_(b)


def batches(samples: list[Sample], config: FitConfig, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
    loader = DataLoader(
        Crops(samples, config, epoch), config.batch, drop_last=True, num_workers=config.workers,
        prefetch_factor=4 if config.workers else None,
    )  # fmt: skip
    yield from loader


def save(path: Path, state: dict[str, object]) -> None:
    partial = path.with_suffix(".partial")
    torch.save(state, partial)
    os.replace(partial, path)


def fit(config: FitConfig, train: list[Sample], val: list[Sample], out: Path, init: Path | None = None) -> None:
    """Train, keep `last.pt` and `best.pt` (by val mIoU of the averaged weights) in `out`; resume if `last.pt` is there."""
    out.mkdir(parents=True, exist_ok=True)
    (out / "config.json").write_text(json.dumps(asdict(config), indent=1))
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(config.seed)
    network = NETWORKS[config.model](len(CAMVID)).to(device, memory_format=torch.channels_last)
    average = NETWORKS[config.model](len(CAMVID)).to(device, memory_format=torch.channels_last)
    if init is not None:
        network.load_state_dict(torch.load(init, weights_only=True)["average"])
    average.load_state_dict(network.state_dict())
    optimiser = torch.optim.AdamW(parameter_groups(network, config.weight_decay), lr=config.lr)
    weights = median_frequency_weights(class_frequencies(train, CAMVID), config.weight_power)
    weight = torch.tensor(weights, dtype=torch.float32, device=device)
    first, best, step = 0, 0.0, 0
    if (out / "last.pt").exists():
        state = torch.load(out / "last.pt", map_location=device, weights_only=True)
        network.load_state_dict(state["network"])
        average.load_state_dict(state["average"])
        optimiser.load_state_dict(state["optimiser"])
        first, best, step = state["epoch"], state["best"], state["step"]
    steps_per_epoch = len(train) // config.batch
    began = time.monotonic()
    for epoch in range(first, config.epochs):
        network.train()
        total = 0.0
        for rgb, labels in batches(train, config, epoch):
            for group in optimiser.param_groups:
                group["lr"] = learning_rate(config, step, steps_per_epoch)
            x, y = normalised(rgb.to(device, non_blocking=True)), labels.to(device, non_blocking=True).long()
            with torch.autocast(device.type, torch.bfloat16):
                logits = network(x)
            loss = F.cross_entropy(logits.float(), y, weight, ignore_index=CAMVID.void_id)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            step += 1
            update_average(average, network, min(config.ema_decay, (1 + step) / (10 + step)))
            total += float(loss.detach())
        row = {"epoch": epoch + 1, "loss": total / steps_per_epoch, "lr": learning_rate(config, step, steps_per_epoch)}
        state = {"network": network.state_dict(), "average": average.state_dict(), "optimiser": optimiser.state_dict(),
                 "epoch": epoch + 1, "best": best, "step": step}  # fmt: skip
        if (epoch + 1) % config.evaluate_every == 0 or epoch + 1 == config.epochs:
            scores = evaluate(average, val, device)
            row |= {"val_g": scores.global_accuracy, "val_c": scores.class_accuracy, "val_miou": scores.miou}
            if scores.miou > best:
                best = state["best"] = scores.miou
                save(out / "best.pt", state)
        save(out / "last.pt", state)
        fields = ["epoch", "loss", "lr", "val_g", "val_c", "val_miou"]
        fresh = not (out / "curves.csv").exists()
        with open(out / "curves.csv", "a", newline="") as file:
            writer = csv.DictWriter(file, fields)
            if fresh:
                writer.writeheader()
            writer.writerow(row)
        print({k: round(v, 4) for k, v in row.items()}, f"{time.monotonic() - began:.0f} s", flush=True)
