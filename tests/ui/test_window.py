"""What a person sees and does in the window: pictures, views, legend, playback, engines, errors."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PyQt6.QtCore import QMimeData, QPoint, QPointF, QRect, QSize, Qt, QUrl
from PyQt6.QtGui import QColor, QDropEvent, QWheelEvent
from PyQt6.QtWidgets import (
    QAbstractSlider,
    QAbstractSpinBox,
    QApplication,
    QComboBox,
    QLabel,
    QScrollBar,
    QWidget,
)
from pytestqt.qtbot import QtBot

from segnet_live.card import Card
from segnet_live.classes import CAMVID, COLOUR_BLIND_SAFE
from segnet_live.config import RunConfig
from segnet_live.engine.governor import Target
from segnet_live.errors import EngineError
from segnet_live.pipeline.live.capture import Phase
from segnet_live.pipeline.live.session import Picture
from segnet_live.render.confidence import colourise
from segnet_live.render.hud import TEXT_PX
from segnet_live.render.hud import draw_plate as render_plate
from segnet_live.ui.app import App
from segnet_live.ui.help import HelpDialog
from segnet_live.ui.hud import draw_plate
from segnet_live.ui.settings import Settings
from segnet_live.ui.window import MainWindow
from tests.support.clips import grey_clip
from tests.support.engines import CAR, ROAD, SKY, Engines
from tests.support.window import wait_for_end, wait_for_labels, wait_for_phase, wait_until

Start = Callable[..., App]


def shown(window: MainWindow) -> Picture:
    picture = window.view.shown
    assert picture is not None
    return picture


def wait_for_frame(qtbot: QtBot, window: MainWindow, index: int) -> None:
    """The picture on the screen is the clip's frame `index`, and really that: its grey level tells."""

    def there() -> bool:
        return round(shown(window).result.pts_s * 20) == index

    wait_until(qtbot, there)
    assert abs(float(shown(window).result.frame.rgb.mean()) - (10 + 10 * index)) < 5


def colour_at(window: MainWindow, across: float, down: float = 0.8) -> QColor:
    """What the screen shows at a place in the picture, 0 to 1."""
    rect = window.view.picture_rect()
    at = QPoint(round(rect.left() + across * rect.width()), round(rect.top() + down * rect.height()))
    return window.view.grab().toImage().pixelColor(at)


def corner_lightness(window: MainWindow) -> float:
    """The mean lightness, 0 to 255, of the picture's upper left corner, where the HUD is.

    One pixel would not do: whether a letter lies on it is for the machine's fonts to say.
    """
    corner = window.view.picture_rect().topLeft().toPoint()
    image = window.view.grab(QRect(corner + QPoint(20, 20), QSize(200, 100))).toImage()
    return float(np.mean([image.pixelColor(x, y).lightness() for x in range(0, 200, 4) for y in range(0, 100, 4)]))


def close_to(colour: QColor, rgb: tuple[int, int, int], tolerance: int = 6) -> bool:
    return max(abs(a - b) for a, b in zip((colour.red(), colour.green(), colour.blue()), rgb, strict=True)) <= tolerance


def halves_are(window: MainWindow, left: tuple[int, int, int], right: tuple[int, int, int]) -> bool:
    return close_to(colour_at(window, 0.1), left) and close_to(colour_at(window, 0.9), right)


def test_plays_a_clip_with_labels_to_its_end_and_says_so(qtbot: QtBot, start: Start, clip: Path) -> None:
    window = start(clip).window
    wait_for_labels(qtbot, window)
    assert window.view.isVisible()
    wait_for_end(qtbot, window)
    wait_for_frame(qtbot, window, 19)
    assert "ended" in window.header.details.text()
    assert window.header.title.text() == "drive.mp4"


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


def test_confidence_has_a_view_a_line_in_the_hud_and_a_strip_and_is_computed_only_while_wanted(
    qtbot: QtBot, start: Start, clip: Path, engines: Engines
) -> None:
    window = start(clip).window
    wait_for_end(qtbot, window)
    assert not engines.opened[-1].info.confidence
    assert window.transport.seek_bar.confidence_strip is None

    qtbot.keyClick(window, Qt.Key.Key_6)
    wait_until(qtbot, lambda: shown(window).result.network_confidence is not None)
    wait_until(qtbot, lambda: shown(window).settings.view == "confidence")
    sure, unsure = (tuple(colourise(np.full((1, 1), level, np.uint8))[0, 0].tolist()) for level in (255, 0))
    wait_until(qtbot, lambda: halves_are(window, sure, unsure))

    qtbot.keyClick(window, Qt.Key.Key_5)
    window.controls.set_wiped("original", "confidence")
    wait_until(qtbot, lambda: shown(window).settings.layers == ("original", "confidence"))
    wait_until(qtbot, lambda: close_to(colour_at(window, 0.9), unsure))

    qtbot.keyClick(window, Qt.Key.Key_1)
    wait_until(qtbot, lambda: shown(window).result.network_confidence is None)
    qtbot.keyClick(window, Qt.Key.Key_U)
    assert window.panel.view.confidence.isChecked()
    window.controls.restart()
    window.controls.play_pause()
    wait_until(qtbot, lambda: window.controls.session.metrics.snapshot().confidence is not None)
    wait_until(qtbot, lambda: window.transport.seek_bar.confidence_strip is not None)
    qtbot.keyClick(window, Qt.Key.Key_U)
    wait_until(qtbot, lambda: window.transport.seek_bar.confidence_strip is None)

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


