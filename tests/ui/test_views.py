"""What a person sees in the window: views, legend, HUD, confidence, two engines side by side."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PyQt6.QtCore import QPoint, QPointF, Qt
from PyQt6.QtGui import QColor
from PyQt6.QtWidgets import (
    QApplication,
)
from pytestqt.qtbot import QtBot

from segnet_live.classes import CAMVID, COLOUR_BLIND_SAFE
from segnet_live.render.confidence import colourise
from segnet_live.render.hud import TEXT_PX
from segnet_live.render.hud import draw_plate as render_plate
from segnet_live.ui.app import App
from segnet_live.ui.hud import draw_plate
from segnet_live.ui.settings import Settings
from tests.support.engines import CAR, ROAD, SKY, Engines
from tests.support.window import (
    close_to,
    colour_at,
    corner_lightness,
    halves_are,
    shown,
    wait_for_end,
    wait_for_frame,
    wait_until,
)

Start = Callable[..., App]


def test_every_view_paints_the_colours_it_stands_for(qtbot: QtBot, start: Start, clip: Path) -> None:
    window = start(clip, settings=Settings(hud=False, smooth=False, opacity=1.0)).window
    wait_for_end(qtbot, window)
    wait_for_frame(qtbot, window, 19)
    road, sky, grey = CAMVID.colours[ROAD], CAMVID.colours[SKY], (200, 200, 200)
    for key, left, right in (
        (Qt.Key.Key_2, road, sky),
        (Qt.Key.Key_3, grey, grey),
        (Qt.Key.Key_1, road, sky),
        (Qt.Key.Key_5, grey, sky),
    ):
        qtbot.keyClick(window, key)
        wait_until(qtbot, partial(halves_are, window, left, right))
    qtbot.keyClick(window, Qt.Key.Key_4)
    wait_until(qtbot, lambda: shown(window).rgb.shape == (64, 192, 3))
    wait_until(qtbot, lambda: close_to(colour_at(window, 0.2), grey) and close_to(colour_at(window, 0.6), road))
    assert close_to(colour_at(window, 0.9), sky)


def test_the_wiper_follows_the_mouse(qtbot: QtBot, start: Start, clip: Path) -> None:
    window = start(clip, settings=Settings(view="wiper", hud=False, smooth=False, opacity=1.0)).window
    wait_for_end(qtbot, window)
    rect = window.view.picture_rect()
    line = QPoint(round(rect.center().x()), round(rect.center().y()))
    target = QPoint(round(rect.left() + 0.25 * rect.width()), line.y())
    qtbot.mousePress(window.view, Qt.MouseButton.LeftButton, pos=line)
    qtbot.mouseMove(window.view, target)
    qtbot.mouseRelease(window.view, Qt.MouseButton.LeftButton, pos=target)
    assert window.controls.view_settings.wiper == pytest.approx(0.25, abs=0.01)
    wait_until(qtbot, lambda: close_to(colour_at(window, 0.35), CAMVID.colours[ROAD]))
    assert close_to(colour_at(window, 0.15), (200, 200, 200))


def test_hovering_names_the_class_under_the_cursor_in_each_half_of_side_by_side(
    qtbot: QtBot, start: Start, clip: Path
) -> None:
    window = start(clip).window
    wait_for_end(qtbot, window)

    def name_at(across: float) -> str:
        rect = window.view.picture_rect()
        named = window.view.class_at(QPointF(rect.left() + across * rect.width(), rect.center().y()))
        return named[0] if named else ""

    assert (name_at(0.2), name_at(0.8)) == ("Road", "Sky")
    window.controls.set_view("side-by-side")
    wait_until(qtbot, lambda: shown(window).settings.view == "side-by-side")
    assert [name_at(x) for x in (0.1, 0.4, 0.6, 0.9)] == ["Road", "Sky", "Road", "Sky"]
    assert window.view.class_at(QPointF(-5, -5)) is None


def test_a_click_mutes_a_class_and_a_double_click_solos_it(qtbot: QtBot, start: Start, clip: Path) -> None:
    window = start(clip, settings=Settings(view="labels", hud=False, smooth=False)).window
    wait_for_end(qtbot, window)
    rows = window.panel.legend.rows
    assert [row.name for row in rows] == list(CAMVID.names)
    wait_until(qtbot, lambda: rows[ROAD].share == pytest.approx(0.5) and rows[SKY].share == pytest.approx(0.5))
    assert rows[CAR].share == 0
    qtbot.mouseClick(rows[ROAD], Qt.MouseButton.LeftButton)
    wait_until(qtbot, lambda: rows[ROAD].muted)
    wait_until(qtbot, lambda: close_to(colour_at(window, 0.2), (0, 0, 0)))
    qtbot.mouseDClick(rows[ROAD], Qt.MouseButton.LeftButton)
    wait_until(qtbot, lambda: close_to(colour_at(window, 0.2), CAMVID.colours[ROAD]))
    assert window.controls.view_settings.hidden == frozenset(range(11)) - {ROAD}
    qtbot.wait(QApplication.doubleClickInterval() + 50)
    assert window.controls.view_settings.hidden == frozenset(range(11)) - {ROAD}, "a double click must not mute as well"
    qtbot.keyClick(window, Qt.Key.Key_A)
    assert not window.controls.view_settings.hidden


def test_the_colour_blind_palette_reaches_picture_and_legend(qtbot: QtBot, start: Start, clip: Path) -> None:
    window = start(clip, settings=Settings(view="labels", hud=False, smooth=False)).window
    wait_for_end(qtbot, window)
    qtbot.keyClick(window, Qt.Key.Key_B)
    wait_until(qtbot, lambda: close_to(colour_at(window, 0.2), COLOUR_BLIND_SAFE[ROAD]))
    assert window.panel.legend.rows[ROAD].colour == QColor(*COLOUR_BLIND_SAFE[ROAD])


def test_confidence_has_a_view_a_line_in_the_hud_and_a_strip_and_is_computed_only_while_wanted(
    qtbot: QtBot, start: Start, clip: Path, engines: Engines
) -> None:
    window = start(clip).window
    wait_for_end(qtbot, window)
    assert not engines.opened[-1].info.confidence
    bar = window.transport.seek_bar
    without_px = bar.sizeHint().height()

    qtbot.keyClick(window, Qt.Key.Key_6)
    wait_until(qtbot, lambda: shown(window).result.network_confidence is not None)
    wait_until(qtbot, lambda: shown(window).settings.view == "confidence")
    sure, unsure = (tuple(colourise(np.full((1, 1), level, np.uint8))[0, 0].tolist()) for level in (255, 0))
    wait_until(qtbot, lambda: halves_are(window, sure, unsure))

    qtbot.keyClick(window, Qt.Key.Key_5)
    window.controls.set_layers("original", "confidence")
    wait_until(qtbot, lambda: shown(window).settings.layers == ("original", "confidence"))
    wait_until(qtbot, lambda: close_to(colour_at(window, 0.9), unsure))

    qtbot.keyClick(window, Qt.Key.Key_1)
    wait_until(qtbot, lambda: shown(window).result.network_confidence is None)
    qtbot.keyClick(window, Qt.Key.Key_U)
    assert window.panel.view.confidence.isChecked()
    window.controls.restart()
    window.controls.play_pause()
    wait_until(qtbot, lambda: window.controls.session.metrics.snapshot().confidence is not None)
    wait_until(qtbot, lambda: bar.sizeHint().height() > without_px)
    qtbot.keyClick(window, Qt.Key.Key_U)
    wait_until(qtbot, lambda: bar.sizeHint().height() == without_px)

    qtbot.keyClick(window, Qt.Key.Key_U, Qt.KeyboardModifier.ShiftModifier)
    assert window.controls.view_settings.fade_unsure
    wait_until(qtbot, lambda: shown(window).result.network_confidence is not None)


def test_seek_strip_and_hud_tell_what_was_seen(qtbot: QtBot, start: Start, clip: Path) -> None:
    window = start(clip).window
    wait_for_end(qtbot, window)
    window.status.refresh()
    strip = window.transport.seek_bar.strip
    assert strip is not None
    column = strip.width() // 2
    assert close_to(strip.pixelColor(column, 1), CAMVID.colours[SKY])
    assert close_to(strip.pixelColor(column, strip.height() - 2), CAMVID.colours[ROAD])
    dark = corner_lightness(window)
    qtbot.keyClick(window, Qt.Key.Key_H)
    wait_until(qtbot, lambda: corner_lightness(window) > dark + 20)


def test_the_hud_on_the_screen_is_the_one_in_recordings() -> None:
    lines, history = ["source  25.0 fps", "latency  p50 20.0 ms"], [(8.0, 20.0), (1.0, 45.0)]
    image = draw_plate(lines, history, 2.0)
    pixels = render_plate(lines, history, 2.0 * TEXT_PX)
    assert (image.height(), image.width()) == pixels.shape[:2]
    for x, y in ((30, 30), (image.width() // 2, image.height() - 30), (0, 0)):
        assert image.pixelColor(x, y).alpha() == pixels[y, x, 3]
    assert image.devicePixelRatio() == 2.0


def test_a_second_engine_stands_beside_the_first_until_it_is_taken_away(
    qtbot: QtBot, start: Start, clip: Path, engines: Engines
) -> None:
    window = start(clip, settings=Settings(hud=False, smooth=False, opacity=1.0)).window
    wait_for_end(qtbot, window)
    section, view = window.panel.model, window.panel.view
    assert view.buttons["disagreement"].isHidden()
    section.compare.setCurrentIndex(section.compare.findData(":fp32"))
    section.compare.activated.emit(section.compare.currentIndex())
    wait_until(qtbot, lambda: window.view.shown is not None and window.view.shown.result.other_labels is not None)
    settings = window.controls.view_settings
    assert (settings.view, settings.layers) == ("wiper", ("overlay", "other"))
    assert not view.buttons["disagreement"].isHidden()
    qtbot.keyClick(window, Qt.Key.Key_7)
    wait_until(qtbot, lambda: window.view.shown is not None and window.view.shown.settings.view == "disagreement")
    shown = window.view.shown
    assert shown is not None
    assert shown.result.disagreement == 0
    section.compare.setCurrentIndex(0)
    section.compare.activated.emit(0)
    wait_until(qtbot, lambda: window.view.shown is not None and window.view.shown.result.other_labels is None)
    assert window.controls.view_settings.view == "overlay"
    assert view.buttons["disagreement"].isHidden()
    assert window.controls.settings.view != "disagreement"
