"""A scrolling panel whose sections fold: the plain widgets; `side_panel.py` fills them."""

from __future__ import annotations

from PyQt6.QtCore import QSize, Qt, pyqtSignal
from PyQt6.QtWidgets import QFrame, QPushButton, QScrollArea, QSizePolicy, QVBoxLayout, QWidget

from segnet_live.ui.theme import icon

PANEL_WIDTH_PX = 292


class Section(QFrame):
    """A heading that folds what stands under it.

    Signals:
        folded: True when it has just been folded.
    """

    folded = pyqtSignal(bool)

    def __init__(self, title: str, body: QWidget) -> None:
        super().__init__()
        self.setObjectName("section")
        self.title, self.body = title, body
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Maximum)
        self._heading = QPushButton(title)
        self._heading.setObjectName("fold")
        self._heading.setIconSize(QSize(14, 14))
        self._heading.clicked.connect(lambda: self.fold(not self.body.isHidden()))
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(self._heading)
        layout.addWidget(body)
        body.setContentsMargins(4, 0, 4, 6)
        self.fold(False)

    def fold(self, folded: bool) -> None:
        self.body.setHidden(folded)
        self._heading.setIcon(icon("chevron-right" if folded else "chevron-down"))
        self.folded.emit(folded)


class Panel(QScrollArea):
    """A column of sections that scrolls where the window is low."""

    def __init__(self, *sections: Section) -> None:
        super().__init__()
        self.setObjectName("panel")
        self.sections = sections
        body = QWidget()
        body.setObjectName("panelBody")
        layout = QVBoxLayout(body)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        for section in sections:
            layout.addWidget(section)
        layout.addStretch(1)
        self.setWidget(body)
        self.setWidgetResizable(True)
        self.setFixedWidth(PANEL_WIDTH_PX)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
