"""The panel's section on recording: the button with time, size and losses, and options of what is written where."""

from __future__ import annotations

from PyQt6.QtCore import QSignalBlocker
from PyQt6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFileDialog,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from segnet_live.config import ENCODERS, QUALITIES, Encoding, clock
from segnet_live.errors import UsageError
from segnet_live.ui.controls import Controls
from segnet_live.ui.naming import FIELDS, check_pattern
from segnet_live.ui.parts import narrow, quiet_label, select
from segnet_live.ui.saving import Saver
from segnet_live.ui.settings import Settings
from segnet_live.ui.theme import icon


def file_size(count: int) -> str:
    """Return a number of bytes in a readable unit."""
    return f"{count / 1e6:.1f} MB" if count < 1e9 else f"{count / 1e9:.2f} GB"


class RecordButton(QPushButton):
    """A button that records or stops; while recording it shows seconds, size and losses.

    After a stop it says so, and takes no click, until the file is complete.
    """

    def __init__(self, saver: Saver) -> None:
        super().__init__()
        self.setObjectName("record")
        self.setCheckable(True)
        self._saver = saver
        self.clicked.connect(lambda: saver.record())
        saver.changed.connect(self.refresh)
        self.refresh()

    def refresh(self) -> None:
        """Show the state of the recording; called on changes and four times a second."""
        recording = self._saver.recording
        self.setEnabled(not self._saver.is_finishing)
        self.setChecked(recording is not None)
        self.setIcon(icon("stop" if recording is not None else "record"))
        if recording is None:
            self.setText("Record")
            self.setToolTip("Record what is shown (R)")
            return
        if self._saver.is_finishing:
            self.setText("Finishing ...")
            self.setToolTip("The file is being completed; a long recording takes a while")
            return
        lost = f"  {recording.dropped} dropped" if recording.dropped else ""
        self.setText(f"{clock(recording.elapsed_s)}  {file_size(recording.written_bytes)}{lost}")
        self.setToolTip("Stop and finish the file (R)")


class RecordingSection(QWidget):
    """The options of recordings, snapshots and hard frames."""

    def __init__(self, controls: Controls, saver: Saver) -> None:
        super().__init__()
        self._controls, self._saver = controls, saver
        settings = controls.settings
        self.button = RecordButton(saver)
        self.labels, self.burn = QCheckBox("Also label maps (PNG)"), QCheckBox("Burn in the HUD")
        self.labels.toggled.connect(lambda on: setattr(settings, "record_labels", on))
        self.burn.toggled.connect(saver.set_burn_hud)
        self.encoder, self.quality = QComboBox(), QSpinBox()
        for encoder in ENCODERS:
            self.encoder.addItem("Auto" if encoder == "auto" else encoder, encoder)
        narrow(self.encoder)
        self.encoder.setToolTip("What encodes the next recording: hardware where it opens, else x264")
        self.encoder.activated.connect(self._use_encoding)
        self.quality.setButtonSymbols(QSpinBox.ButtonSymbols.NoButtons)  # typed or turned; there is no room
        self.quality.setRange(QUALITIES.start, QUALITIES.stop - 1)
        self.quality.setToolTip("Quality of the next recording: lower is better and larger")
        self.quality.valueChanged.connect(self._use_encoding)
        self.pattern = QLineEdit(settings.pattern)
        self.pattern.setToolTip("Name of new files; fields: " + " ".join(f"{{{field}}}" for field in FIELDS))
        self.pattern.editingFinished.connect(self._use_pattern)
        self.folder = QPushButton("Folder ...")
        self.folder.clicked.connect(self.choose_folder)
        self._where = quiet_label()
        self.hidden = quiet_label()
        self.hidden.setToolTip("Asked for by --hide. What the window shows and snapshots are not covered.")
        layout = QVBoxLayout(self)
        layout.setSpacing(8)
        layout.addWidget(self.button)
        layout.addWidget(self.labels)
        layout.addWidget(self.burn)
        layout.addWidget(self.hidden)
        row = QHBoxLayout()
        row.addWidget(QLabel("Encoder"))
        row.addWidget(self.encoder, 1)
        row.addWidget(self.quality)
        layout.addLayout(row)
        row = QHBoxLayout()
        row.addWidget(QLabel("Name"))
        row.addWidget(self.pattern, 1)
        layout.addLayout(row)
        row = QHBoxLayout()
        row.addWidget(self.folder)
        row.addStretch(1)
        layout.addLayout(row)
        layout.addWidget(self._where)
        saver.changed.connect(self.refresh)
        self.refresh()

    def _use_pattern(self) -> None:
        try:
            check_pattern(self.pattern.text())
            self._controls.settings.pattern = self.pattern.text()
        except UsageError as error:
            self._controls.problem.emit(str(error))
            self.pattern.setText(self._controls.settings.pattern or Settings().pattern)

    def _use_encoding(self) -> None:
        self._saver.set_encoding(Encoding(self.encoder.currentData(), self.quality.value()))

    def choose_folder(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, "Folder for recordings and snapshots", str(self._saver.folder))
        if folder:
            self._controls.settings.folder = folder
            self.refresh()

    def refresh(self) -> None:
        with QSignalBlocker(self.labels), QSignalBlocker(self.burn), QSignalBlocker(self.quality):
            self.labels.setChecked(self._controls.settings.record_labels)
            self.burn.setChecked(self._saver.burn_hud)
            self.quality.setValue(self._saver.encoding.quality)
        select(self.encoder, self._saver.encoding.encoder)
        self.labels.setEnabled(self._saver.recording is None)
        hide = self._saver.hide
        self.hidden.setVisible(hide is not None)
        self.hidden.setText("" if hide is None else f"Hidden in recordings: {', '.join(hide.names)}")
        self._where.setText(f"Into {self._saver.folder}")
