"""Convert decoded pictures to planes or RGB, upright and with square pixels, and both to what encoders take."""

from __future__ import annotations

import threading
from fractions import Fraction
from functools import partial
from typing import Any, TypeAlias

import cv2
import numpy as np
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.plane import VideoPlane
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc, Interpolation, VideoReformatter
from numpy.typing import NDArray

from segnet_live.planes import Colours, Matrix, Plane, Planes
from segnet_live.video.picture_size import MOST_PIXELS

_MATRICES = {
    1: Colorspace.ITU709,
    4: Colorspace.FCC,
    5: Colorspace.ITU601,
    6: Colorspace.SMPTE170M,
    7: Colorspace.SMPTE240M,
    9: Colorspace.BT2020,
    10: Colorspace.BT2020,
}
"""AVColorSpace (ISO/IEC 23091-2, MatrixCoefficients) to what swscale calls it."""
_KNOWN: dict[int, Matrix] = {1: "bt709", 5: "bt601", 6: "bt601"}
"""AVColorSpace of the matrices that `Planes` knows; pictures in others are converted to RGB."""
_TAGS: dict[Matrix, int] = {"bt709": 1, "bt601": 6}
_SCALER_MATRICES: dict[Matrix, Colorspace] = {"bt709": Colorspace.ITU709, "bt601": Colorspace.SMPTE170M}
HD_LINES = 720
"""From this height on players take an untagged picture for BT.709, below it for BT.601."""


def matrix_for(height: int) -> Matrix:
    """Return the YUV matrix of a picture that does not state one."""
    return "bt709" if height >= HD_LINES else "bt601"


class PictureConverter:
    """A converter of one source's decoded pictures, with what they have in common. Any threads, one at a time."""

    def __init__(self) -> None:
        self._turned: tuple[int, Turn | None] | None = None
        self._scaler = VideoReformatter()
        self._lock = threading.Lock()

    def picture(self, picture: VideoFrame, pixel_aspect: Fraction = Fraction(1)) -> NDArray[np.uint8] | Planes:
        """Return the planes of a decoded picture, upright, or (H, W, 3) uint8 RGB where `Planes` cannot hold it.

        Planes of 8 bits and half-size colour are the decoder's own, not copied. More bits are rounded, and fuller
        colour is halved. RGB, odd sides, pixels that are not square and rare matrices and layouts go through RGB.

        Args:
            picture: as decoded, any pixel format.
            pixel_aspect: width over height of its pixels.
        """
        split = None if _stretched(picture, pixel_aspect) != (picture.width, picture.height) else _split(picture)
        if split is None:
            return self.rgb(picture, pixel_aspect)
        turn = self._turn(picture)
        y, u, v = (turned_upright(plane, turn) for plane in split)
        make_rgb = partial(self.rgb, picture, pixel_aspect)
        return Planes(y, u, v, Colours(_matrix_of(picture), _is_full(picture)), make_rgb=make_rgb)

    def rgb(self, picture: VideoFrame, pixel_aspect: Fraction = Fraction(1)) -> NDArray[np.uint8]:
        """Return (H, W, 3) uint8 RGB, upright, pixels made square by enlarging the short side.

        Args:
            picture: as decoded, any pixel format.
            pixel_aspect: width over height of its pixels.
        """
        width, height = _stretched(picture, pixel_aspect)
        assumed = _SCALER_MATRICES[matrix_for(picture.height)]
        with self._lock:
            upright = self._scaler.reformat(
                picture,
                width=width,
                height=height,
                format="rgb24",
                src_colorspace=_MATRICES.get(picture.colorspace, assumed),
                src_color_range=ColorRange.JPEG if _is_full(picture) else ColorRange.MPEG,
                dst_color_range=ColorRange.JPEG,
                interpolation=Interpolation.BICUBIC,
                threads=1,
            )
        return turned_upright(np.asarray(upright.to_ndarray(), np.uint8), self._turn(picture))

    def _turn(self, picture: VideoFrame) -> Turn | None:
        """Return the picture's `Turn`, read from the first picture and from one that is turned otherwise.

        A picture that is asked for its side data refers to itself from then on, and lies in memory until garbage is
        collected: at 4K that was a GiB.
        """
        known, rotation = self._turned, picture.rotation
        if known is None or known[0] != rotation:
            self._turned = known = rotation, _turn_of(picture)
        return known[1]


