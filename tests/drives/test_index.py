"""An index tells of each frame what a run saw, is found again, goes on where it ended, and serves no other video."""

from __future__ import annotations

import contextlib
import logging
import os
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from segnet_live.card import Card
from segnet_live.cli import main
from segnet_live.config import IndexPlace
from segnet_live.drives.index import DriveIndex, beside, key_of, load_index, save_index
from segnet_live.drives.indexer import Indexer
from segnet_live.engine.base import EngineInfo
from segnet_live.errors import UsageError
from segnet_live.frame import FrameResult
from segnet_live.pipeline.headless.indexing import IndexOptions, indexed, kept_index
from segnet_live.video.file import FileSource
from tests.support.clips import Clip, make, striped_clip
from tests.support.drives import drive_index

ENGINE = EngineInfo("openvino", "a CPU", "int8", "tiny", (32, 48))


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """A clip of 24 frames that no other test has, as indexes are found by content."""
    path = striped_clip(tmp_path / "drive.mp4")
    with path.open("ab") as file:
        file.write(struct.pack(">I4s8s", 16, b"free", os.urandom(8)))
    return path


def kept(index: DriveIndex, clip: Path, card: Card, place: IndexPlace = "cache") -> DriveIndex:
    """`index` as one of `clip`, kept."""
    index = replace(index, key=key_of(clip, card, size=None, smooth=False))
    save_index(index, clip, place)
    return index


@pytest.mark.parametrize("place", ["cache", "beside"])
def test_an_index_comes_back_as_it_was(clip: Path, tiny_card: Card, place: IndexPlace) -> None:
    index = kept(drive_index({"Car": [0.1, 0.2]}, confidence=[0.5, np.nan]), clip, tiny_card, place)
    back = load_index(clip, index.key)
    assert back is not None
    assert back.facts == index.facts
    assert back.classes == index.classes
    for name in ("pts_s", "shares", "confidence", "motion", "change"):
        np.testing.assert_array_equal(getattr(back, name), getattr(index, name))
    assert beside(clip).exists() == (place == "beside")


def test_an_index_serves_the_same_video_anywhere_and_no_other(clip: Path, tiny_card: Card, tmp_path: Path) -> None:
    kept(drive_index({"Car": [0.1]}), clip, tiny_card)
    moved = clip.rename(tmp_path / "moved.mp4")
    options = IndexOptions(str(tiny_card.folder))
    assert kept_index(moved, options) is not None
    assert kept_index(moved, replace(options, size=(64, 96))) is None
    content = bytearray(moved.read_bytes())
    content[len(content) // 2] ^= 1
    moved.write_bytes(content)
    assert kept_index(moved, options) is None


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("shares", np.zeros((1, 3), np.float32)),
        ("pts_s", np.array([np.nan])),
        ("change", np.zeros((1, 2), np.float32)),
        ("motion", np.array(["text"])),
        ("confidence", np.zeros(7, np.float32)),
    ],
)
def test_an_index_with_columns_that_do_not_fit_counts_as_damaged(
    clip: Path, tiny_card: Card, name: str, array: NDArray[np.generic], caplog: pytest.LogCaptureFixture
) -> None:
    index = kept(drive_index({"Car": [0.1]}), clip, tiny_card, "beside")
    with np.load(beside(clip)) as arrays:
        columns = dict(arrays)
    with beside(clip).open("wb") as file:
        np.savez(file, **(columns | {name: array}))
    with caplog.at_level(logging.WARNING):
        assert load_index(clip, index.key) is None
    assert "damaged" in caplog.text


def test_a_damaged_index_counts_as_absent_and_says_so(
    clip: Path, tiny_card: Card, caplog: pytest.LogCaptureFixture
) -> None:
    index = kept(drive_index({"Car": [0.1]}), clip, tiny_card, "beside")
    for content in (b"", beside(clip).read_bytes()[:-40], b"PK nonsense"):
        beside(clip).write_bytes(content)
        with caplog.at_level(logging.WARNING):
            assert load_index(clip, index.key) is None
        assert "damaged" in caplog.text
        caplog.clear()


