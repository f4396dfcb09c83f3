"""How sure a network is of each pixel: the margin between its two most probable classes.

The margin is 1 where one class has all probability and 0 where two classes tie. Probabilities are the soft-max of the
logits divided by a temperature, which is fitted on withheld images so that they are right as often as they say (Guo et
al., arXiv:1706.04599). A temperature changes no label.
"""

from __future__ import annotations

import torch
from torch import Tensor


def margin(scores: Tensor, temperature: float) -> Tensor:
    """Return the margin between the two largest class probabilities, 0..1.

    Class after class, so that everything is one pass of elementwise operations over the logits: as a soft-max and a
    top-k it takes OpenVINO's CPU plugin three times as long (they write the probabilities, K numbers a pixel).

    Args:
        scores: logits (N, K, ...), two classes or more.
        temperature: above 0; the logits are divided by it.

    Returns:
        (N, ...) in the dtype of `scores`.
    """
    logits = scores.unbind(1)
    best, second = torch.maximum(logits[0], logits[1]), torch.minimum(logits[0], logits[1])
    for logit in logits[2:]:
        second = torch.maximum(second, torch.minimum(best, logit))
        best = torch.maximum(best, logit)
    # exponents of differences to the largest logit: 0 or less, so nothing overflows, in half precision neither
    total = torch.exp((logits[0] - best) * (1 / temperature))
    for logit in logits[1:]:
        total = total + torch.exp((logit - best) * (1 / temperature))
    return (1 - torch.exp((second - best) * (1 / temperature))) / total


def margin_of_probabilities(probabilities: Tensor) -> Tensor:
    """Return the margin between the two largest of (N, K, ...) class probabilities: (N, ...), 0..1."""
    largest = probabilities.topk(2, 1).values
    return largest[:, 0] - largest[:, 1]


def as_bytes(margins: Tensor, dtype: torch.dtype = torch.uint8) -> Tensor:
    """Return margins 0..1 as whole numbers 0..255, rounded."""
    # clamped: half precision may give a little more than 1, which would come out as 0
    return (margins * 255 + 0.5).clamp(0, 255).to(dtype)
