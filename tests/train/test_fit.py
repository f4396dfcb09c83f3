"""Training runs: stopped and resumed equals unbroken, failures leave the last good state, recipes do as they say."""

from __future__ import annotations

import csv
import errno
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from segnet_live.errors import OutputError, UsageError
from segnet_live.learning.averaging import recompute_batch_norm
from segnet_live.learning.data import LabelledSet
from tests.support.training import interrupt_at, run
from train.batches import BatchSampler
from train.checkpoint import load
from train.config import FitConfig, recipe
from train.fit import DivergedError
from train.initialise import split_samples
from train.schedule import learning_rate


def weights(path: Path) -> dict[str, torch.Tensor]:
    state = load(path)
    return {f"{part}.{name}": v for part in ("network", "average") for name, v in state[part].items()}


@pytest.mark.parametrize("dropout", [False, True])
@pytest.mark.own_process
def test_a_run_stopped_in_mid_epoch_and_resumed_equals_an_unbroken_one(
    camvid: Path, quick: FitConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dropout: bool
) -> None:
    config = replace(quick, model="segnet-basic", arguments={"dropout": 0.5}, epochs=1) if dropout else quick
    assert run(config, camvid, tmp_path / "unbroken").run()
    with monkeypatch.context() as patch:
        interrupt_at(2 if dropout else 4, patch)
        with pytest.raises(KeyboardInterrupt):
            run(config, camvid, tmp_path / "broken").run()
    assert load(tmp_path / "broken" / "last.pt")["step"] == (2 if dropout else 4)
    assert run(config, camvid, tmp_path / "broken").run()
    unbroken, resumed = (weights(tmp_path / name / "last.pt") for name in ("unbroken", "broken"))
    assert all(torch.equal(value, resumed[name]) for name, value in unbroken.items())
    curves = [(tmp_path / name / "curves.csv").read_text() for name in ("unbroken", "broken")]
    losses = [[row["loss"] for row in csv.DictReader(text.splitlines())] for text in curves]
    assert losses[0] == losses[1]


def test_a_run_leaves_curves_pictures_and_its_settings(camvid: Path, quick: FitConfig, tmp_path: Path) -> None:
    out = tmp_path / "run"
    assert run(quick, camvid, out).run()
    rows = list(csv.DictReader((out / "curves.csv").read_text().splitlines()))
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert all(0 <= float(row["mIoU"]) <= 1 for row in rows)
    assert (out / "curves.png").stat().st_size > 1000
    assert len(list((out / "samples").glob("*.png"))) == 2
    assert load(out / "last.pt")["config"] == quick.as_json()
    assert not list(out.rglob("*.partial"))


