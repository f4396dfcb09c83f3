"""Give the window its colours, style sheet and icons."""

from __future__ import annotations

from functools import cache

from PyQt6.QtCore import QSize, Qt
from PyQt6.QtGui import QColor, QFont, QFontDatabase, QIcon, QPainter, QPalette, QPixmap
from PyQt6.QtWidgets import QApplication

from segnet_live.system.paths import assets_dir

GROUND, PANEL, RAISED, LINE = "#0d1014", "#14181e", "#1e242c", "#2a323d"
TEXT, QUIET, ACCENT, ON_ACCENT = "#e9edf2", "#93a0b0", "#f2c14e", "#171204"
RECORD, GOOD, WARN = "#ef4f55", "#5ad1a0", "#f2a33c"

SHEET = f"""
* {{ outline: none; }}
QWidget {{ color: {TEXT}; font-size: 13px; }}
QMainWindow, QDialog {{ background: {GROUND}; }}
#header, #transport {{ background: {PANEL}; }}
#header {{ border-bottom: 1px solid {LINE}; }}
#transport {{ border-top: 1px solid {LINE}; }}
#panel, #panel > QWidget, #panelBody {{ background: {PANEL}; }}
#panel {{ border: none; border-left: 1px solid {LINE}; }}
#quiet {{ color: {QUIET}; }}
#title {{ font-size: 14px; font-weight: 600; }}
#big {{ font-size: 26px; font-weight: 600; }}
#fold {{
    background: transparent; border: none; border-radius: 0; padding: 8px 12px; text-align: left;
    font-weight: 600; color: {TEXT};
}}
#fold:hover {{ background: {RAISED}; }}
#section {{ border-bottom: 1px solid {LINE}; }}
QPushButton, QToolButton {{
    background: {RAISED}; border: 1px solid {LINE}; border-radius: 6px; padding: 5px 10px; min-height: 18px;
}}
QToolButton {{ padding: 5px; }}
QToolButton#bare {{ background: transparent; border-color: transparent; }}
QPushButton:hover, QToolButton:hover, QToolButton#bare:hover {{ background: #28303a; border-color: #3a4554; }}
QPushButton:pressed, QToolButton:pressed {{ background: {LINE}; }}
QPushButton:focus, QToolButton:focus, QComboBox:focus, QLineEdit:focus, QListWidget:focus {{ border-color: {ACCENT}; }}
QPushButton:checked, QToolButton:checked {{ background: #3a321c; border-color: {ACCENT}; color: {ACCENT}; }}
QPushButton:disabled, QToolButton:disabled, QLabel:disabled, QCheckBox:disabled, QComboBox:disabled {{
    color: #56616f;
}}
QToolButton#bare:checked {{ background: #3a321c; border-color: #6b5a26; }}
QPushButton#primary {{ background: {ACCENT}; border-color: {ACCENT}; color: {ON_ACCENT}; font-weight: 600; }}
QPushButton#primary:hover {{ background: #ffd470; }}
QPushButton#record:checked {{ background: #43191c; border-color: {RECORD}; color: #ffd7d8; }}
QToolButton::menu-indicator {{ image: none; }}
QComboBox, QLineEdit, QSpinBox {{
    background: {GROUND}; border: 1px solid {LINE}; border-radius: 6px; padding: 4px 8px; min-height: 20px;
    selection-background-color: {ACCENT}; selection-color: {ON_ACCENT};
}}
QComboBox QLineEdit {{ background: transparent; border: none; padding: 0; min-height: 0; }}
QComboBox::drop-down {{ border: none; width: 20px; }}
QComboBox::down-arrow {{ image: url({{icons}}/chevron-down.svg); width: 12px; height: 12px; }}
QComboBox QAbstractItemView, QMenu {{
    background: {RAISED}; border: 1px solid {LINE}; padding: 4px;
    selection-background-color: #3a321c; selection-color: {ACCENT};
}}
QMenu::item {{ padding: 6px 24px 6px 12px; border-radius: 4px; }}
QMenu::item:selected {{ background: #3a321c; color: {ACCENT}; }}
QMenu::item:disabled {{ color: {QUIET}; }}
QMenu::separator {{ height: 1px; background: {LINE}; margin: 4px 6px; }}
QSlider::groove:horizontal {{ height: 4px; background: {LINE}; border-radius: 2px; }}
QSlider::sub-page:horizontal {{ background: {ACCENT}; border-radius: 2px; }}
QSlider::handle:horizontal {{
    width: 14px; height: 14px; margin: -5px 0; border-radius: 7px; background: {TEXT};
}}
QSlider::handle:horizontal:focus {{ background: {ACCENT}; }}
QProgressBar {{ background: {LINE}; border: none; border-radius: 2px; max-height: 4px; }}
QProgressBar::chunk {{ background: {ACCENT}; border-radius: 2px; }}
QCheckBox {{ spacing: 8px; }}
QCheckBox::indicator {{
    width: 16px; height: 16px; border: 1px solid #465262; border-radius: 4px; background: {GROUND};
}}
QCheckBox::indicator:checked {{ background: {ACCENT}; border-color: {ACCENT}; image: url({{icons}}/check.svg); }}
QCheckBox:focus {{ color: {ACCENT}; }}
QScrollArea {{ border: none; }}
QScrollBar:vertical {{ background: transparent; width: 10px; margin: 0; }}
QScrollBar::handle:vertical {{ background: #39434f; border-radius: 4px; min-height: 30px; margin: 1px; }}
QScrollBar::add-line, QScrollBar::sub-line, QScrollBar::add-page, QScrollBar::sub-page {{
    background: none; height: 0;
}}
QListWidget, QTableWidget {{ background: {PANEL}; border: 1px solid {LINE}; border-radius: 8px; padding: 4px; }}
QListWidget::item {{ padding: 7px 8px; border-radius: 5px; }}
QListWidget::item:selected, QListWidget::item:hover {{ background: #3a321c; color: {ACCENT}; }}
QToolTip {{ background: {RAISED}; color: {TEXT}; border: 1px solid {LINE}; padding: 4px 6px; }}
#banner {{ background: #2b1f12; border: 1px solid {WARN}; border-radius: 8px; }}
#banner[kind="note"] {{ background: #14251f; border-color: {GOOD}; }}
"""


