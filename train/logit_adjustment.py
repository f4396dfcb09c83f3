"""Logit adjustment: remove from the classifier what class balancing added beyond what new drives want.

Trained on a loss weighted by w, a network's soft-max tends to w times the true shares (Menon et al., arXiv:2007.07314):
logits less log w give the likeliest class, logits as they are the best mean recall. Mean IoU lies between, and where is
a matter of the images: on those of a drive that training has seen, much less balancing is best than on a new drive,
where rare classes need the favour. So the power that stays is chosen on drives left out, once, not on the images at
hand.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from segnet_live.card import Card
from segnet_live.learning.data import median_frequency_weights
from segnet_live.learning.model_folder import read_fields, write_model
from segnet_live.nets.load import network_class
from segnet_live.weights import load_weights

KEPT_POWER = 0.35
"""Power of the median-frequency weights that packaged logits keep: see "What each choice gives" in train/README.md."""


def log_weights(frequencies: NDArray[np.float64], power: float) -> NDArray[np.float64]:
    """Return (K,) what balancing to `power` of classes of these frequencies adds to the logits."""
    weights = median_frequency_weights(frequencies, power)
    return np.log(np.where(weights > 0, weights, 1.0))


def remove_prior(card: Card, frequencies: NDArray[np.float64], power: float, kept: float) -> Card:
    """Rewrite the model folder of `card`, trained with balancing to `power`, as if it had been to `kept`.

    Less balancing than `kept` stays as it is.

    Args:
        frequencies: (K,) of the classes in the images that the balancing was made for, see `class_frequencies`.
    """
    weights = load_weights(card)
    beyond = log_weights(frequencies, max(power - kept, 0.0))
    bias = network_class(card).logit_bias
    weights[bias] = rebalanced(weights[bias], beyond)
    fields = read_fields(card)
    fields["training"]["balancing_kept"] = min(power, kept)
    tensors = {name: torch.from_numpy(tensor) for name, tensor in weights.items()}
    return write_model(card.folder, tensors, fields, upon=card if card.retrained_sha256 else None)


def rebalanced(bias: NDArray[np.float32], offsets: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return the classifier's bias less `offsets` ((K,)); it has one for each class, or for each of its sub-pixels."""
    each = len(bias) // len(offsets)
    return (bias - np.repeat(offsets, each)).astype(np.float32)