def test_another_engine_is_swapped_in_while_the_old_one_keeps_running(
    qtbot: QtBot, start: Start, clip: Path, engines: Engines
) -> None:
    window = start(clip, settings=Settings(loop=True, smooth=False)).window
    wait_for_labels(qtbot, window)
    may_open = threading.Event()
    engines.before = lambda backend: may_open.wait(60) and None
    window.controls.use_backend("openvino")
    wait_until(qtbot, lambda: "Opening" in window.panel.model.status.text())
    before = shown(window)
    wait_until(qtbot, lambda: shown(window) is not before and shown(window).result.is_segmented)
    assert engines.opened[0].closed == 0
    may_open.set()
    wait_until(
        qtbot,
        lambda: (info := window.controls.session.engine_info) is not None and info.backend == "openvino",
    )
    wait_until(qtbot, lambda: engines.opened[0].closed == 1)
    assert engines.opened[0].threads == {"inference"}


def test_a_file_waits_at_its_first_frame_until_the_engine_is_there(
    qtbot: QtBot, start: Start, clip: Path, engines: Engines
) -> None:
    may_open = threading.Event()
    engines.before = lambda backend: may_open.wait(60) and None
    window = start(clip).window
    wait_until(qtbot, lambda: window.view.shown is not None)
    qtbot.wait(400)
    assert shown(window).result.frame.index == 0
    assert not shown(window).result.is_segmented
    assert "Opening" in window.panel.model.status.text()
    may_open.set()
    wait_for_end(qtbot, window)
    assert shown(window).result.is_segmented


def test_seeking_while_the_engine_loads_shows_the_place_and_waits_there(
    qtbot: QtBot, start: Start, clip: Path, engines: Engines
) -> None:
    may_open = threading.Event()
    engines.before = lambda backend: may_open.wait(60) and None
    window = start(clip).window
    wait_until(qtbot, lambda: window.view.shown is not None)
    window.controls.seek(0.5)
    wait_for_frame(qtbot, window, 10)
    qtbot.wait(400)
    assert round(shown(window).result.pts_s * 20) == 10, "it must not play on without labels"
    assert not shown(window).result.is_segmented
    may_open.set()
    wait_for_end(qtbot, window)


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


def test_an_engine_that_cannot_open_leaves_the_old_one_and_says_why(
    qtbot: QtBot, start: Start, clip: Path, engines: Engines
) -> None:
    window = start(clip).window
    wait_for_labels(qtbot, window)

    def refuse(backend: str) -> None:
        raise EngineError("tensorrt needs an NVIDIA GPU; use openvino")

    engines.before = refuse
    window.controls.use_backend("tensorrt")
    wait_until(qtbot, lambda: "needs an NVIDIA GPU" in window.banner.text)
    assert window.controls.session.engine_info == engines.opened[0].info
    assert engines.opened[0].closed == 0


def test_an_engine_that_breaks_in_use_is_told_once_and_the_picture_goes_on(
    qtbot: QtBot, start: Start, clip: Path, engines: Engines, caplog: pytest.LogCaptureFixture
) -> None:
    window = start(clip, settings=Settings(loop=True, smooth=False)).window
    wait_for_labels(qtbot, window)
    engines.opened[0].fail = RuntimeError("out of memory")
    wait_until(qtbot, lambda: "out of memory" in window.banner.text)
    assert window.banner.text.count("out of memory") == 1
    assert "openvino takes over" in window.banner.text
    wait_until(qtbot, lambda: len(engines.opened) == 2 and engines.opened[1].threads == {"inference"})
    engines.opened[1].fail = RuntimeError("again")
    wait_until(qtbot, lambda: "torch takes over" in window.banner.text)
    wait_until(qtbot, lambda: len(engines.opened) == 3 and engines.opened[2].threads == {"inference"})
    engines.opened[2].fail = RuntimeError("the last one")
    wait_until(qtbot, lambda: "choose another backend" in window.banner.text)
    before = shown(window)
    wait_until(qtbot, lambda: shown(window) is not before and not shown(window).result.is_segmented)
    window.controls.use_backend("torch")
    wait_for_labels(qtbot, window)


def test_paused_pictures_are_labelled_anew_by_a_new_engine(
    qtbot: QtBot, start: Start, clip: Path, engines: Engines
) -> None:
    window = start(clip).window
    wait_for_end(qtbot, window)
    window.controls.use_size((64, 96))
    wait_until(qtbot, lambda: engines.opened[-1].threads == {"inference"})
    assert engines.opened[-1].info.input_size == (64, 96)


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


def test_a_smaller_source_brings_an_engine_of_its_own_shape(
    qtbot: QtBot, start: Start, clip: Path, tmp_path: Path, engines: Engines, tiny_card: Card
) -> None:
    window = start(clip).window
    wait_for_labels(qtbot, window)
    window.sources.open_place(str(grey_clip(tmp_path / "tall.mp4", size=(128, 64))))
    wait_until(qtbot, lambda: len(engines.opened) == 2)
    wait_for_end(qtbot, window)
    assert shown(window).result.frame.size == (128, 64)
    assert np.array_equal(np.unique(shown(window).result.labels), (SKY, ROAD))
    assert replace(window.controls.engine, running=None).error == ""


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
