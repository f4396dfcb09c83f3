"""Draw where two label maps of one frame differ. No Qt."""

from __future__ import annotations

import cv2
import numpy as np

from segnet_live.frame import RGB, LabelMap

SIGNAL = (255, 48, 160)
"""A colour that no class of CamVid or Cityscapes has, told from grey by colour-blind people, too."""
DIM = 0.55


def draw_disagreement(rgb: RGB, labels: LabelMap, other: LabelMap) -> RGB:
    """Return the picture in dim grey, (H, W, 3) uint8 RGB, with SIGNAL where the two (H, W) label maps differ."""
    grey = cv2.convertScaleAbs(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), alpha=DIM)
    out = cv2.merge((grey, grey, grey))
    signal = cv2.addWeighted(out, 0.35, np.full_like(out, SIGNAL), 0.65, 0)
    cv2.copyTo(signal, cv2.compare(labels, other, cv2.CMP_NE), out)
    return out.astype(np.uint8, copy=False)
