"""The main window: puts the parts together and passes the user's wishes on."""

from __future__ import annotations

import base64
from dataclasses import dataclass

from PyQt6.QtCore import QByteArray, QSize, Qt, pyqtSignal
from PyQt6.QtGui import QCloseEvent, QDragEnterEvent, QDropEvent, QResizeEvent
from PyQt6.QtWidgets import QComboBox, QHBoxLayout, QLineEdit, QMainWindow, QStackedWidget, QVBoxLayout, QWidget

from segnet_live.pipeline.live.capture import Phase
from segnet_live.ui.controls import Controls
from segnet_live.ui.help import HelpDialog
from segnet_live.ui.shortcuts import commands, install
from segnet_live.ui.sources import Sources
from segnet_live.ui.status import Readouts
from segnet_live.ui.theme import icon
from segnet_live.ui.widgets.banner import Banner
from segnet_live.ui.widgets.header import Header
from segnet_live.ui.widgets.legend import Legend
from segnet_live.ui.widgets.model_section import ModelSection
from segnet_live.ui.widgets.panel import Panel, Section
from segnet_live.ui.widgets.recording_section import RecordingSection
from segnet_live.ui.widgets.start_page import StartPage
from segnet_live.ui.widgets.transport import Transport
from segnet_live.ui.widgets.video_view import VideoView
from segnet_live.ui.widgets.view_section import ViewSection

DEFAULT_SIZE = QSize(1280, 760)
ROOM_FOR_PANEL_PX = 860
SILENT_AFTER_S = 2.0


@dataclass(frozen=True, slots=True)
class PanelWidgets:
    """What the panel's sections hold."""

    model: ModelSection
    view: ViewSection
    legend: Legend
    recording: RecordingSection


class MainWindow(QMainWindow):
    """Video in the middle, panel at the right, transport below. Owns the controls, and with them the session.

    Signals:
        closing: the user wants to close; what is being written has been finalised.
    """

    closing = pyqtSignal()

    def __init__(self, controls: Controls) -> None:
        super().__init__()
        self.controls = controls
        self.setWindowTitle("segnet-live")
        self.setWindowIcon(icon("app"))
        self.setAcceptDrops(True)
        self.setMinimumSize(420, 320)
        screen = self.screen()
        room = screen.availableSize() * 0.94 if screen is not None else DEFAULT_SIZE
        self.resize(DEFAULT_SIZE.boundedTo(room))
        self._narrow_panel = self._was_maximised = self._closed = False
        self.sources = Sources(self, controls)
        self.header = Header(controls)
        self.view = VideoView(controls.session)
        self.start_page = StartPage(self.sources, controls)
        self.transport = Transport(controls)
        self.panel_widgets = PanelWidgets(
            ModelSection(controls), ViewSection(controls), Legend(), RecordingSection(controls)
        )
        self.panel = self._make_panel()
        self._stack = QStackedWidget()
        self._stack.addWidget(self.start_page)
        self._stack.addWidget(self.view)
        self._lay_out()
        self.banner = Banner(self._stack)
        self._connect()
        self.commands = commands(self)
        install(self, self.commands)
        self._restore()
        self.readouts = Readouts(self)

    def _make_panel(self) -> Panel:
        widgets = self.panel_widgets
        sections = [
            Section("View", widgets.view),
            Section("Classes", widgets.legend),
            Section("Model", widgets.model),
            Section("Recording", widgets.recording),
        ]
        for section in sections:
            section.fold(section.title in self.controls.settings.folded)
            section.folded.connect(self._remember_folds)
        return Panel(*sections)

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
        controls, header, legend = self.controls, self.header, self.panel_widgets.legend
        header.menu.aboutToShow.connect(lambda: self.sources.fill(header.menu))
        header.hud.clicked.connect(self.toggle_hud)
        header.panel.clicked.connect(self.toggle_panel)
        header.full_screen.clicked.connect(self.toggle_full_screen)
        header.help.clicked.connect(self.show_help)
        self.view.wiped.connect(controls.set_wiper)
        self.view.first_picture.connect(self.view.setFocus)
        self.view.clicked_twice.connect(self.toggle_full_screen)
        legend.muted.connect(controls.mute)
        legend.soloed.connect(controls.solo)
        controls.problem.connect(self.banner.problem)
        controls.told.connect(self.banner.note)
        controls.source_changed.connect(self._show_source)
        controls.look_changed.connect(self._show_classes)
        controls.engine_changed.connect(self._show_classes)

    def _restore(self) -> None:
        settings = self.controls.settings
        if settings.geometry:
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
        self.panel_widgets.legend.show_classes(self.controls.classes, self.controls.look.hidden)

    # Wishes that concern the window itself

    def toggle_hud(self) -> None:
        settings = self.controls.settings
        settings.hud = not settings.hud
        self.header.hud.setChecked(settings.hud)
        self.readouts.refresh_hud()

    def toggle_panel(self) -> None:
        settings = self.controls.settings
        settings.panel = self.panel.isHidden()
        self._narrow_panel = settings.panel
        self._show_panel()

    def _show_panel(self) -> None:
        """The panel as wished; a narrow window shows it only when asked for there."""
        room = self.width() >= ROOM_FOR_PANEL_PX or self._narrow_panel
        visible = self.controls.settings.panel and room and not self.isFullScreen()
        self.panel.setVisible(visible)
        self.header.panel.setChecked(visible)

    def _remember_folds(self) -> None:
        self.controls.settings.folded = tuple(s.title for s in self.panel.sections if s.body.isHidden())

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
        """Escape: out of full screen, else messages away, else the focus back to the window."""
        if self.isFullScreen():
            self.toggle_full_screen()
        elif self.banner.text:
            self.banner.dismiss()
        else:
            self.setFocus()

    def touch_class(self, place: int, *, solo: bool) -> None:
        """Mute or solo the class at `place` in the legend."""
        if place < len(self.panel_widgets.legend.rows):
            (self.controls.solo if solo else self.controls.mute)(place)

    def _open_section(self, widget: QWidget) -> None:
        if self.panel.isHidden() and not self.isFullScreen():
            self.toggle_panel()
        next(section for section in self.panel.sections if section.body is widget).fold(False)
        self.panel.ensureWidgetVisible(widget)

    def focus_legend(self) -> None:
        self._open_section(self.panel_widgets.legend)
        if self.panel_widgets.legend.rows:
            self.panel_widgets.legend.rows[0].setFocus(Qt.FocusReason.ShortcutFocusReason)

    def choose(self, box: QComboBox) -> None:
        """Open a list of the Model section."""
        self._open_section(self.panel_widgets.model)
        box.setFocus(Qt.FocusReason.ShortcutFocusReason)
        box.showPopup()

    def edit(self, line: QLineEdit) -> None:
        self._open_section(self.panel_widgets.recording)
        line.setFocus(Qt.FocusReason.ShortcutFocusReason)
        line.selectAll()

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

    def closeEvent(self, event: QCloseEvent | None) -> None:
        """Finalise the recording, stop the threads, remember the settings."""
        if self._closed:
            return
        self._closed = True
        self.readouts.close()
        if not self.isFullScreen():
            self.controls.settings.geometry = base64.b64encode(self.saveGeometry().data()).decode()
        self.view.stop()
        self.hide()  # at once, while the recording is being finished
        self.controls.close()
        self.closing.emit()
