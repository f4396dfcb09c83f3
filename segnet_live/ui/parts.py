"""Make the small widgets that several parts of the window use."""

from __future__ import annotations

import html

from PyQt6.QtCore import QSignalBlocker, Qt
from PyQt6.QtWidgets import QComboBox, QLabel, QToolButton

from segnet_live.ui.theme import ICON_SIZE, icon

SCROLL_BAR_PX = 16


def icon_button(name: str, tip: str, *, checkable: bool = False) -> QToolButton:
    """Return a flat button with an icon of `assets/icons`; Tab reaches it, a click leaves the focus where it was."""
    button = QToolButton()
    button.setObjectName("bare")
    button.setIcon(icon(name))
    button.setIconSize(ICON_SIZE)
    button.setToolTip(tip)
    button.setAccessibleName(tip)
    button.setCheckable(checkable)
    button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
    return button


def plain_label(text: str = "") -> QLabel:
    """Return a label that shows its text as it is: Qt would take "<img src=...>" in a file's name for HTML."""
    label = QLabel()
    label.setTextFormat(Qt.TextFormat.PlainText)
    label.setText(text)
    return label


def as_tip(text: str) -> str:
    """Return what a tool tip must be given to show `text`, which may hold names from outside, as it is."""
    return f"<qt>{html.escape(text)}</qt>" if "<" in text else text


def quiet_label(text: str = "") -> QLabel:
    """Return small print that wraps."""
    label = plain_label(text)
    label.setObjectName("quiet")
    label.setWordWrap(True)
    return label


def narrow(box: QComboBox) -> None:
    """Let a box be as narrow as the panel wants it, whatever its entries are called."""
    box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    box.setMinimumContentsLength(3)


def show_entries_whole(box: QComboBox) -> None:
    """Make the list of a narrow box as wide as its longest entry."""
    entries = box.view()
    assert entries is not None
    entries.setMinimumWidth(entries.sizeHintForColumn(0) + 2 * entries.frameWidth() + SCROLL_BAR_PX)


def select(box: QComboBox, value: object) -> None:
    """Show the entry whose data is `value`, without a signal that it changed."""
    with QSignalBlocker(box):
        box.setCurrentIndex(box.findData(value))
