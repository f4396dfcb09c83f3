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
from segnet_live.video.location import STREAM_SCHEMES

ADDRESSES = ("http", "https", *STREAM_SCHEMES)


class UrlDialog(QDialog):
    """The dialog for a stream's address; its OK waits for one that has a known scheme.

    Args:
        address: what stands there at first, *** where a password is missing.
    """

    def __init__(self, parent: QWidget, address: str = "") -> None:
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
        self.address.setText(address)
        at = address.find("***")
        if at >= 0:  # a password that was not kept: what is typed takes its place
            self.address.setSelection(at, 3)
        layout = QVBoxLayout(self)
        layout.setSpacing(12)
        layout.addWidget(QLabel("Address of a camera or stream"))
        layout.addWidget(self.address)
        layout.addWidget(
            quiet_label("RTSP, HTTP (MJPEG, HLS, mp4), RTMP, UDP. A password is neither shown elsewhere nor kept.")
        )
        layout.addWidget(buttons)

    @staticmethod
    def is_address(text: str) -> bool:
        kind, _, rest = text.strip().partition("://")
        return kind.lower() in ADDRESSES and bool(rest)
