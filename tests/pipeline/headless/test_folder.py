"""Folder jobs: what is done, skipped, begun again and reported; small real videos through the real pipeline."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from segnet_live.card import Card
from segnet_live.config import RunConfig, SourceSpec
from segnet_live.engine.nvidia import device
from segnet_live.engine.open import open_engine
from segnet_live.errors import OutputError, SourceError, UsageError
from segnet_live.pipeline.headless import folder as folder_run
from segnet_live.pipeline.headless import tasks, worker
from segnet_live.system import nvidia
from segnet_live.system.files import held
from tests.support.clips import shaded_clip
from tests.support.engines import Engines

FRAMES = 6


def frames_in(path: Path) -> int:
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(video=0))


@pytest.fixture
def drives(tmp_path: Path) -> Path:
    folder = tmp_path / "drives"
    folder.mkdir()
    shaded_clip(folder / "morning.mp4", 40)
    shaded_clip(folder / "evening.avi", 90)
    (folder / "notes.txt").write_text("no video")
    return folder


def folder_job(card: Card, folder: Path, record: Path | None, **options: object) -> RunConfig:
    source = SourceSpec("video", str(folder))
    fields = {"headless": True, "backend": "openvino", "precision": "fp32", "size": (32, 32), "smooth": False} | options
    return RunConfig(source=source, record=record, model=str(card.folder), **fields)  # type: ignore[arg-type]


@pytest.mark.timeout(120)
def test_all_are_done_a_bad_one_is_told_and_a_second_run_takes_up_the_rest(
    tiny_card: Card, drives: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    open_engine(tiny_card, backend="openvino", precision="fp32", size=(32, 32)).close()  # cached for the children
    out = tmp_path / "out"
    (drives / "broken.mp4").write_text("this is text")
    assert folder_run.run_folder(folder_job(tiny_card, drives, out)) == 2
    told = capsys.readouterr().out
    assert "broken.mp4 failed:" in told
    assert "2 done, 0 skipped, 1 failed" in told
    assert sorted(p.name for p in out.iterdir()) == ["evening.mp4", "morning.mp4"]
    assert all(frames_in(p) == FRAMES for p in out.iterdir())

    # as after a kill: one finished, one only partly written, the bad one mended
    kept = (out / "morning.mp4").stat().st_mtime_ns
    (out / "evening.mp4").rename(out / "evening.unfinished.partial.mp4")
    shaded_clip(drives / "broken.mp4", 10)
    assert folder_run.run_folder(folder_job(tiny_card, drives, out)) == 0
    assert "2 done, 1 skipped, 0 failed" in capsys.readouterr().out
    assert sorted(p.name for p in out.iterdir()) == ["broken.mp4", "evening.mp4", "morning.mp4"]
    assert (out / "morning.mp4").stat().st_mtime_ns == kept


@pytest.mark.timeout(120)
def test_a_list_of_videos_leaves_masks_figures_and_an_index_of_each(
    tiny_card: Card, drives: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    open_engine(tiny_card, backend="openvino", precision="fp32", size=(32, 32), confidence=True).close()
    names = tmp_path / "names.txt"
    names.write_text(f"\n{drives / 'morning.mp4'}\ndrives/evening.avi\ndrives/gone.mp4\n")
    kinds = dict.fromkeys(("record", "masks", "stats"), tmp_path / "out") | {"confidence": tmp_path / "sure"}
    job = folder_job(tiny_card, names, index="beside", **kinds)
    assert folder_run.run_folder(job) == 2
    told = capsys.readouterr().out
    assert "gone.mp4 failed:" in told
    assert "no such file" in told
    for name, video in (("morning", "morning.mp4"), ("evening", "evening.avi")):
        assert [p.name for p in sorted((tmp_path / "out" / name).iterdir())] == [f"{i:06d}.png" for i in range(FRAMES)]
        assert len(list((tmp_path / "sure" / name).iterdir())) == FRAMES
        rows = (tmp_path / "out" / f"{name}.csv").read_text().splitlines()
        assert [row.split(",")[0] for row in rows] == ["frame", *map(str, range(FRAMES))]
        assert frames_in(tmp_path / "out" / f"{name}.mp4") == FRAMES
        assert (drives / f"{video}.index").exists()
    assert len(list((tmp_path / "out").iterdir())) == 6

    (tmp_path / "out" / "evening.csv").unlink()  # one output is missing: the file is done again
    names.write_text("drives/morning.mp4\ndrives/evening.avi")
    assert folder_run.run_folder(job) == 0
    assert "1 done, 1 skipped, 0 failed" in capsys.readouterr().out
    assert len(list((tmp_path / "out").iterdir())) == 6


def test_a_text_that_lists_no_videos_is_refused(tiny_card: Card, tmp_path: Path) -> None:
    for text, error, match in (
        ("a novel\nin two lines", SourceError, "names no video"),
        ("rtsp://camera/1", UsageError, "line 1: is an address"),
    ):
        (tmp_path / "names.txt").write_text(text)
        with pytest.raises(error, match=match):
            tasks.plan(folder_job(tiny_card, tmp_path / "names.txt", tmp_path / "out"))


def test_overwrite_does_finished_files_again(tiny_card: Card, drives: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "morning.mp4").write_bytes(b"finished")
    todo, finished = tasks.plan(folder_job(tiny_card, drives, out))
    assert ([t.video.name for t in todo], finished) == (["evening.avi"], 1)
    todo, finished = tasks.plan(folder_job(tiny_card, drives, out, overwrite=True))
    assert ([t.video.name for t in todo], finished) == (["evening.avi", "morning.mp4"], 0)


def test_what_cannot_work_is_refused_before_anything_is_made(tiny_card: Card, drives: Path, tmp_path: Path) -> None:
    out, empty = tmp_path / "out", tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(UsageError, match="--record DIR"):
        tasks.plan(folder_job(tiny_card, drives, None))
    with pytest.raises(UsageError, match=r"notes\.txt is a file"):
        tasks.plan(folder_job(tiny_card, drives, out, masks=drives / "notes.txt"))
    with pytest.raises(UsageError, match="a folder of its own"):
        tasks.plan(folder_job(tiny_card, drives, None, masks=out, confidence=out))
    with pytest.raises(UsageError, match="read from"):
        tasks.plan(folder_job(tiny_card, drives, drives))
    with pytest.raises(SourceError, match="no video"):
        tasks.plan(folder_job(tiny_card, empty, out))
    shaded_clip(drives / "Morning.mov", 5)
    with pytest.raises(UsageError, match=r"both become .*; rename one"):
        tasks.plan(folder_job(tiny_card, drives, out))
    assert not out.exists()


def test_a_file_that_tells_no_length_leaves_the_bar_without_an_end(tmp_path: Path) -> None:
    shaded_clip(tmp_path / "a.mp4", 40)
    with (
        av.open(str(tmp_path / "a.mp4")) as source,
        av.open(str(tmp_path / "b.mkv"), "w", options={"live": "1"}) as out,
    ):
        stream = out.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                out.mux(packet)
    (tmp_path / "c.mp4").write_text("no video")
    a, b, c = (tasks.Task(tmp_path / name, tmp_path / "out") for name in ("a.mp4", "b.mkv", "c.mp4"))
    assert tasks.total_frames([a, c]) == FRAMES
    assert tasks.total_frames([a, b, c]) is None


def test_core_groups_share_the_cores_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder_run.psutil.Process, "cpu_affinity", lambda self: list(range(8)), raising=False)
    groups = folder_run.core_groups(3, "auto")
    assert len(groups) <= 3
    assert sorted(core for group in groups for core in group) == list(range(8))
    assert len(folder_run.core_groups(1, "auto")) == 1


def test_on_a_gpu_files_are_done_one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder_run.psutil.Process, "cpu_affinity", lambda self: list(range(8)), raising=False)
    monkeypatch.setattr(nvidia, "has_gpu", lambda: True)
    monkeypatch.setattr(device, "cuda_problem", lambda: None)
    assert folder_run.core_groups(3, "auto") == [[]]
    assert len(folder_run.core_groups(2, "openvino")) == 2


@pytest.mark.timeout(120)
def test_on_a_gpu_one_process_does_all_files_and_keeps_its_engine(
    tiny_card: Card,
    drives: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    open_engine(tiny_card, backend="openvino", precision="fp32", size=(32, 32)).close()  # cached for the child
    monkeypatch.setattr(folder_run, "runs_on_gpu", lambda _: True)
    made: list[object] = []
    real = folder_run._Worker.__init__

    def count(self: object, *arguments: object, **options: object) -> None:
        made.append(self)
        real(self, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(folder_run._Worker, "__init__", count)
    (drives / "broken.mp4").write_text("this is text")
    assert folder_run.run_folder(folder_job(tiny_card, drives, tmp_path / "out")) == 2
    assert "2 done, 0 skipped, 1 failed" in capsys.readouterr().out
    assert all(frames_in(p) == FRAMES for p in (tmp_path / "out").iterdir())
    assert len(made) == 1


def test_an_engine_that_fell_back_is_opened_anew_for_the_next_file(
    tiny_card: Card, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A GPU that was full for a moment left all remaining files to the CPU."""
    opened = Engines()
    monkeypatch.setattr(worker, "open_engine", opened.open)
    kept = worker.KeptEngines()
    for _ in range(2):
        kept.open(tiny_card, size=(32, 32), source_size=(64, 64))
    assert len(opened.opened) == 1
    opened.opened[0].fell_back = True  # type: ignore[attr-defined]
    kept.open(tiny_card, size=(32, 32), source_size=(64, 64))
    assert [engine.closed for engine in opened.opened] == [1, 0]


