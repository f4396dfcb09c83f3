"""Put session, settings and window together (`create_app`), and run the `segnet-live` window (`run`)."""

from __future__ import annotations

import logging
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, TracebackType
from typing import TYPE_CHECKING

from segnet_live.card import DEFAULT_MODEL, Card, find_card, installed_cards
from segnet_live.config import RunConfig, SourceSpec
from segnet_live.errors import UsageError
from segnet_live.system import crash
from segnet_live.system.paths import settings_path
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
    """Return the window for `config`; the keywords replace the parts that tests need to be small.

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
    from segnet_live.ui.saving import Saver
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
    options = config.options(settings.options())
    cards = cards or choose_cards(config.model)
    card = choose_card(cards, options.model)
    if config.hiding is not None:
        card.classes.ids(config.hiding.names)  # else the first recording would end with it
    controls = Controls(
        settings,
        options,
        cards,
        card,
        open_source or open_real_source,
        open_engine or open_real_engine,
        hide=config.hiding,
    )
    saver = Saver(
        settings,
        controls.session,
        lambda: controls.model_name,
        burn_hud=options.burn_hud,
        encoding=options.encoding,
        hide=config.hiding,
    )
    controls.recording_ended.connect(saver.recording_ended)
    window = MainWindow(controls, saver)
    window.closing.connect(lambda: _report(save_settings(settings, file)))
    window.settled.connect(lambda: _report(save_settings(settings, file)))
    if note:
        window.banner.problem(note)
    if config.classes is not None:
        controls.show_classes(config.classes)
    if config.bonnet is not None:
        controls.leave_out_bonnet(config.bonnet)
    if config.record is not None:
        saver.record(config.record, overwrite=config.overwrite)
    return App(app, window)


def choose_cards(model: str | None) -> list[Card]:
    """Return the installed models, after the one that `model` names if it is a folder elsewhere.

    Raises:
        UsageError: nothing is installed, or `model` is unknown.
        CardError: a card is damaged.
    """
    cards = installed_cards()
    if model is not None:
        asked = find_card(model)
        if all(card.folder != asked.folder for card in cards):
            cards.insert(0, asked)
    if not cards:
        raise UsageError("no model is installed", "install segnet-live again, or pass --model FOLDER")
    return cards


def choose_card(cards: Sequence[Card], model: str | None) -> Card:
    """Return the card that `model` names (name or folder), else the default's; what settings name may be gone."""
    for wanted in (model, DEFAULT_MODEL):
        for card in cards:
            if wanted is not None and (wanted == card.name or Path(wanted) == card.folder):
                return card
    return cards[0]


def _report(problem: str) -> None:
    if problem:
        log.warning(problem)


def start(app: App, config: RunConfig, place: str | None = None) -> None:
    """Show the window, and open what `config` names, else `place`; without either the first camera, if there is one.

    Args:
        place: what a desktop handed over, a name of any kind; opened as if it had been dropped on the window.
    """
    from segnet_live.ui import cameras

    if config.source is not None:
        app.window.controls.open(config.source)
    app.window.show()
    if config.source is None and place is not None:
        app.window.sources.open_place(place)
    elif config.source is None:
        found, _ = cameras.list_cameras()
        if found:
            app.window.controls.open(SourceSpec("camera", str(found[0].number)))


def run(config: RunConfig, place: str | None = None) -> int:
    """Show the window until it is closed and return the exit code.

    Args:
        place: see `start`.

    Raises:
        SegnetLiveError: the window cannot start; the line says why.
    """
    check_libraries()
    from segnet_live.pipeline.inference import freeze_libraries
    from segnet_live.system.cores import share_cores
    from segnet_live.system.exit import stop_signals

    app = create_app(config)

    def report(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        """Show the user an exception from a slot; if nothing handled it, PyQt would abort the process."""
        log.error("unexpected error in the window", exc_info=(kind, error, trace))
        app.window.banner.problem(f"unexpected {crash.report(error.with_traceback(trace))}")

    sys.excepthook = report
    caught: list[int] = []

    def stop(number: int, _: FrameType | None) -> None:
        """Close the window, which completes a recording."""
        caught.append(number)
        app.window.close()

    for number in stop_signals():
        signal.signal(number, stop)
    start(app, config, place)
    if crashed := crash.offer():
        app.window.banner.problem(crashed)
    freeze_libraries()
    share_cores()
    code = app.qt.exec()
    app.dispose()
    return 128 + caught[0] if caught else code
