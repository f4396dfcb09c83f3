"""The window's recording: begins with labels, drops nothing silently, and always says how it ended."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from segnet_live.classes import CAMVID
from segnet_live.config import HideSpec
from segnet_live.errors import OutputError
from segnet_live.frame import Frame, FrameResult, Size
from segnet_live.pipeline.record import video
from segnet_live.pipeline.record.video import LiveRecording, RecordingState
from segnet_live.render.view import ViewSettings
from segnet_live.video.recorder import Recorder
from tests.support.sources import FakeSource

INFO = FakeSource(100).info
PLAIN = ViewSettings(view="original")


def result(index: int, *, labelled: bool = True, size: Size = (48, 64), segment_id: int = 0) -> FrameResult:
    frame = Frame(np.full((*size, 3), 5 * index, np.uint8), index, index, Fraction(1, 25))
    captured = FrameResult.unlabelled(frame, INFO, CAMVID, segment_id=segment_id)
    return captured.with_labels(np.full((24, 32), 3, np.uint8), CAMVID, 1.0) if labelled else captured


@pytest.fixture
def record(tmp_path: Path) -> Iterator[Callable[..., tuple[LiveRecording, list[RecordingState]]]]:
    begun: list[LiveRecording] = []

    def begin(**options: Any) -> tuple[LiveRecording, list[RecordingState]]:
        news: list[RecordingState] = []
        begun.append(LiveRecording(tmp_path / "out.mp4", news.append, **options))
        return begun[-1], news

    yield begin
    for recording in begun:
        recording.stop()
        assert recording.join(20)


def frames_in(path: Path) -> int:
    with av.open(str(path)) as file:
        return sum(1 for _ in file.decode(video=0))


def finish(recording: LiveRecording, news: list[RecordingState]) -> RecordingState:
    recording.stop()
    assert recording.join(20)
    (state,) = news
    assert not state.running
    return state


def test_a_recording_begins_with_the_first_labelled_frame(
    record: Callable[..., tuple[LiveRecording, list[RecordingState]]],
) -> None:
    recording, news = record(label_maps=True)
    for index in range(6):
        recording.offer(result(index, labelled=index >= 3), PLAIN)
    state = finish(recording, news)
    assert (state.dropped, state.error) == (0, "")
    assert frames_in(state.finished[0]) == 3
    maps = sorted(state.label_folders[0].iterdir())
    assert [p.name for p in maps] == ["000000.png", "000001.png", "000002.png"]
    assert all(np.all(cv2.imread(str(p), cv2.IMREAD_UNCHANGED) == 3) for p in maps)


def test_what_the_encoder_has_no_time_for_is_counted(
    record: Callable[..., tuple[LiveRecording, list[RecordingState]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    may_write, write = threading.Event(), Recorder.write
    monkeypatch.setattr(Recorder, "write", lambda *args: (may_write.wait(20), write(*args))[1])
    recording, news = record()
    for index in range(40):
        recording.offer(result(index), PLAIN)
    assert recording.dropped >= 40 - video.WAITING_FRAMES - 1
    may_write.set()
    state = finish(recording, news)
    assert frames_in(state.finished[0]) + state.dropped == 40


@pytest.mark.parametrize("method", ["write", "close"])
@pytest.mark.parametrize("error", [OutputError("the disk is full"), RuntimeError("a fault of ours")])
def test_a_recording_that_fails_says_so_and_names_no_unfinished_file(
    record: Callable[..., tuple[LiveRecording, list[RecordingState]]],
    monkeypatch: pytest.MonkeyPatch,
    method: str,
    error: Exception,
) -> None:
    def fail(*args: object, **options: object) -> None:
        raise error

    recording, news = record()
    recording.offer(result(0), PLAIN)
    monkeypatch.setattr(Recorder, method, fail)
    for index in range(1, 4):
        recording.offer(result(index), PLAIN)
    state = finish(recording, news)
    assert str(error) in state.error
    assert len(state.finished) <= (method == "write")
    assert all(path.exists() and frames_in(path) for path in state.finished)


def test_another_size_goes_on_in_a_numbered_file_and_a_seek_in_the_same(
    record: Callable[..., tuple[LiveRecording, list[RecordingState]]], tmp_path: Path
) -> None:
    (tmp_path / "out.mp4").write_bytes(b"a good recording")
    recording, news = record()
    for index, size, segment_id in ((5, (48, 64), 1), (6, (48, 64), 1), (2, (48, 64), 2), (3, (64, 48), 3)):
        recording.offer(result(index, size=size, segment_id=segment_id), PLAIN)
    state = finish(recording, news)
    assert [path.name for path in state.finished] == ["out-2.mp4", "out-3.mp4"]
    assert [frames_in(path) for path in state.finished] == [3, 1]


def brightness_in(path: Path) -> list[float]:
    with av.open(str(path)) as file:
        return [float(frame.to_ndarray(format="rgb24").mean()) for frame in file.decode(video=0)]


def test_what_is_hidden_is_hidden_before_and_after_and_where_nothing_is_known_everything_is(
    record: Callable[..., tuple[LiveRecording, list[RecordingState]]],
) -> None:
    recording, news = record(hide=HideSpec(("Road",), "fill", hold=1, unsure=0.0))
    sky = np.zeros((24, 32), np.uint8)
    for index in range(11):  # from 200 to 250; what is filled is 40
        shown = result(40 + index, labelled=index != 8)  # no engine for one frame
        if index not in (3, 8):
            shown = shown.with_labels(sky, CAMVID, 1.0)  # no road but in the fourth
        recording.offer(shown, PLAIN)
    state = finish(recording, news)
    assert (state.dropped, state.error) == (0, "")
    dark = [index for index, mean in enumerate(brightness_in(state.finished[0])) if mean < 100]
    assert dark == [2, 3, 4, 7, 8, 9]


def test_a_class_that_the_model_lacks_ends_a_recording_that_should_hide_it(
    record: Callable[..., tuple[LiveRecording, list[RecordingState]]],
) -> None:
    recording, news = record(hide=HideSpec(("Cyclops",)))
    for index in range(3):
        recording.offer(result(index), PLAIN)
    state = finish(recording, news)
    assert "Cyclops" in state.error
    assert state.finished == ()
