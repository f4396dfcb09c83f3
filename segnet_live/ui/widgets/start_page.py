"""The page that the window shows before there is a video, with all ways to open one."""

from __future__ import annotations

from PyQt6.QtCore import QSize, Qt
from PyQt6.QtGui import QShowEvent
from PyQt6.QtWidgets import (
    QFrame,
    QHBoxLayout,
    QLabel,
    QListWidget,
    QListWidgetItem,
    QPushButton,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from segnet_live.config import SourceSpec
from segnet_live.ui.cameras import list_cameras
from segnet_live.ui.controls import Controls
from segnet_live.ui.parts import quiet_label
from segnet_live.ui.sources import Sources
from segnet_live.ui.theme import icon


class StartPage(QWidget):
    """The buttons for every kind of source, the cameras found, and recent sources."""

    def __init__(self, sources: Sources, controls: Controls) -> None:
        super().__init__()
        self._sources, self._controls = sources, controls
        self.status = quiet_label("Each pixel of a road video gets its class - road, car, tree - while it plays.")
        self.status.setAlignment(Qt.AlignmentFlag.AlignCenter)
        heading = QLabel("Open a drive")
        heading.setObjectName("big")
        heading.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.buttons = []
        for name, text, act in (
            ("road", "Example drive", sources.open_example),
            ("folder", "Images ...", sources.ask_images),
            ("stream", "Stream ...", lambda: sources.ask_url()),
        ):
            button = QPushButton(icon(name), text)
            button.setIconSize(QSize(18, 18))
            button.clicked.connect(act)
            self.buttons.append(button)
        main = QPushButton("Open video ...")
        main.setObjectName("primary")
        main.clicked.connect(sources.ask_video)
        main.setMinimumHeight(36)
        row = QHBoxLayout()
        row.setSpacing(8)
        for button in self.buttons:
            row.addWidget(button)
        self.list = QListWidget()
        self.list.itemActivated.connect(lambda item: sources.open_again(item.data(Qt.ItemDataRole.UserRole)))
        self.list.itemClicked.connect(lambda item: sources.open_again(item.data(Qt.ItemDataRole.UserRole)))
        self._why = quiet_label()
        self._why.setAlignment(Qt.AlignmentFlag.AlignCenter)
        hint = quiet_label("or drop a video, a picture folder or an address here")
        hint.setAlignment(Qt.AlignmentFlag.AlignCenter)
        column = QFrame()
        column.setMaximumWidth(430)
        inner = QVBoxLayout(column)
        inner.setSpacing(12)
        for above in (heading, self.status, main):
            inner.addWidget(above)
        inner.addLayout(row)
        for below in (hint, self.list, self._why):
            inner.addWidget(below)
        column.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Maximum)
        layout = QHBoxLayout(self)
        layout.addStretch(1)
        layout.addWidget(column, 4, Qt.AlignmentFlag.AlignVCenter)
        layout.addStretch(1)
        self.setFocusProxy(main)

    def showEvent(self, event: QShowEvent | None) -> None:
        self.refresh()

    def refresh(self) -> None:
        """Refresh the lists of cameras and recent sources."""
        self.list.clear()
        cameras, why = list_cameras()
        for camera in cameras:
            self._add("webcam", f"{camera.name} (camera {camera.number})", SourceSpec("camera", str(camera.number)))
        for spec, title in self._sources.recent():
            self._add("folder" if spec.kind == "images" else "play", title, spec)
        self.list.setVisible(self.list.count() > 0)
        rows = min(6, self.list.count())
        self.list.setFixedHeight(12 + rows * max(30, self.list.sizeHintForRow(0)))
        self._why.setText("No camera was found." if not cameras else why)

    def _add(self, name: str, text: str, spec: SourceSpec) -> None:
        item = QListWidgetItem(icon(name), text)
        item.setData(Qt.ItemDataRole.UserRole, spec)
        self.list.addItem(item)
