"""Show a frame under its label map, zoomed and moved, and turn the mouse into edits."""

from __future__ import annotations

from typing import Literal, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray
from PyQt6.QtCore import QPointF, QRectF, Qt, pyqtSignal
from PyQt6.QtGui import (
    QColor,
    QImage,
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QPen,
    QPolygonF,
    QResizeEvent,
    QWheelEvent,
)
from PyQt6.QtWidgets import QWidget

from segnet_live.classes import ClassSet
from segnet_live.drafts.editing import Box, Editing
from segnet_live.frame import LabelMap
from segnet_live.ui.theme import ACCENT, GROUND

Tool: TypeAlias = Literal["brush", "polygon", "fill", "region"]
ZOOM_STEP = 1.25
LARGEST_ZOOM = 24.0
RADII = (1, 2, 3, 5, 8, 12, 18, 27, 40, 60)
"""Brush radii in pixels of the picture; superpixels are twice as wide."""
SMALLEST_REGION_PX = 6


class Canvas(QWidget):
    """The picture that is corrected. Lives in the window's thread.

    Attributes:
        tool, class_id, radius_px: what the mouse does.
        opacity: of the class colours, 0..1.

    Signals:
        edited: the label map changed, or there is another.
        picked: a class id, by a right click.
    """

    edited = pyqtSignal()
    picked = pyqtSignal(int)

    def __init__(self, classes: ClassSet) -> None:
        super().__init__()
        self.tool: Tool = "brush"
        self.class_id = 0
        self.radius_px = 8
        self.opacity = 0.55
        self._classes = classes
        self._editing: Editing | None = None
        self._guess: LabelMap | None = None
        self._before = False
        self._pixels: NDArray[np.uint8] | None = None
        self._image: QImage | None = None
        self._zoom, self._at = 1.0, QPointF()
        self._fitted = True
        self._corners: list[tuple[float, float]] = []
        self._last: tuple[float, float] | None = None
        self._pan: QPointF | None = None
        self._cursor: QPointF | None = None
        self._space = False
        self.setMouseTracking(True)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setMinimumSize(240, 180)
        self.setCursor(Qt.CursorShape.CrossCursor)
        self.setAttribute(Qt.WidgetAttribute.WA_OpaquePaintEvent)

    @property
    def editing(self) -> Editing | None:
        """The label map that is corrected, None while there is none."""
        return self._editing

    def show_draft(self, editing: Editing, guess: LabelMap) -> None:
        """Show another frame, whole, with the label map that `editing` changes; `guess` is the one before."""
        self._editing, self._guess, self._before = editing, guess, False
        self._corners, self._last = [], None
        height, width = editing.labels.shape
        self._pixels = np.empty((height, width, 4), np.uint8)
        self._image = QImage(self._pixels.data, width, height, width * 4, QImage.Format.Format_RGB32)  # type: ignore[call-overload]
        self.fit()
        self._compose()
        self.edited.emit()

    @property
    def has_corners(self) -> bool:
        """Whether a polygon is being drawn."""
        return bool(self._corners)

    # What is shown

    def set_opacity(self, opacity: float) -> None:
        """Show the class colours more or less."""
        self.opacity = min(1.0, max(0.0, opacity))
        self._compose()

    def show_before(self, on: bool) -> None:
        """Show the model's guess instead of the label map, as long as `on`."""
        self._before = on
        self._compose()

    @property
    def shows_before(self) -> bool:
        return self._before

    def _compose(self, box: Box | None = None) -> None:
        if self._editing is None or self._pixels is None or self._guess is None:
            return
        height, width = self._editing.labels.shape
        left, top, right, bottom = box or (0, 0, width, height)
        if right <= left or bottom <= top:
            return
        labels = (self._guess if self._before else self._editing.labels)[top:bottom, left:right]
        rgb = self._editing.rgb[top:bottom, left:right]
        colours = self._classes.palette[labels]
        mixed = cv2.addWeighted(rgb, 1 - self.opacity, colours, self.opacity, 0)
        self._pixels[top:bottom, left:right, :3] = mixed[..., ::-1]  # QImage's RGB32 is BGRA in memory
        self._pixels[top:bottom, left:right, 3] = 255
        self.update()

    def fit(self) -> None:
        """Show the whole picture."""
        self._fitted = True
        if self._editing is not None:
            height, width = self._editing.labels.shape
            self._zoom = min(self.width() / width, self.height() / height) or 1.0
            self._at = QPointF((self.width() - width * self._zoom) / 2, (self.height() - height * self._zoom) / 2)
        self.update()

    def zoom(self, factor: float, around: QPointF | None = None) -> None:
        """Show the picture larger or smaller; the point `around` (the middle) stays where it is."""
        around = around or QPointF(self.rect().center())
        new = min(LARGEST_ZOOM, max(0.1, self._zoom * factor))
        self._at = around - (around - self._at) * (new / self._zoom)
        self._zoom, self._fitted = new, False
        self.update()

    def resizeEvent(self, event: QResizeEvent | None) -> None:
        if self._fitted:
            self.fit()

    def place(self, point: QPointF) -> tuple[float, float]:
        """Return (x, y) in the picture of a point of this widget."""
        return (point.x() - self._at.x()) / self._zoom, (point.y() - self._at.y()) / self._zoom

    def point(self, x: float, y: float) -> QPointF:
        """Return the point of this widget that shows (x, y) of the picture."""
        return QPointF(self._at.x() + x * self._zoom, self._at.y() + y * self._zoom)

    def paintEvent(self, event: QPaintEvent | None) -> None:
        painter = QPainter(self)
        painter.fillRect(self.rect(), QColor(GROUND))
        if self._image is not None:
            size = self._image.size()
            target = QRectF(self._at.x(), self._at.y(), size.width() * self._zoom, size.height() * self._zoom)
            painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform, self._zoom < 2)
            painter.drawImage(target, self._image)
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            self._paint_marks(painter)
        painter.end()

    def _paint_marks(self, painter: QPainter) -> None:
        """Paint the corners of the polygon, and the brush around the pointer."""
        pen = QPen(QColor(ACCENT), 1.6)
        painter.setPen(pen)
        if self._corners:
            points = [self.point(x, y) for x, y in self._corners]
            if self._cursor is not None:
                points.append(self._cursor)
            painter.drawPolyline(QPolygonF(points))
            for point in points[: len(self._corners)]:
                painter.drawEllipse(point, 3, 3)
        if self._cursor is None or self.tool not in ("brush", "region"):
            return
        radius = self.radius_px * self._zoom
        for colour, width in (("#000000", 3.0), (self._colour(), 1.6)):
            style = Qt.PenStyle.SolidLine if self.tool == "brush" else Qt.PenStyle.DotLine
            painter.setPen(QPen(QColor(colour), width, style))
            painter.drawEllipse(self._cursor, radius, radius)

    def _colour(self) -> str:
        if self.class_id >= len(self._classes):
            return "#ffffff"
        return "#{:02x}{:02x}{:02x}".format(*(min(255, c + 70) for c in self._classes.colours[self.class_id]))

    # Edits

    @property
    def region_px(self) -> int:
        """The width of a superpixel, in pixels of the picture."""
        return max(SMALLEST_REGION_PX, 2 * self.radius_px)

    def undo(self) -> None:
        self._after(self._editing.undo() if self._editing is not None else None)

    def redo(self) -> None:
        self._after(self._editing.redo() if self._editing is not None else None)

    def close_polygon(self) -> None:
        """Fill the polygon whose corners were clicked."""
        corners, self._corners = self._corners, []
        if self._editing is not None and len(corners) > 2:
            self._editing.begin()
            box = self._editing.polygon(corners, self.class_id)
            self._editing.end()
            self._after(box)
        self.update()

    def drop_polygon(self) -> bool:
        """Forget the polygon's corners; return whether there were any."""
        had, self._corners = bool(self._corners), []
        self.update()
        return had

    def _after(self, box: Box | None) -> None:
        if box is not None:
            self._compose(box)
            self.edited.emit()

    def _apply(self, place: tuple[float, float], previous: tuple[float, float] | None) -> None:
        editing = self._editing
        if editing is None:
            return
        box: Box | None
        if self.tool == "brush":
            box = editing.brush([previous, place] if previous is not None else [place], self.radius_px, self.class_id)
        elif self.tool == "region":
            if editing.class_at(place) == self.class_id and previous is not None:
                return
            box = editing.region(place, self.region_px, self.class_id)
        else:
            box = editing.fill(place, self.class_id)
        if box is not None:
            self._compose(box)

    # Mouse and keys

    def mousePressEvent(self, event: QMouseEvent | None) -> None:
        if event is None or self._editing is None:
            return
        place = self.place(event.position())
        if event.button() == Qt.MouseButton.MiddleButton or (
            event.button() == Qt.MouseButton.LeftButton and self._space
        ):
            self._pan = event.position()
        elif event.button() == Qt.MouseButton.RightButton:
            if not self._corners:
                found = self._editing.class_at(place)
                if found is not None:
                    self.picked.emit(found)
            else:
                self.close_polygon()
        elif event.button() == Qt.MouseButton.LeftButton and not self._before:
            if self.tool == "polygon":
                self._corners.append(place)
                self.update()
            else:
                self._editing.begin()
                self._apply(place, None)
                self._last = place

    def mouseMoveEvent(self, event: QMouseEvent | None) -> None:
        if event is None:
            return
        self._cursor = event.position()
        if self._pan is not None:
            self._at += event.position() - self._pan
            self._pan, self._fitted = event.position(), False
        elif self._last is not None and self.tool in ("brush", "region"):
            place = self.place(event.position())
            self._apply(place, self._last)
            self._last = place
        self.update()

    def mouseReleaseEvent(self, event: QMouseEvent | None) -> None:
        self._pan = None
        if self._last is not None and self._editing is not None:
            self._last = None
            self._editing.end()
            self.edited.emit()

    def mouseDoubleClickEvent(self, event: QMouseEvent | None) -> None:
        if self.tool == "polygon":
            self.close_polygon()
        else:
            self.mousePressEvent(event)

    def wheelEvent(self, event: QWheelEvent | None) -> None:
        if event is not None and event.angleDelta().y():
            self.zoom(ZOOM_STEP if event.angleDelta().y() > 0 else 1 / ZOOM_STEP, event.position())

    def leaveEvent(self, event: object) -> None:
        self._cursor = None
        self.update()

    def keyPressEvent(self, event: QKeyEvent | None) -> None:
        if event is not None and event.key() == Qt.Key.Key_Space:
            self._space = True
        else:
            super().keyPressEvent(event)

    def keyReleaseEvent(self, event: QKeyEvent | None) -> None:
        if event is not None and event.key() == Qt.Key.Key_Space and not event.isAutoRepeat():
            self._space = False
        else:
            super().keyReleaseEvent(event)
