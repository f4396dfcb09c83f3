"""Show a line over the lower edge of the picture: errors until dismissed, information for a few seconds."""

from __future__ import annotations

from PyQt6.QtCore import QEvent, QObject, QTimer
from PyQt6.QtWidgets import QFrame, QHBoxLayout, QSizePolicy, QWidget

from segnet_live.display_text import fit_to_show
from segnet_live.ui.parts import icon_button, plain_label

NOTE_MS = 6000


class Banner(QFrame):
    """A line that floats in `parent` and never takes the focus; several errors stand below each other, each once."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.setObjectName("banner")
        self._texts: list[str] = []
        self._label = plain_label()
        self._label.setWordWrap(True)
        self._label.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Minimum)
        close = icon_button("close", "Dismiss (Esc)")
        close.clicked.connect(self.dismiss)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(14, 8, 8, 8)
        layout.addWidget(self._label, 1)
        layout.addWidget(close)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self.dismiss)
        parent.installEventFilter(self)
        self.hide()

    @property
    def text(self) -> str:
        return self._label.text() if not self.isHidden() else ""

    def problem(self, text: str) -> None:
        """Show an error, in words, until dismissed; the last three stay."""
        if self.property("kind") == "note":
            self._texts.clear()
        text = fit_to_show(text)
        if text not in self._texts:
            self._texts = [*self._texts, text][-3:]
        self._timer.stop()
        self._show("problem")

    def note(self, text: str) -> None:
        """Show information for a few seconds; an error stays."""
        if not self.isHidden() and self.property("kind") == "problem":
            return
        self._texts = [fit_to_show(text)]
        self._timer.start(NOTE_MS)
        self._show("note")

    def dismiss(self) -> None:
        self._texts.clear()
        self.hide()

    def _show(self, kind: str) -> None:
        self.setProperty("kind", kind)
        style = self.style()
        if style is not None:  # the sheet looks at the property only when polished again
            style.unpolish(self)
            style.polish(self)
        self._label.setText("\n".join(self._texts))
        self.show()
        self._place()
        self.raise_()

    def _place(self) -> None:
        parent = self.parentWidget()
        if parent is None or self.isHidden():
            return
        width = min(760, parent.width() - 24)
        layout = self.layout()
        height = max(layout.heightForWidth(width) if layout is not None else 0, 44)
        self.setGeometry((parent.width() - width) // 2, parent.height() - height - 12, width, height)

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        if event is not None and event.type() == QEvent.Type.Resize:
            self._place()
        return False
