"""The window under test: shown, waited for, and looked at."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PyQt6.QtCore import QPoint, QRect, QSize
from PyQt6.QtGui import QColor
from pytestqt.qtbot import QtBot

from segnet_live.pipeline.live.capture import Phase
from segnet_live.pipeline.live.session import Picture
from segnet_live.ui.app import App
from segnet_live.ui.window import MainWindow

WAIT_MS = 60_000
"""How long a condition may take on a machine that is busy with other things."""


def wait_until(qtbot: QtBot, condition: Callable[[], object], *, timeout_ms: int = WAIT_MS) -> None:
    """Run the event loop until `condition` holds; a test waits for what it needs, never for a time."""
    qtbot.waitUntil(lambda: bool(condition()), timeout=timeout_ms)


def show(qtbot: QtBot, app: App) -> None:
    """Show the window and wait until it takes keys."""
    qtbot.addWidget(app.window)
    app.window.show()
    app.window.activateWindow()
    wait_until(qtbot, app.window.isActiveWindow)


def wait_for_labels(qtbot: QtBot, window: MainWindow) -> None:
    wait_until(qtbot, lambda: window.view.shown is not None and window.view.shown.result.is_segmented)


def wait_for_end(qtbot: QtBot, window: MainWindow) -> None:
    """The file has ended and the window shows its last frame, with labels."""

    def there() -> bool:
        shown, source = window.view.shown, window.controls.source
        if window.controls.phase is not Phase.ENDED or source is None or source.info is None or shown is None:
            return False
        info = source.info
        assert info.rate is not None
        assert info.duration_s is not None
        after_s = info.start_s + info.duration_s - shown.result.pts_s
        return shown.result.is_segmented and after_s < 1.5 / float(info.rate)

    wait_until(qtbot, there)


def wait_for_phase(qtbot: QtBot, window: MainWindow, phase: Phase) -> None:
    wait_until(qtbot, lambda: window.controls.phase is phase)


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
