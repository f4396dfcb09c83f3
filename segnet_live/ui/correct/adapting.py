"""Run `segnet-live adapt` beside the window, and show figures and pictures of what it gave."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from PyQt6.QtCore import QObject, QProcess, Qt, pyqtSignal
from PyQt6.QtGui import QPixmap
from PyQt6.QtWidgets import QDialog, QGridLayout, QLabel, QScrollArea, QVBoxLayout, QWidget

from segnet_live.card import Card
from segnet_live.ui.parts import plain_label, quiet_label
from segnet_live.ui.theme import ACCENT

PICTURE_PX = 900
KILL_AFTER_MS = 4000


class Adapting(QObject):
    """An adaptation in a process of its own: the window stays quick, and stopping it leaves nothing behind.

    Signals:
        changed: `status` is another.
        problem: a line for the user.
        finished: the folder of the new model.
    """

    changed = pyqtSignal()
    problem = pyqtSignal(str)
    finished = pyqtSignal(object)

    def __init__(self, window: QWidget, drafts: Path, card: Card) -> None:
        super().__init__(window)
        self._window, self._drafts, self._card = window, drafts, card
        self._process: QProcess | None = None
        self._last = ""
        self._stopped = False
        self.status = ""

    @property
    def is_running(self) -> bool:
        return self._process is not None

    def start(self) -> None:
        """Begin; does nothing while one runs."""
        if self._process is not None:
            return
        process = self._process = QProcess(self)
        process.setProgram(sys.executable)
        what = ["adapt", str(self._drafts), "--model", str(self._card.folder)]
        process.setArguments(["-m", "segnet_live", *what, "--json"])
        process.readyReadStandardError.connect(self._read)
        process.finished.connect(self._ended)
        process.errorOccurred.connect(self._failed)
        self._last, self._stopped, self.status = "", False, "adapting ..."
        process.start()
        self.changed.emit()

    def stop(self) -> None:
        """Stop it; nothing is written then."""
        process = self._process
        if process is None:
            return
        self._stopped = True
        process.terminate()
        if not process.waitForFinished(KILL_AFTER_MS):
            process.kill()
            process.waitForFinished(KILL_AFTER_MS)

    def _read(self) -> None:
        if self._process is None:
            return
        lines = bytes(self._process.readAllStandardError().data()).decode(errors="replace").splitlines()
        for line in filter(None, (line.strip() for line in lines)):
            if line.startswith(("adapting", "measuring")):
                self.status = line
            self._last = line
        self.changed.emit()

    def _failed(self, error: QProcess.ProcessError) -> None:
        if error is QProcess.ProcessError.FailedToStart and self._process is not None:
            self.problem.emit(f"segnet-live adapt did not start: {self._process.errorString()}")
            self._process, self.status = None, ""
            self.changed.emit()

    def _ended(self, code: int, how: QProcess.ExitStatus) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        lines = bytes(process.readAllStandardError().data()).decode(errors="replace").strip().splitlines()
        last = lines[-1] if lines else self._last
        output = bytes(process.readAllStandardOutput().data()).decode(errors="replace")
        process.deleteLater()
        self.status = ""
        if self._stopped:
            self.status = "stopped; nothing was written"
        elif code or how is QProcess.ExitStatus.CrashExit:
            self.problem.emit(last.removeprefix("segnet-live: ") or f"segnet-live adapt ended with {code}")
        else:
            outcome = json.loads(output)
            self.status = f"{outcome['name']} is in the list of models"
            self.finished.emit(Path(outcome["model"]))
            self._show(outcome)
        self.changed.emit()

    def _show(self, outcome: dict[str, Any]) -> None:
        dialog = OutcomeDialog(self._window, outcome)
        dialog.finished.connect(dialog.deleteLater)
        dialog.open()


class OutcomeDialog(QDialog):
    """The figures before and after, and the held-back frames under both models."""

    def __init__(self, parent: QWidget, outcome: dict[str, Any]) -> None:
        super().__init__(parent)
        self.setWindowTitle(f"{outcome['name']} - segnet-live")
        self.resize(min(960, parent.width()), min(720, parent.height()))
        inner = QWidget()
        layout = QVBoxLayout(inner)
        layout.setContentsMargins(20, 16, 20, 16)
        heading = plain_label(f"{outcome['name']} learnt from {outcome['learnt']} corrected frames")
        heading.setObjectName("title")
        layout.addWidget(heading)
        grid = QGridLayout()
        grid.setColumnStretch(3, 1)
        rows = [("Frames held back", outcome["held_back"])]
        if "before" in outcome["old_roads"]:
            rows.append((f"Old roads ({outcome['old_roads']['about']})", outcome["old_roads"]))
        for column, text in enumerate(("mIoU", "before", "after")):
            label = QLabel(text)
            label.setStyleSheet(f"color: {ACCENT}; font-weight: 600;")
            grid.addWidget(label, 0, column)
        for row, (name, pair) in enumerate(rows, start=1):
            images = pair["after"]["images"]
            grid.addWidget(plain_label(f"{name}, {images}"), row, 0)
            grid.addWidget(QLabel(f"{pair['before']['mIoU']:.3f}"), row, 1)
            grid.addWidget(QLabel(f"{pair['after']['mIoU']:.3f}"), row, 2)
        layout.addLayout(grid)
        layout.addWidget(
            quiet_label(
                "Each picture: the frame, the labels over it, and in white where they are wrong; above with the old "
                f"model, below with the new one. The new model is in {outcome['model']}."
            )
        )
        for path in sorted(Path(outcome["pictures"]).glob("*.png")):
            picture = QLabel()
            pixmap = QPixmap(str(path))
            picture.setPixmap(pixmap.scaledToWidth(PICTURE_PX, Qt.TransformationMode.SmoothTransformation))
            layout.addWidget(picture)
        layout.addStretch(1)
        scroll = QScrollArea()
        scroll.setWidget(inner)
        scroll.setWidgetResizable(True)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(scroll)
