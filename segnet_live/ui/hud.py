"""Draw the HUD's plate for the window: an image for Qt, and pixels for the recording. `render/hud.py` has its text."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PyQt6.QtGui import QImage

from segnet_live.render import hud
from segnet_live.render.hud import hud_lines

__all__ = ["draw_plate", "hud_lines", "plate_pixels"]


def draw_plate(lines: Sequence[str], history: Sequence[tuple[float, float]], scale: float) -> QImage:
    """Return the plate as an image of `scale` device pixels per logical pixel (its devicePixelRatio)."""
    pixels = hud.draw_plate(lines, history, hud.TEXT_PX * scale)
    height, width = pixels.shape[:2]
    # copied: the image outlives the array
    image = QImage(pixels.tobytes(), width, height, width * 4, QImage.Format.Format_ARGB32_Premultiplied).copy()
    image.setDevicePixelRatio(scale)
    return image


def plate_pixels(lines: Sequence[str], history: Sequence[tuple[float, float]], rows: int) -> NDArray[np.uint8]:
    """Return the plate to burn into a picture of `rows` pixel rows: (h, w, 4) uint8 premultiplied BGRA."""
    return hud.draw_plate(lines, history, hud.burn_text_px(rows))
