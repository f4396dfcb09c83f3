"""The main window: put the parts together, show which state they are in, pass events on."""

from __future__ import annotations

import base64
import contextlib
from functools import partial
from pathlib import Path

from PyQt6.QtCore import QByteArray, QSize, Qt, QTimer, pyqtSignal
from PyQt6.QtGui import QCloseEvent, QDragEnterEvent, QDropEvent, QMoveEvent, QResizeEvent
from PyQt6.QtWidgets import QHBoxLayout, QMainWindow, QStackedWidget, QVBoxLayout, QWidget

from segnet_live.card import read_card
from segnet_live.errors import SegnetLiveError
from segnet_live.pipeline.live.capture import Phase
from segnet_live.ui.controls import Controls
from segnet_live.ui.correct.window import CorrectWindow
from segnet_live.ui.help import HelpDialog
from segnet_live.ui.saving import Saver
from segnet_live.ui.search import Searcher
from segnet_live.ui.shortcuts import WindowActions, commands, install
from segnet_live.ui.sources import Sources
from segnet_live.ui.status import StatusUpdater
from segnet_live.ui.theme import icon
from segnet_live.ui.wheel import WheelGuard
from segnet_live.ui.widgets.banner import Banner
from segnet_live.ui.widgets.header import Header
from segnet_live.ui.widgets.side_panel import SidePanel
from segnet_live.ui.widgets.start_page import StartPage
from segnet_live.ui.widgets.transport import Transport
from segnet_live.ui.widgets.video_view import VideoView

DEFAULT_SIZE = QSize(1280, 760)
ROOM_FOR_PANEL_PX = 860
SILENT_AFTER_S = 2.0
SETTLED_MS = 1000
"""After the last move of the window, before its place is written down."""


