"""Cameras, played by a stand-in for OpenCV's capture."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest

from segnet_live.errors import SourceError, SourceLost
from segnet_live.video.camera import CameraSource
from tests.support.clips import corners, quadrants


class FakeCapture:
    """Delivers `script`: a (height, width) is a picture, None a failed read; nothing more after its end."""

    def __init__(self, script: list[tuple[int, int] | None]) -> None:
        self.script = list(script)
        self.asked: list[int] = []
        self.released = False

    def isOpened(self) -> bool:
        return bool(self.script)

    def set(self, name: int, _: float) -> bool:
        self.asked.append(name)
        return True

    def get(self, _: int) -> float:
        return 29.97

    def read(self) -> tuple[bool, np.ndarray | None]:
        size = self.script.pop(0) if self.script else None
        return (False, None) if size is None else (True, np.ascontiguousarray(quadrants(*size)[..., ::-1]))

    def release(self) -> None:
        self.released = True


Plug = Callable[..., FakeCapture]


@pytest.fixture
def plug(monkeypatch: pytest.MonkeyPatch) -> Plug:
    """Plugs in a camera that follows a script."""

    def plugged(*script: tuple[int, int] | None) -> FakeCapture:
        camera = FakeCapture(list(script))
        monkeypatch.setattr(cv2, "VideoCapture", lambda number: camera)
        return camera

    return plugged


def test_pictures_are_rgb_and_times_rise_from_0(plug: Plug) -> None:
    plug((48, 64), (48, 64), (48, 64))
    source = CameraSource(0)
    frames = [source.read(), source.read(), source.read()]
    assert frames[0] is not None
    assert abs(corners(frames[0].rgb) - corners(quadrants(48, 64))).max() == 0
    pts = [f.pts for f in frames if f is not None]
    assert pts[0] == 0
    assert pts == sorted(set(pts))
    assert source.info.live
    assert source.info.size == (48, 64)
    assert float(source.info.rate or 0) == pytest.approx(29.97)
    assert all(f is not None and f.capture_s > 0 for f in frames)


def test_a_skipped_read_is_counted_and_a_dead_camera_is_lost(plug: Plug) -> None:
    plug((48, 64), None, (48, 64))
    source = CameraSource(0)
    assert source.read() is not None
    assert source.read() is not None
    assert source.corrupt == 1
    for _ in range(2):
        with pytest.raises(SourceLost, match="camera 0: stopped"):
            source.read()


def test_another_size_means_open_it_again(plug: Plug) -> None:
    plug((48, 64), (96, 128))
    source = CameraSource(0)
    source.read()
    with pytest.raises(SourceLost, match="size changed"):
        source.read()


def test_a_size_that_is_not_on_offer_is_shown(plug: Plug) -> None:
    camera = plug((48, 64))
    source = CameraSource(1, size=(720, 1280))
    assert source.info.title == "camera 1 (1280x720 is not on offer)"
    assert source.info.size == (48, 64)
    assert {cv2.CAP_PROP_FRAME_HEIGHT, cv2.CAP_PROP_FRAME_WIDTH} <= set(camera.asked)


@pytest.mark.parametrize("script", [(), (None, None, None)], ids=["absent", "gives nothing"])
def test_a_camera_that_cannot_be_used_is_refused_in_one_line(plug: Plug, script: tuple[None, ...]) -> None:
    camera = plug(*script)
    with pytest.raises(SourceError, match="camera 7: cannot be opened"):
        CameraSource(7)
    assert camera.released


def test_an_absent_camera_says_nothing_on_stderr(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SourceError, match="camera 97"):
        CameraSource(97)
    assert capfd.readouterr().err == ""


def test_a_duration_ends_it(plug: Plug) -> None:
    plug(*[(48, 64)] * 3)
    source = CameraSource(0, duration_s=1e-9)
    assert source.read() is not None
    assert source.read() is None
