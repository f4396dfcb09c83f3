"""Searching the open file: marks on the seek bar, the way through them, and one line for what is no question."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from PyQt6.QtCore import QPoint, Qt
from pytestqt.qtbot import QtBot

from segnet_live.card import Card
from segnet_live.config import SourceSpec
from segnet_live.drives.index import key_of, save_index
from segnet_live.pipeline.live.capture import Phase
from segnet_live.ui.app import App
from segnet_live.ui.theme import ACCENT
from segnet_live.ui.window import MainWindow
from tests.support.drives import drive_index
from tests.support.window import wait_for_end, wait_for_phase, wait_until

Start = Callable[..., App]


@pytest.fixture
def searched(clip: Path, tiny_card: Card) -> Iterator[Path]:
    """The clip, one second long, whose index says: people from 0.1 s to 0.2 s and from 0.75 s to 0.85 s."""
    people = [0.0] * 20
    people[2:4], people[15:17] = [0.1] * 2, [0.2] * 2
    index = drive_index({"Pedestrian": people}, rate=20)
    key = key_of(clip, tiny_card, size=None, smooth=False)
    path = save_index(replace(index, key=key), clip, "cache")
    yield clip
    assert path is not None
    path.unlink()


def open_paused(qtbot: QtBot, start: Start, clip: Path) -> MainWindow:
    window = start(clip).window
    wait_for_end(qtbot, window)
    qtbot.keyClick(window, Qt.Key.Key_Comma)
    wait_for_phase(qtbot, window, Phase.PAUSED)
    return window


def ask(qtbot: QtBot, window: MainWindow, question: str) -> None:
    """Type a question as a person does: the key, the words, Enter, and leave the field."""
    qtbot.keyClick(window, Qt.Key.Key_Slash)
    field = window.transport.search_bar.field
    wait_until(qtbot, field.hasFocus)
    qtbot.keyClicks(field, question)
    qtbot.keyClick(field, Qt.Key.Key_Return)
    qtbot.keyClick(field, Qt.Key.Key_Escape)


def at(window: MainWindow) -> float:
    shown = window.view.shown
    assert shown is not None
    return round(shown.result.pts_s, 2)


def test_moments_are_marked_and_keys_go_through_them(qtbot: QtBot, start: Start, searched: Path) -> None:
    window = open_paused(qtbot, start, searched)
    ask(qtbot, window, "Pedestrian > 5%")
    bar = window.transport.seek_bar
    wait_until(qtbot, lambda: len(bar.marks) == 2)
    assert [(round(a, 2), round(b, 2)) for a, b in bar.marks] == [(0.1, 0.2), (0.75, 0.85)]
    wait_until(qtbot, lambda: at(window) == 0.1)
    qtbot.keyClick(window, Qt.Key.Key_N)
    wait_until(qtbot, lambda: at(window) == 0.75)
    assert not window.transport.search_bar.isHidden()
    qtbot.keyClick(window, Qt.Key.Key_N, Qt.KeyboardModifier.ShiftModifier)
    wait_until(qtbot, lambda: at(window) == 0.1)
    wait_until(qtbot, lambda: window.transport.search_bar.found.text() == "1 of 2")


def test_marks_are_painted_where_the_moments_are(qtbot: QtBot, start: Start, searched: Path) -> None:
    window = open_paused(qtbot, start, searched)
    ask(qtbot, window, "Pedestrian > 5%")
    bar = window.transport.seek_bar
    wait_until(qtbot, lambda: bool(bar.marks))

    picture = bar.grab().toImage()

    def colour(share: float) -> str:
        return picture.pixelColor(QPoint(round(8 + share * (bar.width() - 16)), 4)).name()

    assert [colour(share) for share in (0.13, 0.8)] == [ACCENT, ACCENT]
    assert colour(0.5) != ACCENT


def test_a_question_that_means_nothing_is_told_and_marks_nothing(qtbot: QtBot, start: Start, searched: Path) -> None:
    window = open_paused(qtbot, start, searched)
    ask(qtbot, window, "Pedestrain > 5%")
    assert "did you mean Pedestrian?" in window.banner.text
    assert not window.transport.seek_bar.marks
    ask(qtbot, window, "Pedestrian > 50%")
    wait_until(qtbot, lambda: window.transport.search_bar.found.text() == "nothing found")


def test_another_source_forgets_what_was_found(qtbot: QtBot, start: Start, searched: Path) -> None:
    window = open_paused(qtbot, start, searched)
    ask(qtbot, window, "Pedestrian > 5%")
    wait_until(qtbot, lambda: bool(window.transport.seek_bar.marks))
    window.controls.open(SourceSpec("synthetic"))
    wait_until(qtbot, lambda: not window.transport.seek_bar.marks)
    ask(qtbot, window, "Car > 5%")
    assert "only video files" in window.banner.text
