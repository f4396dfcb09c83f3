"""The script for the first minutes on a GPU, rehearsed without one."""

from __future__ import annotations

import pytest
import torch

from segnet_live.card import Card
from tests.engine.nvidia import first_minutes


def test_every_step_runs(tiny_card: Card, capsys: pytest.CaptureFixture[str]) -> None:
    few = ["-n", "5", "--captures", "2", "--size", "32x48", "--no-compiler"]
    first_minutes.main(["--device", "cpu", "--model", str(tiny_card.folder), *few])
    said = capsys.readouterr().out
    assert "0 of 2 captured beside" in said
    assert "0 of them wrong" in said
    assert "labels right: True" in said
    assert "tiny mask: p50" in said
    assert "tiny mask, cudnn_convolution_relu: p50" in said
    assert "TensorRT-RTX: left out" in said


def test_convolutions_with_relu_give_the_same_labels(tiny_card: Card) -> None:
    frame = torch.randint(0, 256, (1, 48, 64, 3), dtype=torch.uint8)
    usual = first_minutes._deployed(tiny_card, "cpu", "resize")
    fused = first_minutes.with_conv_relu(first_minutes._deployed(tiny_card, "cpu", "resize"))
    assert sum(isinstance(each, first_minutes.ConvReLU) for each in fused.modules()) > 5
    assert torch.equal(usual(frame), fused(frame))
