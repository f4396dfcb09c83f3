"""Class balancing makes rare classes likelier than they are. What is too much of it is taken back in the classifier.

Trained on a loss weighted by w, a network's soft-max tends to w times the true shares (Menon et al., arXiv:2007.07314):
logits less log w give the likeliest class, logits as they are the best mean recall. mean IoU lies between, and where is
a matter of the images: on those of a drive that training has seen, much less balancing is best than on a new drive,
where rare classes need the favour. So the place is chosen on drives left out, once, and not on the images at hand.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from segnet_live.card import Card, load_weights
from train.data import LabelledSet, Sample, class_frequencies, median_frequency_weights
from train.model_folder import read_fields, write_model

KEPT_POWER = 0.35
"""Power of the median-frequency weights that packaged logits keep: see "What each choice gives" in train/README.md."""


def log_weights(labelled: LabelledSet, samples: Sequence[Sample], power: float) -> NDArray[np.float64]:
    """(K,) what balancing to `power` on `samples` adds to the logits."""
    weights = median_frequency_weights(class_frequencies(samples, labelled.classes), power)
    return np.log(np.where(weights > 0, weights, 1.0))


def take_back(card: Card, labelled: LabelledSet, samples: Sequence[Sample], power: float, kept: float) -> Card:
    """Rewrite the model folder of `card`, trained on `samples` with balancing to `power`, as if it had been to `kept`.

    Less balancing than `kept` stays as it is.
    """
    weights = load_weights(card)
    beyond = log_weights(labelled, samples, max(power - kept, 0.0))
    weights["classifier.bias"] = rebalanced(weights["classifier.bias"], beyond)
    fields = read_fields(card)
    fields["training"]["balancing_kept"] = min(power, kept)
    return write_model(card.folder, {name: torch.from_numpy(tensor) for name, tensor in weights.items()}, fields)


def rebalanced(bias: NDArray[np.float32], offsets: NDArray[np.float64]) -> NDArray[np.float32]:
    """The classifier's bias less `offsets` ((K,)); it has one value for each class, or for each of its sub-pixels."""
    each = len(bias) // len(offsets)
    return (bias - np.repeat(offsets, each)).astype(np.float32)
