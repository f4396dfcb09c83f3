"""Measure ranges for int8: how large the input of every convolution gets on training images."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from segnet_live.card import Card
from segnet_live.engine.resize import fit_input, network_size
from segnet_live.learning.data import Sample
from segnet_live.nets.deploy import Deploy
from segnet_live.nets.load import load_network

QUANTILE = 0.9999
IMAGES = 32
"""Values beyond this quantile of an image are cut off; the largest quantile of all images is the range."""


@torch.inference_mode()
def input_maxima(card: Card, samples: Sequence[Sample]) -> list[float | None]:
    """Return the largest input of each convolution of the deployed network, in execution order, on `IMAGES` images.

    None for a convolution that sees negative values: the first, which takes the normalised image, and those that do not
    follow a ReLU. They stay in floating point.
    """
    deploy = Deploy(load_network(card), card.mean, card.std)
    convolutions = [module for module in deploy.modules() if isinstance(module, nn.Conv2d)]
    seen: dict[nn.Module, list[float]] = {}
    negative: set[nn.Module] = set()

    def look(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        values = inputs[0].flatten()
        if float(values.min()) < 0:
            negative.add(module)
        rank = max(1, round(values.numel() * (1 - QUANTILE)))
        seen.setdefault(module, []).append(float(values.topk(rank).values[-1]))

    handles = [module.register_forward_pre_hook(look) for module in convolutions]
    for sample in samples[:: max(1, len(samples) // IMAGES)]:
        height, width = sample.rgb.shape[:2]
        deploy(torch.from_numpy(fit_input(sample.rgb, network_size((height, width), card.pixels)))[None])
    for handle in handles:
        handle.remove()
    return [None if module in negative else round(max(values), 4) for module, values in seen.items()]
