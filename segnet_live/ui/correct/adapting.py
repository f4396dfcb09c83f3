"""Run `segnet-live adapt` beside the window, and show figures and pictures of what it gave."""

from __future__ import annotations

import json
import re
import sys
import time
from pathlib import Path
from typing import Any

from PyQt6.QtCore import QObject, QProcess, Qt, pyqtSignal
from PyQt6.QtGui import QPixmap
from PyQt6.QtWidgets import (
    QDialog,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from segnet_live.card import Card
from segnet_live.ui.parts import plain_label, quiet_label
from segnet_live.ui.theme import ACCENT

PROGRAM = (sys.executable, "-m", "segnet_live")
PICTURE_PX = 900
KILL_AFTER_MS = 4000
SHARE_THAT_TELLS = 0.1
"""The share of the training after which its pace says how long the rest takes."""


class Adapting(QObject):
    """An adaptation in a process of its own: the window stays quick, and stopping it leaves nothing behind.

    Attributes:
        status: what it does now, or how it ended; "" before.
        share: the share 0..1 of the training that is done; None while it measures, or nothing runs.

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
        self._training_since_s = 0.0
        self.status = ""
        self.share: float | None = None

    @property
    def is_running(self) -> bool:
        return self._process is not None

    def start(self) -> None:
        """Begin; does nothing while one runs."""
        if self._process is not None:
            return
        process = self._process = QProcess(self)
        program, *first = PROGRAM
        process.setProgram(program)
        process.setArguments([*first, "adapt", str(self._drafts), "--model", str(self._card.folder), "--json"])
        process.readyReadStandardError.connect(self._read)
        process.finished.connect(self._ended)
        process.errorOccurred.connect(self._failed)
        self._last, self._stopped, self.status, self.share = "", False, "starting ...", None
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
            if line.startswith("measuring"):
                self.status, self.share = line, None
            elif training := re.fullmatch(r"adapting (\d+)%", line):
                self._trained(int(training[1]) / 100)
            self._last = line
        self.changed.emit()

    def _trained(self, share: float) -> None:
        """Show how far the training is and, once that tells, how long it takes."""
        now_s = time.monotonic()
        if self.share is None:
            self._training_since_s = now_s
        self.share, self.status = share, f"learning, {share:.0%}"
        if share >= SHARE_THAT_TELLS:
            left_s = (now_s - self._training_since_s) * (1 - share) / share
            self.status += f", about {max(1, round(left_s / 60))} min left" if left_s > 40 else ", nearly done"

    def _failed(self, error: QProcess.ProcessError) -> None:
        if error is QProcess.ProcessError.FailedToStart and self._process is not None:
            self.problem.emit(f"segnet-live adapt did not start: {self._process.errorString()}")
            self._process, self.status, self.share = None, "", None
            self.changed.emit()

    def _ended(self, code: int, how: QProcess.ExitStatus) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        lines = bytes(process.readAllStandardError().data()).decode(errors="replace").strip().splitlines()
        last = lines[-1] if lines else self._last
        output = bytes(process.readAllStandardOutput().data()).decode(errors="replace")
        process.deleteLater()
        self.status, self.share = "", None
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
        grid.setHorizontalSpacing(24)
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
        close = QPushButton("Close")
        close.setDefault(True)
        close.clicked.connect(self.accept)
        buttons = QHBoxLayout()
        buttons.setContentsMargins(20, 8, 20, 12)
        buttons.addStretch(1)
        buttons.addWidget(close)
        outer.addLayout(buttons)
