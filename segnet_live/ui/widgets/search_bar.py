"""The search field above the buttons: a question about the drive, how many moments it found, the way through them."""

from __future__ import annotations

from PyQt6.QtCore import QEvent, Qt
from PyQt6.QtGui import QKeyEvent
from PyQt6.QtWidgets import QHBoxLayout, QLabel, QLineEdit, QSizePolicy, QWidget

from segnet_live.ui.parts import icon_button
from segnet_live.ui.search import Searcher

HINT = "Find moments: Pedestrian > 2% for 1s and Road < 30%"


class SearchField(QLineEdit):
    """A line that Esc leaves, before it does anything else in the window."""

    def event(self, event: QEvent | None) -> bool:
        if isinstance(event, QKeyEvent) and (event.type(), event.key()) == (
            QEvent.Type.ShortcutOverride,
            Qt.Key.Key_Escape,
        ):
            event.accept()
            return True
        return super().event(event)

    def keyPressEvent(self, event: QKeyEvent | None) -> None:
        if event is not None and event.key() == Qt.Key.Key_Escape:
            window = self.window()
            if window is not None:
                window.setFocus()
            return
        super().keyPressEvent(event)


class SearchBar(QWidget):
    """The field, and what came of it. Hidden until it is asked for."""

    def __init__(self, searcher: Searcher) -> None:
        super().__init__()
        self._searcher = searcher
        self.field = SearchField()
        self.field.setPlaceholderText(HINT)
        self.field.setAccessibleName("Find moments")
        self.field.setToolTip(
            "Class shares, sums of them, confidence, flicker, motion, time, cut; and, or, not, brackets; "
            '"for 1s": that long without a break'
        )
        self.found = QLabel()
        self.found.setObjectName("quiet")
        self.found.setSizePolicy(QSizePolicy.Policy.Minimum, QSizePolicy.Policy.Preferred)
        self.back = icon_button("step-back", "Previous moment (Shift+N)")
        self.on = icon_button("step", "Next moment (N)")
        self.shut = icon_button("close", "Close the search")
        row = QHBoxLayout(self)
        row.setContentsMargins(8, 2, 8, 4)
        row.setSpacing(6)
        row.addWidget(self.field, 1)
        for widget in (self.found, self.back, self.on, self.shut):
            row.addWidget(widget)
        self.field.returnPressed.connect(lambda: searcher.ask(self.field.text()))
        self.back.clicked.connect(lambda: searcher.next(-1))
        self.on.clicked.connect(lambda: searcher.next())
        self.shut.clicked.connect(self.close_search)
        searcher.changed.connect(self.refresh)
        self.hide()
        self.refresh()

    def open_search(self) -> None:
        """Show the field and give it the focus."""
        self.show()
        self.field.setFocus(Qt.FocusReason.ShortcutFocusReason)
        self.field.selectAll()

    def close_search(self) -> None:
        """Hide the field, and forget what was found."""
        self._searcher.forget()
        self.hide()

    def refresh(self) -> None:
        """Show what the searcher knows; called four times a second, too."""
        searcher = self._searcher
        moments = searcher.moments
        text = ""
        if searcher.looking is not None:
            text = f"looking through the drive: {searcher.looking:.0%}"
        elif moments is not None:
            place = searcher.place
            count = f"{len(moments)} found" if moments else "nothing found"
            text = f"{place + 1} of {len(moments)}" if place is not None else count
        if text != self.found.text():
            self.found.setText(text)
        for button in (self.back, self.on):
            button.setEnabled(bool(moments))
