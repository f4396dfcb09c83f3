"""Colour and label planes painted together at twice the frame's resolution, and the textures painted with."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from segnet_live.frame import LabelMap
from train.drive.world import NEAR_M, Floats

Picture = NDArray[np.uint8]

SUPERSAMPLING = 2
_SUBPIXEL_BITS = 4
_HALF_TURN = np.linspace(math.pi / 2, 3 * math.pi / 2, 6)
_HALF_CIRCLE = np.stack([np.cos(_HALF_TURN), np.sin(_HALF_TURN)], 1)


def noise(rng: np.random.Generator, size: tuple[int, int], cell: float, octaves: int = 4) -> NDArray[np.float32]:
    """Return (height, width) float32 cloud noise of mean 0 and spread 1, whose largest blobs are `cell` pixels wide."""
    out = np.zeros(size, np.float32)
    total = 0.0
    for octave in range(octaves):
        step = max(cell / 2**octave, 1.0)
        grid = (max(2, math.ceil(size[0] / step) + 1), max(2, math.ceil(size[1] / step) + 1))
        weight = 0.6**octave
        layer = rng.standard_normal(grid, np.float32)
        out += weight * cv2.resize(layer, (size[1], size[0]), interpolation=cv2.INTER_CUBIC)
        total += weight**2
    return np.asarray(out / math.sqrt(total), np.float32)


def to_picture(values: NDArray) -> Picture:
    """Return a real array rounded and clipped to uint8."""
    return np.asarray(np.clip(np.rint(values), 0, 255), np.uint8)


class Texture:
    """(h, w, 3) uint8 RGB with an optional (h, w) uint8 cover, and copies halved in x and y, made on first use."""

    def __init__(self, rgb: Picture, cover: Picture | None = None) -> None:
        self._levels = {(0, 0): rgb if cover is None else np.dstack([rgb, cover])}
        self.size: tuple[int, int] = (rgb.shape[0], rgb.shape[1])

    @cached_property
    def mean(self) -> Floats:
        """(3,) RGB mean of what is covered."""
        picture = self._levels[0, 0]
        return np.asarray(
            picture[picture[..., -1] > 127 if picture.shape[2] == 4 else ...][..., :3].reshape(-1, 3).mean(0)
        )

    def level(self, x: int, y: int) -> Picture:
        """Return the texture halved `x` times across and `y` times down (two pixels at least); a cover is channel 4."""
        x = min(max(x, 0), max(int(math.log2(self.size[1])) - 1, 0))
        y = min(max(y, 0), max(int(math.log2(self.size[0])) - 1, 0))
        if (x, y) not in self._levels:
            larger = self.level(x - 1, y) if x else self.level(x, y - 1)
            target = (math.ceil(self.size[1] / 2**x), math.ceil(self.size[0] / 2**y))
            self._levels[x, y] = cv2.resize(larger, target, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
        return self._levels[x, y]


class Canvas:
    """A picture and its labels as painted so far, far things first.

    Attributes:
        rgb: (2H, 2W, 3) uint8; labels: (2H, 2W) uint8 class ids of the same samples.
    """

    def __init__(self, size: tuple[int, int]) -> None:
        height, width = size[0] * SUPERSAMPLING, size[1] * SUPERSAMPLING
        self.rgb: Picture = np.zeros((height, width, 3), np.uint8)
        self.labels: LabelMap = np.zeros((height, width), np.uint8)

        self._flats: dict[int, LabelMap] = {}

    @property
    def size(self) -> tuple[int, int]:
        return self.labels.shape[0], self.labels.shape[1]

    def _flat(self, label: int) -> LabelMap:
        """Return a plane full of one class, to copy from through a mask (three times as fast as numpy's masks)."""
        if label not in self._flats:
            self._flats[label] = np.full(self.size, label, np.uint8)
        return self._flats[label]

    def polygon(self, points: ArrayLike, colour: ArrayLike, label: int | None, *, convex: bool = True) -> None:
        """Fill (N, 2) pixel positions (x, y); no label keeps the classes there (paint on a thing's own face)."""
        corners = np.rint(np.asarray(points) * (1 << _SUBPIXEL_BITS)).astype(np.int32)
        rgb: list[float] = np.asarray(colour).tolist()
        if convex:
            cv2.fillConvexPoly(self.rgb, corners, rgb, cv2.LINE_8, _SUBPIXEL_BITS)
            if label is not None:
                cv2.fillConvexPoly(self.labels, corners, label, cv2.LINE_8, _SUBPIXEL_BITS)
        else:
            cv2.fillPoly(self.rgb, [corners], rgb, cv2.LINE_8, _SUBPIXEL_BITS)
            if label is not None:
                cv2.fillPoly(self.labels, [corners], label, cv2.LINE_8, _SUBPIXEL_BITS)

    def capsule(self, a: Floats, b: Floats, radius_a: float, radius_b: float, colour: Floats, label: int) -> None:
        """Paint a limb: the hull of two circles at pixel positions a and b."""
        if radius_a < 2.5:
            start, end = np.rint(np.array([a, b]) * (1 << _SUBPIXEL_BITS)).astype(int).tolist()
            wide = max(1, round(radius_a + radius_b))
            cv2.line(self.rgb, start, end, colour.tolist(), wide, cv2.LINE_8, _SUBPIXEL_BITS)
            cv2.line(self.labels, start, end, label, wide, cv2.LINE_8, _SUBPIXEL_BITS)
            return
        direction = math.atan2(b[1] - a[1], b[0] - a[0])
        sine, cosine = math.sin(direction), math.cos(direction)
        arc = _HALF_CIRCLE @ np.array([[cosine, sine], [-sine, cosine]])
        self.polygon(np.concatenate([a + radius_a * arc, b - radius_b * arc]), colour, label)

    def ring(self, points: Floats, inner: Floats, colour: Floats, label: int) -> None:
        """Paint what lies between two outlines of (N, 2) pixel positions: a wheel's tyre."""
        both = [np.rint(line * (1 << _SUBPIXEL_BITS)).astype(np.int32) for line in (points, inner)]
        cv2.fillPoly(self.rgb, both, colour.tolist(), cv2.LINE_8, _SUBPIXEL_BITS)
        cv2.fillPoly(self.labels, both, label, cv2.LINE_8, _SUBPIXEL_BITS)

    def plane(
        self, texture: Texture, homography: Floats, label: int, *, haze: tuple[Floats, float] | None = None
    ) -> None:
        """Paint a texture on the part of a world rectangle (`Camera.plane`, p and q in 0..1) in front of the lens.

        Args:
            haze: (colour, share of it), if the air shows.
        """
        corners = _visible_part(homography)
        if len(corners) < 3:
            return
        projected = np.concatenate([corners, np.ones((len(corners), 1))], 1) @ homography.T
        outline = projected[:, :2] / projected[:, 2:]
        box = self._box(outline)
        if box is None:
            return
        x0, y0 = box[:2]
        level = _levels(texture, homography, corners.mean(0))
        picture = texture.level(*level)
        h, w = picture.shape[:2]
        to_unit = np.array([[1 / w, 0, 0.5 / w], [0, 1 / h, 0.5 / h], [0, 0, 1]])
        shift = np.array([[1.0, 0, -x0], [0, 1, -y0], [0, 0, 1]])
        matrix = np.linalg.inv(shift @ homography @ to_unit)
        self._stamp(picture, matrix, box, outline, label, haze)

    def sprite(
        self,
        texture: Texture,
        foot: tuple[float, float],
        height_px: float,
        label: int,
        *,
        haze: tuple[Floats, float] | None = None,
    ) -> None:
        """Paint a texture upright, its bottom centre at pixel position `foot` (x, y)."""
        h, w = texture.size
        scale = height_px / h
        left, top = foot[0] - w * scale / 2, foot[1] - height_px
        right = left + w * scale
        outline = np.array([[left, top], [right, top], [right, foot[1]], [left, foot[1]]])
        box = self._box(outline)
        if box is None or height_px < 1:
            return
        halvings = max(0, math.floor(math.log2(1 / scale) + 0.3))
        picture = texture.level(halvings, halvings)
        fit_x, fit_y = picture.shape[1] / (w * scale), picture.shape[0] / height_px
        matrix = np.array([[fit_x, 0, (box[0] - left) * fit_x - 0.5], [0, fit_y, (box[1] - top) * fit_y - 0.5]])
        self._stamp(picture, matrix, box, outline, label, haze)

    def darken(self, cover: Picture, homography: Floats) -> None:
        """Multiply what lies under a world rectangle by a (h, w) uint8 map (255 leaves it): a soft shadow."""
        corners = _visible_part(homography)
        if len(corners) < 3:
            return
        projected = np.concatenate([corners, np.ones((len(corners), 1))], 1) @ homography.T
        box = self._box(projected[:, :2] / projected[:, 2:])
        if box is None:
            return
        x0, y0, x1, y1 = box
        h, w = cover.shape
        to_unit = np.array([[1 / w, 0, 0.5 / w], [0, 1 / h, 0.5 / h], [0, 0, 1]])
        matrix = np.linalg.inv(np.array([[1.0, 0, -x0], [0, 1, -y0], [0, 0, 1]]) @ homography @ to_unit)
        shade = cv2.warpPerspective(
            cover, matrix, (x1 - x0, y1 - y0), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderValue=255
        )
        part = self.rgb[y0:y1, x0:x1]
        cv2.multiply(part, cv2.merge([shade, shade, shade]), part, scale=1 / 255)

    def _box(self, outline: Floats) -> tuple[int, int, int, int] | None:
        height, width = self.size
        low, high = np.floor(outline.min(0)), np.ceil(outline.max(0))
        x0, y0 = max(int(low[0]), 0), max(int(low[1]), 0)
        x1, y1 = min(int(high[0]) + 1, width), min(int(high[1]) + 1, height)
        return (x0, y0, x1, y1) if x0 < x1 and y0 < y1 else None

    def _stamp(
        self,
        picture: Picture,
        matrix: Floats,
        box: tuple[int, int, int, int],
        outline: Floats,
        label: int,
        haze: tuple[Floats, float] | None,
    ) -> None:
        x0, y0, x1, y1 = box
        wanted = (x1 - x0, y1 - y0)
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        warp = cv2.warpAffine if len(matrix) == 2 else cv2.warpPerspective
        colours = warp(picture, matrix, wanted, flags=flags, borderMode=cv2.BORDER_REPLICATE)
        corners = np.rint((outline - [x0, y0]) * (1 << _SUBPIXEL_BITS)).astype(np.int32)
        mask = np.zeros(wanted[::-1], np.uint8)
        cv2.fillConvexPoly(mask, corners, 255, cv2.LINE_8, _SUBPIXEL_BITS)
        if picture.shape[2] == 4:
            mask[colours[..., 3] < 128] = 0
        colour, share = haze if haze is not None else (np.zeros(3), 0.0)
        if picture.shape[2] == 4 or share > 0.01:
            blend = np.zeros((3, picture.shape[2] + 1))
            blend[0, 0] = blend[1, 1] = blend[2, 2] = 1 - share
            blend[:, -1] = colour * share
            colours = cv2.transform(colours, blend)
        cv2.copyTo(colours, mask, self.rgb[y0:y1, x0:x1])
        cv2.copyTo(self._flat(label)[y0:y1, x0:x1], mask, self.labels[y0:y1, x0:x1])

    def frame(self) -> tuple[Picture, LabelMap]:
        """Return (H, W, 3) mean colours and (H, W) classes with the most coverage."""
        height, width = self.size[0] // SUPERSAMPLING, self.size[1] // SUPERSAMPLING
        rgb = cv2.resize(self.rgb, (width, height), interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
        a, b = self.labels[0::2, 0::2], self.labels[0::2, 1::2]
        c, d = self.labels[1::2, 0::2], self.labels[1::2, 1::2]
        truth = np.where((a == b) | (a == c) | (a == d), a, np.where((b == c) | (b == d), b, c))
        return rgb, truth.astype(np.uint8, copy=False)


def _visible_part(homography: Floats) -> Floats:
    """Return (N, 2) corners of the unit square's part whose depth is at least `NEAR_M`."""
    square = [(0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0)]
    depth = [float(homography[2] @ (p, q, 1.0)) - NEAR_M for p, q in square]
    kept: list[Sequence[float]] = []
    for i in range(4):
        here, there = i, (i + 1) % 4
        if depth[here] >= 0:
            kept.append(square[here])
        if (depth[here] >= 0) != (depth[there] >= 0):
            part = depth[here] / (depth[here] - depth[there])
            (p0, q0), (p1, q1) = square[here], square[there]
            kept.append((p0 + part * (p1 - p0), q0 + part * (q1 - q0)))
    return np.array(kept, np.float64).reshape(-1, 2)


def _levels(texture: Texture, homography: Floats, at: Floats) -> tuple[int, int]:
    """Return how often to halve a texture across and down to match the picture's pixels around (p, q) = `at`."""
    point = homography @ np.array([at[0], at[1], 1.0])
    slopes = (homography[:2, :2] * point[2] - np.outer(point[:2], homography[2, :2])) / point[2] ** 2
    lengths = np.maximum(np.hypot(slopes[0], slopes[1]), 1e-3)
    return int(np.log2(texture.size[1] / lengths[0]) + 0.3), int(np.log2(texture.size[0] / lengths[1]) + 0.3)
