"""Find what never moves at the bottom of a drive's pictures: the car's own bonnet, a dashboard, a date stamp.

A bonnet's rim is an edge that stays where it is while everything else moves. Some frames spread over the drive tell for
each place how steady its edges are: in how many of them it is the darker below, or the brighter, however faint the edge
is. The best way from the left of the picture to the right along steady ones is the rim, if it is good enough, and calm
below. Letters of a date stamp are small steady edges.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from segnet_live.errors import DataError, SourceError, UsageError, first_line
from segnet_live.frame import RGB, LabelMap, Size
from segnet_live.video.file import FileSource
from segnet_live.video.opencv import decode_picture

FRAMES = 32
WIDTH = 192
HIGHEST_RIM = 0.6
"""A rim lies below this share of the picture's height; above it are horizons."""
FAINT = 0.03
"""The edge, in grey 0..1 as Sobel's operator sums it, from which one counts whole in a frame."""
STEADY = 0.53
"""The share of the frames, less those of the contrary, in which there must be an edge, half way along the rim."""
NO_RIM = 0.3
"""How steady an edge must be for the rim to follow it rather than to run below the picture."""
NARROWEST = 0.25
"""The share of the picture's width that a rim must cross."""
CALM = 0.42
"""How much edges may change below a rim, where they do most, of what they change above."""
CLIMB = 0.133
"""What a row up or down costs the rim, in steadiness."""
LEAVE = 2.7
"""What it costs to leave the picture at its lower edge, or to come back."""
MOVES = 0.02
"""Mean change of grey, 0..1, above the bottom from which a drive is one that moves."""
_SLOPE = 1
_STAMP_ROWS = 0.14
_LETTERS = 3.0


