"""The contract every source keeps, whatever it reads from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import cv2
import pytest

from segnet_live.config import SourceSpec
from segnet_live.display_text import mask_password
from segnet_live.errors import SourceError
from segnet_live.frame import Frame
from segnet_live.video.location import display_name, is_stream, is_url, videos_in
from segnet_live.video.open import open_source
from segnet_live.video.source import VideoSource
from tests.support.clips import numbered

MakeClip = Callable[..., str]
KINDS = ["mp4", "mkv late start", "avi", "ts", "images", "images with a bad one", "synthetic"]


@pytest.fixture(params=KINDS)
def spec(request: pytest.FixtureRequest, clip: MakeClip, tmp_path: Path) -> SourceSpec:
    """A source of about half a second."""
    kind = request.param
    if kind == "synthetic":
        return SourceSpec("synthetic", duration_s=0.4)
    if kind.startswith("images"):
        for number in range(12):
            cv2.imwrite(str(tmp_path / f"{number}.png"), numbered(number, 48, 64))
        if "bad" in kind:
            (tmp_path / "5.png").write_bytes(b"no picture")
        return SourceSpec("images", str(tmp_path))
    container = kind.split()[0]
    late = {"pts": [35 + n for n in range(12)]} if "late" in kind else {}
    return SourceSpec("video", clip(name=f"clip.{container}", options={"g": "5"}, **late))


@pytest.fixture
def source(spec: SourceSpec) -> VideoSource:
    return open_source(spec)


def drain(source: VideoSource) -> list[Frame]:
    frames = []
    while (frame := source.read()) is not None:
        frames.append(frame)
    return frames


def test_frames_are_what_the_source_says(source: VideoSource) -> None:
    frames = drain(source)
    assert {f.size for f in frames} == {source.info.size}
    assert {f.time_base for f in frames} == {source.info.time_base}
    assert all(f.rgb.dtype == "uint8" and f.rgb.flags.c_contiguous for f in frames)
    assert [f.index for f in frames] == list(range(len(frames)))
    assert frames[0].pts_s == pytest.approx(source.info.start_s)
    assert source.info.frames is not None
    assert len(frames) + source.corrupt == source.info.frames
    assert not source.info.live


def test_times_strictly_rise_and_the_end_stays_the_end(source: VideoSource) -> None:
    frames = drain(source)
    assert len(frames) > 5
    assert all(a.pts < b.pts for a, b in pairwise(frames))
    assert source.read() is None
    assert source.read() is None


def test_seeking_gives_the_same_frame_again(source: VideoSource) -> None:
    assert source.info.seekable
    frames = drain(source)
    for wanted in (frames[-1], frames[0], frames[len(frames) // 2]):
        source.seek(wanted.pts_s)
        got = source.read()
        assert got is not None
        assert got.pts == wanted.pts
        assert (got.rgb == wanted.rgb).all()
        assert got.name == wanted.name
    source.seek(frames[-1].pts_s + 1)
    assert source.read() is None


def test_a_start_leaves_out_and_a_duration_ends(spec: SourceSpec) -> None:
    whole = drain(open_source(spec))
    part = drain(open_source(SourceSpec(spec.kind, spec.value, start_s=0.12, duration_s=0.2)))
    first = whole[0].pts_s
    assert [f.pts for f in part] == [f.pts for f in whole if 0.119 < f.pts_s - first < 0.319]
    with pytest.raises(SourceError):
        open_source(SourceSpec(spec.kind, spec.value, start_s=1000))


def test_a_late_start_is_reported_as_it_is_played(spec: SourceSpec) -> None:
    whole = open_source(spec).info
    source = open_source(replace(spec, start_s=0.12, duration_s=0.2))
    info = source.info
    frames = drain(source)
    assert info.start_s == pytest.approx(whole.start_s + 0.12)
    assert info.start_s == pytest.approx(frames[0].pts_s)
    assert info.frames is not None
    assert len(frames) + source.corrupt == info.frames
    assert info.duration_s == pytest.approx(0.2)
    source.seek(whole.start_s)  # where a loop begins again
    again = source.read()
    assert again is not None
    assert again.pts == frames[0].pts


def test_closing_twice_is_fine(source: VideoSource) -> None:
    source.read()
    source.close()
    source.close()


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("rtsp://me:secret@10.0.0.2:554/live", "rtsp://me:***@10.0.0.2:554/live"),
        ("rtsp://me:se@cr:et/@10.0.0.2/live", "rtsp://me:***@10.0.0.2/live"),
        ("http://cam/v?user=me&password=secret&x=1", "http://cam/v?user=me&password=***&x=1"),
        ("http://cam/v?access_token=secret", "http://cam/v?access_token=***"),
        ("drives/2024:a@b.mp4", "drives/2024:a@b.mp4"),
    ],
)
def test_passwords_are_masked(url: str, shown: str) -> None:
    assert mask_password(url) == shown


@pytest.mark.parametrize(
    ("spec", "name"),
    [
        (SourceSpec("video", "/films/town.mp4"), "town.mp4"),
        (SourceSpec("images", "/photos"), "photos"),
        (SourceSpec("video", "rtsp://me:secret@10.0.0.2/live"), "rtsp://me:***@10.0.0.2/live"),
        (SourceSpec("camera", "1"), "Camera 1"),
        (SourceSpec("synthetic"), "Example drive"),
    ],
)
def test_every_source_has_a_short_name(spec: SourceSpec, name: str) -> None:
    assert display_name(spec) == name


@pytest.mark.parametrize(
    ("place", "url", "stream"),
    [
        ("rtsp://10.0.0.2/live", True, True),
        ("udp://@239.0.0.1:5000", True, True),
        ("https://host/clip.mp4", True, False),
        ("C://films/town.mp4", False, False),
        ("town.mp4", False, False),
    ],
)
def test_streams_files_on_servers_and_files_are_told_apart(place: str, url: bool, stream: bool) -> None:
    assert (is_url(place), is_stream(place)) == (url, stream)


def test_what_macos_leaves_beside_the_videos_of_a_card_is_none(tmp_path: Path) -> None:
    for name in ("b.MP4", "a.mp4", "._a.mp4", ".hidden.mkv", "notes.txt"):
        (tmp_path / name).touch()
    assert [path.name for path in videos_in(tmp_path)] == ["a.mp4", "b.MP4"]
    (tmp_path / "only").mkdir()
    (tmp_path / "only" / "._a.mp4").touch()
    with pytest.raises(SourceError, match="holds no video"):
        videos_in(tmp_path / "only")