def test_a_lent_engine_stays_open_and_each_size_has_its_own(tiny_card: Card) -> None:
    kept = worker.KeptEngines()
    options = {"backend": "openvino", "precision": "fp32"}
    engines = [kept.open(tiny_card, size=size, source_size=(64, 64), **options) for size in ((32, 32), (32, 64))]
    engines[0].close()
    again = kept.open(tiny_card, size=(32, 32), source_size=(48, 48), **options)
    assert again.segment(np.zeros((40, 40, 3), np.uint8)).shape == (32, 32)
    assert len(kept._engines) == 2
    for engine in kept._engines.values():
        engine.close()


def test_what_is_there_is_kept_and_only_the_rest_is_made(
    tiny_card: Card, drives: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, labels = tmp_path / "out", tmp_path / "labels"
    (out / "morning.pieces").mkdir(parents=True)
    (out / "morning.pieces" / "precious.txt").touch()
    (out / "morning.mp4").write_bytes(b"made with another view")
    (labels / "morning").mkdir(parents=True)
    todo, done = tasks.plan(folder_job(tiny_card, drives, out, masks=labels, stats=out))
    assert [(task.video.name, [path.name for path in task.outputs]) for task in todo] == [
        ("evening.avi", ["evening", "evening.csv", "evening.mp4"]),
        ("morning.mp4", ["morning.csv"]),
    ]
    assert done == 0
    assert "1 have a part of their outputs already" in capsys.readouterr().out
    todo[1].drop_pieces()
    assert (out / "morning.pieces" / "precious.txt").exists()


def test_a_folder_that_holds_anything_but_maps_is_never_replaced(tiny_card: Card, drives: Path, tmp_path: Path) -> None:
    for name in ("morning", "evening.unfinished"):
        folder = tmp_path / "labels" / name
        folder.mkdir(parents=True)
        (folder / "000001.png").touch()
    job = folder_job(tiny_card, drives, None, masks=tmp_path / "labels", overwrite=True)
    todo, _ = tasks.plan(job)
    assert len(todo) == 2
    (tmp_path / "labels" / "morning" / "precious.txt").touch()
    (tmp_path / "labels" / "evening.unfinished" / "precious.txt").touch()
    with pytest.raises(OutputError, match=r"morning holds precious\.txt"):
        tasks.plan(job)
    with pytest.raises(OutputError, match=r"evening\.unfinished holds precious\.txt"):
        todo[0].discard()


@pytest.mark.parametrize("names", [("b.mp4", "b.unfinished.mp4"), ("a.mp4", "a.mp4.mp4"), ("a.mp4", "a.pieces.mp4")])
def test_no_output_has_a_name_that_another_video_needs_for_a_while(
    tiny_card: Card, tmp_path: Path, names: tuple[str, str]
) -> None:
    (tmp_path / "drives").mkdir()
    for name in names:
        (tmp_path / "drives" / name).touch()
    job = folder_job(tiny_card, tmp_path / "drives", tmp_path / "out", masks=tmp_path / "out")
    with pytest.raises(UsageError, match="would both become"):
        tasks.plan(job)


@pytest.mark.timeout(120)
def test_a_file_that_another_segnet_live_does_stops_no_other(
    tiny_card: Card, drives: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    with held(out / "evening.unfinished.mp4"):
        assert folder_run.run_folder(folder_job(tiny_card, drives, out)) == 2
    told = capsys.readouterr().out
    assert "evening.avi failed:" in told
    assert "1 done, 0 skipped, 1 failed" in told
    assert [p.name for p in out.iterdir()] == ["morning.mp4"]