ICON_SIZE = QSize(18, 18)


def icon_path(name: str) -> str:
    return (assets_dir() / "icons" / f"{name}.svg").as_posix()


@cache
def icon(name: str) -> QIcon:
    """Return an icon of `assets/icons`, sharp at every scale and faint when disabled."""
    found = QIcon(icon_path(name))
    for scale in (1, 2, 3):  # Qt's own way to grey out leaves light icons on dark ground as bright as before
        pixmap = found.pixmap(ICON_SIZE, scale)
        faint = QPixmap(pixmap.size())
        faint.setDevicePixelRatio(scale)
        faint.fill(Qt.GlobalColor.transparent)
        painter = QPainter(faint)
        painter.setOpacity(0.3)
        painter.drawPixmap(0, 0, pixmap)
        painter.end()
        found.addPixmap(faint, QIcon.Mode.Disabled)
    return found


def monospace(size_px: float) -> QFont:
    """Return the system's fixed-pitch font at `size_px`."""
    font = QFontDatabase.systemFont(QFontDatabase.SystemFont.FixedFont)
    font.setStyleHint(QFont.StyleHint.Monospace)
    font.setPixelSize(max(1, round(size_px)))
    return font


def dress(app: QApplication) -> None:
    """Give every window of `app` the dark palette and the style sheet."""
    app.setStyle("Fusion")
    palette = QPalette()
    roles = QPalette.ColorRole
    for role, colour in (
        (roles.Window, PANEL),
        (roles.WindowText, TEXT),
        (roles.Base, GROUND),
        (roles.AlternateBase, PANEL),
        (roles.Text, TEXT),
        (roles.PlaceholderText, QUIET),
        (roles.Button, RAISED),
        (roles.ButtonText, TEXT),
        (roles.ToolTipBase, RAISED),
        (roles.ToolTipText, TEXT),
        (roles.Highlight, ACCENT),
        (roles.HighlightedText, ON_ACCENT),
        (roles.Link, ACCENT),
    ):
        palette.setColor(role, QColor(colour))
    app.setPalette(palette)
    app.setStyleSheet(SHEET.replace("{icons}", (assets_dir() / "icons").as_posix()))
