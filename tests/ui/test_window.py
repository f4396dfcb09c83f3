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
from PyQt6.QtCore import QMimeData, QPoint, QPointF, Qt, QUrl
from PyQt6.QtGui import QColor, QDropEvent
from PyQt6.QtWidgets import QApplication, QLabel
from pytestqt.qtbot import QtBot

from segnet_live.card import Card
from segnet_live.classes import CAMVID, COLOUR_BLIND_SAFE
from segnet_live.errors import EngineError
from segnet_live.pipeline.live.capture import Phase
from segnet_live.pipeline.live.session import Picture
from segnet_live.ui.app import App
from segnet_live.ui.help import HelpDialog
from segnet_live.ui.settings import Settings
from segnet_live.ui.window import MainWindow
from tests.support.clips import grey_clip
from tests.support.engines import CAR, ROAD, SKY, Engines
from tests.support.window import WAIT_MS, wait_for_labels, wait_for_phase

Start = Callable[..., App]


def shown(window: MainWindow) -> Picture:
    picture = window.view.shown
    assert picture is not None
    return picture


def wait_for_frame(qtbot: QtBot, window: MainWindow, index: int) -> None:
    """The picture on the screen is the clip's frame `index`, and really that: its grey level tells."""

    def there() -> bool:
        return round(shown(window).result.pts_s * 20) == index

    qtbot.waitUntil(there, timeout=WAIT_MS)
    assert abs(float(shown(window).result.frame.rgb.mean()) - (10 + 10 * index)) < 5


def colour_at(window: MainWindow, across: float, down: float = 0.8) -> QColor:
    """What the screen shows at a place in the picture, 0 to 1."""
    rect = window.view.picture_rect()
    at = QPoint(round(rect.left() + across * rect.width()), round(rect.top() + down * rect.height()))
    return window.view.grab().toImage().pixelColor(at)


def corner_lightness(window: MainWindow) -> float:
    """The mean of a patch in the picture's upper left corner: any one pixel of it may lie on a letter of the HUD."""
    image, corner = window.view.grab().toImage(), window.view.picture_rect().topLeft().toPoint()
    places = [corner + QPoint(x, y) for x in range(30, 120, 3) for y in range(30, 120, 3)]
    return float(np.mean([image.pixelColor(at).lightness() for at in places]))


def close_to(colour: QColor, rgb: tuple[int, int, int], tolerance: int = 6) -> bool:
    return max(abs(a - b) for a, b in zip((colour.red(), colour.green(), colour.blue()), rgb, strict=True)) <= tolerance


def halves_are(window: MainWindow, left: tuple[int, int, int], right: tuple[int, int, int]) -> bool:
    return close_to(colour_at(window, 0.1), left) and close_to(colour_at(window, 0.9), right)


def test_plays_a_clip_with_labels_to_its_end_and_says_so(qtbot: QtBot, start: Start, clip: Path) -> None:
    window = start(clip).window
    wait_for_labels(qtbot, window)
    assert window.view.isVisible()
    wait_for_phase(qtbot, window, Phase.ENDED)
    wait_for_frame(qtbot, window, 19)
    assert "ended" in window.header.details.text()
    assert window.header.title.text() == "drive.mp4"


def test_every_view_paints_the_colours_it_stands_for(qtbot: QtBot, start: Start, clip: Path) -> None:
    window = start(clip, settings=Settings(hud=False, smooth=False, opacity=1.0)).window
    wait_for_phase(qtbot, window, Phase.ENDED)
    wait_for_frame(qtbot, window, 19)
    road, sky, grey = CAMVID.colours[ROAD], CAMVID.colours[SKY], (200, 200, 200)
    for key, left, right in (
        (Qt.Key.Key_2, road, sky),
        (Qt.Key.Key_3, grey, grey),
        (Qt.Key.Key_1, road, sky),
        (Qt.Key.Key_5, grey, sky),
    ):
        qtbot.keyClick(window, key)
        qtbot.waitUntil(partial(halves_are, window, left, right))
    qtbot.keyClick(window, Qt.Key.Key_4)
    qtbot.waitUntil(lambda: shown(window).rgb.shape == (64, 192, 3))
    qtbot.waitUntil(lambda: close_to(colour_at(window, 0.2), grey) and close_to(colour_at(window, 0.6), road))
    assert close_to(colour_at(window, 0.9), sky)


def test_the_wiper_follows_the_mouse(qtbot: QtBot, start: Start, clip: Path) -> None:
    window = start(clip, settings=Settings(view="wiper", hud=False, smooth=False, opacity=1.0)).window
    wait_for_phase(qtbot, window, Phase.ENDED)
    rect = window.view.picture_rect()
    line = QPoint(round(rect.center().x()), round(rect.center().y()))
    target = QPoint(round(rect.left() + 0.25 * rect.width()), line.y())
    qtbot.mousePress(window.view, Qt.MouseButton.LeftButton, pos=line)
    qtbot.mouseMove(window.view, target)
    qtbot.mouseRelease(window.view, Qt.MouseButton.LeftButton, pos=target)
    assert window.controls.look.wiper == pytest.approx(0.25, abs=0.01)
    qtbot.waitUntil(lambda: close_to(colour_at(window, 0.35), CAMVID.colours[ROAD]))
    assert close_to(colour_at(window, 0.15), (200, 200, 200))


