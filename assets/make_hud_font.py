"""Draw assets/hud-font.png, the letters of the HUD: `QT_QPA_PLATFORM=offscreen python assets/make_hud_font.py`.

DejaVu Sans Mono (free to embed and to draw with, see dejavu-fonts.github.io/License.html) as a row of grey cells, one
for each printable ASCII character. So the HUD looks the same in the window and in recordings of runs that load no Qt.
"""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np
from PyQt6.QtCore import QPointF
from PyQt6.QtGui import QColor, QFont, QFontInfo, QFontMetricsF, QGuiApplication, QImage, QPainter

FAMILY, TEXT_PX = "DejaVu Sans Mono", 40
CHARACTERS = "".join(map(chr, range(32, 127)))

app = QGuiApplication(sys.argv)
font = QFont(FAMILY)
font.setPixelSize(TEXT_PX)
if QFontInfo(font).family() != FAMILY:
    raise SystemExit(f"{FAMILY} is not installed; on Debian: apt install fonts-dejavu-core")
metrics = QFontMetricsF(font)
width, height = round(metrics.horizontalAdvance("0")), round(metrics.height())
image = QImage(width * len(CHARACTERS), height, QImage.Format.Format_ARGB32)
image.fill(QColor("black"))
painter = QPainter(image)
painter.setRenderHint(QPainter.RenderHint.TextAntialiasing)
painter.setFont(font)
painter.setPen(QColor("white"))
for i, character in enumerate(CHARACTERS):
    painter.drawText(QPointF(i * width, metrics.ascent()), character)
painter.end()
bits = image.constBits()
assert bits is not None
pixels = np.frombuffer(bits.asstring(image.sizeInBytes()), np.uint8).reshape(height, -1, 4)
path = Path(__file__).with_name("hud-font.png")
path.write_bytes(cv2.imencode(".png", pixels[:, :, 1], [cv2.IMWRITE_PNG_COMPRESSION, 9])[1].tobytes())
print(f"{path}: {len(CHARACTERS)} cells of {width}x{height}, {path.stat().st_size} bytes")
