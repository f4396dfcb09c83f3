"""The top bar: what plays, and the buttons that are always there."""

from __future__ import annotations

from PyQt6.QtCore import QSize, Qt
from PyQt6.QtWidgets import QHBoxLayout, QLabel, QMenu, QSizePolicy, QToolButton, QWidget

from segnet_live.pipeline.live.capture import Phase
from segnet_live.ui.controls import Controls
from segnet_live.ui.parts import as_tip, icon_button, plain_label
from segnet_live.ui.theme import icon
from segnet_live.video.location import display_name


class Header(QWidget):
    """The source's title and properties, and the buttons Open, HUD, panel, full screen, Help."""

    def __init__(self, controls: Controls) -> None:
        super().__init__()
        self.setObjectName("header")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self._controls = controls
        mark = QLabel()
        mark.setPixmap(icon("app").pixmap(QSize(22, 22), self.devicePixelRatioF()))
        self.title, self.details = plain_label("segnet-live"), plain_label()
        self.title.setObjectName("title")
        self.details.setObjectName("quiet")
        for label in (self.title, self.details):
            label.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.title.setSizePolicy(QSizePolicy.Policy.Maximum, QSizePolicy.Policy.Preferred)
        self.title.setMinimumWidth(40)
        self.open = QToolButton()
        self.open.setText("Open")
        self.open.setIcon(icon("open"))
        self.open.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self.open.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        self.open.setToolTip("Video, images, stream, camera, recent (Ctrl+K)")
        self.open.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.menu = QMenu(self)
        self.open.setMenu(self.menu)
        self.hud = icon_button("hud", "HUD (H)", checkable=True)
        self.panel = icon_button("panel", "Side panel (P)", checkable=True)
        self.full_screen = icon_button("full-screen", "Full screen (F)")
        self.help = icon_button("help", "Help (F1)")
        layout = QHBoxLayout(self)
        layout.setContentsMargins(12, 6, 10, 6)
        layout.setSpacing(8)
        layout.addWidget(mark)
        layout.addWidget(self.title)
        layout.addWidget(self.details, 1)
        for button in (self.open, self.hud, self.panel, self.full_screen, self.help):
            layout.addWidget(button)
        controls.source_changed.connect(self.refresh)

    def refresh(self) -> None:
        source = self._controls.source
        if source is None:
            return
        self.title.setText(display_name(source.spec))
        self.title.setToolTip(as_tip(source.info.title) if source.info is not None else "")
        parts = []
        if source.info is not None:
            height, width = source.info.size
            parts.append(f"{width} x {height}")
            if source.info.rate:
                parts.append(f"{float(source.info.rate):.4g} fps")
        if source.phase is not Phase.PLAYING:
            parts.append(source.phase.value)
        self.details.setText("   ".join(parts))
