"""The seek bar: where playback is, and what each part of the file shows, filled in as frames are seen."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PyQt6.QtCore import QPointF, QRectF, QSize, Qt, pyqtSignal
from PyQt6.QtGui import QColor, QImage, QMouseEvent, QPainter, QPainterPath, QPaintEvent, QPen
from PyQt6.QtWidgets import QSizePolicy, QToolTip, QWidget

from segnet_live.classes import ClassSet
from segnet_live.config import clock
from segnet_live.render.confidence import colourise
from segnet_live.ui.theme import ACCENT, LINE, RAISED

STRIP_ROWS = 40
MARK_PX = 4
CONFIDENCE_PX, GAP_PX = 7, 3
LEAST_CONFIDENCE = 0.5
"""Mean confidence of a frame that gets the brightest colour: few frames have less, and the colours would all be one."""


def strip_picture(means: NDArray[np.float32], classes: ClassSet) -> NDArray[np.uint8]:
    """Return (bins, K) mean shares as (STRIP_ROWS, bins, 4) uint8 BGRA.

    Each column stacks the classes' colours, id 0 on top. Columns that were not seen (nan) are transparent.
    """
    tops = np.cumsum(np.nan_to_num(means), axis=1)
    rows = (np.arange(STRIP_ROWS, dtype=np.float32) + 0.5) / STRIP_ROWS
    ids = (rows[:, None, None] >= tops[None]).sum(axis=2).clip(0, 255).astype(np.uint8)
    picture = np.empty((STRIP_ROWS, len(means), 4), np.uint8)
    picture[..., :3] = classes.palette[ids][..., ::-1]
    picture[..., 3] = np.where(np.isnan(means[:, 0]), 0, 255)
    return picture


def confidence_picture(means: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return (bins,) mean confidences 0..1 as (1, bins, 4) uint8 BGRA, bright where the network was unsure."""
    stretched = (np.nan_to_num(means) - LEAST_CONFIDENCE) / (1 - LEAST_CONFIDENCE)
    levels = np.rint(255 * stretched.clip(0, 1)).astype(np.uint8)[None]
    seen = np.where(np.isnan(means), 0, 255).astype(np.uint8)[None, :, None]
    return np.concatenate((colourise(levels)[..., ::-1], seen), 2)


