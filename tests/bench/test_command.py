"""`segnet-live bench` from its arguments to its tables and files."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from segnet_live import cli
from segnet_live.bench import engines, memory
from segnet_live.bench.machine import Noise
from segnet_live.card import Card
from segnet_live.engine import parity
from segnet_live.engine.nvidia import device
from segnet_live.errors import EngineError
from tests.support.clips import grey_clip

FRAMES = [np.random.default_rng(i).integers(0, 256, (48, 96, 3), np.uint8) for i in range(2)]
FAST = ["--size", "32x64", "--n", "5", "--seconds", "0.1", "--no-memory"]


@pytest.fixture(autouse=True)
def random_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    """Frames of the clip are large."""
    monkeypatch.setattr(parity, "reference_frames", lambda: FRAMES)


def test_every_engine_is_timed_compared_and_written(
    tiny_card: Card, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "peer_of_ours.py").write_text(
        "import torch\nfrom torch import nn\n"
        "class Net(nn.Conv2d):\n"
        "    def forward(self, x): return torch.cat((super().forward(x), torch.zeros(1, 1, *x.shape[2:])), 1)\n"
        "def make(): return Net(3, 4, 3, padding=1)\n"
    )
    monkeypatch.chdir(tmp_path)
    out = tmp_path / "bench.json"
    arguments = ["bench", "--model", str(tiny_card.folder), "--precision", "fp32", *FAST, "--json", str(out)]
    assert cli.main([*arguments, "--against", "peer_of_ours:make"]) == 0
    printed = capsys.readouterr().out
    assert "tiny openvino fp32" in printed
    assert "peer_of_ours:make torch fp32" in printed
    report = json.loads(out.read_text())
    noise = {name: value for name, value in report["noise"].items() if name != "reasons"}
    assert Noise(**noise).line() in printed.splitlines()
    ours = [row for row in report["engines"] if not row["peer"]]
    peers = [row for row in report["engines"] if row["peer"]]
    assert (
        {row["info"]["backend"] for row in ours} == {row["info"]["backend"] for row in peers} == {"openvino", "torch"}
    )
    assert all(row["agreement"] > 0.999 for row in ours)
    assert all(row["inference"]["n"] == 5 for row in report["engines"])
    assert all(row["ratio"] > 0 for row in peers)
    assert set(ours[0]["stages_ms"]) == {"fit_input", "labels_at", "overlay"}


def test_confidence_is_timed_in_turns_with_the_engine_without_it(
    tiny_card: Card, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["bench", "--model", str(tiny_card.folder), "--backend", "torch", "--precision", "fp32", *FAST]
    assert cli.main([*arguments, "--confidence"]) == 0
    rows = [line.split("  ")[0] for line in capsys.readouterr().out.splitlines() if line.startswith("tiny torch")]
    assert rows == ["tiny torch fp32", "tiny torch fp32, confidence"]


def test_markdown_has_the_command_above_the_table(tiny_card: Card, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["bench", "--model", str(tiny_card.folder), "--backend", "torch", "--precision", "fp32", "--markdown"]
    assert cli.main([*arguments, *FAST]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("```sh\nsegnet-live")
    table = [line for line in printed.splitlines() if line.startswith("|")]
    head, rule, row = ([cell.strip() for cell in line.strip().strip("|").split("|")] for line in table)
    assert (head[0], row[0]) == ("model, engine", "tiny torch fp32")
    assert len(head) == len(rule) == len(row) == 16
    assert all(re.fullmatch(":?-+:?", cell) for cell in rule)
    lines = printed.splitlines()
    before, after = lines.index(table[0]) - 1, lines.index(table[-1]) + 1
    assert lines[before] == lines[after] == "", "a table that touches text is none"


def test_a_video_is_recorded_and_its_stages_add_up_beside_ffmpeg(
    tiny_card: Card, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "in_own_process", lambda work, *args: work(*args))  # starting one takes seconds
    clip = grey_clip(tmp_path / "clip.mp4", frames=20)
    arguments = ["bench", "--model", str(tiny_card.folder), "--backend", "openvino", "--precision", "fp32", *FAST]
    out = tmp_path / "bench.json"
    assert cli.main([*arguments, "--video", str(clip), "--json", str(out)]) == 0
    lines = capsys.readouterr().out.splitlines()
    first = next(i for i, line in enumerate(lines) if line.startswith("Recording clip.mp4, 96x64, 20.00 frames/s"))
    table = lines[first:]
    assert max(map(len, table)) <= 100
    assert re.split(r" {2,}", table[1].strip()) == ["tiny openvino fp32", "FFmpeg alone"]
    shown = {name: cell for name, cell, *_ in (re.split(r" {2,}", line.strip()) for line in table[3:-4])}
    (row,) = json.loads(out.read_text())["videos"]
    assert row["frames"] == 20
    stages = ["decode", "to network", "inference", "smoothing", "labels, blend", "encode, sound"]
    assert list(row["stages_ms"]) == stages
    assert float(shown["these together"]) == pytest.approx(sum(row["stages_ms"].values()), abs=0.06)
    assert float(shown["share of FFmpeg's"]) == pytest.approx(row["fps"] / row["ffmpeg"]["fps"], abs=0.006)
    assert row["core_ms"] > 0
    assert row["ffmpeg"]["core_ms"] > 0


def test_engines_are_closed_also_when_measuring_fails(tiny_card: Card, monkeypatch: pytest.MonkeyPatch) -> None:
    closed = []
    real = engines.open_engine

    def watched(*args: object, **kwargs: object) -> object:
        engine = real(*args, **kwargs)  # type: ignore[arg-type]
        close = engine.close
        monkeypatch.setattr(engine, "close", lambda: (closed.append(1), close()))
        return engine

    monkeypatch.setattr(engines, "open_engine", watched)
    monkeypatch.setattr(engines, "interleaved", lambda *a, **k: 1 / 0)
    plan = engines.Plan((tiny_card,), (("torch", "fp32"),), size=(32, 32), memory=False)
    with pytest.raises(ZeroDivisionError):
        engines.measure(plan, FRAMES)
    assert closed == [1]


def test_memory_that_cannot_be_measured_costs_no_timings(tiny_card: Card, monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU that is full of all contenders: torch raises its own errors, in a process of its own."""

    def full(*_: object, **__: object) -> None:
        raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate\nmore")

    monkeypatch.setattr(engines, "in_own_process", full)
    plan = engines.Plan((tiny_card,), (("torch", "fp32"),), size=(32, 32), n=2, seconds=0.1)
    report = engines.measure(plan, FRAMES)
    assert report.rows[0].memory is None
    assert report.missing == (("memory of tiny on torch fp32", "CUDA out of memory. Tried to allocate"),)
    monkeypatch.setattr(memory.nvidia, "has_gpu", lambda: True)
    monkeypatch.setattr(device, "best_device", lambda: "cuda")
    monkeypatch.setattr(torch, "zeros", full)
    with pytest.raises(EngineError, match="the GPU is out of memory"):
        memory._device_mib()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--backend", "magic"], "unknown --backend"),
        (["--precision", "fp1"], "unknown --precision"),
        (["--size", "8x8"], "--size"),
        (["--n", "1"], "--n 1"),
        (["--video", "missing.mp4"], "no such file"),
        (["--model", "no-such-model"], "unknown model"),
        (["--json", "nowhere/bench.json"], "no such folder"),
        (["--against", "no_such_module:make", "--backend", "torch", *FAST], "cannot import"),
    ],
)
def test_bad_arguments_are_one_line_and_exit_code_2(
    tiny_card: Card, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    model = [] if "--model" in arguments else ["--model", str(tiny_card.folder)]
    assert cli.main(["bench", *model, *arguments]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert len(error.splitlines()) == 1
