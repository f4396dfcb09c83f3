"""Outputs are checked before any work, and what is written is complete or called partial."""

from __future__ import annotations

import csv
import errno
import io
import os
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from segnet_live.classes import CAMVID
from segnet_live.config import RunConfig, SourceSpec
from segnet_live.errors import OutputError, SegnetLiveError, UsageError
from segnet_live.frame import Frame, FrameResult
from segnet_live.pipeline.record.preflight import check_outputs
from segnet_live.pipeline.record.sinks import LabelMaps, Stats
from segnet_live.system import files
from segnet_live.system.files import held, partial_path
from tests.support.sources import FakeSource


def segmented(index: int, name: str = "", size: tuple[int, int] = (6, 8)) -> FrameResult:
    labels = np.full(size, 3, np.uint8)
    labels[0] = index % 11
    frame = Frame(np.zeros((*size, 3), np.uint8), index, index, Fraction(1, 10), name=name)
    info = FakeSource(1).info
    return FrameResult(
        frame=frame, source=info, classes=CAMVID, network_labels=labels, source_labels=labels, labelled_s=0.0125
    )


def config(source: SourceSpec | None = None, **fields: Any) -> RunConfig:
    return RunConfig(source=source or SourceSpec("video", "none.mp4"), headless=True, **fields)


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    path = tmp_path / "drive.mp4"
    path.write_bytes(b"a video")
    return path


def test_a_good_place_is_accepted_and_left_as_it_was(tmp_path: Path, clip: Path) -> None:
    (tmp_path / "empty").mkdir()
    for masks in ("empty", "new/deeper"):
        check_outputs(
            config(
                SourceSpec("video", str(clip)),
                record=tmp_path / "out.mp4",
                masks=tmp_path / masks,
                stats=tmp_path / "stats.csv",
            )
        )
    assert sorted(p.name for p in tmp_path.iterdir()) == ["drive.mp4", "empty"]


@pytest.mark.parametrize("overwrite", [False, True])
def test_the_input_is_never_an_output(tmp_path: Path, clip: Path, overwrite: bool) -> None:
    link = tmp_path / "link.mp4"
    link.symlink_to(clip)
    for record in (clip, link, tmp_path / "." / "drive.mp4"):
        with pytest.raises(UsageError, match="input"):
            check_outputs(config(SourceSpec("video", str(clip)), record=record, overwrite=overwrite))


def test_what_a_playlist_names_is_an_input_too(tmp_path: Path, clip: Path) -> None:
    inner, outer = tmp_path / "inner.ffconcat", tmp_path / "outer.ffconcat"
    inner.write_text("ffconcat version 1.0\nfile drive.mp4\n")
    outer.write_text("ffconcat version 1.0\nfile inner.ffconcat\n")
    for playlist in (inner, outer):
        with pytest.raises(UsageError, match="input"):
            check_outputs(config(SourceSpec("video", str(playlist)), record=clip, overwrite=True))


def test_a_partial_recording_can_be_the_input_only_of_another_recording(tmp_path: Path) -> None:
    partial = tmp_path / "out.partial.mp4"
    partial.write_bytes(b"what a killed run left")
    source = SourceSpec("video", str(partial))
    with pytest.raises(UsageError, match="input"):
        check_outputs(config(source, record=tmp_path / "out.mp4", overwrite=True))
    check_outputs(config(source, record=tmp_path / "again.mp4"))


def test_images_are_not_overwritten_by_their_own_label_maps(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"")
    for source in (str(tmp_path), str(tmp_path / "*.png")):
        with pytest.raises(UsageError, match="images are read from"):
            check_outputs(config(SourceSpec("images", source), masks=tmp_path, overwrite=True))


def test_no_folder_of_a_pattern_takes_the_label_maps_of_its_images(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"{name}.png").write_bytes(b"")
    for source in ("*/*.png", "**/*.png"):
        for name in ("a", "b"):
            with pytest.raises(UsageError, match="images are read from"):
                check_outputs(
                    config(SourceSpec("images", str(tmp_path / source)), masks=tmp_path / name, overwrite=True)
                )


@pytest.mark.parametrize("overwrite", [False, True])
def test_two_outputs_are_never_one_place_however_it_is_spelt(tmp_path: Path, overwrite: bool) -> None:
    (tmp_path / "labels").mkdir()
    (tmp_path / "link").symlink_to("labels")
    place = tmp_path / "x.mp4"
    pairs: list[dict[str, Path]] = [
        {"masks": tmp_path / "labels", "confidence": tmp_path / "link"},
        {"masks": tmp_path / "labels", "confidence": Path(os.path.relpath(tmp_path / "labels"))},
        {"masks": tmp_path / "labels", "confidence": tmp_path / "new" / ".." / "labels"},
        {"record": place, "masks": place},
        {"record": tmp_path / "x.mp4", "masks": tmp_path / "new" / ".." / "x.mp4"},
    ]
    for outputs in pairs:
        with pytest.raises(UsageError, match="both name"):
            check_outputs(config(**outputs, overwrite=overwrite))


@pytest.mark.parametrize("option", ["record", "masks", "stats"])
def test_what_exists_is_kept_unless_told_otherwise(tmp_path: Path, option: str) -> None:
    path = tmp_path / {"record": "out.mp4", "masks": "labels", "stats": "s.csv"}[option]
    if option == "masks":
        path.mkdir()
        (path / "old.png").touch()
    else:
        path.touch()
    with pytest.raises(UsageError, match="--overwrite"):
        check_outputs(config(**{option: path}))
    check_outputs(config(**{option: path}, overwrite=True))


