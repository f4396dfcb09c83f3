"""A folder on a cluster of two worker processes: the same bytes as without Ray, whatever becomes of a worker."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from segnet_live.card import Card
from segnet_live.cli import main
from segnet_live.config import RunConfig, SourceSpec
from segnet_live.engine.open import open_engine
from segnet_live.errors import UsageError
from segnet_live.pipeline.headless import folder as folder_run
from tests.fleet.test_pieces import long_clip
from tests.support.clips import packets, shaded_clip, times

LONG_FRAMES = 110


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    """One cluster of two cores for all tests, started where one GPU too many is to be seen."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ["RAY_AUTH_TOKEN"] = "0" * 64  # else Ray writes one into the home folder of whoever runs this
    ray = pytest.importorskip("ray")
    before, os.environ["CUDA_VISIBLE_DEVICES"] = os.environ.get("CUDA_VISIBLE_DEVICES"), "7"
    ray.init(
        "local", num_cpus=2, num_gpus=0, include_dashboard=False, object_store_memory=80 << 20, log_to_driver=False
    )
    os.environ["CUDA_VISIBLE_DEVICES"] = before or ""
    yield
    ray.shutdown()


@pytest.fixture
def drives(tmp_path: Path, tiny_card: Card) -> Path:
    open_engine(tiny_card, backend="openvino", precision="fp32", size=(32, 32)).close()  # cached for the workers
    folder = tmp_path / "drives"
    folder.mkdir()
    shaded_clip(folder / "morning.mp4", 40)
    shaded_clip(folder / "evening.avi", 90)
    return folder


def job(card: Card, folder: Path, out: Path, **options: object) -> RunConfig:
    fields = {"headless": True, "backend": "openvino", "precision": "fp32", "size": (32, 32)} | options
    source = SourceSpec("video", str(folder))
    return RunConfig(source=source, record=out, model=str(card.folder), **fields)  # type: ignore[arg-type]


@pytest.mark.timeout(240)
def test_workers_are_killed_and_nothing_is_lost_or_done_twice(
    cluster: None,
    tiny_card: Card,
    drives: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from segnet_live.fleet.run import run_fleet
    from tests.support.fleet import Killed, left_in

    shaded_clip(drives / "middle.mp4", 60, frames=40)
    long_clip(drives)
    one, other = (sorted(os.sched_getaffinity(0)) * 2)[:2]
    monkeypatch.setattr(folder_run, "core_groups", lambda *_: [[one], [other]])
    plain, fleet = tmp_path / "plain", tmp_path / "fleet"
    assert folder_run.run_folder(job(tiny_card, drives, plain, stats=plain)) == 0
    capsys.readouterr()

    (drives / "broken.mp4").write_text("this is text")
    shaded_clip(drives / "deadly.mp4", 20)
    config = job(tiny_card, drives, fleet, stats=fleet, ray="auto", piece_s=2)
    assert run_fleet(config, worker=Killed) == 2
    told = capsys.readouterr().out
    assert [(drives / f"killed in {name}").read_text() for name in ("middle 0", "long 1")] == ["x", "x"]
    assert (drives / "killed in deadly 0").read_text() == "xxx"
    assert "broken.mp4 failed:" in told
    assert "deadly.mp4 failed: the worker that did it died" in told
    assert f"4 done, 0 skipped, 2 failed; {LONG_FRAMES + 52} frames" in told
    assert f"{LONG_FRAMES} frames in 2 pieces, joined" in told
    assert left_in(fleet) == left_in(plain)
    for name in ("evening", "middle", "morning"):
        assert (fleet / f"{name}.mp4").read_bytes() == (plain / f"{name}.mp4").read_bytes()
    for name in ("evening", "middle", "morning", "long"):
        ours, theirs = (
            [line.split(",") for line in (folder / f"{name}.csv").read_text().splitlines()] for folder in (fleet, plain)
        )
        assert [row[:2] + row[3:] for row in ours] == [row[:2] + row[3:] for row in theirs]  # all but the latency
    assert times(fleet / "long.mp4") == times(plain / "long.mp4")
    assert packets(fleet / "long.mp4", "audio") == packets(plain / "long.mp4", "audio")
    assert {path.read_text() for path in drives.glob("gpus *")} == {""}  # none was declared: none is seen

    for name in ("broken", "deadly"):
        (drives / f"{name}.mp4").unlink()
    assert run_fleet(config, worker=Killed) == 0
    assert "0 done, 4 skipped, 0 failed" in capsys.readouterr().out


@pytest.mark.timeout(240)
def test_ctrl_c_ends_what_is_begun_and_leaves_nothing_of_it(
    cluster: None,
    tiny_card: Card,
    drives: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from segnet_live.fleet import run
    from tests.support.fleet import Patient, left_in

    caught: list[int] = []

    class Interrupting(run.FrameProgress):
        def update(self, done: int, skipped: int) -> None:
            if done:
                caught.append(signal.SIGINT)

    monkeypatch.setattr(run, "signals", lambda: contextlib.nullcontext(caught))
    monkeypatch.setattr(run, "FrameProgress", Interrupting)
    assert run.run_fleet(job(tiny_card, drives, tmp_path / "out", ray="auto"), worker=Patient) == 130
    assert "0 done, 0 skipped, 0 failed, 2 left" in capsys.readouterr().out
    assert left_in(tmp_path / "out") == []


def test_a_cluster_that_starts_nothing_is_told_of_in_one_line(
    cluster: None, tiny_card: Card, drives: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ray

    from segnet_live.fleet.run import run_fleet

    class Cancelling:
        def options(self, **_: object) -> Cancelling:
            return self

        def remote(self) -> None:
            raise ray.exceptions.RaySystemError("Actor creation cancelled.")

    monkeypatch.setattr(ray, "remote", lambda _: Cancelling())
    with pytest.raises(UsageError, match=r"starts nothing for this command \(.*cancelled\.\); set RAY_AUTH_MODE"):
        run_fleet(job(tiny_card, drives, tmp_path / "out", ray="auto"))


def test_without_ray_the_option_says_what_to_install_and_a_folder_needs_none(
    tiny_card: Card, drives: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in [name for name in sys.modules if name == "ray" or name.startswith("ray.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "ray", None)
    out = tmp_path / "out"
    assert main(["--video", str(drives), "--record", str(out), "--ray", "auto"]) == 2
    told = capsys.readouterr().err.strip().splitlines()
    assert told == ["segnet-live: --ray needs Ray, which is not installed; pip install 'segnet-live[fleet]'"]
    assert not out.exists()
    assert len(folder_run.plan(job(tiny_card, drives, out))[0]) == 2
