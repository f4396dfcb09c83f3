"""segnet-live in scripts: quick to import, the command's policies and errors, and nothing left behind."""

from __future__ import annotations

import doctest
import gc
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

import segnet_live
from segnet_live import card as card_module
from segnet_live import library
from segnet_live.card import Card
from segnet_live.config import Encoding
from segnet_live.engine.resize import picture_at
from segnet_live.errors import SegnetLiveError, SourceError, SourceLost, UsageError
from segnet_live.pipeline.headless import job as headless_job
from segnet_live.system.paths import assets_dir
from segnet_live.video.encoders import choose
from tests.support.clips import shaded_clip
from tests.support.engines import FakeEngine
from tests.support.sources import SIZE, FakeSource, fail_at


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    gc.collect()
    deadline = time.monotonic() + 5
    while (left := [t for t in set(threading.enumerate()) - before if "segnet-live" in t.name]) and (
        time.monotonic() < deadline
    ):
        time.sleep(0.01)
    assert not left


@pytest.fixture
def fakes(monkeypatch: pytest.MonkeyPatch, tiny_card: Card) -> Iterator[list[FakeSource]]:
    """Sources to be opened, in order; their labels are the first pixel."""
    sources: list[FakeSource] = []
    monkeypatch.setattr(headless_job, "open_source", lambda spec: sources.pop(0))
    monkeypatch.setattr(headless_job, "open_engine", lambda card, **options: FakeEngine())
    monkeypatch.setattr(library, "find_card", lambda model: tiny_card)
    monkeypatch.setattr(headless_job, "find_card", lambda model: tiny_card)
    return sources  # type: ignore[return-value]


def test_importing_the_package_loads_nothing_heavy() -> None:
    code = (
        "import sys, segnet_live\n"
        "print(*(n for n in ('torch', 'cv2', 'numpy', 'av', 'PyQt6', 'openvino') if n in sys.modules))\n"
        "assert {'Segmenter', 'stream', 'annotate'} <= set(dir(segnet_live))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.split() == []


@pytest.mark.bench
def test_importing_the_package_takes_milliseconds() -> None:
    code = "import time; began = time.perf_counter(); import segnet_live; print((time.perf_counter() - began) * 1e3)"
    runs = [subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True) for _ in range(7)]
    ms = sorted(float(run.stdout) for run in runs)
    print(f"import segnet_live: median {ms[3]:.1f} ms, {ms[0]:.1f} to {ms[-1]:.1f} (n {len(ms)}; asked: 50)")


