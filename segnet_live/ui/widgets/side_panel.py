"""The side panel of the window: its sections, and ways for keys to reach into them."""

from __future__ import annotations

from PyQt6.QtCore import Qt, pyqtSignal
from PyQt6.QtWidgets import QComboBox, QLineEdit, QWidget

from segnet_live.ui.controls import Controls
from segnet_live.ui.saving import Saver
from segnet_live.ui.widgets.legend import Legend
from segnet_live.ui.widgets.model_section import ModelSection
from segnet_live.ui.widgets.panel import Panel, Section
from segnet_live.ui.widgets.recording_section import RecordingSection
from segnet_live.ui.widgets.view_section import ViewSection


class SidePanel(Panel):
    """The sections View, classes, model and recording; the settings remember which of them are folded.

    Signals:
        needed: a key leads into the panel, which must be visible for it.
    """

    needed = pyqtSignal()

    def __init__(self, controls: Controls, saver: Saver) -> None:
        self.view = ViewSection(controls)
        self.legend = Legend()
        self.model = ModelSection(controls)
        self.recording = RecordingSection(controls, saver)
        super().__init__(
            Section("View", self.view),
            Section("Classes", self.legend),
            Section("Model", self.model),
            Section("Recording", self.recording),
        )
        self._settings = controls.settings
        for section in self.sections:
            section.fold(section.title in self._settings.folded)
            section.folded.connect(self._remember_folds)

    def _remember_folds(self) -> None:
        self._settings.folded = tuple(s.title for s in self.sections if s.body.isHidden())

    def _open(self, body: QWidget) -> None:
        self.needed.emit()
        next(section for section in self.sections if section.body is body).fold(False)
        self.ensureWidgetVisible(body)

    def focus_legend(self) -> None:
        """Give the focus to the first class."""
        self._open(self.legend)
        if self.legend.rows:
            self.legend.rows[0].setFocus(Qt.FocusReason.ShortcutFocusReason)

    def choose(self, box: QComboBox) -> None:
        """Open a list of the Model section."""
        self._open(self.model)
        self.ensureWidgetVisible(box)
        box.setFocus(Qt.FocusReason.ShortcutFocusReason)
        box.showPopup()

    def edit(self, line: QLineEdit) -> None:
        """Let the user type over a line of the Recording section."""
        self._open(self.recording)
        self.ensureWidgetVisible(line)
        line.setFocus(Qt.FocusReason.ShortcutFocusReason)
        line.selectAll()
