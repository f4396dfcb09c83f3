"""The study of Table 1: one protocol for every variant, resumable, and the paper's table in our figures."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from segnet_live.bench.memory import EngineMemory
from segnet_live.learning.data import LabelledSet
from segnet_live.nets.networks import TABLE_1
from train import study_table
from train.cli import main
from train.config import recipe
from train.study import study_network
from train.study_table import PAPER


@pytest.mark.parametrize("seed", [0, 1])
def test_all_variants_of_a_seed_start_from_the_same_encoders(seed: int) -> None:
    starts = [study_network(replace(recipe("paper", model), seed=seed), LabelledSet()) for model in TABLE_1]
    encoders = [network.get_submodule("encoders").state_dict() for network in starts]
    assert all(torch.equal(encoders[0][name], other[name]) for other in encoders[1:] for name in encoders[0])


def test_the_papers_table_is_whole() -> None:
    assert list(PAPER) == list(TABLE_1)
    assert all(0 < value < 100 for row in PAPER.values() for figures in row.values() for value in figures)


@pytest.mark.timeout(120)
def test_a_study_stops_goes_on_and_prints_the_table(
    camvid: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(study_table, "CALLS", 5)
    monkeypatch.setattr(study_table, "in_own_process", lambda *_: EngineMemory(1.0))  # which has tests of its own
    monkeypatch.setattr(study_table, "INPUT_SIZE", (64, 96))
    out = tmp_path / "study"
    command = [
        "study",
        "--data",
        str(camvid),
        "--model",
        "fcn-basic",
        "bilinear-interpolation",
        "--balancing",
        "median",
    ]
    command += ["--epochs", "1", "--evaluations", "1", "--batch", "2", "--crop", "32x32", "--zoom", "0.5"]
    command += ["--balancing", "median", "--out", str(out)]
    assert main([*command, "--stop-after", "0.0001"]) == 0
    printed = capsys.readouterr().out
    assert "not complete; the same command goes on" in printed
    assert "- (43.3)" in printed
    assert main(command) == 0
    printed = capsys.readouterr().out
    assert printed.splitlines()[-1].endswith(": complete")
    row = next(line for line in printed.splitlines() if line.startswith("fcn-basic") and "(81.7)" in line)
    figures = json.loads((out / "median-0" / "fcn-basic" / "figures.json").read_text())
    assert f"{100 * figures['G']:.1f} (81.7)" in row
    assert "0.646 (0.65)" in printed
    before = sorted(p.stat().st_mtime_ns for p in out.rglob("*.json"))
    assert main([*command, "--table"]) == 0
    assert sorted(p.stat().st_mtime_ns for p in out.rglob("*.json")) == before, "the table alone writes nothing"
    capsys.readouterr()
    assert main([*command, "--zoom", "1"]) == 2
    assert "was trained with zoom = 0.5, not 1" in capsys.readouterr().err
