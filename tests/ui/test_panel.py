"""The side panel: its choices, what fits into it, and wheels over it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from PyQt6.QtCore import QPoint, QPointF, Qt
from PyQt6.QtGui import QWheelEvent
from PyQt6.QtWidgets import (
    QAbstractSlider,
    QAbstractSpinBox,
    QApplication,
    QComboBox,
    QScrollBar,
    QWidget,
)
from pytestqt.qtbot import QtBot

from segnet_live.config import VIEWS, RunConfig, View
from segnet_live.engine.governor import Target
from segnet_live.ui.app import App
from segnet_live.ui.settings import Settings
from tests.support.engines import Engines
from tests.support.window import (
    shown,
    wait_for_labels,
    wait_until,
)

Start = Callable[..., App]


def test_a_rate_or_a_latency_to_hold_is_chosen_in_the_panel(qtbot: QtBot, start: Start) -> None:
    config = RunConfig(target_fps=20, max_latency_ms=80)
    window = start(config=config).window
    window.resize(1000, 700)
    box = window.panel.model.target
    assert box.currentText() == "20 fps, 80 ms", "what the command line asked for"
    qtbot.keyClick(window, Qt.Key.Key_F9)
    assert box.isVisible()
    assert window.panel.isAncestorOf(box)
    assert box.view().isVisible()  # type: ignore[union-attr]
    box.hidePopup()
    box.setCurrentIndex(box.findText("25 fps"))
    box.activated.emit(box.currentIndex())
    assert window.controls.target == window.controls.settings.target == Target(fps=25)


def test_the_panel_shows_the_size_that_a_governor_has_chosen_meanwhile(
    qtbot: QtBot, start: Start, clip: Path, engines: Engines
) -> None:
    window = start(clip, settings=Settings(loop=True, smooth=False)).window
    wait_for_labels(qtbot, window)
    wait_until(qtbot, lambda: "32×48" in window.panel.model.status.text())
    engines.opened[0].info = replace(engines.opened[0].info, input_size=(16, 24))
    wait_until(qtbot, lambda: "16×24" in window.panel.model.status.text())


def test_every_control_of_the_panel_is_in_its_layout(start: Start) -> None:
    window = start(settings=Settings(view="wiper", smooth=False)).window
    window.resize(1000, 700)
    for section in (window.panel.view, window.panel.model, window.panel.recording):
        widgets = [value for value in vars(section).values() if isinstance(value, QWidget)]
        assert widgets
        assert all(section.isAncestorOf(widget) for widget in widgets)


@pytest.mark.parametrize("view", VIEWS)
def test_nothing_in_the_panel_is_cut_off_at_its_right_edge(start: Start, view: View) -> None:
    window = start(settings=Settings(view=view, smooth=False)).window
    window.resize(1000, 400)  # so low that the panel has a scroll bar
    body = window.panel.widget()
    assert body is not None
    QApplication.processEvents()
    assert window.panel.viewport().width() < window.panel.width() - 2, "the scroll bar takes room"  # type: ignore[union-attr]
    assert body.width() <= window.panel.viewport().width()  # type: ignore[union-attr]


def wheel_over(widget: QWidget) -> bool:
    """Turn the wheel by one notch over `widget`; returns whether it took that."""
    centre = QPointF(widget.rect().center())
    event = QWheelEvent(
        centre,
        QPointF(widget.mapToGlobal(centre)),
        QPoint(),
        QPoint(0, -120),
        Qt.MouseButton.NoButton,
        Qt.KeyboardModifier.NoModifier,
        Qt.ScrollPhase.NoScrollPhase,
        False,
    )
    QApplication.sendEvent(widget, event)
    return event.isAccepted()


def test_wheels_scroll_and_change_no_box_without_the_focus(start: Start) -> None:
    window = start(settings=Settings(view="wiper", smooth=False)).window
    window.resize(1000, 420)
    kinds = (QComboBox, QAbstractSlider, QAbstractSpinBox)
    boxes = [w for w in window.findChildren(QWidget) if isinstance(w, kinds) and not isinstance(w, QScrollBar)]
    assert len(boxes) >= 8, "the panel's and the transport's"

    def value(box: QWidget) -> int:
        return box.currentIndex() if isinstance(box, QComboBox) else box.value()  # type: ignore[attr-defined,no-any-return]

    for box in boxes:
        window.setFocus()
        before = value(box)
        inner = box.lineEdit() if isinstance(box, QComboBox) and box.isEditable() else None
        assert not wheel_over(box), "Qt gives a wheel that nobody took to the parent, here the scroll area"
        assert inner is None or not wheel_over(inner)
        assert value(box) == before
        assert not box.hasFocus()
    slider = window.panel.view.opacity
    slider.setFocus()
    before = slider.value()
    assert wheel_over(slider)
    assert slider.value() != before


def test_a_small_window_keeps_the_video_and_hides_the_panel(qtbot: QtBot, start: Start, clip: Path) -> None:
    window = start(clip).window
    wait_for_labels(qtbot, window)
    window.resize(640, 420)
    wait_until(qtbot, lambda: window.panel.isHidden())
    wait_until(qtbot, lambda: shown(window).screen.shape[1] <= 640)
    rect = window.view.picture_rect()
    assert rect.width() / rect.height() == pytest.approx(1.5, abs=0.02)
    qtbot.keyClick(window, Qt.Key.Key_P)
    assert window.panel.isVisible()