def write(indexer: Indexer, clip: Path, *, frames: int, start_s: float = 0.0) -> None:
    """Give an indexer the frames of a clip, labelled road on the left and, in every other frame, car on the right."""
    source = FileSource(str(clip), start_s=start_s)
    for _ in range(frames):
        frame = source.read()
        assert frame is not None
        labels = np.full((32, 48), 3, np.uint8)
        if round(frame.pts_s * 12) % 2:
            labels[:, 24:] = 8
        blank = FrameResult.unlabelled(frame, source.info, drive_index({"Car": [0]}).classes)
        sure = np.full((32, 48), 204, np.uint8)
        indexer.write(blank.with_labels(labels, blank.classes, 1.0, confidence=sure))
    source.close()


def test_an_index_holds_shares_motion_and_change_of_each_frame(clip: Path, tiny_card: Card) -> None:
    key = key_of(clip, tiny_card, size=None, smooth=False)
    indexer = Indexer(clip, key, lambda: ENGINE)
    write(indexer, clip, frames=24)
    indexer.close(whole=True)
    index = indexer.index
    assert index is not None
    assert len(index) == 24
    np.testing.assert_allclose(index.pts_s, np.arange(24) / 12, atol=1e-6)
    np.testing.assert_allclose(index.shares[:4, 8], [0, 0.5, 0, 0.5], atol=0.02)
    np.testing.assert_allclose(index.change[1:], 0.5)
    assert (index.motion[1:] > 0.05).all()
    np.testing.assert_allclose(index.confidence, 0.8, atol=0.01)
    assert load_index(clip, key) is not None


def test_a_run_that_was_stopped_goes_on_where_it_ended(clip: Path, tiny_card: Card) -> None:
    key = key_of(clip, tiny_card, size=None, smooth=False)
    first = Indexer(clip, key, lambda: ENGINE)
    write(first, clip, frames=10)
    first.close(whole=False)
    before = kept_index(clip, IndexOptions(str(tiny_card.folder)))
    assert before is not None
    assert not before.facts.whole
    again = Indexer(clip, key, lambda: ENGINE, before=before)
    write(again, clip, frames=15, start_s=9 / 12 - 1e-3)
    again.close(whole=True)
    whole, index = Indexer(clip, key, lambda: ENGINE), again.index
    write(whole, clip, frames=24)
    whole.close(whole=True)
    assert index is not None
    assert whole.index is not None
    assert index.facts.whole
    np.testing.assert_array_equal(index.pts_s, whole.index.pts_s)
    np.testing.assert_array_equal(index.change, whole.index.change)


def test_scene_cuts_stand_out_of_steady_motion() -> None:
    motion = [0, *[0.02] * 20, 0.4, *[0.02] * 20, *[0.2] * 30]
    cuts = np.flatnonzero(drive_index({"Car": [0.1] * len(motion)}, motion=motion).cuts)
    assert 21 in cuts
    assert not set(range(45, len(motion))) & set(cuts.tolist())


def test_a_real_run_makes_an_index_stops_when_told_and_goes_on(tiny_card: Card, tmp_path: Path) -> None:
    clip = Path(make(tmp_path, Clip(size=(64, 96), frames=100)))
    options = IndexOptions(str(tiny_card.folder), backend="torch", size=(32, 64))
    with contextlib.suppress(UsageError):  # a machine that was done before it was asked
        indexed(clip, options, print, lambda done, total: False)
    index = indexed(clip, options, print, lambda done, total: True)
    assert index.facts.whole
    assert len(index) == 100
    assert (np.diff(index.pts_s) > 0).all()
    looks: list[int] = []
    assert len(indexed(clip, options, print, lambda done, total: bool(looks.append(done)))) == 100
    assert not looks, "a kept index needs no run"


def test_a_recording_run_leaves_an_index_beside_the_video(clip: Path, tiny_card: Card, tmp_path: Path) -> None:
    arguments = ["--video", str(clip), "--model", str(tiny_card.folder), "--size", "32x64", "--backend", "torch"]
    arguments += ["--index", "beside"]
    assert main([*arguments, "--record", str(tmp_path / "out.mp4"), "--headless"]) == 0
    index = kept_index(clip, IndexOptions(str(tiny_card.folder), size=(32, 64)))
    assert beside(clip).exists()
    assert index is not None
    assert len(index) == 24
    assert main([*arguments, "--headless", "--start", "1"]) == 2
