"""The editor of drafts: mouse and keys change the label map, and what is saved says whose it is."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PyQt6.QtCore import QPointF, Qt
from PyQt6.QtWidgets import QDialog, QLabel
from pytestqt.qtbot import QtBot

import segnet_live
from segnet_live.card import Card
from segnet_live.drafts.folder import DraftFolder
from segnet_live.ui.app import App
from segnet_live.ui.correct import adapting
from segnet_live.ui.correct.window import CorrectWindow
from tests.support.cards import write_card
from tests.support.clips import grey_clip
from tests.support.drafts import CAR, ROAD, SKY, write_drafts
from tests.support.engines import Engines
from tests.support.window import wait_for_labels, wait_until

VOID = 11


@pytest.fixture
def folder(tmp_path: Path) -> DraftFolder:
    return write_drafts(tmp_path / "drafts", 3, corrected=0)


@pytest.fixture
def editor(qtbot: QtBot, folder: DraftFolder, tiny_card: Card) -> Iterator[CorrectWindow]:
    window = CorrectWindow(folder.root, tiny_card)
    qtbot.addWidget(window)
    window.show()
    window.activateWindow()
    wait_until(qtbot, window.isActiveWindow)
    window.canvas.setFocus()
    yield window
    window.close()


def press(qtbot: QtBot, editor: CorrectWindow, *keys: Qt.Key) -> None:
    for key in keys:
        qtbot.keyClick(editor.canvas, key)


def click(qtbot: QtBot, editor: CorrectWindow, x: float, y: float) -> None:
    qtbot.mouseClick(editor.canvas, Qt.MouseButton.LeftButton, pos=editor.canvas.point(x, y).toPoint())


def labels(editor: CorrectWindow) -> np.ndarray:
    assert editor.canvas.editing is not None
    return editor.canvas.editing.labels


def test_a_class_key_and_a_stroke_paint_and_undo_takes_it_back(qtbot: QtBot, editor: CorrectWindow) -> None:
    press(qtbot, editor, Qt.Key.Key_B, Qt.Key.Key_9)
    canvas = editor.canvas
    start, end = (canvas.point(x, 20.5).toPoint() for x in (20.5, 60.5))
    qtbot.mousePress(canvas, Qt.MouseButton.LeftButton, pos=start)
    qtbot.mouseMove(canvas, end)
    qtbot.mouseRelease(canvas, Qt.MouseButton.LeftButton, pos=end)
    assert (labels(editor)[20, 22:59] == CAR).all()
    assert labels(editor)[60, 40] == ROAD
    qtbot.keyClick(canvas, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert (labels(editor) == ROAD).all()
    qtbot.keyClick(canvas, Qt.Key.Key_Y, Qt.KeyboardModifier.ControlModifier)
    assert labels(editor)[20, 40] == CAR


def test_polygon_fill_and_region(qtbot: QtBot, editor: CorrectWindow) -> None:
    press(qtbot, editor, Qt.Key.Key_P, Qt.Key.Key_1)
    for corner in ((0, 0), (95, 0), (95, 29), (0, 29)):
        click(qtbot, editor, *corner)
    press(qtbot, editor, Qt.Key.Key_Return)
    assert (labels(editor)[2:27, 2:93] == SKY).all()
    assert not editor.draft.is_corrected, "Enter closed the polygon, and nothing more"
    press(qtbot, editor, Qt.Key.Key_F, Qt.Key.Key_U)
    click(qtbot, editor, 40, 10)
    assert labels(editor)[10, 40] == VOID
    assert labels(editor)[50, 40] == ROAD
    press(qtbot, editor, Qt.Key.Key_R, Qt.Key.Key_9)
    click(qtbot, editor, 40, 55)
    assert labels(editor)[55, 40] == CAR
    assert 0 < (labels(editor) == CAR).sum() < 900


def test_enter_says_that_a_frame_is_right_and_goes_on(qtbot: QtBot, editor: CorrectWindow, folder: DraftFolder) -> None:
    press(qtbot, editor, Qt.Key.Key_F, Qt.Key.Key_1)
    click(qtbot, editor, 10, 10)
    press(qtbot, editor, Qt.Key.Key_Return)
    first, second, _ = folder.drafts()
    assert (first.record.made_by, first.record.changed) == ("corrected", 1.0)
    assert (first.labels() == SKY).all()
    assert (first.guessed() == ROAD).all()
    assert editor.draft.name == second.name
    assert "1 of 3" in editor.count.text()
    press(qtbot, editor, Qt.Key.Key_Return, Qt.Key.Key_Return)
    assert "All frames are corrected" in editor.banner.text


def test_what_was_begun_is_saved_on_leaving_and_is_not_learnt(
    qtbot: QtBot, editor: CorrectWindow, folder: DraftFolder
) -> None:
    press(qtbot, editor, Qt.Key.Key_F, Qt.Key.Key_1)
    click(qtbot, editor, 10, 10)
    press(qtbot, editor, Qt.Key.Key_N)
    press(qtbot, editor, Qt.Key.Key_F, Qt.Key.Key_6)
    click(qtbot, editor, 10, 10)
    editor.close()
    assert [d.record.made_by for d in folder.drafts()] == ["begun", "begun", "model"]
    assert (folder.drafts()[0].labels() == SKY).all()


def test_a_disk_that_cannot_be_written_loses_nothing_and_says_so(
    qtbot: QtBot, editor: CorrectWindow, folder: DraftFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    press(qtbot, editor, Qt.Key.Key_F, Qt.Key.Key_1)
    click(qtbot, editor, 10, 10)
    annotations = folder.root / "trainannot"
    annotations.rename(folder.root / "gone")
    annotations.write_bytes(b"")
    press(qtbot, editor, Qt.Key.Key_N)
    assert "cannot be" in editor.banner.text
    assert editor.draft.name == "drive_000"
    assert editor.close() is False
    annotations.unlink()
    (folder.root / "gone").rename(annotations)
    assert editor.close()
    assert (folder.drafts()[0].labels() == SKY).all()


def test_guess_opacity_zoom_and_right_click(qtbot: QtBot, editor: CorrectWindow) -> None:
    canvas = editor.canvas
    press(qtbot, editor, Qt.Key.Key_F, Qt.Key.Key_1)
    click(qtbot, editor, 10, 10)
    press(qtbot, editor, Qt.Key.Key_V)
    assert canvas.shows_before
    click(qtbot, editor, 10, 10)
    assert (labels(editor) == SKY).all(), "the guess is only looked at"
    press(qtbot, editor, Qt.Key.Key_V)
    before = canvas.opacity
    press(qtbot, editor, Qt.Key.Key_Down)
    assert canvas.opacity < before
    place = canvas.place(QPointF(100, 100))
    canvas.zoom(3.0, QPointF(100, 100))
    assert canvas.place(QPointF(100, 100)) == pytest.approx(place)
    press(qtbot, editor, Qt.Key.Key_Home, Qt.Key.Key_9)
    qtbot.mouseClick(canvas, Qt.MouseButton.RightButton, pos=canvas.point(10, 10).toPoint())
    assert canvas.class_id == SKY


def test_help_explains_every_key(qtbot: QtBot, editor: CorrectWindow) -> None:
    press(qtbot, editor, Qt.Key.Key_F1)
    assert editor.findChild(QDialog) is not None
    keys = [key for command in editor.commands for key in command.keys]
    assert len(keys) == len(set(keys))
    assert all(command.text for command in editor.commands if command.group != "Classes")


def test_adapting_without_corrections_says_what_is_missing(qtbot: QtBot, editor: CorrectWindow) -> None:
    editor.adapt()
    assert editor.adapting.is_running
    wait_until(qtbot, lambda: not editor.adapting.is_running, timeout_ms=240_000)
    assert "0 corrected drafts" in editor.banner.text


def test_closing_the_editor_stops_a_model_that_learns_only_when_asked_twice(
    qtbot: QtBot, editor: CorrectWindow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "adapt.py"
    script.write_text("import time; time.sleep(600)")
    monkeypatch.setattr(adapting, "PROGRAM", (sys.executable, str(script)))
    editor.show()
    editor.adapt()
    assert not editor.close()
    assert "close once more" in editor.banner.text
    assert editor.adapting.is_running
    assert editor.isVisible()
    assert editor.close()
    assert not editor.adapting.is_running


ONLY_SMALLER = """
import sys
from functools import partial
sys.path.insert(0, {root!r})
from segnet_live.adapt import adapt, finetune
from segnet_live.cli import main
from segnet_live.engine.eager import EagerEngine
finetune.Recipe = partial(finetune.Recipe, steps=25, crop=(64, 96), batch=4, photometric=0.0, lr=1e-2)
adapt.open_engine = lambda card, backend, source_size: EagerEngine(card, source_size)
sys.exit(main(sys.argv[1:]))
"""


def test_the_button_adapts_with_progress_figures_and_a_model_to_choose(
    qtbot: QtBot, start: Callable[..., App], engines: Engines, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    script = tmp_path / "adapt.py"
    script.write_text(ONLY_SMALLER.format(root=str(Path(segnet_live.__file__).parents[1])))
    monkeypatch.setattr(adapting, "PROGRAM", (sys.executable, str(script)))
    drafts = write_drafts(tmp_path / "road", 8, corrected=7)
    window = start(grey_clip(tmp_path / "drive.mp4")).window
    wait_for_labels(qtbot, window)
    window.sources.open_place(str(drafts.root))
    editor = window.findChild(CorrectWindow)
    assert editor is not None
    assert editor.progress.isHidden()
    seen: list[tuple[str, int]] = []
    editor.adapting.changed.connect(lambda: seen.append((editor.status.text(), editor.progress.value())))
    qtbot.mouseClick(editor.fit_model, Qt.MouseButton.LeftButton)
    assert editor.fit_model.text() == "Stop adapting"
    assert not editor.progress.isHidden()
    wait_until(qtbot, lambda: not editor.adapting.is_running, timeout_ms=240_000)
    assert editor.banner.text == ""
    assert editor.progress.isHidden()
    assert editor.fit_model.text() == "Adapt the model ..."
    said = [text for text, _ in seen]
    assert any(text.startswith("measuring") for text in said)
    shares = [value for text, value in seen if text.startswith("learning")]
    assert shares
    assert shares == sorted(shares)
    assert shares[-1] > 0
    assert said[-1] == "tiny-road is in the list of models"
    outcome = editor.findChild(adapting.OutcomeDialog)
    assert outcome is not None
    texts = [label.text() for label in outcome.findChildren(QLabel)]
    assert "tiny-road learnt from 6 corrected frames" in texts
    before, after = (float(text) for text in texts[texts.index("Frames held back, 1") + 1 :][:2])
    assert after > before
    assert sum(not label.pixmap().isNull() for label in outcome.findChildren(QLabel)) == 1
    outcome.close()
    box = window.panel.model.model
    place = box.findText("tiny-road")
    box.setCurrentIndex(place)
    box.activated.emit(place)
    wait_until(qtbot, lambda: engines.opened[-1].info.model == "tiny-road")


def test_a_drafts_folder_dropped_on_the_window_opens_the_editor_and_a_new_model_is_in_the_list(
    start: Callable[..., App], folder: DraftFolder, tmp_path: Path
) -> None:
    window = start().window
    window.sources.open_place(str(folder.root))
    editor = window.findChild(CorrectWindow)
    assert editor is not None
    mine = write_card(tmp_path / "mine")
    editor.adapted.emit(mine.folder)
    assert window.panel.model.model.findText("mine") >= 0
    assert window.controls.card.name != "mine", "the model in use stays"
    theirs = write_card(tmp_path / "theirs" / "mine")
    editor.adapted.emit(theirs.folder)
    box = window.panel.model.model
    names = [box.itemText(place) for place in range(box.count())]
    assert names[-2:] == [f"mine in {tmp_path}", f"mine in {tmp_path / 'theirs'}"], "they can be told apart"
    window.sources.drafts_chosen.emit(tmp_path)
    assert "holds no drafts" in window.banner.text
