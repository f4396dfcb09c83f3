"""Depth beside RGB, for networks that take four channels (`segnet_live.nets.first_segnet`).

On disk and in a `Sample` depth is uint16 millimetres, 0 where nothing was measured. A network sees metres, less the
mean and over the deviation of the training images' depth, and 0 where nothing was measured. Depth is geometry: it is
taken from the nearest pixel, for the mean of two distances is the distance of nothing that is there.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from segnet_live.card import Card
from segnet_live.engine.nvidia.device import best_device
from segnet_live.engine.resize import fit_input
from segnet_live.errors import DataError
from segnet_live.frame import LabelMap, Size
from segnet_live.labels import labels_at
from segnet_live.learning.data import Sample, resized_depth
from segnet_live.nets.load import load_network

MM = 1000.0


def statistics(samples: Sequence[Sample]) -> tuple[float, float]:
    """Return mean and standard deviation, in metres, of all depths that were measured.

    Raises:
        DataError: no sample has a measured depth.
    """
    count = total = squares = 0.0
    for sample in samples:
        assert sample.depth is not None, "the samples were loaded with depth"
        metres = sample.depth[sample.depth > 0].astype(np.float64) / MM
        count, total, squares = count + metres.size, total + float(metres.sum()), squares + float((metres**2).sum())
    if not count:
        raise DataError("no depth picture has a measured pixel", "0 means that nothing was measured; pass other data")
    mean = total / count
    return round(mean, 3), max(round(math.sqrt(max(squares / count - mean**2, 0.0)), 3), 0.001)


def normalised(x: Tensor, mean: Tensor, deviation: Tensor) -> Tensor:
    """Return a network's input of (N, 3, H, W) RGB of values 0..1, or (N, 4, H, W) with metres as the fourth channel.

    Args:
        mean, deviation: (1, 3 or 4, 1, 1).
    """
    z = (x - mean) / deviation
    return z if x.shape[1] == 3 else torch.cat((z[:, :3], z[:, 3:] * (x[:, 3:] > 0)), 1)


def network_input(sample: Sample, size: Size, mean: Tensor, deviation: Tensor) -> Tensor:
    """Return (1, 3 or 4, h, w) float32: a sample at `size`, with its depth if `mean` has four numbers."""
    x = torch.from_numpy(fit_input(sample.rgb, size).copy()).permute(2, 0, 1)[None] / 255
    if mean.shape[1] == 4:
        assert sample.depth is not None, "the samples were loaded with depth"
        metres = torch.from_numpy(resized_depth(sample.depth, size).astype(np.float32) / np.float32(MM))
        x = torch.cat((x, metres[None, None]), 1)
    return normalised(x.to(mean.device), mean, deviation)


def through_network(card: Card, size: Size) -> Callable[[Sample], LabelMap]:
    """Return the card's network as a function from samples to label maps of their size.

    PyTorch runs it in fp32, on the GPU if there is one: the app's engines take frames of three channels.

    Raises:
        CardError: the weights are damaged or do not fit.
    """
    device = torch.device(best_device())
    network = load_network(card).to(device)
    mean, deviation = (torch.tensor(values, device=device).view(1, -1, 1, 1) for values in (card.mean, card.std))

    @torch.inference_mode()
    def segment(sample: Sample) -> LabelMap:
        ids = network.label_ids(network_input(sample, size, mean, deviation))[0].to("cpu", torch.uint8).numpy()
        return labels_at(ids, (sample.rgb.shape[0], sample.rgb.shape[1]))

    return segment
