"""Losses against PyTorch's own and against cases worked out by hand."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from segnet_live.learning.losses import balanced_cross_entropy, distillation, lovasz_softmax, near_boundary

VOID = 3


def test_balanced_cross_entropy_is_torchs_weighted_mean() -> None:
    torch.manual_seed(0)
    logits, labels = torch.randn(2, 3, 5, 7), torch.randint(0, 4, (2, 5, 7))
    weight = torch.tensor([0.5, 1.0, 4.0])
    total, weights = balanced_cross_entropy(logits, labels, weight, VOID)
    torch.testing.assert_close(total / weights, F.cross_entropy(logits, labels, weight, ignore_index=VOID))


def test_boundary_pixels_weigh_more() -> None:
    labels = torch.zeros(1, 1, 12, dtype=torch.long)
    labels[..., 6:] = 1
    assert near_boundary(labels)[0, 0].tolist() == [0] * 4 + [1] * 4 + [0] * 4
    logits, weight = torch.zeros(1, 2, 1, 12), torch.ones(2)
    plain = balanced_cross_entropy(logits, labels, weight, VOID)
    stressed = balanced_cross_entropy(logits, labels, weight, VOID, boundary=2.0)
    assert float(plain[1]) == 12
    assert float(stressed[1]) == 12 + 2 * 4


def test_lovasz_of_certain_predictions_is_one_minus_iou() -> None:
    labels = torch.tensor([0, 0, 1, 1, VOID, VOID]).repeat_interleave(2).expand(2, 12)[None].contiguous()
    predicted = torch.tensor([0, 1, 1, 1, 0, 1]).repeat_interleave(2).expand(2, 12)[None]
    logits = 100.0 * F.one_hot(predicted, 3).permute(0, 3, 1, 2)
    # void left out: IoU of 0 is 1/2, of 1 is 2/3; class 2 is absent
    assert float(lovasz_softmax(logits, labels, VOID)) == pytest.approx(1 - (1 / 2 + 2 / 3) / 2, abs=1e-5)
    known = labels.clamp(max=1)
    assert float(lovasz_softmax(100.0 * F.one_hot(known, 3).permute(0, 3, 1, 2), labels, VOID)) < 1e-6


def test_lovasz_pulls_towards_the_truth() -> None:
    torch.manual_seed(0)
    logits, labels = torch.zeros(1, 3, 8, 8, requires_grad=True), torch.randint(0, 3, (1, 8, 8))
    lovasz_softmax(logits, labels, VOID).backward()
    assert logits.grad is not None
    own = logits.grad.gather(1, labels[:, None])[..., ::2, ::2]
    assert float(own.mean()) < 0


def test_distillation_is_zero_for_an_equal_teacher_and_grows_apart_from_it() -> None:
    torch.manual_seed(0)
    teacher = torch.randn(2, 3, 4, 4)
    assert float(distillation(teacher, teacher)) == pytest.approx(0, abs=1e-6)
    other = teacher + torch.randn(2, 3, 4, 4)
    assert float(distillation(other, teacher)) > 0.01
    left = torch.zeros(2, 4, 4, dtype=torch.bool)
    left[..., :2] = True
    parts = [distillation(other, teacher, where=where) for where in (left, ~left)]
    torch.testing.assert_close(parts[0] + parts[1], distillation(other, teacher))
    other[..., :2] = teacher[..., :2]
    assert float(distillation(other, teacher, where=left)) == pytest.approx(0, abs=1e-6)
