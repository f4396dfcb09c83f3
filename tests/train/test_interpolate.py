"""Weights between a run and its start: their average, what both have seen, and what `package` needs."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from segnet_live.learning.seen import seen_by
from train.checkpoint import load, read_checkpoint, training_of
from train.cli import main

SMALL = ["--crop", "32x64", "--batch", "2", "--precision", "fp32", "--evaluations", "1"]


@pytest.fixture
def runs(camvid: Path, tmp_path: Path) -> tuple[Path, Path]:
    """Return the checkpoints of a run that has seen train, and of one on val as well that started from it."""
    first, second = tmp_path / "first", tmp_path / "second"
    fit = ["fit", "--data", str(camvid), *SMALL, "--epochs", "1"]
    assert main([*fit, "--out", str(first)]) == 0
    assert main([*fit, "--train-on-val", "--init", str(first / "last.pt"), "--out", str(second)]) == 0
    return first / "last.pt", second / "last.pt"


def test_weights_lie_between_the_two_and_have_seen_what_both_have(runs: tuple[Path, Path], tmp_path: Path) -> None:
    start, tuned = runs
    out = tmp_path / "between.pt"
    command = ["interpolate", "--checkpoint", str(tuned), "--start", str(start), "--share", "0.25", "--out", str(out)]
    assert main(command) == 0
    first, second, between = (read_checkpoint(path).weights for path in (start, tuned, out))
    for name, tensor in between.items():
        if tensor.is_floating_point():
            torch.testing.assert_close(tensor, 0.75 * first[name] + 0.25 * second[name])
    assert any(not torch.equal(between[name], second[name]) for name in between)
    seen = seen_by(training_of(out))
    assert {split: each.images for split, each in seen.labelled["camvid"].items()} == {"train": 6, "val": 3}
    assert "interpolate" in load(out)["run"]["command"]
    assert "--train-on-val" in load(out)["run"]["start"]["command"]


def test_bad_shares_and_other_networks_are_refused(
    runs: tuple[Path, Path], tmp_path: Path, camvid: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    start, tuned = runs
    out = tmp_path / "between.pt"
    command = ["interpolate", "--checkpoint", str(tuned), "--start", str(start), "--out", str(out)]
    assert main([*command, "--share", "1.5"]) == 2
    assert "--share is 1.5" in capsys.readouterr().err
    state = load(start)
    state["average"].pop(next(iter(state["average"])))
    torch.save(state, start)
    assert main(command) == 2
    assert "different networks" in capsys.readouterr().err
    assert not out.exists()
