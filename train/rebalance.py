"""Class balancing makes rare classes likelier than they are. Part of that is taken back in the classifier's bias.

Trained on a loss weighted by w, a network's soft-max tends to w times the true shares (Menon et al., arXiv:2007.07314):
logits less log w give the likeliest class, logits as they are the best mean recall. mean IoU lies between.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from segnet_live.card import Card, load_weights
from segnet_live.engine.base import fit_input, labels_at, network_size
from segnet_live.engine.load import load_network
from segnet_live.quality import Confusion
from train.data import LabelledSet, Sample, class_frequencies, median_frequency_weights
from train.package import read_fields, write_model

SHARES = tuple(i / 10 for i in range(11))
IMAGES = 100
"""Training images to choose by, at most."""


@torch.inference_mode()
def best_share(card: Card, samples: Sequence[Sample], log_weights: NDArray[np.float64]) -> float:
    """The share of `log_weights` ((K,), of the training loss) to take off the logits for the best mIoU on `samples`."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network = load_network(card).to(device)
    mean, std = (torch.tensor(values, device=device).reshape(1, 3, 1, 1) for values in (card.mean, card.std))
    offsets = torch.tensor(log_weights, dtype=torch.float32, device=device).reshape(-1, 1, 1)
    confusions = [Confusion(len(card.classes)) for _ in SHARES]
    for sample in samples[:: -(-len(samples) // IMAGES)]:
        source = (sample.rgb.shape[0], sample.rgb.shape[1])
        fitted = fit_input(sample.rgb, network_size(source, card.pixels))
        x = torch.from_numpy(fitted).to(device).permute(2, 0, 1)[None].float() / 255
        logits = network((x - mean) / std)[0]
        for share, confusion in zip(SHARES, confusions, strict=True):
            labels = (logits - share * offsets).argmax(0).to("cpu", torch.uint8).numpy()
            confusion.add(sample.labels, labels_at(labels, source))
    return max(zip((c.scores().miou for c in confusions), SHARES, strict=True))[1]


def log_weights(labelled: LabelledSet, samples: Sequence[Sample], power: float) -> NDArray[np.float64]:
    """(K,) logarithms of the class weights that balancing to `power` gives on `samples`."""
    weights = median_frequency_weights(class_frequencies(samples, labelled.classes), power)
    return np.log(np.where(weights > 0, weights, 1.0))


def take_back(card: Card, labelled: LabelledSet, samples: Sequence[Sample], power: float) -> Card:
    """Rewrite the model folder of `card`, trained with balancing to `power`, at the share that is best on `samples`."""
    offsets = log_weights(labelled, samples, power)
    share = best_share(card, samples, offsets)
    weights = load_weights(card)
    weights["classifier.bias"] = rebalanced(weights["classifier.bias"], share * offsets)
    fields = read_fields(card)
    fields["training"]["balancing_taken_back"] = share
    return write_model(card.folder, {name: torch.from_numpy(tensor) for name, tensor in weights.items()}, fields)


def rebalanced(bias: NDArray[np.float32], offsets: NDArray[np.float64]) -> NDArray[np.float32]:
    """The classifier's bias less `offsets` ((K,)); it has one value for each class, or for each of its sub-pixels."""
    each = len(bias) // len(offsets)
    return (bias - np.repeat(offsets, each)).astype(np.float32)
