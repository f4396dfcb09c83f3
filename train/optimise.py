"""Learning rate, strength of the crops' changes, optimiser, averaged weights and batch-norm statistics."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from train.config import FitConfig

CALM = 0.3
"""Strength of the changes of light and lens in the calm end of a run, as a share of what it was before."""


def learning_rate(config: FitConfig, progress: float) -> float:
    """At `progress` 0..1 of the run: a linear rise, then constant or half a cosine down to zero.

    The rise is repeated where thin kernels become whole: their other taps start there.
    """
    if progress < config.warmup:
        return config.lr * max(progress / config.warmup, 1e-3)
    if config.schedule == "constant":
        return config.lr
    since = progress - config.thin
    rise = max(since / config.warmup, 1e-3) if config.thin and 0 <= since < config.warmup else 1.0
    return rise * config.lr * 0.5 * (1 + math.cos(math.pi * (progress - config.warmup) / (1 - config.warmup)))


def appearance(config: FitConfig, progress: float) -> float:
    """Strength of the crops' changes of light and lens at `progress` 0..1: calmer at the end of the run."""
    return config.appearance * (CALM if progress > 1 - config.calm else 1.0)


def make_optimiser(network: nn.Module, config: FitConfig) -> torch.optim.Optimizer:
    """As the recipe says; weight decay for convolution kernels only, none for batch norm and biases."""
    kernels = [p for p in network.parameters() if p.ndim > 1]
    rest = [p for p in network.parameters() if p.ndim <= 1]
    groups = [{"params": kernels, "weight_decay": config.weight_decay}, {"params": rest, "weight_decay": 0.0}]
    if config.optimiser == "sgd":
        return torch.optim.SGD(groups, lr=config.lr, momentum=0.9)
    return torch.optim.AdamW(groups, lr=config.lr, fused=kernels[0].is_cuda)


@torch.no_grad()
def settle_statistics(network: nn.Module, batches: Iterable[Tensor]) -> None:
    """Batch-norm statistics become the plain mean over `batches` (normalised images); everything else stays."""
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    network.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a cumulative mean
        norm.train()
    for batch in batches:
        network(batch)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
        norm.eval()


@torch.no_grad()
def move_average(average: nn.Module, network: nn.Module, decay: float) -> None:
    """Weights and batch-norm statistics of `average` go the share 1 - `decay` of the way to the network's."""
    pairs = zip(average.state_dict().values(), network.state_dict().values(), strict=True)
    floats = [(a, b) for a, b in pairs if a.dtype.is_floating_point]
    get_ema_multi_avg_fn(decay)([a for a, _ in floats], [b for _, b in floats], None)  # type: ignore[no-untyped-call]