def test_hovering_names_the_class_under_the_cursor_in_each_half_of_side_by_side(
    qtbot: QtBot, start: Start, clip: Path
) -> None:
    window = start(clip).window
    wait_for_phase(qtbot, window, Phase.ENDED)

    def name_at(across: float) -> str:
        rect = window.view.picture_rect()
        named = window.view.class_at(QPointF(rect.left() + across * rect.width(), rect.center().y()))
        return named[0] if named else ""

    assert (name_at(0.2), name_at(0.8)) == ("Road", "Sky")
    window.controls.set_view("side-by-side")
    qtbot.waitUntil(lambda: shown(window).settings.view == "side-by-side")
    assert [name_at(x) for x in (0.1, 0.4, 0.6, 0.9)] == ["Road", "Sky", "Road", "Sky"]
    assert window.view.class_at(QPointF(-5, -5)) is None


def test_a_click_mutes_a_class_and_a_double_click_solos_it(qtbot: QtBot, start: Start, clip: Path) -> None:
    window = start(clip, settings=Settings(view="labels", hud=False, smooth=False)).window
    wait_for_phase(qtbot, window, Phase.ENDED)
    rows = window.panel_widgets.legend.rows
    assert [row.name for row in rows] == list(CAMVID.names)
    qtbot.waitUntil(lambda: rows[ROAD].share == pytest.approx(0.5) and rows[SKY].share == pytest.approx(0.5))
    assert rows[CAR].share == 0
    qtbot.mouseClick(rows[ROAD], Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: rows[ROAD].muted)
    qtbot.waitUntil(lambda: close_to(colour_at(window, 0.2), (0, 0, 0)))
    qtbot.mouseDClick(rows[ROAD], Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: close_to(colour_at(window, 0.2), CAMVID.colours[ROAD]))
    assert window.controls.look.hidden == frozenset(range(11)) - {ROAD}
    qtbot.wait(QApplication.doubleClickInterval() + 50)
    assert window.controls.look.hidden == frozenset(range(11)) - {ROAD}, "a double click must not mute as well"
    qtbot.keyClick(window, Qt.Key.Key_A)
    assert not window.controls.look.hidden


def test_the_colour_blind_palette_reaches_picture_and_legend(qtbot: QtBot, start: Start, clip: Path) -> None:
    window = start(clip, settings=Settings(view="labels", hud=False, smooth=False)).window
    wait_for_phase(qtbot, window, Phase.ENDED)
    qtbot.keyClick(window, Qt.Key.Key_B)
    qtbot.waitUntil(lambda: close_to(colour_at(window, 0.2), COLOUR_BLIND_SAFE[ROAD]))
    assert window.panel_widgets.legend.rows[ROAD].colour == QColor(*COLOUR_BLIND_SAFE[ROAD])


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
    qtbot.waitUntil(lambda: window.transport.time.text().strip() == "0:00.5 / 0:01")


def test_looping_starts_over_and_play_at_the_end_begins_again(qtbot: QtBot, start: Start, clip: Path) -> None:
    window = start(clip).window
    wait_for_phase(qtbot, window, Phase.ENDED)
    qtbot.keyClick(window, Qt.Key.Key_Space)
    wait_for_phase(qtbot, window, Phase.PLAYING)
    qtbot.keyClick(window, Qt.Key.Key_L)
    assert window.transport.loop.isChecked()
    places: list[float] = []

    def wrapped() -> bool:
        places.append(shown(window).result.pts_s)
        return any(later < earlier for earlier, later in pairwise(places))

    qtbot.waitUntil(wrapped, timeout=WAIT_MS)
    assert window.controls.phase is Phase.PLAYING


def test_a_file_is_never_behind_its_clock_though_inference_is_slow(
    qtbot: QtBot, start: Start, tmp_path: Path, engines: Engines
) -> None:
    window = start(grey_clip(tmp_path / "long.mp4", frames=40)).window
    wait_for_labels(qtbot, window)
    engine = engines.opened[0]
    engine.hold.clear()
    wait_for_phase(qtbot, window, Phase.ENDED)
    engine.hold.set()
    qtbot.waitUntil(lambda: shown(window).result.pts_s == pytest.approx(39 / 20), timeout=WAIT_MS)
    assert window.controls.session.metrics.snapshot().dropped["inference"] > 5


