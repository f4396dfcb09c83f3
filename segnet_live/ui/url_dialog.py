"""Ask for the address of a network stream."""

from __future__ import annotations

from PyQt6.QtGui import QIcon
from PyQt6.QtWidgets import (
    QDialog,
    QDialogButtonBox,
    QLabel,
    QLineEdit,
    QVBoxLayout,
    QWidget,
)

from segnet_live.ui.parts import quiet_label

SCHEMES = ("rtsp://", "rtsps://", "rtmp://", "http://", "https://", "udp://", "tcp://", "srt://")


class UrlDialog(QDialog):
    """The dialog for a stream's address; its OK waits for one that has a known scheme."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.setWindowTitle("Open network stream")
        self.setMinimumWidth(480)
        self.address = QLineEdit()
        self.address.setPlaceholderText("rtsp://user:password@192.168.1.20/stream")
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Open | QDialogButtonBox.StandardButton.Cancel)
        ok = buttons.button(QDialogButtonBox.StandardButton.Open)
        assert ok is not None
        ok.setEnabled(False)
        ok.setObjectName("primary")
        for button in buttons.buttons():
            button.setIcon(QIcon())
        self.address.textChanged.connect(lambda text: ok.setEnabled(self.is_address(text)))
        buttons.accepted.connect(self.accept)
        buttons.rejected.connect(self.reject)
        layout = QVBoxLayout(self)
        layout.setSpacing(12)
        layout.addWidget(QLabel("Address of a camera or stream"))
        layout.addWidget(self.address)
        layout.addWidget(
            quiet_label("RTSP, HTTP (MJPEG, HLS, mp4), RTMP, UDP, SRT. A password is never shown elsewhere.")
        )
        layout.addWidget(buttons)

    @staticmethod
    def is_address(text: str) -> bool:
        return any(text.strip().lower().startswith(scheme) and len(text.strip()) > len(scheme) for scheme in SCHEMES)
