"""The class legend: colour, name and live share of each class; click mutes, double-click solos."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PyQt6.QtCore import QRectF, QSize, Qt, QTimer, pyqtSignal
from PyQt6.QtGui import QColor, QKeyEvent, QMouseEvent, QPainter, QPaintEvent, QPen
from PyQt6.QtWidgets import QApplication, QSizePolicy, QVBoxLayout, QWidget

from segnet_live.classes import ClassSet
from segnet_live.ui.parts import as_tip
from segnet_live.ui.theme import ACCENT, LINE, QUIET, RAISED, TEXT


class LegendRow(QWidget):
    """The row of one class. Space mutes and Enter solos the row that has the keyboard focus."""

    def __init__(self, legend: Legend, class_id: int, name: str) -> None:
        super().__init__()
        self._legend, self.class_id, self.name = legend, class_id, name
        self.share, self.colour, self.muted = 0.0, QColor(), False
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setToolTip(as_tip(f"{name}: click to mute, double-click to show it alone"))
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setAttribute(Qt.WidgetAttribute.WA_Hover)
        # A double click must not mute first: the single click acts when no second one came.
        self._click = QTimer(self)
        self._click.setSingleShot(True)
        self._click.timeout.connect(lambda: legend.muted.emit(class_id))

    def sizeHint(self) -> QSize:
        return QSize(220, 26)

    def mouseReleaseEvent(self, event: QMouseEvent | None) -> None:
        if event is not None and event.button() == Qt.MouseButton.LeftButton and not self._ignore_release:
            self._click.start(QApplication.doubleClickInterval())
        self._ignore_release = False

    _ignore_release = False

    def mouseDoubleClickEvent(self, event: QMouseEvent | None) -> None:
        self._click.stop()
        self._ignore_release = True
        self._legend.soloed.emit(self.class_id)

    def keyPressEvent(self, event: QKeyEvent | None) -> None:
        key = event.key() if event is not None else None
        if key == Qt.Key.Key_Space:
            self._legend.muted.emit(self.class_id)
        elif key in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self._legend.soloed.emit(self.class_id)
        elif key in (Qt.Key.Key_Down, Qt.Key.Key_Up):
            self.focusNextPrevChild(key == Qt.Key.Key_Down)
        else:
            super().keyPressEvent(event)

    def paintEvent(self, event: QPaintEvent | None) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        area = QRectF(self.rect()).adjusted(0.5, 1.5, -0.5, -1.5)
        if self.underMouse() or self.hasFocus():
            painter.setPen(QPen(QColor(ACCENT), 1) if self.hasFocus() else Qt.PenStyle.NoPen)
            painter.setBrush(QColor(RAISED))
            painter.drawRoundedRect(area, 5, 5)
        swatch = QRectF(area.left() + 8, area.center().y() - 6, 12, 12)
        painter.setPen(QPen(QColor(255, 255, 255, 60), 1))
        painter.setBrush(Qt.BrushStyle.NoBrush if self.muted else self.colour)
        painter.drawRoundedRect(swatch, 3, 3)
        font = self.font()
        font.setStrikeOut(self.muted)
        painter.setFont(font)
        painter.setPen(QColor(QUIET if self.muted else TEXT))
        painter.drawText(
            QRectF(swatch.right() + 9, area.top(), 92, area.height()), Qt.AlignmentFlag.AlignVCenter, self.name
        )
        font.setStrikeOut(False)
        painter.setFont(font)
        bar = QRectF(swatch.right() + 104, area.center().y() - 3, max(10, area.right() - swatch.right() - 154), 6)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(LINE))
        painter.drawRoundedRect(bar, 3, 3)
        if self.share > 0:
            filled = QRectF(bar)
            filled.setWidth(max(2.0, bar.width() * min(1.0, self.share)))
            painter.setBrush(self.colour.lighter(125))
            painter.drawRoundedRect(filled, 3, 3)
        painter.setPen(QColor(QUIET))
        percent = f"{self.share * 100:.0f} %" if self.share >= 0.095 or not self.share else f"{self.share * 100:.1f} %"
        text = QRectF(area.right() - 48, area.top(), 44, area.height())
        painter.drawText(text, Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignRight, percent)
        painter.end()


class Legend(QWidget):
    """The rows of all classes of the running model.

    Signals:
        muted, soloed: a class id.
    """

    muted = pyqtSignal(int)
    soloed = pyqtSignal(int)

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[LegendRow] = []
        self._layout = QVBoxLayout(self)
        self._layout.setContentsMargins(0, 0, 0, 0)
        self._layout.setSpacing(0)

    def show_classes(self, classes: ClassSet, hidden: frozenset[int]) -> None:
        """Show one row for each class, in its colour, struck out if muted."""
        if tuple(row.name for row in self.rows) != classes.names:
            for row in self.rows:
                self._layout.removeWidget(row)
                row.deleteLater()
            self.rows = [LegendRow(self, i, name) for i, name in enumerate(classes.names)]
            for row in self.rows:
                self._layout.addWidget(row)
        for row, colour in zip(self.rows, classes.colours, strict=True):
            row.colour, row.muted = QColor(*colour), row.class_id in hidden
            row.update()

    def touch(self, place: int, *, solo: bool) -> None:
        """Mute or solo the class at `place`, if there is one."""
        if place < len(self.rows):
            (self.soloed if solo else self.muted).emit(place)

    def show_shares(self, shares: NDArray[np.float32]) -> None:
        """Show the classes' (K,) shares of the picture, 0..1."""
        if len(shares) == len(self.rows):
            for row, share in zip(self.rows, shares, strict=True):
                if abs(row.share - share) >= 0.0005:
                    row.share = float(share)
                    row.update()
