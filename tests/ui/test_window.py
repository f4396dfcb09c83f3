"""What a person does in the window: open, play, pause, seek, drop files, keys."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
from PyQt6.QtCore import QMimeData, QPoint, QPointF, Qt, QUrl
from PyQt6.QtGui import QDropEvent
from PyQt6.QtWidgets import (
    QLabel,
)
from pytestqt.qtbot import QtBot

from segnet_live.pipeline.live.capture import Phase
from segnet_live.ui.app import App
from segnet_live.ui.help import HelpDialog
from tests.support.clips import grey_clip
from tests.support.engines import Engines
from tests.support.window import (
    shown,
    wait_for_end,
    wait_for_frame,
    wait_for_labels,
    wait_for_phase,
    wait_until,
)

Start = Callable[..., App]


def test_plays_a_clip_with_labels_to_its_end_and_says_so(qtbot: QtBot, start: Start, clip: Path) -> None:
    window = start(clip).window
    wait_for_labels(qtbot, window)
    assert window.view.isVisible()
    wait_for_end(qtbot, window)
    wait_for_frame(qtbot, window, 19)
    assert "ended" in window.header.details.text()
    assert window.header.title.text() == "drive.mp4"


def test_pause_step_back_and_seek_stand_on_the_very_frame(qtbot: QtBot, start: Start, clip: Path) -> None:
    window = start(clip).window
    wait_for_labels(qtbot, window)
    qtbot.keyClick(window, Qt.Key.Key_Space)
    wait_for_phase(qtbot, window, Phase.PAUSED)
    window.controls.seek(0.25)
    wait_for_frame(qtbot, window, 5)
    qtbot.keyClick(window, Qt.Key.Key_Period)
    wait_for_frame(qtbot, window, 6)
    qtbot.keyClick(window, Qt.Key.Key_Comma)
    wait_for_frame(qtbot, window, 5)
    assert window.controls.phase is Phase.PAUSED
    bar = window.transport.seek_bar
    qtbot.mouseClick(bar, Qt.MouseButton.LeftButton, pos=QPoint(bar.width() // 2, bar.height() // 2))
    wait_for_frame(qtbot, window, 10)
    wait_until(qtbot, lambda: window.transport.time.text().strip() == "0:00.5 / 0:01")


def test_looping_starts_over_and_play_at_the_end_begins_again(qtbot: QtBot, start: Start, clip: Path) -> None:
    window = start(clip).window
    wait_for_end(qtbot, window)
    qtbot.keyClick(window, Qt.Key.Key_Space)
    wait_for_phase(qtbot, window, Phase.PLAYING)
    qtbot.keyClick(window, Qt.Key.Key_L)
    assert window.transport.loop.isChecked()
    places: list[float] = []

    def wrapped() -> bool:
        places.append(shown(window).result.pts_s)
        return any(later < earlier for earlier, later in pairwise(places))

    wait_until(qtbot, wrapped)
    assert window.controls.phase is Phase.PLAYING


def test_a_file_is_never_behind_its_clock_though_inference_is_slow(
    qtbot: QtBot, start: Start, tmp_path: Path, engines: Engines
) -> None:
    window = start(grey_clip(tmp_path / "long.mp4", frames=40)).window
    wait_for_labels(qtbot, window)
    engine = engines.opened[0]
    window.controls.play_pause()
    window.controls.seek(0.0)
    wait_for_frame(qtbot, window, 0)
    engine.hold.clear()
    window.controls.play_pause()
    wait_for_phase(qtbot, window, Phase.ENDED)
    engine.hold.set()
    wait_until(qtbot, lambda: shown(window).result.pts_s == pytest.approx(39 / 20))
    assert window.controls.session.metrics.snapshot().dropped["inference"] > 5


def test_a_missing_file_is_told_and_the_start_page_stays(qtbot: QtBot, start: Start, tmp_path: Path) -> None:
    window = start(tmp_path / "nowhere.mp4").window
    wait_until(qtbot, lambda: "nowhere.mp4" in window.banner.text)
    assert window.start_page.isVisible()
    assert window.controls.settings.recent == ()
    qtbot.keyClick(window, Qt.Key.Key_Escape)
    assert window.banner.text == ""


def test_a_dropped_video_opens(qtbot: QtBot, start: Start, clip: Path) -> None:
    window = start().window
    assert window.start_page.isVisible()
    mime = QMimeData()
    mime.setUrls([QUrl.fromLocalFile(str(clip))])
    window.dropEvent(
        QDropEvent(
            QPointF(5, 5), Qt.DropAction.CopyAction, mime, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
        )
    )
    wait_for_labels(qtbot, window)
    assert window.controls.settings.recent == (f"video:{clip}",)


def test_every_key_does_something_different_and_stands_in_help(qtbot: QtBot, start: Start) -> None:
    window = start().window
    keys = [key for command in window.commands for key in command.keys]
    assert len(keys) == len(set(keys))
    qtbot.keyClick(window, Qt.Key.Key_F1)
    help_ = window.findChild(HelpDialog)
    assert help_ is not None
    assert help_.isVisible()
    told = [label.text() for label in help_.findChildren(QLabel)]
    assert all(command.text in told for command in window.commands if command.text)
    help_.close()