class SeekBar(QWidget):
    """A strip to click and drag, and one below for the confidence where that is asked for.

    Disabled for sources without an end.

    Signals:
        sought: source time in seconds the user wants to see.
    """

    sought = pyqtSignal(float)

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("seekBar")
        self._start_s, self._duration_s, self._at_s = 0.0, 0.0, 0.0
        self._pixels: NDArray[np.uint8] | None = None
        self._strip: QImage | None = None
        self._confidence: QImage | None = None
        self._hover_x: float | None = None
        self._marks: tuple[tuple[float, float], ...] = ()
        self.setMouseTracking(True)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setCursor(Qt.CursorShape.PointingHandCursor)

    def sizeHint(self) -> QSize:
        return QSize(300, 34 + (CONFIDENCE_PX + GAP_PX if self._confidence is not None else 0))

    @property
    def strip(self) -> QImage | None:
        """The coloured strip as it is painted; tests read it."""
        return self._strip

    def show_range(self, start_s: float, duration_s: float | None) -> None:
        """Make the bar span `duration_s` from `start_s`; None makes it idle."""
        self._start_s, self._duration_s = start_s, duration_s or 0.0
        self.setEnabled(bool(duration_s))
        self.update()

    def show_time(self, at_s: float) -> None:
        """Mark source time `at_s` as where playback is."""
        if at_s != self._at_s:
            self._at_s = at_s
            self.update()

    def show_strip(self, means: NDArray[np.float32] | None, classes: ClassSet) -> None:
        """Colour the bar with (bins, K) mean class shares; None empties it."""
        if means is None:
            self._pixels = self._strip = None
        else:
            pixels = strip_picture(means, classes)
            height, width = pixels.shape[:2]
            image = QImage(pixels.data, width, height, width * 4, QImage.Format.Format_ARGB32)  # type: ignore[call-overload]
            self._strip, self._pixels = image, pixels  # the image looks at the array's memory
        self.update()

    @property
    def marks(self) -> tuple[tuple[float, float], ...]:
        """The (start, end) in source time of what is marked."""
        return self._marks

    def show_marks(self, marks: Sequence[tuple[float, float]]) -> None:
        """Mark parts of the file, (start, end) in source time, above the strip."""
        if tuple(marks) != self._marks:
            self._marks = tuple(marks)
            self.update()

    def _paint_marks(self, painter: QPainter, track: QRectF) -> None:
        painter.save()
        painter.setPen(QPen(QColor(0, 0, 0, 160), 1))
        painter.setBrush(QColor(ACCENT))
        for start_s, end_s in self._marks:
            left, right = ((t - self._start_s) / self._duration_s * track.width() for t in (start_s, end_s))
            width = max(MARK_PX, right - left)
            painter.drawRoundedRect(QRectF(track.left() + left, track.top() - 5, width, 8), 2, 2)
        painter.restore()

    def show_confidence(self, means: NDArray[np.float32] | None) -> None:
        """Colour the second strip with (bins,) mean confidences; None takes it away."""
        had = self._confidence is not None
        if means is None:
            self._confidence = None
        else:
            pixels = confidence_picture(means)
            width = pixels.shape[1]
            # copied: the image outlives the array
            self._confidence = QImage(pixels.tobytes(), width, 1, width * 4, QImage.Format.Format_ARGB32).copy()
        if had != (self._confidence is not None):
            self.updateGeometry()
        self.update()

    def _track(self) -> QRectF:
        below = CONFIDENCE_PX + GAP_PX if self._confidence is not None else 0
        return QRectF(8, 6, max(1, self.width() - 16), self.height() - 12 - below)

    def _share(self) -> float:
        return min(1.0, max(0.0, (self._at_s - self._start_s) / self._duration_s)) if self._duration_s else 0.0

    def paintEvent(self, event: QPaintEvent | None) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        track = self._track()
        clip = QPainterPath()
        clip.addRoundedRect(track, 5, 5)
        painter.fillPath(clip, QColor(RAISED))
        if self.isEnabled():
            painter.save()
            painter.setClipPath(clip)
            if self._strip is not None:
                painter.drawImage(track, self._strip)
            painter.restore()
            if self._confidence is not None:
                line = QRectF(track.left(), track.bottom() + GAP_PX, track.width(), CONFIDENCE_PX)
                painter.fillRect(line, QColor(RAISED))
                painter.drawImage(line, self._confidence)
            if self._marks:
                self._paint_marks(painter, track)
            x = track.left() + self._share() * track.width()
            if self._hover_x is not None:
                painter.setPen(QPen(QColor(255, 255, 255, 110), 1))
                painter.drawLine(QPointF(self._hover_x, track.top()), QPointF(self._hover_x, track.bottom()))
            painter.setPen(QPen(QColor(0, 0, 0, 190), 5))
            painter.drawLine(QPointF(x, track.top() - 2), QPointF(x, track.bottom() + 2))
            painter.setPen(QPen(QColor(ACCENT), 2.5))
            painter.drawLine(QPointF(x, track.top() - 3), QPointF(x, track.bottom() + 3))
        painter.setPen(QPen(QColor(LINE), 1))
        painter.drawPath(clip)
        painter.end()

    def _time_at(self, x: float) -> float:
        track = self._track()
        return self._start_s + min(1.0, max(0.0, (x - track.left()) / track.width())) * self._duration_s

    def mousePressEvent(self, event: QMouseEvent | None) -> None:
        if event is not None and event.button() == Qt.MouseButton.LeftButton and self._duration_s:
            self.sought.emit(self._time_at(event.position().x()))

    def mouseMoveEvent(self, event: QMouseEvent | None) -> None:
        if event is None or not self._duration_s:
            return
        self._hover_x = min(self._track().right(), max(self._track().left(), event.position().x()))
        time_s = self._time_at(event.position().x())
        QToolTip.showText(event.globalPosition().toPoint(), clock(time_s - self._start_s, tenths=True), self)
        if event.buttons() & Qt.MouseButton.LeftButton:
            self.sought.emit(time_s)
        self.update()

    def leaveEvent(self, event: object) -> None:
        self._hover_x = None
        self.update()