class Bonnet:
    """The part of the picture that shows no road scene, and counts for nothing.

    Args:
        mask: (h, w) bool or uint8 at any size; not 0 where the picture is left out.
    """

    def __init__(self, mask: NDArray[np.uint8] | NDArray[np.bool_]) -> None:
        self.mask: NDArray[np.uint8] = (np.asarray(mask) != 0).astype(np.uint8)
        self._at = lru_cache(maxsize=4)(self._resized)

    @property
    def share(self) -> float:
        """The share of the picture that is left out, 0..1."""
        return float(self.mask.mean())

    @property
    def top(self) -> float:
        """How far from the picture's top it begins, 0..1; 1 if it is empty."""
        rows = np.flatnonzero(self.mask.any(axis=1))
        return float(rows[0] / len(self.mask)) if len(rows) else 1.0

    @property
    def sha256(self) -> str:
        """A hash of it, which tells it from others."""
        return hashlib.sha256(repr(self.mask.shape).encode() + np.packbits(self.mask).tobytes()).hexdigest()

    def _resized(self, size: Size) -> NDArray[np.bool_]:
        return cv2.resize(self.mask, size[::-1], interpolation=cv2.INTER_NEAREST).astype(np.bool_)

    def at(self, size: Size) -> NDArray[np.bool_]:
        """Return it at `size`, (height, width)."""
        return self._at(size)

    def leave_out(self, labels: LabelMap, void_id: int) -> LabelMap:
        """Return a label map whose pixels in it are void."""
        left = labels.copy()
        left[self.at((labels.shape[0], labels.shape[1]))] = void_id
        return left

    def grown(self, by: float) -> Bonnet:
        """Return it higher by a share of the picture's height, or lower by a negative one."""
        rows = round(abs(by) * len(self.mask))
        if not rows:
            return self
        moved = np.zeros_like(self.mask)
        if by > 0:
            moved[:-rows] = self.mask[rows:]
            return Bonnet(moved | self.mask)
        moved[rows:] = self.mask[:-rows]
        return Bonnet(moved & self.mask)

    def show(self, rgb: RGB) -> RGB:
        """Return a picture with it darkened and its rim drawn."""
        inside = self.at((rgb.shape[0], rgb.shape[1]))
        out = rgb.copy()
        out[inside] = out[inside] // 3
        rims, _ = cv2.findContours(inside.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(out, rims, -1, (242, 193, 78), max(1, round(rgb.shape[0] / 180)))
        return out


def chosen_bonnet(asked: str, video: Path | None, report: Callable[[str], None]) -> Bonnet | None:
    """Return the bonnet that an option names: "auto" for what is found in the video, else a picture of it.

    Args:
        video: None where the source is no video file.
        report: takes a line about what was found.

    Raises:
        DataError: the picture cannot be used.
        UsageError: there is nothing to find one in.
    """
    if asked != "auto":
        return read_bonnet(Path(asked))
    if video is None:
        raise UsageError("--bonnet auto looks through a video file first", "name a picture of the bonnet instead")
    try:
        bonnet = find_bonnet(video)
    except SourceError as error:
        report(f"bonnet: none is left out: {error}")
        return None
    report(f"bonnet: {describe(bonnet)}")
    return bonnet


def describe(bonnet: Bonnet | None) -> str:
    """Return what was found, for people."""
    if bonnet is None:
        return "nothing at the bottom stays where it is"
    return f"{bonnet.share:.1%} of the picture, from {1 - bonnet.top:.0%} above the lower edge, is left out"


def read_bonnet(path: Path) -> Bonnet:
    """Return the bonnet in a picture: white is left out, black stays.

    Raises:
        DataError: it cannot be read, or leaves nothing of the picture.
    """
    try:
        grey = decode_picture(path, cv2.IMREAD_GRAYSCALE)
    except OSError as error:
        raise DataError(f"--bonnet {path} cannot be read ({first_line(error)})", "name a picture, or auto") from error
    except ValueError as error:
        raise DataError(
            f"--bonnet {path} is no picture that can be used ({error})",
            "make one with segnet-live bonnet, and change it in any editor",
        ) from error
    bonnet = Bonnet(grey >= 128)
    if bonnet.share > 0.9:
        raise DataError(f"--bonnet {path} leaves out {bonnet.share:.0%} of the picture", "white is what is left out")
    return bonnet


def find_bonnet(video: Path) -> Bonnet | None:
    """Return the bonnet of a drive, None where nothing at the bottom stays. Takes a second or two.

    Raises:
        SourceError: the video cannot be read, or nothing moves in it.
    """
    frames = _frames(video)
    greys = np.stack([_grey(rgb) for rgb in frames])
    if len(greys) < 8 or float(greys[:, : greys.shape[1] // 2].std(axis=0).mean()) < MOVES:
        raise SourceError(f"{video}: hardly moves, so nothing tells the bonnet from the road", "name a picture instead")
    return bonnet_of(greys)


def _frames(video: Path) -> Sequence[RGB]:
    """Return frames spread over the whole drive."""
    source = FileSource(str(video))
    frames: list[RGB] = []
    try:
        info = source.info
        step_s = (info.duration_s or 0.0) / FRAMES
        far = step_s > 2.0  # nearer ones come sooner by reading on
        due_s = info.start_s
        while len(frames) < FRAMES:
            if far and frames:
                source.seek(due_s)
            frame = source.read()
            if frame is None:
                break
            if frame.pts_s >= due_s - 1e-6:
                frames.append(frame.rgb)
                due_s += step_s
    finally:
        source.close()
    return frames


def _grey(rgb: RGB) -> NDArray[np.float32]:
    """Return a small (h, WIDTH) float32 grey picture with the light of the scene taken out: mean 0.5."""
    height = max(32, round(rgb.shape[0] * WIDTH / rgb.shape[1]))
    small = cv2.resize(rgb, (WIDTH, height), interpolation=cv2.INTER_AREA)
    grey = cv2.GaussianBlur(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), (3, 3), 0).astype(np.float32) / 255
    return np.asarray(grey - grey.mean() + 0.5, np.float32)


def bonnet_of(greys: NDArray[np.float32]) -> Bonnet | None:
    """Return what never moves at the bottom of (N, h, w) small grey pictures, None where nothing does."""
    rows, columns = greys.shape[1:]
    down = np.stack([cv2.Sobel(grey, cv2.CV_32F, 0, 1, ksize=3) for grey in greys])
    across = np.stack([cv2.Sobel(grey, cv2.CV_32F, 1, 0, ksize=3) for grey in greys])
    steady = np.abs(np.clip(down / FAINT, -1, 1).mean(axis=0))
    mask = np.zeros((rows, columns), np.bool_)
    rim = _rim(steady, round(rows * HIGHEST_RIM))
    has_rim = rim < rows
    below = np.arange(rows)[:, None] >= rim[None, :]
    if has_rim.mean() >= NARROWEST and float(np.median(steady[rim[has_rim], np.flatnonzero(has_rim)])) >= STEADY:
        edges = np.hypot(down.std(axis=0), across.std(axis=0))
        # Just below a road's horizon lanes and cars pass; a bonnet shows reflections at most.
        inside = np.arange(rows)[:, None] >= rim[None, :] + 3
        if _busiest(edges[inside]) <= CALM * _busiest(edges[~below & _near(rim, rows)]):
            mask |= below
    mask |= _stamps(down, across) & ~mask
    return Bonnet(mask) if mask.any() else None


def _busiest(edges: NDArray[np.float32]) -> float:
    """Return how much edges change where they change most."""
    return float(np.percentile(edges, 95)) if len(edges) else 0.0


def _near(rim: NDArray[np.intp], rows: int) -> NDArray[np.bool_]:
    """Return the places within a quarter of the picture's height above the rim."""
    return np.arange(rows)[:, None] >= rim[None, :] - rows // 4


def _rim(steady: NDArray[np.float32], top: int) -> NDArray[np.intp]:
    """Return (w,) rows of the best way from left to right, below row `top`; h where it runs below the picture."""
    rows = len(steady)
    part = steady[top:].astype(np.float64)
    part[-2:] = -0.33  # the picture's own edge
    part = np.concatenate([part, np.full((1, part.shape[1]), NO_RIM)])
    height, columns = part.shape
    best, came = part[:, 0].copy(), np.zeros((columns, height), np.intp)
    shifts = np.arange(-_SLOPE, _SLOPE + 1)
    for x in range(1, columns):
        padded = np.pad(best, _SLOPE, constant_values=-np.inf)
        # A way that climbs costs a little: rims are smooth.
        options = np.stack([padded[_SLOPE + s : _SLOPE + s + height] - CLIMB * abs(s) for s in shifts])
        score, origin = options.max(axis=0), np.arange(height) + shifts[options.argmax(axis=0)]
        inside = int(best[:-1].argmax())
        if best[inside] - LEAVE > score[-1]:
            score[-1], origin[-1] = best[inside] - LEAVE, inside
        back = score[:-1] < best[-1] - LEAVE
        score[:-1][back], origin[:-1][back] = best[-1] - LEAVE, height - 1
        best, came[x] = score + part[:, x], origin
    rim = np.empty(columns, np.intp)
    rim[-1] = int(best.argmax())
    for x in range(columns - 1, 0, -1):
        rim[x - 1] = came[x][rim[x]]
    return np.where(rim == height - 1, rows, rim + top)


def _stamps(down: NDArray[np.float32], across: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return boxes around letters that stay at the lower edge."""
    rows, columns = down.shape[1:]
    strength = np.hypot(down.mean(axis=0), across.mean(axis=0))
    changes = np.hypot(down.std(axis=0), across.std(axis=0))
    letters = ((strength >= _LETTERS * changes) & (strength >= 0.25)).astype(np.uint8)
    letters[: round(rows * (1 - _STAMP_ROWS))] = 0
    joined = cv2.morphologyEx(letters, cv2.MORPH_CLOSE, np.ones((5, 13), np.uint8))
    boxes = np.zeros((rows, columns), np.bool_)
    count, _, stats, _ = cv2.connectedComponentsWithStats(joined)
    for x, y, w, h, area in stats[1:count]:
        if w >= columns * 0.06 and h >= 3 and area >= 0.4 * w * h:
            boxes[max(0, y - 2) : y + h + 2, max(0, x - 2) : x + w + 2] = True
    return boxes
