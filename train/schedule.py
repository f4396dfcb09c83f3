"""Set learning rate, strength of the crops' changes, and the optimiser along a run."""

from __future__ import annotations

import math

import torch
from torch import nn

from train.config import FitConfig

DECAYED = 0.3
"""Strength of the changes of light and lens at the end of a run, as a share of what it was before."""


def learning_rate(config: FitConfig, progress: float) -> float:
    """Return the rate at `progress` 0..1 of the run: a linear rise, then constant or half a cosine down to zero.

    The rise is repeated where dilated kernels become whole: their other taps start there.
    """
    if progress < config.warmup:
        return config.lr * max(progress / config.warmup, 1e-3)
    if config.schedule == "constant":
        return config.lr
    since = progress - config.dilated_init
    rise = max(since / config.warmup, 1e-3) if config.dilated_init and 0 <= since < config.warmup else 1.0
    return rise * config.lr * 0.5 * (1 + math.cos(math.pi * (progress - config.warmup) / (1 - config.warmup)))


def photometric_strength(config: FitConfig, progress: float) -> float:
    """Return the strength of the crops' changes of light and lens at `progress` 0..1: less at the end of the run."""
    return config.photometric * (DECAYED if progress > 1 - config.augment_decay else 1.0)


def make_optimiser(network: nn.Module, config: FitConfig) -> torch.optim.Optimizer:
    """Make the recipe's optimiser; weight decay for convolution kernels only, none for batch norm and biases."""
    learning = [p for p in network.parameters() if p.requires_grad]
    kernels = [p for p in learning if p.ndim > 1]
    rest = [p for p in learning if p.ndim <= 1]
    groups = [{"params": kernels, "weight_decay": config.weight_decay}, {"params": rest, "weight_decay": 0.0}]
    if config.optimiser == "sgd":
        return torch.optim.SGD(groups, lr=config.lr, momentum=0.9)
    return torch.optim.AdamW(groups, lr=config.lr, fused=kernels[0].is_cuda)
