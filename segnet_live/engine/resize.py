"""Choose the network's size and bring frames to it: the host steps that all engines share."""

from __future__ import annotations

import math
from typing import cast

import cv2
import numpy as np

from segnet_live.engine.base import Engine, Overlapping, shrinks
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


def fit_input(picture: RGB | Planes, size: Size, *, quick: bool = False) -> RGB:
    """Return a picture at `size` as (h, w, 3) uint8 RGB: area filter to shrink, bilinear to enlarge.

    An array that fits is returned as it is. Planes are shrunk first, and converted then.

    Args:
        quick: of planes, see `Planes.rgb_at`.
    """
    height, width = size
    if isinstance(picture, Planes):
        if picture.size[0] > height and picture.size[1] > width:
            return picture.rgb_at(size, quick=quick)
        picture = picture.rgb  # small, and nothing of its colours must be lost
    rgb = picture
    if rgb.shape[:2] == size:
        return rgb
    shrink = rgb.shape[0] * rgb.shape[1] > height * width
    return cv2.resize(rgb, (width, height), interpolation=cv2.INTER_AREA if shrink else cv2.INTER_LINEAR).astype(
        np.uint8, copy=False
    )


def picture_at(frame: Frame, size: Size, *, quick: bool = False) -> RGB:
    """Return a frame's picture at `size`, (height, width, 3) uint8 RGB; see `fit_input`."""
    return fit_input(frame.picture, size, quick=quick)


def picture_for(engine: Engine | Overlapping, frame: Frame) -> RGB:
    """Return what of a frame `engine` gets: the picture at its size, or the whole one if it shrinks it on the GPU."""
    if shrinks(engine):
        return cast(RGB, frame.picture)  # planes too: `fit_input` takes both, should another engine get the frame
    return picture_at(frame, engine.info.input_size)
