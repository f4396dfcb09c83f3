"""The window under test: shown, and waited for."""

from __future__ import annotations

from pytestqt.qtbot import QtBot

from segnet_live.pipeline.live.capture import Phase
from segnet_live.ui.app import App
from segnet_live.ui.window import MainWindow

WAIT_MS = 20_000


def show(qtbot: QtBot, app: App) -> None:
    """The window is on the screen and takes keys."""
    qtbot.addWidget(app.window)
    app.window.show()
    app.window.activateWindow()
    qtbot.waitUntil(app.window.isActiveWindow)


def wait_for_labels(qtbot: QtBot, window: MainWindow) -> None:
    qtbot.waitUntil(lambda: window.view.shown is not None and window.view.shown.result.is_segmented, timeout=WAIT_MS)


def wait_for_phase(qtbot: QtBot, window: MainWindow, phase: Phase) -> None:
    qtbot.waitUntil(lambda: window.controls.phase is phase, timeout=WAIT_MS)
