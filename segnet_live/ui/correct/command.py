"""`segnet-live correct`: correct the drafts of a folder in a window of its own."""

from __future__ import annotations

import argparse
import signal
from pathlib import Path

from segnet_live.card import DEFAULT_MODEL, find_card
from segnet_live.drafts.folder import DraftFolder
from segnet_live.system.display import require_display


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("drafts", type=Path, metavar="DRAFTS", help="a drafts folder, as `segnet-live hard` writes them")
    add("--model", metavar="NAME|DIR", default=DEFAULT_MODEL, help=f"what learns from them (default: {DEFAULT_MODEL})")


def run(arguments: argparse.Namespace) -> int:
    """Show the editor until it is closed.

    Raises:
        SegnetLiveError: there are no drafts, or no window can be opened.
    """
    card = find_card(arguments.model)
    DraftFolder(arguments.drafts).drafts()  # said before a window opens
    require_display()
    from segnet_live.ui.qt_platform import check_libraries, leave_other_qt

    check_libraries()
    leave_other_qt()
    from PyQt6 import sip
    from PyQt6.QtWidgets import QApplication

    from segnet_live.ui.correct.window import CorrectWindow
    from segnet_live.ui.theme import dress, icon

    app = QApplication(["segnet-live"])
    app.setApplicationName("segnet-live")
    app.setDesktopFileName("segnet-live")
    dress(app)
    window = CorrectWindow(arguments.drafts, card)
    for stop in (signal.SIGINT, signal.SIGTERM):
        signal.signal(stop, lambda *_: window.close())
    window.show()
    code = app.exec()
    sip.delete(window)
    icon.cache_clear()
    return code
