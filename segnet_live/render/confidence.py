"""Draw how sure the network is: a colour map with its legend, and an overlay whose unsure pixels fade. No Qt."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from segnet_live.frame import RGB, ConfidenceMap
from segnet_live.render.hud import WHITE, burn_text_px, letters, write

UNSURE_END, SURE_END = "unsure 0", "1 sure"


@lru_cache(maxsize=1)
def _table() -> NDArray[np.uint8]:
    """Return (256, 1, 3) RGB of cividis: even steps to the eye, colour-blind people's too (Nuñez et al. 2018).

    Reversed: what asks for attention is bright, and what is sure is dark.
    """
    ramp = np.arange(255, -1, -1, dtype=np.uint8)[:, None]
    return np.ascontiguousarray(cv2.applyColorMap(ramp, cv2.COLORMAP_CIVIDIS)[..., ::-1], np.uint8)


def colourise(confidence: ConfidenceMap) -> RGB:
    """Return a (H, W) confidence map in colours, (H, W, 3) uint8 RGB: yellow where two classes tie, blue if certain."""
    # the table is RGB and stays so, whatever OpenCV calls the order
    return cv2.applyColorMap(confidence, _table()).astype(np.uint8, copy=False)


def with_legend(picture: RGB) -> RGB:
    """Write the legend of the colours into the lower right corner of a (H, W, 3) picture; return that picture."""
    legend = _legend(burn_text_px(picture.shape[0]))
    height, width = legend.shape[:2]
    margin = height // 2
    if height + margin <= picture.shape[0] and width + margin <= picture.shape[1]:
        picture[-height - margin : -margin, -width - margin : -margin] = legend
    return picture


@lru_cache(maxsize=8)
def _legend(text_px: float) -> RGB:
    """Return a bar of the colours between its two ends in words, on a dark plate."""
    cells = letters(text_px)
    row, column = cells.shape[1], cells.shape[2]
    pad, bar = row // 2, 14 * column
    left, right = len(UNSURE_END) * column, len(SURE_END) * column
    width = left + bar + right + 4 * pad
    text = np.zeros((row + 2 * pad, width), np.uint8)
    write(text, UNSURE_END, (pad, pad), cells)
    write(text, SURE_END, (pad, width - right - pad), cells)
    plate = (text[..., None] * (np.array(WHITE) / 255)).astype(np.uint8)
    ramp = np.linspace(0, 255, bar).astype(np.uint8)
    plate[pad : pad + row, left + 2 * pad : left + 2 * pad + bar] = colourise(np.repeat(ramp[None], row, 0))
    return plate


def fade(rgb: RGB, blended: RGB, confidence: ConfidenceMap) -> RGB:
    """Return `blended`, an overlay on `rgb`, as far as the network is sure, and the picture for the rest.

    All three are of one size; the overlay's opacity at each pixel is multiplied by its confidence.
    """
    keep = cv2.merge((confidence, confidence, confidence))
    drop = cv2.bitwise_not(keep)
    out = cv2.multiply(blended, keep, scale=1 / 255)
    return cv2.add(out, cv2.multiply(rgb, drop, scale=1 / 255)).astype(np.uint8, copy=False)
