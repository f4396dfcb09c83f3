"""Paint what the session composed, with HUD, wiper, hover and notices over it."""

from __future__ import annotations

import time

from PyQt6.QtCore import QPointF, QRectF, Qt, QTimer, pyqtSignal
from PyQt6.QtGui import QColor, QFont, QFontMetricsF, QImage, QMouseEvent, QPainter, QPaintEvent, QPen, QResizeEvent
from PyQt6.QtWidgets import QWidget

from segnet_live.config import Layer
from segnet_live.pipeline.live.session import LiveSession, Picture
from segnet_live.render.view import fit_within
from segnet_live.ui.theme import ACCENT, GROUND
from segnet_live.ui.widgets.view_section import LAYER_NAMES

PIXEL_TIMER_MS = 5
WIPER_GRIP_PX = 14


class VideoView(QWidget):
    """The video picture: pulls the newest from the session on a fast timer, and reports when each was painted.

    The one place where a numpy array lives behind a QImage: `_shown` holds it as long as `_image` looks at it.

    Signals:
        wiper_moved: the user dragged the wiper to this place, 0 to 1.
        clicked_twice: a double click, away from the wiper.
    """

    wiper_moved = pyqtSignal(float)
    clicked_twice = pyqtSignal()
    first_picture = pyqtSignal()

    def __init__(self, session: LiveSession) -> None:
        super().__init__()
        self._session = session
        self._shown: Picture | None = None
        self._image: QImage | None = None
        self._plate: QImage | None = None
        self._notice = ""
        self._cursor: QPointF | None = None
        self._dragging = False
        self._drawn = False
        self.setMouseTracking(True)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setMinimumSize(160, 120)
        self.setAttribute(Qt.WidgetAttribute.WA_OpaquePaintEvent)
        self._timer = QTimer(self)
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.timeout.connect(self._pull)
        self._timer.start(PIXEL_TIMER_MS)

    @property
    def shown(self) -> Picture | None:
        """The picture on the screen and everything that belongs to it."""
        return self._shown

    def show_plate(self, plate: QImage | None) -> None:
        """Put the HUD over the picture from the next paint on; None takes it away."""
        self._plate = plate
        self.update()

    def show_notice(self, text: str) -> None:
        """Show a line over the middle of the picture; "" takes it away."""
        if text != self._notice:
            self._notice = text
            self.update()

    def stop(self) -> None:
        """Pull no more pictures."""
        self._timer.stop()

    def _pull(self) -> None:
        shown = self._session.take_picture()
        if shown is None:
            return
        first = self._shown is None
        self._shown = shown
        height, width = shown.screen.shape[:2]
        self._image = QImage(shown.screen.data, width, height, width * 4, QImage.Format.Format_RGB32)  # type: ignore[call-overload]
        began_s = time.perf_counter()
        self._drawn = False
        self.repaint()  # unlike update() this returns when the pixels have left for the window system
        if self._drawn:
            self._session.painted(shown, (time.perf_counter() - began_s) * 1e3)
        if first:
            self.first_picture.emit()

    def resizeEvent(self, event: QResizeEvent | None) -> None:
        scale = self.devicePixelRatioF()
        self._session.set_screen_size((max(1, round(self.height() * scale)), max(1, round(self.width() * scale))))

    def picture_rect(self) -> QRectF:
        """Return where the picture lies, in this widget's coordinates, on whole device pixels."""
        if self._shown is None:
            return QRectF()
        scale = self.devicePixelRatioF()
        box_h, box_w = round(self.height() * scale), round(self.width() * scale)
        h, w = fit_within(self._shown.size, (box_h, box_w))
        return QRectF((box_w - w) // 2 / scale, (box_h - h) // 2 / scale, w / scale, h / scale)

    def paintEvent(self, event: QPaintEvent | None) -> None:
        painter = QPainter(self)
        painter.fillRect(self.rect(), QColor(GROUND))
        if self._shown is not None and self._image is not None:
            rect = self.picture_rect()
            # Same size: a plain copy. After a resize, until the session has composed anew: scaled.
            painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
            painter.drawImage(rect, self._image)
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            self._paint_dividers(painter, rect)
            self._paint_hover(painter)
        if self._plate is not None and self._shown is not None:
            painter.drawImage(self._plate_place(self._plate), self._plate)
        if self._notice:
            self._paint_notice(painter)
        painter.end()
        self._drawn = True

    def _plate_place(self, plate: QImage) -> QPointF:
        """Return the picture's upper left corner if the plate fits into the picture, else the widget's."""
        rect = self.picture_rect()
        size = plate.deviceIndependentSize()
        fits = size.height() + 24 <= rect.height() and size.width() + 24 <= rect.width()
        return rect.topLeft() + QPointF(12, 12) if fits else QPointF(8, 8)

    def _paint_dividers(self, painter: QPainter, rect: QRectF) -> None:
        """Paint the wiper's line and grip, and which layer is which."""
        assert self._shown is not None
        settings = self._shown.settings
        if settings.view not in ("wiper", "side-by-side"):
            return
        x = rect.left() + rect.width() * (settings.wiper if settings.view == "wiper" else 0.5)
        painter.setPen(QPen(QColor(ACCENT), 2))
        painter.drawLine(QPointF(x, rect.top()), QPointF(x, rect.bottom()))
        if settings.view == "wiper":
            painter.setBrush(QColor(ACCENT))
            painter.drawEllipse(QPointF(x, rect.center().y()), 9, 9)
            painter.setPen(QPen(QColor("#171204"), 1.6))
            for side in (-1, 1):
                tip = QPointF(x + side * 6, rect.center().y())
                painter.drawLine(tip, tip + QPointF(-side * 3, -3))
                painter.drawLine(tip, tip + QPointF(-side * 3, 3))
        left, right = (self._layer_name(name) for name in settings.layers)
        y = rect.bottom() - 34
        self._paint_tag(painter, left, QPointF(x - 10, y), align_right=True)
        self._paint_tag(painter, right, QPointF(x + 10, y))

    def _layer_name(self, layer: Layer) -> str:
        """Return what stands over a layer: in a comparison, the overlays have their engines' names."""
        info = self._session.engine_info
        if info is None or info.other is None or layer not in ("overlay", "other"):
            return LAYER_NAMES[layer]
        ours, theirs = (info, info.other) if layer == "overlay" else (info.other, info)
        parts = [ours.model] if ours.model != theirs.model else []
        parts += [ours.backend] if ours.backend != theirs.backend else []
        parts += [ours.precision] if ours.precision != theirs.precision or not parts else []
        return " ".join(parts)

    def _paint_hover(self, painter: QPainter) -> None:
        named = self.class_at(self._cursor) if self._cursor is not None else None
        if named is None or self._cursor is None:
            return
        name, colour = named
        at = self._cursor + QPointF(16, 18)
        font = self._tag_font()
        width = QFontMetricsF(font).horizontalAdvance(name) + 38
        if at.x() + width > self.width():
            at.setX(self._cursor.x() - width - 6)
        if at.y() + 26 > self.height():
            at.setY(self._cursor.y() - 34)
        self._paint_tag(painter, name, at, swatch=QColor(*colour))

    def class_at(self, place: QPointF) -> tuple[str, tuple[int, int, int]] | None:
        """Return name and colour of the class at `place` (widget coordinates); None outside the picture.

        Where two engines differ, both names.
        """
        rect = self.picture_rect()
        if self._shown is None or not self._shown.result.is_segmented or not rect.contains(place):
            return None
        labels = self._shown.result.network_labels
        across = (place.x() - rect.left()) / rect.width()
        if self._shown.settings.view == "side-by-side":
            across = across * 2 % 1
        down = (place.y() - rect.top()) / rect.height()
        height, width = labels.shape
        class_id = int(labels[min(height - 1, int(down * height)), min(width - 1, int(across * width))])
        classes = self._shown.settings.recolour(self._shown.result.classes)
        if class_id >= len(classes):
            return None
        name, other = classes.names[class_id], self._shown.result.other_labels
        if other is not None:
            other_id = int(other[min(height - 1, int(down * height)), min(width - 1, int(across * width))])
            if other_id != class_id and other_id < len(classes):
                name = f"{name} | {classes.names[other_id]}"
        return name, classes.colours[class_id]

    def _tag_font(self) -> QFont:
        font = QFont(self.font())
        font.setPixelSize(13)
        font.setWeight(QFont.Weight.DemiBold)
        return font

    def _paint_tag(
        self, painter: QPainter, text: str, at: QPointF, *, align_right: bool = False, swatch: QColor | None = None
    ) -> None:
        font = self._tag_font()
        metrics = QFontMetricsF(font)
        indent = 20 if swatch is not None else 0
        width, height = metrics.horizontalAdvance(text) + 18 + indent, 26.0
        box = QRectF(at.x() - (width if align_right else 0), at.y(), width, height)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(8, 11, 15, 215))
        painter.drawRoundedRect(box, 6, 6)
        if swatch is not None:
            painter.setBrush(swatch)
            painter.drawRoundedRect(QRectF(box.left() + 9, box.top() + 7, 12, 12), 3, 3)
        painter.setFont(font)
        painter.setPen(QColor("#f2f5f8"))
        painter.drawText(box.adjusted(9 + indent, 0, -9, 0), Qt.AlignmentFlag.AlignVCenter, text)

    def _paint_notice(self, painter: QPainter) -> None:
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        font = QFont(self.font())
        font.setPixelSize(15)
        flags = Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap
        room = QRectF(self.rect()).adjusted(40, 40, -40, -40)
        painter.setFont(font)
        text = painter.boundingRect(room, flags, self._notice)
        text.moveTop(max(text.top(), self.height() * 0.66 - text.height() / 2))  # clear of the HUD in small windows
        painter.setPen(QPen(QColor(255, 255, 255, 40), 1))
        painter.setBrush(QColor(8, 11, 15, 225))
        painter.drawRoundedRect(text.adjusted(-18, -12, 18, 12), 10, 10)
        painter.setPen(QColor("#f2f5f8"))
        painter.drawText(text, flags, self._notice)

    # Mouse

    def _on_wiper(self, place: QPointF) -> bool:
        if self._shown is None or self._shown.settings.view != "wiper":
            return False
        rect = self.picture_rect()
        return abs(place.x() - rect.left() - rect.width() * self._shown.settings.wiper) <= WIPER_GRIP_PX

    def mousePressEvent(self, event: QMouseEvent | None) -> None:
        if event is not None and event.button() == Qt.MouseButton.LeftButton:
            self._dragging = self._on_wiper(event.position())

    def mouseReleaseEvent(self, event: QMouseEvent | None) -> None:
        self._dragging = False

    def mouseDoubleClickEvent(self, event: QMouseEvent | None) -> None:
        if event is not None and not self._on_wiper(event.position()):
            self.clicked_twice.emit()

    def mouseMoveEvent(self, event: QMouseEvent | None) -> None:
        if event is None:
            return
        self._cursor = event.position()
        rect = self.picture_rect()
        if self._dragging and rect.width():
            self.wiper_moved.emit(min(1.0, max(0.0, (self._cursor.x() - rect.left()) / rect.width())))
        over = self._dragging or self._on_wiper(self._cursor)
        self.setCursor(Qt.CursorShape.SplitHCursor if over else Qt.CursorShape.ArrowCursor)
        self.update()

    def leaveEvent(self, event: object) -> None:
        self._cursor = None
        self.update()