@pytest.mark.parametrize("name", ["out.mp4", "s.csv"])
def test_what_a_killed_run_left_is_kept_unless_told_otherwise(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    partial_path(path).touch()
    option = {"out.mp4": "record", "s.csv": "stats"}[name]
    with pytest.raises(UsageError, match="interrupted"):
        check_outputs(config(**{option: path}))
    check_outputs(config(**{option: path}, overwrite=True))


@pytest.mark.parametrize("option", ["record", "masks", "stats"])
def test_a_place_that_cannot_be_written_is_refused(
    tmp_path: Path, option: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = {"record": "out.mp4", "masks": "labels", "stats": "s.csv"}[option]
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="folder"):
        check_outputs(config(**{option: tmp_path / "file" / name}))
    folder = tmp_path / f"folder{Path(name).suffix}"
    folder.mkdir()
    if option != "masks":
        with pytest.raises(OutputError, match="is a folder"):
            check_outputs(config(**{option: folder}))
        with pytest.raises(OutputError, match="there is no folder"):
            check_outputs(config(**{option: tmp_path / "missing" / name}))

    def full(*args: object, **kwargs: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("tempfile.TemporaryFile", full)
    with pytest.raises(OutputError, match="No space"):
        check_outputs(config(**{option: tmp_path / name}))


def test_masks_are_8_bit_single_channel_class_ids_named_in_order_or_by_the_image(tmp_path: Path) -> None:
    masks = LabelMaps(tmp_path / "new" / "labels")
    for index in range(3):
        masks.write(segmented(index))
    masks.write(segmented(4, name="Seq05.f0004"))
    masks.close(whole=True)
    names = sorted(p.name for p in masks.folder.iterdir())
    assert names == ["000000.png", "000001.png", "000002.png", "Seq05.f0004.png"]
    stored = cv2.imread(str(masks.folder / "000002.png"), cv2.IMREAD_UNCHANGED)
    assert stored.dtype == np.uint8
    assert np.array_equal(stored, segmented(2).labels)


def test_no_frame_no_output(tmp_path: Path) -> None:
    for sink in (LabelMaps(tmp_path / "labels"), Stats(tmp_path / "s.csv", CAMVID)):
        sink.close(whole=False)
    assert not list(tmp_path.iterdir())


def test_a_full_disk_leaves_no_half_label_map(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    masks = LabelMaps(tmp_path / "labels")
    masks.write(segmented(0))

    class Full(io.FileIO):
        def write(self, data: Any) -> int:
            super().write(data[: len(data) // 2])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(files, "open", Full, raising=False)
    with pytest.raises(OutputError, match="No space"):
        masks.write(segmented(1))
    masks.close(whole=False)
    assert [p.name for p in masks.folder.iterdir()] == ["000000.png"]
    assert "1 label maps" in str(masks)


def test_stats_hold_time_latency_and_the_share_of_every_class(tmp_path: Path) -> None:
    stats = Stats(tmp_path / "s.csv", CAMVID)
    for index in range(3):
        stats.write(segmented(index))
    assert not stats.path.exists(), "the file has its name only when it is complete"
    stats.close(whole=True)
    with stats.path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["frame", "pts_s", "latency_ms", *CAMVID.names]
    assert [row["frame"] for row in rows] == ["0", "1", "2"]
    assert [float(row["pts_s"]) for row in rows] == pytest.approx([0, 0.1, 0.2])
    assert float(rows[2]["latency_ms"]) == 12.5
    assert float(rows[2]["Pole"]) == pytest.approx(1 / 6, abs=1e-6)
    assert sum(float(rows[2][name]) for name in CAMVID.names) == pytest.approx(1, abs=1e-5)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full to play a full disk")
def test_stats_on_a_full_disk_do_not_replace_a_good_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("segnet_live.pipeline.record.sinks.make_new", lambda path: None)  # which would delete the link
    good = tmp_path / "s.csv"
    good.write_text("good\n")
    partial_path(good).symlink_to("/dev/full")
    stats = Stats(good, CAMVID)
    with pytest.raises(OutputError, match="No space"):
        stats.write(segmented(0))
    with pytest.raises(SegnetLiveError):
        stats.close(whole=False)
    assert good.read_text() == "good\n"


def test_a_file_that_could_not_be_made_is_let_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("segnet_live.pipeline.record.sinks.make_new", full)
    stats = Stats(tmp_path / "s.csv", CAMVID)
    with pytest.raises(OutputError, match="No space"):
        stats.write(segmented(0))
    stats.close(whole=False)
    with held(tmp_path / "s.csv"):
        pass


def test_maps_of_a_longer_run_do_not_stay_among_the_new(tmp_path: Path) -> None:
    for name in ("000000.png", "000004.png", "mine.png", "notes.txt"):
        (tmp_path / name).touch()
    for overwrite, left in ((False, ["000000.png", "000001.png", "000004.png"]), (True, ["000000.png", "000001.png"])):
        maps = LabelMaps(tmp_path, overwrite=overwrite)
        for index in range(2):
            maps.write(segmented(index))
        maps.close(whole=True)
        assert sorted(path.name for path in tmp_path.iterdir()) == [*left, "mine.png", "notes.txt"]
