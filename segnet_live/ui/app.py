"""The composition root: `create_app` puts session, settings and window together; `run` is the `segnet-live` window."""

from __future__ import annotations

import logging
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from segnet_live.card import DEFAULT_MODEL, Card, find_card, installed_cards
from segnet_live.config import RunConfig, SourceSpec
from segnet_live.errors import UsageError
from segnet_live.paths import settings_path
from segnet_live.ui.qt_platform import check_libraries, leave_other_qt

if TYPE_CHECKING:
    from PyQt6.QtWidgets import QApplication

    from segnet_live.pipeline.live.capture import OpenSource
    from segnet_live.pipeline.live.engine_switch import OpenEngine
    from segnet_live.ui.settings import Settings
    from segnet_live.ui.window import MainWindow

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class App:
    """A window ready to show, and the application that runs it."""

    qt: QApplication
    window: MainWindow

    def dispose(self) -> None:
        """Destroy the window before the application: at exit Python would choose the order, and Qt crash."""
        from PyQt6 import sip

        from segnet_live.ui.theme import icon

        self.window.close()
        sip.delete(self.window)
        icon.cache_clear()


def create_app(
    config: RunConfig,
    *,
    open_source: OpenSource | None = None,
    open_engine: OpenEngine | None = None,
    settings: Settings | None = None,
    settings_file: Path | None = None,
    cards: list[Card] | None = None,
) -> App:
    """The window for `config`; the keywords replace the parts that tests need to be small.

    Args:
        settings: None reads `settings_file`, which is also where they are saved when the window closes.

    Raises:
        UsageError: `config` asks for an unknown model or class.
        CardError: a model's card is damaged.
    """
    leave_other_qt()
    from PyQt6.QtWidgets import QApplication

    from segnet_live.engine.open import open_engine as open_real_engine
    from segnet_live.ui.controls import Controls
    from segnet_live.ui.settings import load_settings, save_settings
    from segnet_live.ui.theme import dress
    from segnet_live.ui.window import MainWindow
    from segnet_live.video.open import open_source as open_real_source

    app = QApplication.instance()
    if not isinstance(app, QApplication):
        app = QApplication(["segnet-live"])
    app.setApplicationName("segnet-live")
    app.setDesktopFileName("segnet-live")
    dress(app)
    file = settings_file or settings_path()
    note = ""
    if settings is None:
        settings, note = load_settings(file)
    controls = Controls(
        settings,
        cards or choose_cards(config, settings),
        open_source or open_real_source,
        open_engine or open_real_engine,
    )
    window = MainWindow(controls)
    window.closing.connect(lambda: _report(save_settings(settings, file)))
    if note:
        window.banner.problem(note)
    controls.follow(config)
    return App(app, window)


def choose_cards(config: RunConfig, settings: Settings) -> list[Card]:
    """The installed models, and the one `config` names if it is a folder elsewhere; what the settings name may be gone.

    Raises:
        UsageError: nothing is installed, or `config` names an unknown model.
    """
    cards = installed_cards()
    if config.model is not None:
        asked = find_card(config.model)
        cards = [asked, *(card for card in cards if card.folder != asked.folder)]
        settings.model = asked.name
    elif not any(card.name == settings.model for card in cards):
        settings.model = DEFAULT_MODEL
    if not cards:
        raise UsageError("no model is installed; install segnet-live again, or pass --model FOLDER")
    return cards


def _report(problem: str) -> None:
    if problem:
        log.warning(problem)


def start(app: App, config: RunConfig) -> None:
    """Show the window, and open what `config` names; without a source the first camera, if there is one."""
    from segnet_live.ui import cameras

    if config.source is not None:
        app.window.controls.open(config.source)
    app.window.show()
    if config.source is None:
        found, _ = cameras.list_cameras()
        if found:
            app.window.controls.open(SourceSpec("camera", str(found[0].number)))


def run(config: RunConfig) -> int:
    """Show the window until it is closed. Returns the exit code.

    Raises:
        SegnetLiveError: the window cannot start; the line says why.
    """
    check_libraries()
    app = create_app(config)

    def report(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        """PyQt aborts the process on an exception in a slot unless somebody takes it; the user is told instead."""
        log.error("unexpected error in the window", exc_info=(kind, error, trace))
        app.window.banner.problem(f"unexpected: {kind.__name__}: {error}; please report it with the log (--debug)")

    sys.excepthook = report
    for stop in (signal.SIGINT, signal.SIGTERM):
        signal.signal(stop, lambda *_: app.window.close())
    start(app, config)
    code = app.qt.exec()
    app.dispose()
    return code
