"""Explain what the window shows, and list every key."""

from __future__ import annotations

from PyQt6.QtCore import Qt
from PyQt6.QtGui import QKeySequence
from PyQt6.QtWidgets import (
    QDialog,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QScrollArea,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from segnet_live.ui.command import Command
from segnet_live.ui.parts import quiet_label
from segnet_live.ui.theme import ACCENT, LINE, RAISED


def key_name(command: Command) -> str:
    """Return the command's keys as printed on a keyboard, a row of class keys as its first and last."""
    if command.group == "Classes" and command.keys[0].endswith("1"):
        return f"{command.keys[0]} ... 9, 0, -"
    return " or ".join(QKeySequence(key).toString(QKeySequence.SequenceFormat.NativeText) for key in command.keys)


INTRO = (
    "Each pixel of the video gets a class - road, car, tree ... - from a neural network, while it plays. "
    "Hover over the picture to read a class; click a class in the legend to mute its colour, double-click to "
    "see it alone; drag the line of the wiper. Drop a video, an image folder or a folder of drafts on the window to "
    "open it."
)
FIGURES = (
    "In the HUD: latency is the time from a picture's capture (for a file: from when it was due) until it has "
    "been painted, over the last 2 s; the curve shows the last 10 s. Stages are mean milliseconds. "
    "Dropped frames are those a stage never took because a newer one had come."
)
SEARCH = (
    'Search a video file with questions such as "Pedestrian > 2% for 1s and Road < 30%" or "Car + Bicyclist > '
    '20% or cut": class shares, sums of them, confidence, flicker, motion and time; and, or, not and brackets; '
    '"for" says how long without a break. What was found is marked above the seek bar.'
)
GROUPS = (["Source", "Playback", "Search", "Model", "Window"], ["View", "Classes", "Recording"])


class HelpDialog(QDialog):
    """The dialog behind F1: what a window is for, and the keys of its commands.

    Args:
        intro, more: paragraphs above the keys; the latter are small print.
        groups: of the commands, in a left and a right column.
    """

    def __init__(
        self,
        parent: QWidget,
        table: list[Command],
        intro: str = INTRO,
        more: tuple[str, ...] = (FIGURES, SEARCH),
        groups: tuple[list[str], list[str]] = GROUPS,
    ) -> None:
        super().__init__(parent)
        self.setWindowTitle("Help")
        self.resize(min(900, parent.width()), min(720, parent.height()))
        columns = QHBoxLayout()
        columns.setSpacing(28)
        for half in groups:
            column = QVBoxLayout()
            for group in half:
                column.addWidget(self._group(group, [c for c in table if c.group == group and c.text]))
            column.addStretch(1)
            columns.addLayout(column, 1)
        inner = QWidget()
        body = QVBoxLayout(inner)
        body.setContentsMargins(24, 20, 24, 20)
        body.setSpacing(12)
        above = QLabel(intro)
        above.setWordWrap(True)
        body.addWidget(above)
        for text in more:
            body.addWidget(quiet_label(text))
        body.addLayout(columns)
        scroll = QScrollArea()
        scroll.setWidget(inner)
        scroll.setWidgetResizable(True)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(scroll)

    @staticmethod
    def _group(title: str, table: list[Command]) -> QWidget:
        box = QWidget()
        box.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Maximum)
        grid = QGridLayout(box)
        grid.setContentsMargins(0, 8, 0, 8)
        grid.setVerticalSpacing(5)
        grid.setColumnStretch(1, 1)
        heading = QLabel(title)
        heading.setStyleSheet(f"color: {ACCENT}; font-weight: 600;")
        grid.addWidget(heading, 0, 0, 1, 2)
        for row, command in enumerate(table, start=1):
            keys = QLabel(key_name(command))
            keys.setStyleSheet(f"background: {RAISED}; border: 1px solid {LINE}; border-radius: 4px; padding: 1px 6px;")
            grid.addWidget(keys, row, 0, Qt.AlignmentFlag.AlignLeft)
            text = QLabel(command.text)
            text.setWordWrap(True)
            grid.addWidget(text, row, 1)
        return box