def test_using_the_library_needs_neither_torch_nor_qt_to_be_loaded() -> None:
    code = (
        "import sys, segnet_live; segnet_live.stream, segnet_live.Segmenter\n"
        "print(*(name for name in ('torch', 'PyQt6') if name in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.split() == []


def test_what_the_package_does_not_offer_is_an_attribute_error() -> None:
    assert not hasattr(segnet_live, "segment_everything")
    assert segnet_live.stream is library.stream


@pytest.mark.timeout(120)
def test_the_documentations_examples_hold(tiny_card: Card, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(tiny_card.folder, tmp_path / "models" / "segnet-fast")
    monkeypatch.setattr(card_module, "models_dir", lambda: tmp_path / "models")
    shutil.copy(assets_dir() / "drive.mp4", tmp_path)
    monkeypatch.chdir(tmp_path)
    results = doctest.testmod(library)
    assert results.attempted >= 8
    assert results.failed == 0
    with av.open("out.mp4") as video:
        assert sum(1 for _ in video.decode(video=0)) == 5


def test_every_frame_of_a_file_comes_in_order_though_the_caller_is_slow(fakes: list[FakeSource]) -> None:
    fakes.append(source := FakeSource(20))
    indices = []
    for result in segnet_live.stream("drive.mp4"):
        time.sleep(0.002)
        indices.append(result.frame.index)
        assert result.labels.shape == SIZE == result.rgb.shape[:2]
        assert (result.labels == result.frame.index).all()
        assert result.overlay().shape == result.rgb.shape
    assert indices == list(range(20))
    assert source.closed == 1


def test_a_live_source_gives_its_newest_frame(fakes: list[FakeSource]) -> None:
    fakes.append(FakeSource(200, live=True, before_read=lambda index: time.sleep(0.002)))
    indices = []
    for result in segnet_live.stream(0):
        time.sleep(0.03)
        indices.append(result.frame.index)
    assert indices == sorted(set(indices))
    assert len(indices) < 100
    assert max(b - a for a, b in pairwise(indices)) > 3


@pytest.mark.parametrize("live", [False, True])
def test_leaving_the_loop_stops_threads_and_closes_the_source(fakes: list[FakeSource], live: bool) -> None:
    fakes.append(source := FakeSource(10**6, live=live, before_read=lambda index: time.sleep(0.001)))
    for result in segnet_live.stream(0 if live else "drive.mp4"):
        if result.frame.index >= 3:
            break
    gc.collect()
    assert source.closed == 1
    assert source.delivered < 1000


def test_an_error_of_the_caller_closes_the_source_as_well(fakes: list[FakeSource]) -> None:
    fakes.append(source := FakeSource(10**6))

    def divide() -> None:
        for result in segnet_live.stream("drive.mp4"):
            _ = 1 / result.frame.index

    with pytest.raises(ZeroDivisionError):
        divide()
    gc.collect()
    assert source.closed == 1


def test_a_lost_source_is_an_error_after_the_frames_it_gave(fakes: list[FakeSource]) -> None:
    fakes.append(FakeSource(10, before_read=fail_at(4, SourceLost("the stream died"))))
    seen = []
    with pytest.raises(SourceLost, match="died"):
        seen.extend(segnet_live.stream("rtsp://camera/1"))
    assert [result.frame.index for result in seen] == [0, 1, 2, 3]


def test_errors_are_the_commands(tmp_path: Path, tiny_card: Card) -> None:
    for bad in (tmp_path / "none.mp4", tmp_path):
        with pytest.raises(SourceError):
            next(iter(segnet_live.stream(bad, model=tiny_card.folder)))
    with pytest.raises(UsageError, match="unknown model"):
        segnet_live.Segmenter("segnet-9000")
    for switch in ("smooth", "confidence"):
        with pytest.raises(UsageError, match=f"{switch} got 'no'; give True or False"):
            segnet_live.Segmenter(tiny_card.folder, **{switch: "no"})  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="the first camera is 0"):
        next(iter(segnet_live.stream(-1)))
    for name in ("x" * 5000, "x" * 300 + "/*.png", "a\0b"):
        with pytest.raises(UsageError, match="no source can be called"):
            next(iter(segnet_live.stream(name)))
    for output in ("masks", "confidence"):
        with pytest.raises(UsageError, match=f"{output} got an empty name"):
            segnet_live.annotate("drive.mp4", tmp_path / "new.mp4", **{output: ""})  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="unknown --hide-with 'none'; choose from blur, fill"):
        segnet_live.annotate("drive.mp4", tmp_path / "new.mp4", hide=("Car",), hide_with="none")  # type: ignore[arg-type]
    (tmp_path / "out.mp4").touch()
    with pytest.raises(SegnetLiveError, match="exists already"):
        segnet_live.annotate("drive.mp4", tmp_path / "out.mp4")


