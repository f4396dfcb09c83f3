"""Find the sky by its colour, where networks that learnt from Cityscapes' white skies call it Car or Building.

Of the pixels that are blue sky in `roads/`, those networks call a third something else, 19 % Car; of the haze below it
9 % Road and 6 % Building; of what looks like a pale sky 8 %. What learns from them does so too.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from segnet_live.classes import ClassSet
from segnet_live.frame import RGB

HUES = (95, 122)
"""Of blue, from cyan's side to violet's, in OpenCV's half degrees."""
LEAST_SATURATION, LEAST_VALUE = 50, 70
MOST_DEVIATION = 12.0
"""Of the grey levels within 9x9 pixels: a sky is smooth."""
LEAST_AREA = 0.01
"""Of the picture: smaller pieces may be a blue sign or a car."""
MOST_PALE_SATURATION = 70
LEAST_PALE_VALUE, LEAST_HAZY_VALUE = 165, 140
"""Of a white sky, which nothing but its brightness tells from a grey wall, and of haze, which has blue above it."""
MOST_PALE_DEVIATION, LEAST_PALE_AREA = 10.0, 0.02
LEAST_BLUE_SHARE = 0.5
"""Of a smooth piece that is blue or pale: its pale part is haze or a soft cloud, and no wall."""
LOWEST_TOP = 0.05
"""Of the picture's height: a piece of sky begins no lower."""
LONGEST = 480
"""Larger pictures are reduced to this width or height, that of soft labels, before their sky is measured."""
BEFORE_IT = ("pole", "signsymbol", "tree", "traffic light", "traffic sign", "vegetation")
"""Classes, in lower case, that may be seen against the sky."""


def blue_sky(rgb: RGB) -> NDArray[np.bool_]:
    """Return (H, W) where a picture (H, W, 3) shows blue sky: blue, smooth, large, and reaching up to the top edge."""
    hue, saturation, value = cv2.split(cv2.cvtColor(rgb, cv2.COLOR_RGB2HSV))
    blue = (hue >= HUES[0]) & (hue <= HUES[1]) & (saturation >= LEAST_SATURATION) & (value >= LEAST_VALUE)
    return _smooth_from_the_top(rgb, blue, MOST_DEVIATION, LEAST_AREA)


def pale_sky(rgb: RGB) -> NDArray[np.bool_]:
    """Return (H, W) where a picture (H, W, 3) may show a white or hazy sky; some white walls look the same."""
    return _smooth_from_the_top(rgb, _pale(rgb, LEAST_PALE_VALUE), MOST_PALE_DEVIATION, LEAST_PALE_AREA)


def hazy_sky(rgb: RGB, blue: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return (H, W) where a picture shows haze or soft clouds: pale, and no edge between it and more of the blue sky.

    Args:
        rgb: (H, W, 3) the picture.
        blue: (H, W) its `blue_sky`.
    """
    smooth = _smooth_from_the_top(rgb, blue | _pale(rgb, LEAST_HAZY_VALUE), MOST_PALE_DEVIATION, LEAST_AREA)
    _, pieces = cv2.connectedComponents(smooth.astype(np.uint8), connectivity=4)
    share = np.bincount(pieces.ravel(), weights=blue.ravel()) / np.bincount(pieces.ravel())
    return np.asarray(smooth & ~blue & (share[pieces] >= LEAST_BLUE_SHARE), np.bool_)


def _pale(rgb: RGB, least_value: int) -> NDArray[np.bool_]:
    _, saturation, value = cv2.split(cv2.cvtColor(rgb, cv2.COLOR_RGB2HSV))
    return np.asarray((saturation < MOST_PALE_SATURATION) & (value > least_value), np.bool_)


def _smooth_from_the_top(rgb: RGB, mask: NDArray[np.bool_], deviation: float, area: float) -> NDArray[np.bool_]:
    """Return the pieces of `mask` that are smooth, large (a share `area` of the picture) and reach the top edge."""
    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY).astype(np.float32)
    variance = cv2.blur(grey**2, (9, 9)) - cv2.blur(grey, (9, 9)) ** 2
    smooth = (mask & (variance < deviation**2)).astype(np.uint8)
    opened = cv2.morphologyEx(smooth, cv2.MORPH_OPEN, np.ones((5, 5), np.uint8))
    _, pieces, stats, _ = cv2.connectedComponentsWithStats(opened, connectivity=4)
    tops, areas = stats[:, cv2.CC_STAT_TOP], stats[:, cv2.CC_STAT_AREA]
    taken = (tops <= LOWEST_TOP * rgb.shape[0]) & (areas >= area * opened.size)
    taken[0] = False  # the background
    return np.asarray(taken[pieces], np.bool_)


def with_sky(soft: NDArray[np.uint8], rgb: RGB, classes: ClassSet) -> NDArray[np.uint8]:
    """Return a picture's opinions with its sky put right: unchanged where the classes have no sky.

    Blue sky becomes Sky with certainty. So does haze, except where the opinion is one of BEFORE_IT, which thin things
    in front of it are. Above the lowest sky of a column there are clouds, wires, lamps and trees: an opinion that calls
    them anything but sky or one of BEFORE_IT is dropped (0 throughout: nothing is learnt there), since what misjudges
    the sky misjudges them. It is dropped where the sky may be pale, too, but not replaced: some white walls look the
    same.

    Args:
        soft: (K, h, w) uint8 probabilities times 255.
        rgb: (H, W, 3) the picture.
    """
    names = [name.lower() for name in classes.names]
    if "sky" not in names:
        return soft
    height, width = soft.shape[1:]
    small = _resized(rgb, height, width)
    blue = blue_sky(small)
    before = np.isin(soft.argmax(0), [i for i, name in enumerate(names) if name in BEFORE_IT])
    believed = before | (soft.argmax(0) == names.index("sky"))
    sky = blue | (hazy_sky(small, blue) & ~before)
    above = np.flip(np.logical_or.accumulate(np.flip(sky, 0), 0), 0)
    kept = soft.copy()
    kept[:, (above | pale_sky(small)) & ~believed] = 0
    kept[:, sky] = 0
    kept[names.index("sky"), sky] = 255
    return kept


def blue_sky_right(labels: NDArray[np.uint8], rgb: RGB, sky: int) -> float | None:
    """Return the share of a picture's blue sky that a label map (H, W) calls `sky`; None where no sky is blue."""
    shrink = min(1.0, LONGEST / max(rgb.shape[:2]))
    height, width = round(rgb.shape[0] * shrink), round(rgb.shape[1] * shrink)
    blue = blue_sky(_resized(rgb, height, width))
    if not blue.any():
        return None
    small = cv2.resize(labels, (width, height), interpolation=cv2.INTER_NEAREST_EXACT)
    return float((small[blue] == sky).mean())


def _resized(rgb: RGB, height: int, width: int) -> RGB:
    return cv2.resize(rgb, (width, height), interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
