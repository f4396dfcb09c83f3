"""Views composed in planes are those composed in RGB, but for rounding and the half size of colour."""

from __future__ import annotations

from fractions import Fraction
from typing import Any, get_args

import av
import cv2
import numpy as np
import pytest
from av.video.reformatter import ColorRange, Colorspace, Interpolation
from numpy.typing import NDArray

from segnet_live.classes import CAMVID
from segnet_live.config import View
from segnet_live.engine.resize import picture_at
from segnet_live.frame import Frame
from segnet_live.labels import labels_at
from segnet_live.planes import Planes
from segnet_live.render.hud import with_plate
from segnet_live.render.planes import compose_planes
from segnet_live.render.view import ViewSettings, compose
from segnet_live.video.colour import FrameConverter, PictureConverter
from tests.test_labels import blobs

SIZE = (720, 1280)
ROUNDING = 3
"""Of 255: once to RGB, once in blending, once back; swscale's RGB is up to two too dark."""
FORMATS = {
    "420, 709": ("yuv420p", Colorspace.ITU709, 1, False),
    "420, 601": ("yuv420p", Colorspace.ITU601, 5, False),
    "420, untagged": ("yuv420p", Colorspace.ITU709, 2, False),
    "420, full range": ("yuv420p", Colorspace.ITU709, 1, True),
    "422 of Motion-JPEG": ("yuvj422p", Colorspace.ITU601, 5, True),
    "10 bits": ("yuv420p10le", Colorspace.ITU709, 1, False),
    "422, 10 bits": ("yuv422p10le", Colorspace.ITU709, 1, False),
    "444": ("yuv444p", Colorspace.ITU709, 1, False),
    "hardware": ("nv12", Colorspace.ITU709, 1, False),
    "hardware, 10 bits": ("p010le", Colorspace.ITU709, 1, False),
    "grey": ("gray", Colorspace.ITU709, 1, True),
}


def scene() -> NDArray[np.uint8]:
    """Return a picture whose colours change as slowly as half-size colour can tell."""
    noise = np.random.default_rng(3).integers(40, 216, (9, 16, 3), dtype=np.uint8)
    return cv2.resize(noise, SIZE[::-1], interpolation=cv2.INTER_CUBIC).astype(np.uint8)


def decoded(name: str) -> av.VideoFrame:
    form, matrix, tag, full = FORMATS[name]
    frame = av.VideoFrame.from_ndarray(scene(), format="rgb24").reformat(
        format=form,
        dst_colorspace=matrix,
        src_color_range=ColorRange.JPEG,
        dst_color_range=ColorRange.JPEG if full else ColorRange.MPEG,
        interpolation=Interpolation.BICUBIC,
    )
    frame.colorspace, frame.color_range = tag, ColorRange.JPEG if full else ColorRange.MPEG
    return frame


def planes_of(name: str) -> Planes:
    picture = PictureConverter().picture(decoded(name))
    assert isinstance(picture, Planes)
    return picture


def difference(got: Planes, wanted: NDArray[np.uint8]) -> list[NDArray[np.int64]]:
    """Return how far each plane is from that of RGB in the same matrix."""
    reference = FrameConverter(got.size, got.colours.matrix).frame(wanted)
    planes = [np.frombuffer(p, np.uint8).reshape(-1, p.line_size)[:, : p.width] for p in reference.planes]
    pairs = zip((got.y, got.u, got.v), planes, strict=True)
    return [abs(a.astype(np.int64) - b) for a, b in pairs]


@pytest.mark.parametrize("name", FORMATS)
def test_the_overlay_is_that_of_rgb(name: str) -> None:
    planes, labels = planes_of(name), blobs(320, 544)
    settings = ViewSettings(hidden=frozenset({2, 5}))
    got = compose_planes(planes, labels, CAMVID, settings)
    assert not got.colours.full
    large = labels_at(labels, SIZE)
    y, u, v = difference(got, compose(planes.rgb, large, CAMVID, settings))
    assert y.max() <= ROUNDING
    # Where an edge crosses one of its four pixels, a colour of half size is a mixture in RGB and one of them here.
    flat = cv2.morphologyEx(large, cv2.MORPH_GRADIENT, np.ones((5, 5), np.uint8))[::2, ::2] == 0
    assert flat.mean() > 0.8
    for plane in (u, v):
        assert plane[flat].max() <= ROUNDING
        assert plane.mean() < 1.5


@pytest.mark.parametrize("view", get_args(View))
def test_every_view_is_that_of_rgb(view: Any) -> None:
    planes, labels = planes_of("420, 709"), blobs(320, 544)
    settings = ViewSettings(view, 0.4, wiper=0.3)
    got = compose_planes(planes, labels, CAMVID, settings)
    y, u, v = difference(got, compose(planes.rgb, labels_at(labels, SIZE), CAMVID, settings))
    assert (y > ROUNDING).mean() < 0.001
    assert max(u.mean(), v.mean()) < 1.5


def test_labels_larger_than_the_planes_of_colour_do_as_well() -> None:
    planes, labels = planes_of("420, 709"), blobs(400, 700)  # wider than the planes of colour are
    got = compose_planes(planes, labels, CAMVID, ViewSettings())
    y, u, v = difference(got, compose(planes.rgb, labels_at(labels, SIZE), CAMVID, ViewSettings()))
    assert y.max() <= ROUNDING
    assert max(u.mean(), v.mean()) < 1.5


def test_a_plate_in_planes_is_that_in_rgb() -> None:
    planes = compose_planes(planes_of("420, 601"), blobs(320, 544), CAMVID, ViewSettings("original"))
    plate = np.zeros((101, 203, 4), np.uint8)
    plate[..., 3] = np.linspace(0, 255, 203).astype(np.uint8)
    plate[..., :3] = plate[..., 3:] // np.array((2, 3, 4), np.uint8)
    wanted = with_plate(planes.rgb, plate)
    y, u, v = difference(with_plate(planes, plate), wanted)
    assert max(y.max(), u.max(), v.max()) <= ROUNDING + 2


def test_what_planes_cannot_hold_is_rgb() -> None:
    converter = PictureConverter()
    wide = decoded("420, 709")
    wide.colorspace = 9  # BT.2020
    assert not isinstance(converter.picture(wide), Planes)
    assert not isinstance(converter.picture(decoded("444").reformat(format="rgb24")), Planes)
    assert not isinstance(converter.picture(decoded("420, 709").reformat(width=641, height=359)), Planes)


def test_the_networks_input_is_that_of_rgb() -> None:
    planes = planes_of("420, 709")
    size, base = (320, 544), Fraction(1, 25)
    got = picture_at(Frame(planes, 0, 0, base), size).astype(int)
    wanted = picture_at(Frame(planes.rgb, 0, 0, base), size)
    assert abs(got - wanted).max() <= 4
    assert abs(got - wanted).mean() < 2