def test_annotate_encodes_as_it_is_told(tmp_path: Path, tiny_card: Card) -> None:
    shaded_clip(clip := tmp_path / "clip.mp4", 90)
    options = {"model": tiny_card.folder, "backend": "openvino", "size": (32, 64)}
    for quality in (20, 40):
        out = tmp_path / "out.mp4"
        segnet_live.annotate(clip, out, encoder="x264", quality=quality, overwrite=True, **options)  # type: ignore[arg-type]
        wanted = choose(Encoding("x264", quality), (64, 96), Fraction(25)).options["crf"]
        assert float(re.findall(rb" crf=([0-9.]+)", out.read_bytes())[0]) == float(wanted)
    with pytest.raises(UsageError, match="unknown --encoder 'xvid'"):
        segnet_live.annotate(clip, out, encoder="xvid", **options)  # type: ignore[arg-type]


def test_a_folder_of_pictures_is_a_source(tmp_path: Path, tiny_card: Card) -> None:
    for name in ("a", "b"):
        cv2.imwrite(str(tmp_path / f"{name}.png"), np.full((64, 96, 3), 90, np.uint8))
    results = list(segnet_live.stream(tmp_path, model=tiny_card.folder, backend="openvino", size=(32, 64)))
    assert [result.frame.name for result in results] == ["a", "b"]
    by_pattern = segnet_live.stream(tmp_path / "*", model=tiny_card.folder, backend="openvino", size=(32, 64))
    assert [result.frame.name for result in by_pattern] == ["a", "b"]
    (one,) = segnet_live.stream(tmp_path / "a.png", model=tiny_card.folder, backend="openvino", size=(32, 64))
    assert np.array_equal(one.labels, results[0].labels)


def test_segmenter_and_stream_agree_and_a_closed_segmenter_says_so(tmp_path: Path, tiny_card: Card) -> None:
    shaded_clip(clip := tmp_path / "clip.mp4", 90)
    with segnet_live.Segmenter(tiny_card.folder, "openvino", size=(32, 64)) as segmenter:
        assert segmenter.info is None
        options = {"model": tiny_card.folder, "backend": "openvino", "size": (32, 64), "smooth": False}
        for result in segnet_live.stream(clip, **options):  # type: ignore[arg-type]
            # A video's frames are scaled before they become RGB: rounding would turn a random network's ties.
            assert np.array_equal(segmenter(picture_at(result.frame, (32, 64))), result.network_labels)
        assert segmenter.info is not None
        assert segmenter.info.input_size == (32, 64)
        with pytest.raises(UsageError, match=r"float64 \(4, 4\)"):
            segmenter(np.zeros((4, 4)))  # type: ignore[arg-type]
        for shape in ((0, 0, 3), (0, 9, 3), (9, 0, 3)):
            with pytest.raises(UsageError, match="with a pixel in it"):
                segmenter(np.zeros(shape, np.uint8))
    segmenter.close()
    with pytest.raises(UsageError, match="closed"):
        segmenter(np.zeros((4, 4, 3), np.uint8))


def test_confidence_comes_with_a_picture_s_labels_if_it_was_asked_for(tmp_path: Path, tiny_card: Card) -> None:
    clip = tmp_path / "clip.mp4"
    shaded_clip(clip, 90, frames=2)
    options = {"model": tiny_card.folder, "size": (32, 64), "backend": "openvino"}
    results = list(segnet_live.stream(clip, **options, confidence=True))  # type: ignore[arg-type]
    for result in results:
        assert result.confidence is not None
        assert (result.confidence.shape, result.confidence.dtype) == (result.labels.shape, np.uint8)
        assert result.overlay("confidence").shape == result.rgb.shape
        assert (result.overlay(fade_unsure=True) != result.overlay()).any()
        assert result.variance is None
    with segnet_live.Segmenter(**options, confidence=True) as segmenter:  # type: ignore[arg-type]
        assert segmenter.confidence is None, "no picture yet"
        segmenter(results[0].rgb)
        assert segmenter.confidence is not None
        assert segmenter.confidence.shape == results[0].rgb.shape[:2]
    plain = next(segnet_live.stream(clip, **options))  # type: ignore[arg-type]
    assert plain.confidence is None
    with pytest.raises(UsageError, match="confidence=True"):
        plain.overlay("confidence")
