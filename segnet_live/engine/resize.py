"""Choose the network's size and bring frames to it: the host steps that all engines share."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from segnet_live.frame import RGB, Frame, Size
from segnet_live.planes import Planes

DEFAULT_PIXELS = 480 * 360
STRIDE = 32


def network_size(source: Size, pixels: int = DEFAULT_PIXELS) -> Size:
    """Return the network's (height, width) for frames of `source`: about `pixels`, and the source's aspect ratio.

    The source's own size, or one of exactly its aspect ratio, if that is possible in multiples of 8: nothing is
    squeezed then. Else one in multiples of 32, or of 16 where those squeeze. 4:3 gives 360x480, 16:9 gives 320x544.
    """
    height, width = source
    for scale in (1.0, math.sqrt(pixels / (height * width))):
        size = (round(height * scale / 8) * 8, round(width * scale / 8) * 8)
        if min(size) and size[0] * width == size[1] * height and abs(math.log(size[0] * size[1] / pixels)) < 0.1:
            return size
    coarse, fine = (_on_grid(source, pixels, stride) for stride in (STRIDE, STRIDE // 2))
    return coarse if _squeeze(coarse, source) < 0.07 else min(coarse, fine, key=lambda size: _squeeze(size, source))


def _squeeze(size: Size, source: Size) -> float:
    """Return how far the aspect ratios of two sizes are apart, as a logarithm."""
    return abs(math.log(size[1] / size[0] * source[0] / source[1]))


def _on_grid(source: Size, pixels: int, stride: int) -> Size:
    """Return about `pixels` in multiples of `stride`, none below `STRIDE`, of about the aspect ratio of `source`."""

    def near(ideal: float) -> set[int]:
        return {max(STRIDE, f(ideal / stride) * stride) for f in (math.floor, math.ceil)}

    candidates = [
        (rows, columns) for rows in near(math.sqrt(pixels * source[0] / source[1])) for columns in near(pixels / rows)
    ]
    return min(candidates, key=lambda size: _squeeze(size, source) + 0.5 * abs(math.log(size[0] * size[1] / pixels)))


def fit_input(rgb: NDArray[np.uint8], size: Size) -> NDArray[np.uint8]:
    """Bring (H, W, 3) uint8 to `size`: area filter to shrink, bilinear to enlarge; return the same array if it fits."""
    height, width = size
    if rgb.shape[:2] == size:
        return rgb
    shrink = rgb.shape[0] * rgb.shape[1] > height * width
    return cv2.resize(rgb, (width, height), interpolation=cv2.INTER_AREA if shrink else cv2.INTER_LINEAR).astype(
        np.uint8, copy=False
    )


def picture_at(frame: Frame, size: Size, *, quick: bool = False) -> RGB:
    """Return a frame's picture at `size`, (height, width, 3) uint8 RGB: planes are shrunk first, and converted then.

    Args:
        quick: see `Planes.rgb_at`.
    """
    picture = frame.picture
    if not isinstance(picture, Planes):
        return fit_input(picture, size)
    if picture.size[0] <= size[0] or picture.size[1] <= size[1]:
        return fit_input(picture.rgb, size)  # small, and nothing of its colours must be lost
    return picture.rgb_at(size, quick=quick)
