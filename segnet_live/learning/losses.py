"""Compute the losses: balanced cross-entropy, and the options beside it."""

from __future__ import annotations

from functools import reduce

import torch
import torch.nn.functional as F
from torch import Tensor

CONFIDENT = 0.5
"""Probability from which a teacher's opinion of a pixel counts."""


def near_boundary(labels: Tensor, radius: int = 2) -> Tensor:
    """Return (N, H, W) float 0 or 1: within `radius` pixels of another class (void counts as one)."""
    high = low = F.pad(labels[:, None].float(), [radius] * 4, mode="replicate")[:, 0]
    for dim in (1, 2):  # rows, then columns: less to compare than whole windows
        high, low = (
            reduce(extreme, x.unfold(dim, 2 * radius + 1, 1).unbind(-1))
            for extreme, x in ((torch.maximum, high), (torch.minimum, low))
        )
    return (high != low).float()


def balanced_cross_entropy(
    logits: Tensor, labels: Tensor, weight: Tensor, void_id: int, boundary: float = 0.0
) -> tuple[Tensor, Tensor]:
    """Return the sums over the pixels of weight x cross-entropy, and of the weights: their quotient is the mean.

    Apart, so that several processes can share one denominator and equal a single process with the whole batch.

    Args:
        logits: (N, K, H, W); labels: (N, H, W) int64; weight: (K,).
        boundary: extra weight of pixels near another class.
    """
    known = labels != void_id
    pixel = F.pad(weight, (0, 256 - len(weight)))[labels] * known
    if boundary:
        pixel = pixel * (1 + boundary * near_boundary(labels))
    entropy = F.cross_entropy(logits.float(), labels, ignore_index=void_id, reduction="none")
    return (entropy * pixel).sum(), pixel.sum()


def lovasz_softmax(logits: Tensor, labels: Tensor, void_id: int) -> Tensor:
    """Return 1 - IoU, made smooth, averaged over the batch's classes (Berman et al., arXiv:1705.08790).

    On every second row and column: the sort is what it costs.
    """
    logits, labels = logits[..., ::2, ::2].float(), labels[..., ::2, ::2]
    share = logits.softmax(1).transpose(0, 1).flatten(1)
    known = (labels != void_id).flatten()
    truth = (labels.flatten()[None] == torch.arange(len(share), device=labels.device)[:, None]).float()
    # void pixels: no error, so they come last and add nothing
    errors, order = ((truth - share).abs() * known).sort(1, descending=True)
    sorted_truth = truth.gather(1, order)
    total = sorted_truth.sum(1, keepdim=True)
    union = total + (~known[order] | (sorted_truth > 0)).logical_not().float().cumsum(1)
    jaccard = 1 - (total - sorted_truth.cumsum(1)) / union.clamp(min=1)
    slope = torch.cat((jaccard[:, :1], jaccard[:, 1:] - jaccard[:, :-1]), 1)
    present = (total[:, 0] > 0).float()
    return ((errors * slope).sum(1) * present).sum() / present.sum().clamp(min=1)


def distillation(logits: Tensor, teacher: Tensor, temperature: float = 2.0, where: Tensor | None = None) -> Tensor:
    """Return the mean divergence from the teacher's softened shares (Hinton et al., arXiv:1503.02531).

    Void pixels count too: the teacher has an opinion where the labels have none.

    Args:
        where: (N, H, W) bool, the pixels that are taught; the others count as 0 in the mean. None for all.
    """
    wanted = (teacher.float() / temperature).log_softmax(1)
    shares = (logits.float() / temperature).log_softmax(1)
    pixels = logits.numel() / logits.shape[1]
    if where is not None:
        each = F.kl_div(shares, wanted, reduction="none", log_target=True).sum(1)
        return (each * where).sum() * temperature**2 / pixels
    return F.kl_div(shares, wanted, reduction="sum", log_target=True) * temperature**2 / pixels


def soft_cross_entropy(logits: Tensor, soft: Tensor, weight: Tensor, confident: float = CONFIDENT) -> Tensor:
    """Return the mean cross-entropy with the teachers' probabilities, over the pixels that they are sure of.

    Args:
        logits: (N, K, h, w), or (N, K, 2h, 2w): the logits of four pixels are averaged then.
        soft: (N, K, h, w) probabilities, all 0 where nobody has an opinion.
        weight: (K,) class balancing, as for labels.
        confident: a pixel counts by its highest probability, and not at all below this one.
    """
    fitting = logits if logits.shape == soft.shape else F.avg_pool2d(logits, 2)
    shares = fitting.float().log_softmax(1)
    highest = soft.amax(1)
    pixel = highest * (highest >= confident)
    weighted = soft * weight.view(1, -1, 1, 1)
    return -((weighted * shares).sum(1) * pixel).sum() / (weighted.sum(1) * pixel).sum().clamp(min=1e-6)