def test_without_matplotlib_a_run_says_once_that_it_leaves_the_plot_out(
    camvid: Path, quick: FitConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("train.plots.find_spec", lambda name: None)
    assert run(quick, camvid, tmp_path / "run").run()
    assert (tmp_path / "run" / "curves.csv").is_file()
    assert not (tmp_path / "run" / "curves.png").exists()
    assert " ".join(capsys.readouterr().out.split()).count("segnet-live[train]") == 1


def test_a_call_that_is_up_ends_early_and_the_next_goes_on(camvid: Path, quick: FitConfig, tmp_path: Path) -> None:
    out = tmp_path / "run"
    assert not run(quick, camvid, out, stop_after_s=1e-9).run()
    assert load(out / "last.pt")["step"] < 6
    assert run(quick, camvid, out).run()


def test_crops_change_less_at_the_end(
    camvid: Path, quick: FitConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    batch = BatchSampler.batch

    def watched(self: BatchSampler, step: int, photometric: float = 1.0) -> tuple[torch.Tensor, torch.Tensor]:
        seen.append(photometric)
        return batch(self, step, photometric)

    monkeypatch.setattr(BatchSampler, "batch", watched)
    assert run(replace(quick, photometric=0.5, augment_decay=0.4), camvid, tmp_path).run()
    assert seen == pytest.approx([0.5] * 3 + [0.15] * 3)


def test_compiling_takes_no_part_of_the_minutes(
    camvid: Path, quick: FitConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Compiled(torch.nn.Module):
        def __init__(self, network: torch.nn.Module) -> None:
            super().__init__()
            self.network, self.wait_s = network, 1.0

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            time.sleep(self.wait_s)
            self.wait_s = 0.0
            return self.network(x)

    monkeypatch.setattr(torch, "compile", Compiled)
    trained = run(replace(quick, epochs=1, evaluations=1), camvid, tmp_path, compiled=True)
    began = time.monotonic()
    assert trained.run()
    assert trained.seconds < time.monotonic() - began - 1


def test_minutes_end_a_run_by_the_clock_over_all_calls(camvid: Path, quick: FitConfig, tmp_path: Path) -> None:
    config = replace(quick, minutes=1e-3, epochs=1)
    assert run(config, camvid, tmp_path / "run").run()
    state = load(tmp_path / "run" / "last.pt")
    assert state["seconds"] >= 0.06
    again = run(config, camvid, tmp_path / "run")
    assert again.progress == 1
    assert again.run()
    assert again.step == state["step"]


def test_other_settings_do_not_take_up_a_run(camvid: Path, quick: FitConfig, tmp_path: Path) -> None:
    run(quick, camvid, tmp_path / "run", stop_after_s=1e-9).run()
    with pytest.raises(UsageError, match=r"lr = 0\.002, not 0\.5"):
        run(replace(quick, lr=0.5), camvid, tmp_path / "run")
    longer = run(replace(quick, epochs=9), camvid, tmp_path / "run")
    assert longer.progress < 1


def test_a_loss_that_is_no_number_stops_the_run_and_keeps_the_last_state(
    camvid: Path, quick: FitConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "run"
    run(quick, camvid, out, stop_after_s=1e-9).run()
    before = (out / "last.pt").read_bytes()
    broken = run(quick, camvid, out)
    with torch.no_grad():
        broken.network.classifier.weight.fill_(float("nan"))  # type: ignore[operator, union-attr]
    with pytest.raises(DivergedError, match="lower --lr"):
        broken.run()
    assert (out / "last.pt").read_bytes() == before


def test_a_full_disk_keeps_the_last_checkpoint(
    camvid: Path, quick: FitConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "run"
    run(quick, camvid, out, stop_after_s=1e-9).run()
    before = (out / "last.pt").read_bytes()

    def full(state: object, file: Any) -> None:
        file.write(b"half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OutputError, match=r"No space left.*still whole"):
        run(quick, camvid, out).run()
    assert (out / "last.pt").read_bytes() == before
    assert not list(out.rglob("*.partial"))


def test_the_paper_recipe_trains_on_whole_images_and_settles_its_statistics(camvid: Path, tmp_path: Path) -> None:
    config = replace(recipe("paper", "segnet-basic"), batch=3, epochs=1, evaluations=1, precision="fp32")
    assert (config.optimiser, config.lr, config.weight_power, config.select) == ("sgd", 0.1, 1.0, "G")
    trained = run(config, camvid, tmp_path / "run")
    assert trained.run()
    conv_out: list[torch.Tensor] = []
    first = trained.average.encoders[0]  # type: ignore[index]
    handle = first[0].register_forward_hook(lambda module, args, out: conv_out.append(out))
    recompute_batch_norm(trained.average, [trained._normalised(batch) for batch in trained.sampler.whole()])
    handle.remove()
    torch.testing.assert_close(first[1].running_mean, torch.cat(conv_out).mean((0, 2, 3)), atol=1e-4, rtol=1e-3)
    assert first[1].momentum == 0.1


def test_two_processes_share_the_batch_of_one(camvid: Path, quick: FitConfig) -> None:
    samples = LabelledSet().load(camvid, "train")
    device = torch.device("cpu")
    whole = BatchSampler(samples, LabelledSet(), replace(quick, batch=4), device)
    halves = [BatchSampler(samples, LabelledSet(), quick, device, rank, 2) for rank in (0, 1)]
    for step in (0, 3):
        labels = torch.cat([half.batch(step).labels for half in halves])
        assert torch.equal(labels, whole.batch(step).labels)


def test_an_epoch_shows_every_image_once(camvid: Path, quick: FitConfig) -> None:
    samples = LabelledSet().load(camvid, "train")
    sampler = BatchSampler(samples, LabelledSet(), replace(quick, crop=None), torch.device("cpu"))
    seen = torch.cat([sampler.batch(step).labels for step in range(sampler.steps_per_epoch)])
    stored = torch.stack([torch.from_numpy(s.labels).long() for s in samples])
    assert sorted(v.sum().item() for v in seen) == sorted(v.sum().item() for v in stored)


def test_a_batch_larger_than_the_set_is_refused(camvid: Path, quick: FitConfig) -> None:
    with pytest.raises(UsageError, match="lower --batch"):
        BatchSampler(LabelledSet().load(camvid, "train"), LabelledSet(), replace(quick, batch=7), torch.device("cpu"))


def test_leaving_a_drive_out_trains_on_the_others_and_evaluates_it(
    camvid: Path, quick: FitConfig, tmp_path: Path
) -> None:
    images = split_samples(replace(quick, leave_out="0016E5"), LabelledSet(), camvid, tmp_path)
    assert {s.name[:6] for s in images.train} == {"0001TP", "0006R0"}
    assert len(images.val) == 5
    assert "without drive 0016E5" in images.about
    images = split_samples(replace(quick, train_on_val=True), LabelledSet(), camvid, tmp_path)
    assert len(images.train) == 9
    assert "train and val" in images.about


def test_the_rate_rises_then_falls_to_zero(quick: FitConfig) -> None:
    config = replace(quick, warmup=0.1, lr=1.0)
    assert learning_rate(config, 0.05) == pytest.approx(0.5)
    assert learning_rate(config, 0.1) == pytest.approx(1.0)
    assert learning_rate(config, 0.55) == pytest.approx(0.5)
    assert learning_rate(config, 1.0) == pytest.approx(0.0)
    assert learning_rate(replace(config, schedule="constant"), 0.9) == 1.0


def test_a_network_trained_for_another_scale_runs_at_it(camvid: Path, quick: FitConfig, tmp_path: Path) -> None:
    trained = run(replace(quick, zoom=0.5), camvid, tmp_path)
    seen = []
    trained.average.register_forward_pre_hook(lambda _, inputs: seen.append(tuple(inputs[0].shape[-2:])))
    sample = trained.val[0]
    trained.average.label_ids = lambda x: trained.average(x).argmax(1)
    assert trained.segment(sample.rgb).shape == sample.labels.shape
    assert seen[0][0] * seen[0][1] == pytest.approx(sample.labels.size / 4, rel=0.3)
