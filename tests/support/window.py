"""The window under test: shown, and waited for."""

from __future__ import annotations

from collections.abc import Callable

from pytestqt.qtbot import QtBot

from segnet_live.pipeline.live.capture import Phase
from segnet_live.ui.app import App
from segnet_live.ui.window import MainWindow

WAIT_MS = 20_000
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
