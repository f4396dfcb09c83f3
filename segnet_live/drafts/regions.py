"""Find the region around a pixel that a person would take at once: by the picture's edges, or by the label map's."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from segnet_live.frame import RGB, LabelMap

LONGEST_PX = 720
"""Superpixels are found at most at this size: a person waits for them."""


def superpixels(rgb: RGB, spacing_px: int) -> NDArray[np.int32]:
    """Return (H, W) int32 ids of regions that follow the picture's edges, about `spacing_px` across.

    A watershed from a grid of markers (Meyer's flooding, as in compact watershed superpixels).

    Args:
        rgb: (H, W, 3) uint8.
    """
    height, width = rgb.shape[:2]
    scale = min(1.0, LONGEST_PX / max(height, width))
    small = cv2.resize(rgb, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if scale < 1 else rgb
    smooth = cv2.bilateralFilter(small, 5, 24, 5)
    rows, columns = smooth.shape[:2]
    step = max(3, round(spacing_px * scale))
    markers = np.zeros((rows, columns), np.int32)
    grid = markers[step // 2 :: step, step // 2 :: step]
    grid[...] = np.arange(1, grid.size + 1).reshape(grid.shape)
    if not grid.size:
        markers[rows // 2, columns // 2] = 1
    found = cv2.watershed(np.ascontiguousarray(smooth[..., ::-1]), markers)
    edge = found < 1  # between regions and along the rim: the neighbour with the highest id takes it
    while edge.any():
        grown = cv2.dilate(found.astype(np.float32), np.ones((3, 3), np.uint8)).astype(np.int32)
        found[edge] = grown[edge]
        edge = found < 1
    if scale < 1:
        found = cv2.resize(found.astype(np.float32), (width, height), interpolation=cv2.INTER_NEAREST)
    return found.astype(np.int32)


def connected(labels: LabelMap, x: int, y: int) -> NDArray[np.bool_]:
    """Return (H, W) bool: the pixels that hang together with (x, y) and have its class."""
    mask = np.zeros((labels.shape[0] + 2, labels.shape[1] + 2), np.uint8)
    cv2.floodFill(labels.copy(), mask, (x, y), 0, 0, 0, 4 | cv2.FLOODFILL_MASK_ONLY | (1 << 8))
    found: NDArray[np.bool_] = mask[1:-1, 1:-1] > 0
    return found
