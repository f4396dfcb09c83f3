"""Fit the temperature that makes a network's probabilities true: of what it gives 0.8, 80 % should be right.

One number for all classes and pixels, fitted on images that the weights have not learnt from (Guo et al.,
arXiv:1706.04599). It changes no label. The expected calibration error says how far off the probabilities are.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from segnet_live.card import Card
from segnet_live.engine.resize import network_size
from segnet_live.errors import DataError
from segnet_live.frame import Size
from segnet_live.learning.data import Sample
from segnet_live.learning.depth import network_input
from segnet_live.nets.load import load_network

PIXELS = 20_000
"""Labelled pixels drawn from each image; the logits of all of them would take gigabytes."""
BINS = 15
"""Of equal width, as in the paper."""
LIMITS = 0.05, 20.0
STEPS = 30


@dataclass(frozen=True, slots=True)
class Calibration:
    """A fitted temperature, and the expected calibration error with a temperature of 1 and with it, 0..1."""

    temperature: float
    ece_before: float
    ece_after: float
    images: int
    pixels: int

    def as_json(self) -> dict[str, Any]:
        """Return the fields rounded, for a card."""
        return {
            "temperature": round(self.temperature, 4),
            "ece_before": round(self.ece_before, 4),
            "ece_after": round(self.ece_after, 4),
            "images": self.images,
            "pixels": self.pixels,
        }


def calibrate(card: Card, samples: Sequence[Sample], size: Size | None = None) -> Calibration:
    """Return the temperature that suits `samples` best, by the log-likelihood of their labels (fp32, network size).

    Args:
        size: the network's (height, width); None for what the app takes for such images.

    Raises:
        DataError: no sample has a labelled pixel.
    """
    logits, truth = drawn_logits(card, samples, size)
    temperature = _fitted(logits, truth)
    return Calibration(
        temperature,
        expected_calibration_error(logits, truth, 1.0),
        expected_calibration_error(logits, truth, temperature),
        len(samples),
        len(truth),
    )


@torch.inference_mode()
def drawn_logits(card: Card, samples: Sequence[Sample], fixed: Size | None) -> tuple[Tensor, Tensor]:
    """Return the logits (n, K) float32 and labels (n,) int64 of pixels drawn from all samples, the same every time."""
    network = load_network(card)
    mean, std = (torch.tensor(values).view(1, -1, 1, 1) for values in (card.mean, card.std))
    draw = np.random.default_rng(0)
    logits, truth = [], []
    for sample in samples:
        size = fixed or network_size((sample.rgb.shape[0], sample.rgb.shape[1]), card.pixels)
        labels = cv2.resize(sample.labels, size[::-1], interpolation=cv2.INTER_NEAREST).reshape(-1)
        places = np.flatnonzero(labels < len(card.classes))
        places = draw.permutation(places)[:PIXELS]
        scores: Tensor = network(network_input(sample, size, mean, std))[0].flatten(1)
        logits.append(scores[:, torch.from_numpy(places)].T.contiguous())
        truth.append(torch.from_numpy(labels[places].astype(np.int64)))
    if not sum(map(len, truth)):
        raise DataError("nothing to calibrate on: no image has a labelled pixel", "pass another --split")
    return torch.cat(logits), torch.cat(truth)


@torch.inference_mode()
def _fitted(logits: Tensor, truth: Tensor) -> float:
    """Return the temperature with the largest likelihood: Newton's method on its inverse, where it is convex."""
    right = float(logits.gather(1, truth[:, None]).double().mean())
    inverse = 1.0
    for _ in range(STEPS):
        slope = bend = 0.0
        for part in torch.split(logits, 1 << 18):
            probabilities = (part * inverse).softmax(1)
            expected = (probabilities * part).sum(1, keepdim=True)
            slope += float(expected.double().sum())
            bend += float((probabilities * (part - expected).square()).double().sum())
        step = (slope - right * len(truth)) / max(bend, 1e-12)
        # half the way at most, so that a far start cannot step over zero
        inverse = min(max(inverse - step, inverse / 2, 1 / LIMITS[1]), inverse * 2, 1 / LIMITS[0])
        if abs(step) < 1e-6 * inverse:
            break
    return 1 / inverse


@torch.inference_mode()
def expected_calibration_error(logits: Tensor, truth: Tensor, temperature: float) -> float:
    """Return the mean gap, 0..1, between the largest class probability and how often that class is right.

    Args:
        logits: (n, K); truth: (n,) int64.
    """
    counts, sure, right = (np.zeros(BINS) for _ in range(3))
    for part, labels in zip(torch.split(logits, 1 << 18), torch.split(truth, 1 << 18), strict=True):
        largest, ids = (part / temperature).softmax(1).max(1)
        bins = (largest * BINS).long().clamp(max=BINS - 1).numpy()
        counts += np.bincount(bins, minlength=BINS)
        sure += np.bincount(bins, largest.double().numpy(), BINS)
        right += np.bincount(bins, (ids == labels).double().numpy(), BINS)
    return math.fsum(abs(sure - right)) / max(1, len(truth))