class MainWindow(QMainWindow):
    """The window: video in the middle, panel at the right, transport below. Closing it closes the session, too.

    Signals:
        closing: the user wants to close; what is being written has been finalised.
        settled: the window has been moved or resized, and `settings.geometry` holds its new place.
    """

    closing = pyqtSignal()
    settled = pyqtSignal()

    def __init__(self, controls: Controls, saver: Saver) -> None:
        super().__init__()
        self.controls, self.saver = controls, saver
        self.setWindowTitle("segnet-live")
        self.setWindowIcon(icon("app"))
        self.setAcceptDrops(True)
        self.setMinimumSize(420, 320)
        screen = self.screen()
        room = screen.availableSize() * 0.94 if screen is not None else DEFAULT_SIZE
        self.resize(DEFAULT_SIZE.boundedTo(room))
        self._narrow_panel = self._was_maximised = self._closed = False
        self._settling = QTimer(self)
        self._settling.setSingleShot(True)
        self._settling.timeout.connect(self._remember_geometry)
        self.sources = Sources(self, controls)
        self.header = Header(controls)
        self.view = VideoView(controls.session)
        self.start_page = StartPage(self.sources, controls)
        self.searcher = Searcher(controls)
        self.transport = Transport(controls, saver, self.searcher)
        self.panel = SidePanel(controls, saver)
        self._stack = QStackedWidget()
        self._stack.addWidget(self.start_page)
        self._stack.addWidget(self.view)
        self._lay_out()
        self.banner = Banner(self._stack)
        self.status = StatusUpdater(
            controls,
            saver,
            self.view,
            self.panel.legend,
            self.transport.seek_bar,
            (
                self.show_notice,
                self.transport.show_time,
                self.transport.record.refresh,
                self.panel.model.show_engine,
                self.panel.recording.button.refresh,
            ),
        )
        self._connect()
        self.commands = commands(controls, saver, self.sources, self.panel, self._actions())
        install(self, self.commands)
        self._restore()
        self._wheel_guard = WheelGuard(self)

    def _lay_out(self) -> None:
        body = QWidget()
        column = QVBoxLayout(body)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        middle = QHBoxLayout()
        middle.setSpacing(0)
        middle.addWidget(self._stack, 1)
        middle.addWidget(self.panel)
        column.addWidget(self.header)
        column.addLayout(middle, 1)
        column.addWidget(self.transport)
        self.setCentralWidget(body)

    def _connect(self) -> None:
        controls, saver, header, legend = self.controls, self.saver, self.header, self.panel.legend
        header.menu.aboutToShow.connect(lambda: self.sources.fill(header.menu))
        header.hud.clicked.connect(self.toggle_hud)
        header.panel.clicked.connect(self.toggle_panel)
        header.full_screen.clicked.connect(self.toggle_full_screen)
        header.help.clicked.connect(self.show_help)
        self.view.wiper_moved.connect(controls.set_wiper)
        self.view.first_picture.connect(self.view.setFocus)
        self.view.clicked_twice.connect(self.toggle_full_screen)
        legend.muted.connect(controls.mute)
        legend.soloed.connect(controls.solo)
        self.panel.needed.connect(self._reveal_panel)
        for teller in (controls, saver):
            teller.problem.connect(self.banner.problem)
        self.searcher.problem.connect(self.banner.problem)
        saver.info.connect(self.banner.note)
        self.sources.drafts_chosen.connect(self.correct)
        controls.source_changed.connect(self._show_source)
        controls.view_changed.connect(self._show_classes)
        controls.engine_changed.connect(self._show_classes)

    def _actions(self) -> WindowActions:
        return WindowActions(
            show_sources=self.header.open.showMenu,
            toggle_loop=self.transport.loop.toggle,
            search=self.transport.search_bar.open_search,
            next_moment=self.searcher.next,
            previous_moment=partial(self.searcher.next, -1),
            toggle_hud=self.toggle_hud,
            toggle_panel=self.toggle_panel,
            toggle_full_screen=self.toggle_full_screen,
            leave=self.leave,
            show_help=self.show_help,
            close=self.close,
        )

    def _restore(self) -> None:
        settings = self.controls.settings
        with contextlib.suppress(ValueError):  # no base64: as good as none
            self.restoreGeometry(QByteArray(base64.b64decode(settings.geometry.encode(), validate=False)))
        self._show_classes()
        self._show_panel()
        self.header.hud.setChecked(settings.hud)
        self.start_page.setFocus()

    # State to widgets

    def _show_source(self) -> None:
        source = self.controls.source
        if source is None:
            return
        nothing = source.phase is Phase.FAILED and self.view.shown is None
        self._stack.setCurrentWidget(self.start_page if nothing else self.view)
        self.setWindowTitle(f"{self.header.title.text()} - segnet-live")
        self.show_notice()

    def show_notice(self) -> None:
        source = self.controls.source
        text = ""
        if source is not None:
            name = self.header.title.text()
            if source.phase is Phase.OPENING:
                text = f"Opening {name} ..."
            elif source.phase is Phase.LOST:
                text = f"{source.message}\nTrying again ..."
            elif (
                source.phase is Phase.PLAYING
                and self.controls.session.silent_s > SILENT_AFTER_S
                and not self.controls.is_file
            ):
                text = f"No picture from {name} for {self.controls.session.silent_s:.0f} s"
            elif (
                self.view.shown is not None and not self.view.shown.result.is_segmented and self.controls.engine.opening
            ):
                text = f"Loading {self.controls.engine.opening.card.name} ..."
        self.view.show_notice(text)

    def _show_classes(self) -> None:
        self.panel.legend.show_classes(self.controls.classes, self.controls.view_settings.hidden)

    # What the window itself can do

    def toggle_hud(self) -> None:
        settings = self.controls.settings
        settings.hud = not settings.hud
        self.header.hud.setChecked(settings.hud)
        self.status.refresh_hud()

    def toggle_panel(self) -> None:
        settings = self.controls.settings
        settings.panel = self.panel.isHidden()
        self._narrow_panel = settings.panel
        self._show_panel()

    def _show_panel(self) -> None:
        """Show the panel if the settings say so; a narrow window shows it only when asked for there."""
        room = self.width() >= ROOM_FOR_PANEL_PX or self._narrow_panel
        visible = self.controls.settings.panel and room and not self.isFullScreen()
        self.panel.setVisible(visible)
        self.header.panel.setChecked(visible)

    def toggle_full_screen(self) -> None:
        full = not self.isFullScreen()
        if full:
            self._was_maximised = self.isMaximized()
            self.showFullScreen()
            self.banner.note("F or Esc leaves full screen; all keys work")
        elif self._was_maximised:
            self.showMaximized()
        else:
            self.showNormal()
        self.header.setHidden(full)
        self.transport.setHidden(full)
        self._show_panel()

    def leave(self) -> None:
        """Leave full screen, else dismiss messages, else give the focus back to the window."""
        if self.isFullScreen():
            self.toggle_full_screen()
        elif self.banner.text:
            self.banner.dismiss()
        else:
            self.setFocus()

    def _reveal_panel(self) -> None:
        if self.panel.isHidden() and not self.isFullScreen():
            self.toggle_panel()

    def correct(self, folder: Path) -> None:
        """Open the editor on a folder of drafts."""
        try:
            editor = CorrectWindow(folder, self.controls.card, self)
        except SegnetLiveError as error:
            self.banner.problem(str(error))
            return
        editor.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        editor.adapted.connect(self._add_model)
        editor.show()

    def _add_model(self, folder: Path) -> None:
        try:
            self.controls.add_model(read_card(folder))
        except SegnetLiveError as error:
            self.banner.problem(str(error))

    def show_help(self) -> None:
        help_ = HelpDialog(self, self.commands)
        help_.finished.connect(help_.deleteLater)
        help_.open()

    # Events

    def dragEnterEvent(self, event: QDragEnterEvent | None) -> None:
        if event is not None and Sources.dropped(event.mimeData()):
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent | None) -> None:
        place = Sources.dropped(event.mimeData()) if event is not None else None
        if place and event is not None:
            event.acceptProposedAction()
            self.sources.open_place(place)

    def resizeEvent(self, event: QResizeEvent | None) -> None:
        super().resizeEvent(event)
        self._show_panel()
        self._settling.start(SETTLED_MS)

    def moveEvent(self, event: QMoveEvent | None) -> None:
        super().moveEvent(event)
        self._settling.start(SETTLED_MS)

    def _remember_geometry(self) -> None:
        """Remember the window's place now: a crash does not wait for `closeEvent`."""
        if self._closed or self.isFullScreen() or not self.isVisible():
            return
        geometry = base64.b64encode(self.saveGeometry().data()).decode()
        if geometry != self.controls.settings.geometry:
            self.controls.settings.geometry = geometry
            self.settled.emit()

    def closeEvent(self, event: QCloseEvent | None) -> None:
        """Finalise the recording, stop the threads, remember the settings."""
        if self._closed:
            return
        for editor in self.findChildren(CorrectWindow):
            if not editor.close():  # it could not save: the banner there says why
                if event is not None:
                    event.ignore()
                return
        self._closed = True
        self.status.close()
        if not self.isFullScreen():
            self.controls.settings.geometry = base64.b64encode(self.saveGeometry().data()).decode()
        self.view.stop()
        self.hide()  # at once, while the recording is being finished
        self.searcher.close()
        self.saver.close()
        self.controls.close()
        self.closing.emit()
