"""What is kept: recordings as shown, snapshots, hard frames."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PyQt6.QtCore import Qt
from pytestqt.qtbot import QtBot

from segnet_live.classes import CAMVID
from segnet_live.config import Encoding, RunConfig
from segnet_live.drafts import folder as drafts_folder
from segnet_live.errors import UsageError
from segnet_live.pipeline.live.capture import Phase
from segnet_live.pipeline.record import snapshots
from segnet_live.render.hiding import FILL
from segnet_live.ui.app import App, create_app
from segnet_live.ui.naming import check_pattern, file_stem
from segnet_live.ui.settings import Settings
from segnet_live.ui.window import MainWindow
from segnet_live.video.encoders import choose, problem
from segnet_live.video.recorder import Recorder
from tests.support.clips import Clip, grey_clip, make, pitches
from tests.support.engines import ROAD, SKY, Engines
from tests.support.window import wait_for_end, wait_for_labels, wait_for_phase, wait_until

Start = Callable[..., App]


def frames_of(path: Path) -> tuple[list[float], list[NDArray[np.uint8]]]:
    with av.open(str(path)) as video:
        frames = list(video.decode(video=0))
        return [float(f.pts * f.time_base) for f in frames], [f.to_ndarray(format="rgb24") for f in frames]


def read_png(path: Path) -> NDArray[np.uint8]:
    picture = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert picture is not None
    return picture.astype(np.uint8, copy=False)


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    return tmp_path / "kept"


def finished(window: object, kept: Path) -> list[Path]:
    return sorted(p for p in kept.glob("*.mp4") if ".partial" not in p.name)


def test_a_recording_holds_what_was_shown_without_pauses_and_seeks(
    qtbot: QtBot, start: Start, tmp_path: Path, kept: Path
) -> None:
    clip = grey_clip(tmp_path / "long.mp4", frames=60)
    settings = Settings(folder=str(kept), view="side-by-side", opacity=1.0, hud=False, smooth=False)
    window = start(clip, settings=settings).window
    wait_for_labels(qtbot, window)
    qtbot.keyClick(window, Qt.Key.Key_R)
    recording = window.controls.session.recording
    assert recording is not None
    wait_until(qtbot, lambda: recording.elapsed_s > 0.4)
    window.controls.play_pause()
    wait_for_phase(qtbot, window, Phase.PAUSED)
    qtbot.wait(300)
    window.controls.seek(0.0)
    window.controls.play_pause()
    wait_until(qtbot, lambda: recording.elapsed_s > 1.1)
    buttons = (window.transport.record, window.panel.recording.button)
    wait_until(qtbot, lambda: all("MB" in button.text() and "0:00" not in button.text() for button in buttons))
    qtbot.keyClick(window, Qt.Key.Key_R)
    wait_until(qtbot, lambda: "Recorded" in window.banner.text)
    (path,) = finished(window, kept)
    times, pictures = frames_of(path)
    # The left half is the source's own picture, whose grey tells which frame it is; a busy machine leaves some out.
    numbers = np.array([round((float(picture[:, :80].mean()) - 10) / 10) for picture in pictures])
    steps, ahead = np.round(np.diff(times) / 0.05), np.mod(np.diff(numbers), 24)
    cuts = steps[steps != ahead]
    assert len(cuts) <= 1, "the source's own time, but where it was sought"
    assert all(cuts == 1), "no gap there, nor where it was paused"
    assert np.allclose(np.mod(np.array(times) + 1e-4, 0.05), 0, atol=2e-3), "frames stand on the source's own times"
    assert abs(pictures[0][32, 96 + 20].astype(int) - CAMVID.colours[ROAD]).max() < 14
    assert window.transport.record.text() == "Record"


def record_for(qtbot: QtBot, window: MainWindow, seconds: float) -> None:
    window.saver.record()
    recording = window.controls.session.recording
    assert recording is not None
    wait_until(qtbot, lambda: recording.elapsed_s > seconds)
    window.saver.record()
    wait_until(qtbot, lambda: window.saver.recording is None)


def test_a_recording_is_encoded_as_the_command_line_or_the_panel_says(
    qtbot: QtBot, start: Start, tmp_path: Path, kept: Path
) -> None:
    clip = grey_clip(tmp_path / "long.mp4", frames=60)
    settings = Settings(folder=str(kept), smooth=False, encoder="x264", quality=31)
    window = start(clip, settings=settings, config=RunConfig(quality=23)).window
    section = window.panel.recording
    wait_for_labels(qtbot, window)
    assert (section.encoder.currentData(), section.quality.value()) == ("x264", 23)
    assert settings.quality == 31, "what the command line says holds for its own run"
    record_for(qtbot, window, 0.2)
    section.quality.setValue(40)
    assert settings.quality == 40
    record_for(qtbot, window, 0.2)
    told = {re.findall(rb" crf=([0-9.]+)", path.read_bytes())[0].decode() for path in finished(window, kept)}
    asked = [choose(Encoding("x264", quality), (64, 96), Fraction(20)).options["crf"] for quality in (23, 40)]
    assert {float(crf) for crf in told} == {float(crf) for crf in asked}


def test_what_is_hidden_in_recordings_is_named_and_nowhere_to_be_seen_in_them(
    qtbot: QtBot, start: Start, tmp_path: Path, kept: Path, engines: Engines
) -> None:
    clip = grey_clip(tmp_path / "long.mp4", frames=60)
    settings = Settings(folder=str(kept), view="original", smooth=False)
    config = RunConfig(hide=("Road",), hide_with="fill", hide_hold=2, hide_unsure=0.4)
    window = start(clip, settings=settings, config=config).window
    wait_for_labels(qtbot, window)
    assert engines.opened[-1].info.confidence, "the uncertain counts as found"
    assert not window.controls.needs_confidence, "which is not shown for that"
    hidden = window.panel.recording.hidden
    assert (hidden.text(), hidden.isHidden()) == ("Hidden in recordings: Road", False)
    record_for(qtbot, window, 0.3)
    (path,) = finished(window, kept)
    _, pictures = frames_of(path)
    assert len(pictures) >= 5
    assert all(abs(picture[:, :48].astype(int) - FILL).max() < 14 for picture in pictures), "the left half is road"
    window.close()
    with pytest.raises(UsageError, match="Cyclops"):
        create_app(RunConfig(hide=("Cyclops",)), settings=settings, cards=window.controls.cards)


def test_an_encoder_that_does_not_open_is_told_in_the_window(
    qtbot: QtBot, start: Start, tmp_path: Path, kept: Path
) -> None:
    if not problem("videotoolbox", (64, 96)):
        pytest.skip("this machine has it")
    settings = Settings(folder=str(kept), encoder="videotoolbox")
    window = start(grey_clip(tmp_path / "c.mp4"), settings=settings).window
    wait_for_labels(qtbot, window)
    window.saver.record()
    wait_until(qtbot, lambda: "videotoolbox does not open here" in window.banner.text)
    assert finished(window, kept) == []


def test_a_recording_has_the_sound_of_what_was_shown(qtbot: QtBot, start: Start, tmp_path: Path, kept: Path) -> None:
    source = make(tmp_path, Clip(frames=100, audio="aac", audio_hz=(400, 700, 1000, 1300), options={"g": "10"}))
    window = start(Path(source), settings=Settings(folder=str(kept), smooth=False)).window
    wait_for_labels(qtbot, window)
    window.saver.record()
    recording = window.controls.session.recording
    assert recording is not None
    wait_until(qtbot, lambda: recording.elapsed_s > 0.3)
    window.controls.seek(2.0)
    wait_until(qtbot, lambda: (shown := window.view.shown) is not None and shown.result.pts_s >= 2)
    shown = window.view.shown
    assert shown is not None
    cut_s = recording.elapsed_s - (shown.result.pts_s - 2)
    wait_until(qtbot, lambda: recording.elapsed_s > cut_s + 0.8)
    window.saver.record()
    wait_until(qtbot, lambda: "Recorded" in window.banner.text)
    (path,) = finished(window, kept)
    with av.open(str(path)) as video:
        sound, picture = video.streams.audio[0], video.streams.video[0]
        assert float(sound.duration * sound.time_base) == pytest.approx(
            float(picture.duration * picture.time_base), abs=0.06
        )
    assert pitches(path, [cut_s + 0.3], length_s=0.4) == pytest.approx([1000], abs=15)


def test_closing_the_window_finishes_the_recording(qtbot: QtBot, start: Start, clip: Path, kept: Path) -> None:
    window = start(clip, settings=Settings(folder=str(kept), loop=True, smooth=False)).window
    wait_for_labels(qtbot, window)
    window.saver.record()
    recording = window.controls.session.recording
    assert recording is not None
    wait_until(qtbot, lambda: recording.elapsed_s > 0.3)
    window.close()
    (path,) = finished(window, kept)
    assert len(frames_of(path)[0]) > 3
    assert not list(kept.glob("*.partial*"))


def test_label_maps_and_burnt_in_hud_are_options(
    qtbot: QtBot, start: Start, clip: Path, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(
        folder=str(kept), record_labels=True, burn_hud=True, hud=False, loop=True, opacity=1.0, smooth=False
    )
    window = start(grey_clip(kept.parent / "wide.mp4", size=(480, 640)), settings=settings).window
    wait_for_labels(qtbot, window)
    window.saver.record()
    recording = window.controls.session.recording
    assert recording is not None
    plates: list[object] = []
    set_plate = recording.set_plate
    monkeypatch.setattr(recording, "set_plate", lambda plate: (plates.append(plate), set_plate(plate)))
    wait_until(qtbot, lambda: plates and plates[-1] is not None and recording.elapsed_s > 1.0)
    with_plate_s = recording.elapsed_s
    wait_until(qtbot, lambda: recording.elapsed_s > with_plate_s + 0.5)
    window.saver.record()
    wait_until(qtbot, lambda: "Recorded" in window.banner.text)
    (path,) = finished(window, kept)
    pictures = frames_of(path)[1]
    maps = sorted(path.with_name(f"{path.stem}_labels").glob("*.png"))
    assert [p.name for p in maps] == [f"{i:06d}.png" for i in range(len(pictures))]
    assert set(np.unique(read_png(maps[0]))) == {SKY, ROAD}
    plate, road = pictures[-1][6:60, 6:200].astype(float), np.array(CAMVID.colours[ROAD], float)
    assert abs(plate.mean(axis=(0, 1)) - road).max() > 40, "the plate darkens the corner"
    assert abs(pictures[-1][470, 10].astype(float) - road).max() < 14, "and only the corner"


def test_another_size_goes_on_in_a_numbered_file(qtbot: QtBot, start: Start, tmp_path: Path, kept: Path) -> None:
    window = start(grey_clip(tmp_path / "a.mp4"), settings=Settings(folder=str(kept), smooth=False)).window
    wait_for_labels(qtbot, window)
    window.saver.record()
    recording = window.controls.session.recording
    assert recording is not None
    wait_for_end(qtbot, window)
    window.sources.open_place(str(grey_clip(tmp_path / "b.mp4", size=(96, 64))))
    wait_for_end(qtbot, window)
    wait_until(qtbot, lambda: window.view.shown is not None and window.view.shown.rgb.shape[0] == 96)
    window.saver.record()
    wait_until(qtbot, lambda: "Recorded" in window.banner.text)
    first, second = finished(window, kept)
    assert second.stem == f"{first.stem}-2" or first.stem == f"{second.stem}-2"
    assert {frames_of(path)[1][0].shape for path in (first, second)} == {(64, 96, 3), (96, 64, 3)}


def test_record_on_the_command_line_begins_with_the_first_labelled_frame(
    qtbot: QtBot, start: Start, clip: Path, tmp_path: Path
) -> None:
    path = tmp_path / "out.mp4"
    window = start(clip, config=RunConfig(record=path), settings=Settings(opacity=1.0, smooth=False)).window
    wait_for_end(qtbot, window)
    wait_until(qtbot, lambda: window.view.shown is not None and window.view.shown.result.frame.index == 19)
    window.close()
    times, pictures = frames_of(path)
    assert times[0] == 0
    assert times[-1] == pytest.approx(0.95, abs=0.01)
    assert all(abs(p[32, 20].astype(int) - CAMVID.colours[ROAD]).max() < 14 for p in pictures), "none is without labels"


def test_an_unwritable_folder_is_told_and_playback_goes_on(
    qtbot: QtBot, start: Start, clip: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    window = start(clip, settings=Settings(folder=str(tmp_path / "file"), loop=True, smooth=False)).window
    wait_for_labels(qtbot, window)
    window.saver.record()
    wait_until(qtbot, lambda: "cannot be made" in window.banner.text)
    assert window.controls.session.recording is None
    assert window.controls.phase is Phase.PLAYING


def test_a_snapshot_keeps_frame_picture_and_label_map(qtbot: QtBot, start: Start, clip: Path, kept: Path) -> None:
    settings = Settings(folder=str(kept), view="labels", smooth=False)
    window = start(clip, settings=settings).window
    wait_for_end(qtbot, window)
    wait_until(qtbot, lambda: window.view.shown is not None and window.view.shown.result.frame.index == 19)
    qtbot.keyClick(window, Qt.Key.Key_S)
    wait_until(qtbot, lambda: "Saved" in window.banner.text)
    frame, labels, shown = sorted(kept.glob("*.png"))
    assert (frame.stem[-5:], labels.stem[-6:], shown.stem[-5:]) == ("frame", "labels", "shown")
    assert abs(int(read_png(frame)[0, 0, 0]) - 200) < 6
    assert read_png(labels)[0, 0] == ROAD
    assert read_png(labels)[0, -1] == SKY
    assert tuple(read_png(shown)[0, 0][::-1]) == CAMVID.colours[ROAD]


def test_a_hard_frame_lies_in_camvids_layout_marked_as_a_draft(
    qtbot: QtBot, start: Start, clip: Path, kept: Path
) -> None:
    window = start(clip, settings=Settings(folder=str(kept), smooth=False)).window
    wait_for_end(qtbot, window)
    qtbot.keyClick(window, Qt.Key.Key_D)
    wait_until(qtbot, lambda: "draft" in window.banner.text)
    (image,) = (kept / "hard-frames" / "train").glob("*.png")
    labels = read_png(kept / "hard-frames" / "trainannot" / image.name)
    assert labels.shape == read_png(image).shape[:2]
    assert set(np.unique(labels)) == {SKY, ROAD}
    (record,) = (kept / "hard-frames" / "records").glob("*.json")
    assert '"made_by": "model"' in record.read_text(encoding="utf-8")
    assert "own guess" in (kept / "hard-frames" / "README.txt").read_text(encoding="utf-8")


def test_a_corrected_annotation_is_never_replaced(qtbot: QtBot, start: Start, clip: Path, kept: Path) -> None:
    window = start(clip, settings=Settings(folder=str(kept), smooth=False)).window
    wait_for_end(qtbot, window)
    qtbot.keyClick(window, Qt.Key.Key_D)
    wait_until(qtbot, lambda: "draft" in window.banner.text)
    (annotation,) = (kept / "hard-frames" / "trainannot").glob("*.png")
    annotation.write_bytes(b"corrected by hand")
    qtbot.keyClick(window, Qt.Key.Key_D)
    wait_until(qtbot, lambda: "may have been corrected" in window.banner.text)
    assert annotation.read_bytes() == b"corrected by hand"
    assert len(list((kept / "hard-frames" / "records").glob("*.json"))) == 1


def test_a_second_snapshot_stands_beside_the_first(qtbot: QtBot, start: Start, clip: Path, kept: Path) -> None:
    window = start(clip, settings=Settings(folder=str(kept), pattern="{source}", smooth=False)).window
    wait_for_end(qtbot, window)
    for count in (3, 6):
        qtbot.keyClick(window, Qt.Key.Key_S)
        wait_until(qtbot, lambda count=count: len(list(kept.glob("*.png"))) == count)  # type: ignore[misc]
    assert sum("-2-" in path.name for path in kept.glob("*.png")) == 3


@pytest.mark.parametrize("key", [Qt.Key.Key_S, Qt.Key.Key_D])
def test_pictures_into_a_folder_under_a_file_are_refused_in_words(
    qtbot: QtBot, start: Start, clip: Path, tmp_path: Path, key: Qt.Key
) -> None:
    (tmp_path / "file").write_text("")
    window = start(clip, settings=Settings(folder=str(tmp_path / "file" / "below"), smooth=False)).window
    wait_for_end(qtbot, window)
    qtbot.keyClick(window, key)
    wait_until(qtbot, lambda: "choose another folder in Recording" in window.banner.text)


@pytest.mark.parametrize("key", [Qt.Key.Key_S, Qt.Key.Key_D])
def test_a_fault_of_ours_while_saving_is_told(
    qtbot: QtBot, start: Start, clip: Path, monkeypatch: pytest.MonkeyPatch, key: Qt.Key
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr(snapshots, "write_png", fail)
    monkeypatch.setattr(drafts_folder, "png", fail)
    window = start(clip).window
    wait_for_end(qtbot, window)
    qtbot.keyClick(window, key)
    wait_until(qtbot, lambda: "was not saved: ZeroDivisionError" in window.banner.text)


def test_after_stop_the_button_says_finishing_until_the_file_is_complete(
    qtbot: QtBot, start: Start, clip: Path, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_finish, close = threading.Event(), Recorder.close

    def slowly(recorder: Recorder, **options: Any) -> None:
        may_finish.wait(60)
        close(recorder, **options)

    monkeypatch.setattr(Recorder, "close", slowly)
    window = start(clip, settings=Settings(folder=str(kept), loop=True, smooth=False)).window
    wait_for_labels(qtbot, window)
    buttons = (window.transport.record, window.panel.recording.button)
    qtbot.keyClick(window, Qt.Key.Key_R)
    recording = window.saver.recording
    assert recording is not None
    wait_until(qtbot, lambda: recording.elapsed_s > 0.2)
    qtbot.keyClick(window, Qt.Key.Key_R)
    assert all(button.text() == "Finishing ..." and not button.isEnabled() for button in buttons)
    window.status.refresh()
    qtbot.keyClick(window, Qt.Key.Key_R)
    assert window.saver.recording is recording
    assert all(button.text() == "Finishing ..." for button in buttons)
    may_finish.set()
    wait_until(qtbot, lambda: "Recorded" in window.banner.text)
    assert all(button.text() == "Record" and button.isEnabled() for button in buttons)


def test_pictures_before_there_is_one_are_refused_in_words(qtbot: QtBot, start: Start, engines: Engines) -> None:
    window = start().window
    for key in (Qt.Key.Key_S, Qt.Key.Key_D, Qt.Key.Key_R):
        qtbot.keyClick(window, key)
        assert "open a video or a camera first" in window.banner.text
        window.banner.dismiss()


@pytest.mark.parametrize("pattern", ["", "{nothing}", "a/b", "{source", "{source:>300}"])
def test_patterns_that_name_no_file_are_refused(pattern: str) -> None:
    with pytest.raises(UsageError, match="pattern"):
        check_pattern(pattern)


def test_names_hold_no_password_and_no_separator() -> None:
    stem = file_stem("{source}_{view}", source="rtsp://me:secret@cam/stream?x=1", model="m", view="overlay")
    assert stem == "cam-stream-x=1_overlay"