def test_seek_strip_and_hud_tell_what_was_seen(qtbot: QtBot, start: Start, clip: Path) -> None:
    window = start(clip).window
    wait_for_phase(qtbot, window, Phase.ENDED)
    window.readouts.refresh()
    strip = window.transport.seek_bar.strip
    assert strip is not None
    column = strip.width() // 2
    assert close_to(strip.pixelColor(column, 1), CAMVID.colours[SKY])
    assert close_to(strip.pixelColor(column, strip.height() - 2), CAMVID.colours[ROAD])
    dark = corner_lightness(window)
    qtbot.keyClick(window, Qt.Key.Key_H)
    qtbot.waitUntil(lambda: corner_lightness(window) > dark + 20)


def test_another_engine_is_swapped_in_while_the_old_one_keeps_running(
    qtbot: QtBot, start: Start, clip: Path, engines: Engines
) -> None:
    window = start(clip, settings=Settings(loop=True, smooth=False)).window
    wait_for_labels(qtbot, window)
    may_open = threading.Event()
    engines.before = lambda backend: may_open.wait(10) and None
    window.controls.use(backend="openvino")
    qtbot.waitUntil(lambda: "Opening" in window.panel_widgets.model.status.text())
    before = shown(window)
    qtbot.waitUntil(lambda: shown(window) is not before and shown(window).result.is_segmented, timeout=WAIT_MS)
    assert engines.opened[0].closed == 0
    may_open.set()
    qtbot.waitUntil(
        lambda: (info := window.controls.session.engine_info) is not None and info.backend == "openvino",
        timeout=WAIT_MS,
    )
    qtbot.waitUntil(lambda: engines.opened[0].closed == 1)
    assert engines.opened[0].threads == {"inference"}


def test_a_file_waits_at_its_first_frame_until_the_engine_is_there(
    qtbot: QtBot, start: Start, clip: Path, engines: Engines
) -> None:
    may_open = threading.Event()
    engines.before = lambda backend: may_open.wait(10) and None
    window = start(clip).window
    qtbot.waitUntil(lambda: window.view.shown is not None, timeout=WAIT_MS)
    qtbot.wait(400)
    assert shown(window).result.frame.index == 0
    assert not shown(window).result.is_segmented
    assert "Opening" in window.panel_widgets.model.status.text()
    may_open.set()
    wait_for_phase(qtbot, window, Phase.ENDED)
    assert shown(window).result.is_segmented


def test_an_engine_that_cannot_open_leaves_the_old_one_and_says_why(
    qtbot: QtBot, start: Start, clip: Path, engines: Engines
) -> None:
    window = start(clip).window
    wait_for_labels(qtbot, window)

    def refuse(backend: str) -> None:
        raise EngineError("tensorrt needs an NVIDIA GPU; use openvino")

    engines.before = refuse
    window.controls.use(backend="tensorrt")
    qtbot.waitUntil(lambda: "needs an NVIDIA GPU" in window.banner.text, timeout=WAIT_MS)
    assert window.controls.session.engine_info == engines.opened[0].info
    assert engines.opened[0].closed == 0


def test_an_engine_that_breaks_in_use_is_told_once_and_the_picture_goes_on(
    qtbot: QtBot, start: Start, clip: Path, engines: Engines, caplog: pytest.LogCaptureFixture
) -> None:
    window = start(clip, settings=Settings(loop=True, smooth=False)).window
    wait_for_labels(qtbot, window)
    engines.opened[0].fail = RuntimeError("out of memory")
    qtbot.waitUntil(lambda: "out of memory" in window.banner.text, timeout=WAIT_MS)
    assert window.banner.text.count("out of memory") == 1
    before = shown(window)
    qtbot.waitUntil(lambda: shown(window) is not before and not shown(window).result.is_segmented, timeout=WAIT_MS)
    window.controls.use(backend="torch")
    wait_for_labels(qtbot, window)


def test_paused_pictures_are_labelled_anew_by_a_new_engine(
    qtbot: QtBot, start: Start, clip: Path, engines: Engines
) -> None:
    window = start(clip).window
    wait_for_phase(qtbot, window, Phase.ENDED)
    window.controls.use(size="64x96")
    qtbot.waitUntil(lambda: engines.opened[-1].threads == {"inference"}, timeout=WAIT_MS)
    assert engines.opened[-1].info.input_size == (64, 96)


def test_a_missing_file_is_told_and_the_start_page_stays(qtbot: QtBot, start: Start, tmp_path: Path) -> None:
    window = start(tmp_path / "nowhere.mp4").window
    qtbot.waitUntil(lambda: "nowhere.mp4" in window.banner.text, timeout=WAIT_MS)
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
    qtbot.waitUntil(lambda: window.panel.isHidden())
    qtbot.waitUntil(lambda: shown(window).screen.shape[1] <= 640)
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
    qtbot.waitUntil(lambda: len(engines.opened) == 2, timeout=WAIT_MS)
    wait_for_phase(qtbot, window, Phase.ENDED)
    assert shown(window).result.frame.size == (128, 64)
    assert np.array_equal(np.unique(shown(window).result.labels), (SKY, ROAD))
    assert replace(window.controls.engine, running=None).error == ""
