"""The first SegNet, pair by pair: what a stage trains and leaves alone, and a stop that changes nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from segnet_live.nets.first_segnet import FirstSegNet
from train.checkpoint import load
from train.cli import main
from train.layerwise import stages

OPTIONS = ["--steps", "2", "--iterations", "2", "--batch", "2", "--crop", "32x32"]


def test_each_stage_has_one_pair_more_and_trains_that_pair_and_the_classifier() -> None:
    network = FirstSegNet()
    names = {id(p): name for name, p in network.named_parameters()}
    x = torch.randn(1, 3, 32, 48)
    trained = []
    for part, learning in stages(network):
        assert part(x).shape == (1, 11, 32, 48)
        trained.append(sorted({names[id(p)].rsplit(".", 2 if "coders" in names[id(p)] else 1)[0] for p in learning}))
    assert trained == [
        ["classifier", "decoders.3", "encoders.0"],
        ["classifier", "decoders.2", "encoders.1"],
        ["classifier", "decoders.1", "encoders.2"],
        ["classifier", "decoders.0", "encoders.3"],
        ["classifier"],
    ]
    assert [len(part.encoders) for part, _ in stages(network)] == [1, 2, 3, 4, 4]


@pytest.mark.timeout(120)
def test_a_run_that_was_stopped_equals_an_unbroken_one_and_can_be_evaluated(
    camvid: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["layerwise", "--data", str(camvid), *OPTIONS]
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    assert main([*command, "--out", str(whole)]) == 0
    printed = capsys.readouterr().out
    reported = [line.split(":")[0] for line in printed.splitlines()]
    assert reported[:5] == ["pair 1", "pair 2", "pair 3", "pair 4", "soft-max"]
    calls = 0
    while "complete" not in printed or "not complete" in printed or not calls:
        assert main([*command, "--out", str(broken), "--stop-after", "0.02"]) == 0
        printed = capsys.readouterr().out
        calls += 1
    states = [load(out / "last.pt") for out in (whole, broken)]
    assert states[0]["losses"] == states[1]["losses"]
    assert all(torch.equal(value, states[1]["average"][name]) for name, value in states[0]["average"].items())
    losses = states[0]["losses"]
    assert losses[-1] < losses[0], "on a set as simple as this one, ten mini-batches teach something"
    assert main(["evaluate", "--checkpoint", str(whole / "last.pt"), "--data", str(camvid), "--backend", "torch"]) == 0
    assert main([*command, "--out", str(whole), "--iterations", "3"]) == 2
    assert "was trained with" in capsys.readouterr().err