def _is_full(picture: VideoFrame) -> bool:
    return picture.color_range == ColorRange.JPEG or picture.format.name.startswith("yuvj")


def _stretched(picture: VideoFrame, pixel_aspect: Fraction) -> tuple[int, int]:
    """Return (width, height) with square pixels, by enlarging the short side; as it is where that were huge."""
    width, height = picture.width, picture.height
    if Fraction(1, 8) < pixel_aspect < 1:
        height = round(height / pixel_aspect)
    elif 1 < pixel_aspect < 8:
        width = round(width * pixel_aspect)
    return (width, height) if width * height <= MOST_PIXELS else (picture.width, picture.height)


def _matrix_of(picture: VideoFrame) -> Matrix:
    """Return the matrix of a picture whose planes can be taken."""
    return _KNOWN.get(picture.colorspace, matrix_for(picture.height))


_LAYOUTS: dict[str, tuple[int, bool]] = {
    **{f"yuv{form}p": (0, False) for form in ("420", "422", "444", "440")},
    **{f"yuvj{form}p": (0, False) for form in ("420", "422", "444", "440")},
    **{f"yuv{form}p{bits}le": (bits - 8, False) for form in ("420", "422", "444") for bits in (9, 10, 12, 14, 16)},
    **dict.fromkeys(("nv12", "nv16", "nv24"), (0, True)),
    **dict.fromkeys(("p010le", "p012le", "p016le", "p210le", "p410le"), (8, True)),
    "gray": (0, False),
    **{f"gray{bits}le": (bits - 8, False) for bits in (9, 10, 12, 14, 16)},
}
"""Pixel formats that `Planes` can hold: by how many bits values are shifted up, and whether colours alternate."""


