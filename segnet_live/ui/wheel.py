"""Keep the mouse wheel from changing a value that merely comes under the pointer while the user scrolls."""

from __future__ import annotations

from PyQt6.QtCore import QEvent, QObject, Qt
from PyQt6.QtWidgets import QAbstractSlider, QAbstractSpinBox, QComboBox, QScrollBar, QWidget


def boxes(root: QWidget) -> list[QWidget]:
    """Return all widgets below `root` whose value a wheel would change."""
    kinds = (QComboBox, QAbstractSlider, QAbstractSpinBox)
    return [w for w in root.findChildren(QWidget) if isinstance(w, kinds) and not isinstance(w, QScrollBar)]


class WheelGuard(QObject):
    """A filter on all boxes below `root` that passes wheels on to what scrolls, unless the box has the focus.

    Boxes made later are not guarded: make the guard when `root` is complete.
    """

    def __init__(self, root: QWidget) -> None:
        super().__init__(root)
        for box in boxes(root):
            if box.focusPolicy() == Qt.FocusPolicy.WheelFocus:  # the wheel itself would give it the focus
                box.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
            box.installEventFilter(self)

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        if event is None or event.type() != QEvent.Type.Wheel or not isinstance(watched, QWidget):
            return False
        if watched.hasFocus():
            return False
        event.ignore()  # what ignores a wheel leaves it to its parent: the scroll area
        return True
