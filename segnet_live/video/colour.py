"""Convert decoded pictures to upright square-pixel RGB, and RGB to what H.264 encodes; matrix and range stated."""

from __future__ import annotations

from fractions import Fraction

import cv2
import numpy as np
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc, Interpolation, VideoReformatter
from numpy.typing import NDArray

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
_TAGS = {Colorspace.ITU709: 1, Colorspace.SMPTE170M: 6}
HD_LINES = 720
"""From this height on players take an untagged picture for BT.709, below it for BT.601."""


def matrix_for(height: int) -> Colorspace:
    """Return the YUV matrix of a picture that does not state one."""
    return Colorspace.ITU709 if height >= HD_LINES else Colorspace.SMPTE170M


class PictureConverter:
    """A converter of decoded pictures to RGB that keeps swscale contexts between pictures. One thread."""

    def __init__(self) -> None:
        self._scaler = VideoReformatter()

    def rgb(self, picture: VideoFrame, pixel_aspect: Fraction = Fraction(1)) -> NDArray[np.uint8]:
        """Return (H, W, 3) uint8 RGB, upright, pixels made square by enlarging the short side.

        Args:
            picture: as decoded, any pixel format.
            pixel_aspect: width over height of its pixels.
        """
        width, height = picture.width, picture.height
        if Fraction(1, 8) < pixel_aspect < 1:
            height = round(height / pixel_aspect)
        elif 1 < pixel_aspect < 8:
            width = round(width * pixel_aspect)
        full = picture.color_range == ColorRange.JPEG or picture.format.name.startswith("yuvj")
        upright = self._scaler.reformat(
            picture,
            width=width,
            height=height,
            format="rgb24",
            src_colorspace=_MATRICES.get(picture.colorspace, matrix_for(picture.height)),
            src_color_range=ColorRange.JPEG if full else ColorRange.MPEG,
            dst_color_range=ColorRange.JPEG,
            interpolation=Interpolation.BICUBIC,
            threads=1,
        )
        return turned_upright(np.asarray(upright.to_ndarray(), np.uint8), picture)


def turned_upright(rgb: NDArray[np.uint8], picture: VideoFrame) -> NDArray[np.uint8]:
    """Return `rgb` turned and mirrored as the picture's display matrix says, in steps of 90 degrees."""
    if "DISPLAYMATRIX" not in picture.side_data:
        return rgb
    # Row-vector convention: x' = a x + c y, y' = b x + d y (ISO/IEC 14496-12, 6.2.2).
    side = picture.side_data["DISPLAYMATRIX"]  # type: ignore[typeddict-item]  # PyAV's stub names only one kind
    a, b, _, c, d = np.frombuffer(bytes(side), np.int32)[:5].tolist()
    if abs(b) > abs(a):
        rgb = cv2.transpose(rgb)  # type: ignore[assignment]
        a, d = c, b
    if a < 0 or d < 0:
        rgb = cv2.flip(rgb, -1 if a < 0 and d < 0 else (1 if a < 0 else 0))  # type: ignore[assignment]
    return rgb


class YuvConverter:
    """A converter of RGB frames of one size to yuv420p, limited range, in the matrix players expect at that height.

    One thread.
    """

    def __init__(self, size: tuple[int, int]) -> None:
        """Prepare for frames of `size`, (height, width); odd sides come out one pixel longer."""
        self._pad = size[0] % 2, size[1] % 2
        self.width, self.height = size[1] + self._pad[1], size[0] + self._pad[0]
        self._matrix = matrix_for(size[0])
        self._scaler = VideoReformatter()

    def describe(self, encoder: VideoCodecContext) -> None:
        """Set size, format and colours of `encoder`, so that the file's tags match its pixels."""
        encoder.width, encoder.height, encoder.pix_fmt = self.width, self.height, "yuv420p"
        encoder.color_range = ColorRange.MPEG
        encoder.colorspace = _TAGS[self._matrix]
        encoder.color_primaries = ColorPrimaries.BT709
        encoder.color_trc = ColorTrc.BT709

    def yuv(self, rgb: NDArray[np.uint8]) -> VideoFrame:
        """Return `rgb`, (H, W, 3) uint8, as a frame of the encoder's format; odd sides replicate their last pixel."""
        if any(self._pad):
            rgb = cv2.copyMakeBorder(rgb, 0, self._pad[0], 0, self._pad[1], cv2.BORDER_REPLICATE)  # type: ignore[assignment]
        return self._scaler.reformat(
            VideoFrame.from_ndarray(rgb, format="rgb24"),
            format="yuv420p",
            src_color_range=ColorRange.JPEG,
            dst_colorspace=self._matrix,
            dst_color_range=ColorRange.MPEG,
            interpolation=Interpolation.BILINEAR,
            threads=1,
        )