def _split(picture: VideoFrame) -> tuple[Plane, Plane, Plane] | None:
    """Return Y, U and V with 8 bits and half-size colour, as far as possible the decoder's own memory; None if not."""
    layout = _LAYOUTS.get(picture.format.name)
    stated = picture.colorspace
    if layout is None or picture.width % 2 or picture.height % 2 or (stated in _MATRICES and stated not in _KNOWN):
        return None
    shift, alternate = layout
    y, *colour = (
        _in_8_bits(_samples(plane, shift > 0, alternate and i > 0), shift) for i, plane in enumerate(picture.planes)
    )
    if not colour:
        grey = np.full((picture.height // 2, picture.width // 2), 128, np.uint8)
        return y, grey, grey
    u, v = (np.asarray(plane, np.uint8) for plane in (cv2.split(colour[0]) if alternate else colour))
    return y, _halved(u, picture), _halved(v, picture)


def _halved(plane: Plane, picture: VideoFrame) -> Plane:
    """Return a plane of colour at half the picture's size, the means of its pixels."""
    half = picture.width // 2, picture.height // 2
    if plane.shape == half[::-1]:
        return plane
    return cv2.resize(plane, half, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)


def _samples(plane: VideoPlane, wide: bool, alternate: bool) -> NDArray[Any]:
    """Return a view of the plane's memory, (h, w) or, where two colours alternate, (h, w, 2); uint16 if `wide`."""
    kind = np.dtype("<u2" if wide else np.uint8)
    stride = plane.line_size // kind.itemsize
    memory: NDArray[Any] = np.frombuffer(memoryview(plane), kind, stride * plane.height)
    rows = memory.reshape(plane.height, stride)
    if not alternate:
        return rows[:, : plane.width]
    return rows[:, : 2 * plane.width].reshape(plane.height, plane.width, 2)


def _in_8_bits(samples: NDArray[Any], shift: int) -> Plane:
    if not shift:
        return samples
    return cv2.convertScaleAbs(samples, alpha=1 / (1 << shift)).astype(np.uint8, copy=False)


Turn: TypeAlias = tuple[int, int, int, int]
"""a, b, c and d of a display matrix: x' = a x + c y, y' = b x + d y (ISO/IEC 14496-12, 6.2.2)."""


def _turn_of(picture: VideoFrame) -> Turn | None:
    """Return how a picture is to be turned and mirrored, None where it says nothing."""
    if "DISPLAYMATRIX" not in picture.side_data:
        return None
    side = picture.side_data["DISPLAYMATRIX"]  # type: ignore[typeddict-item]  # PyAV's stub names only one kind
    a, b, _, c, d = np.frombuffer(bytes(side), np.int32)[:5].tolist()
    return a, b, c, d


def turned_upright(rgb: NDArray[np.uint8], turn: Turn | None) -> NDArray[np.uint8]:
    """Return RGB or a plane turned and mirrored, in steps of 90 degrees."""
    if turn is None:
        return rgb
    a, b, c, d = turn
    if abs(b) > abs(a):
        rgb = cv2.transpose(rgb)  # type: ignore[assignment]
        a, d = c, b
    if a < 0 or d < 0:
        rgb = cv2.flip(rgb, -1 if a < 0 and d < 0 else (1 if a < 0 else 0))  # type: ignore[assignment]
    return rgb


class FrameConverter:
    """A converter of pictures of one size to yuv420p, limited range, in one matrix. One thread."""

    def __init__(self, size: tuple[int, int], matrix: Matrix | None = None) -> None:
        """Prepare for pictures of `size`, (height, width); odd sides come out one pixel longer.

        Args:
            matrix: of the frames to come; None for what players expect at that height.
        """
        self._pad = size[0] % 2, size[1] % 2
        self.width, self.height = size[1] + self._pad[1], size[0] + self._pad[0]
        self._colours = Colours(matrix or matrix_for(size[0]))
        self._scaler = VideoReformatter()

    def describe(self, encoder: VideoCodecContext) -> None:
        """Set size, format and colours of `encoder`, so that the file's tags match its pixels."""
        encoder.width, encoder.height, encoder.pix_fmt = self.width, self.height, "yuv420p"
        encoder.color_range = ColorRange.MPEG
        encoder.colorspace = _TAGS[self._colours.matrix]
        encoder.color_primaries = ColorPrimaries.BT709
        encoder.color_trc = ColorTrc.BT709

    def frame(self, picture: NDArray[np.uint8] | Planes) -> VideoFrame:
        """Return a picture, (H, W, 3) uint8 RGB or planes, as a frame of the encoder's format.

        Odd sides replicate their last pixel. Planes in these colours are not converted, and not copied where they lie
        in one buffer: nobody may write to them afterwards.
        """
        if isinstance(picture, Planes):
            if picture.colours == self._colours:
                return _frame_of(picture)
            picture = picture.rgb
        if any(self._pad):
            picture = cv2.copyMakeBorder(picture, 0, self._pad[0], 0, self._pad[1], cv2.BORDER_REPLICATE)  # type: ignore[assignment]
        return self._scaler.reformat(
            VideoFrame.from_ndarray(picture, format="rgb24"),
            format="yuv420p",
            src_color_range=ColorRange.JPEG,
            dst_colorspace=_SCALER_MATRICES[self._colours.matrix],
            dst_color_range=ColorRange.MPEG,
            interpolation=Interpolation.BILINEAR,
            threads=1,
        )


def _frame_of(planes: Planes) -> VideoFrame:
    """Return planes as a yuv420p frame, which shares their buffer where there is one."""
    if planes.buffer is not None:
        return VideoFrame.from_numpy_buffer(planes.buffer, "yuv420p")
    height, width = planes.size
    frame = VideoFrame(width, height, "yuv420p")
    for source, plane in zip((planes.y, planes.u, planes.v), frame.planes, strict=True):
        np.copyto(_samples(plane, False, False), source)
    return frame
