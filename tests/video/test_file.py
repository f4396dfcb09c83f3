"""Video files of every kind that users have: times, shapes, colours, damage, and what is refused as no video."""

from __future__ import annotations

import gc
from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.video.reformatter import Colorspace

from segnet_live.errors import SourceError
from segnet_live.frame import Frame
from segnet_live.video.file import FileSource
from tests.support.clips import Clip, corners, make, number_in, quadrants, tone

MakeClip = Callable[..., str]
TICK = Fraction(1, 1000)


def frames_of(source: FileSource) -> list[Frame]:
    frames = []
    while (frame := source.read()) is not None:
        frames.append(frame)
    return frames


def stamps(source: FileSource) -> list[Fraction]:
    return [f.pts * f.time_base for f in frames_of(source)]


CODECS = [
    pytest.param("libx264", "clip.mp4", {}, id="h264 mp4"),
    pytest.param("libx264", "clip.mov", {}, id="h264 mov"),
    pytest.param("libx264", "clip.mkv", {}, id="h264 mkv"),
    pytest.param("libx264", "clip.avi", {}, id="h264 avi, only decoding times"),
    pytest.param("libx264", "clip.ts", {}, id="h264 ts, first pts not 0"),
    pytest.param("libx264", "clip.h264", {}, id="h264 alone, no times"),
    pytest.param("libx265", "clip.mp4", {"options": {"x265-params": "log-level=none:keyint=6"}}, id="hevc"),
    pytest.param("mpeg4", "clip.avi", {"options": {"bf": "2", "g": "6"}}, id="mpeg4 avi, reordered"),
    pytest.param("mjpeg", "clip.avi", {"pix_fmt": "yuvj420p"}, id="mjpeg"),
    pytest.param("libvpx-vp9", "clip.webm", {}, id="vp9"),
    pytest.param("libsvtav1", "clip.mkv", {"size": (64, 64)}, id="av1"),
]


@pytest.mark.parametrize(("codec", "name", "fields"), CODECS)
def test_every_format_gives_every_frame_in_order_and_seeks_exactly(
    clip: MakeClip, codec: str, name: str, fields: dict[str, Any]
) -> None:
    fields = {"options": {"g": "6"} if codec == "libx264" else {}} | fields
    source = FileSource(clip(codec=codec, name=name, frames=20, **fields))
    frames = frames_of(source)
    assert [number_in(f.rgb) for f in frames] == list(range(20))
    assert [(f.pts - frames[0].pts) * f.time_base for f in frames] == [Fraction(n, 25) for n in range(20)]
    assert source.info.rate == 25
    assert source.corrupt == 0
    for number in (13, 3, 19, 0, 7):
        source.seek(frames[number].pts_s)
        again = source.read()
        assert again is not None
        assert (again.pts, number_in(again.rgb)) == (frames[number].pts, number)
        after = source.read()
        assert (after and after.pts) == (frames[number + 1].pts if number < 19 else None)


def test_a_seek_between_frames_goes_to_the_next_one(clip: MakeClip) -> None:
    source = FileSource(clip())
    source.seek(0.1)
    frame = source.read()
    assert frame is not None
    assert frame.pts_s == 0.12
    source.seek(99)
    assert source.read() is None


def test_29_97_stays_a_fraction(clip: MakeClip) -> None:
    source = FileSource(clip(rate=Fraction(30000, 1001), time_base=Fraction(1, 30000)))
    assert source.info.rate == Fraction(30000, 1001)
    assert stamps(source) == [n * Fraction(1001, 30000) for n in range(12)]


@pytest.mark.parametrize("name", ["clip.mp4", "clip.mkv"])
def test_a_variable_rate_and_a_late_start_are_kept(clip: MakeClip, name: str) -> None:
    pts = [1400, 1440, 1441, 1600, 2177, 2400, 3300]
    source = FileSource(clip(name=name, time_base=TICK, pts=pts))
    assert source.info.start_s == 1.4
    assert stamps(source) == [p * TICK for p in pts]


def test_start_and_duration_count_from_the_first_frame(clip: MakeClip) -> None:
    path = clip(name="clip.mkv", time_base=TICK, pts=[1400 + 40 * n for n in range(25)], options={"g": "10"})
    source = FileSource(path, start_s=0.2, duration_s=0.4)
    assert stamps(source) == [(1600 + 40 * n) * TICK for n in range(10)]
    assert source.read() is None
    assert source.info.frames == 10
    source.seek(0)
    assert stamps(source)[0] == 1600 * TICK
    with pytest.raises(SourceError, match="ends before 9 s"):
        FileSource(path, start_s=9)


@pytest.mark.parametrize(
    ("aspect", "size"), [(Fraction(4, 3), (48, 85)), (Fraction(8, 9), (54, 64)), (Fraction(1), (48, 64))]
)
def test_pixels_come_out_square(clip: MakeClip, aspect: Fraction, size: tuple[int, int]) -> None:
    def prepare(stream: Any) -> None:
        stream.sample_aspect_ratio = aspect

    source = FileSource(clip(prepare=prepare))
    assert source.info.size == size == source.read().size  # type: ignore[union-attr]


@pytest.mark.parametrize(("codec", "pix_fmt"), [("libvpx-vp9", "yuv420p"), ("libx264", "yuv444p")])
def test_odd_sides_stay_odd(clip: MakeClip, codec: str, pix_fmt: str) -> None:
    source = FileSource(clip(codec=codec, pix_fmt=pix_fmt, size=(49, 65), name="clip.mkv"))
    assert source.info.size == (49, 65)
    assert [number_in(f.rgb) for f in frames_of(source)] == list(range(12))


@pytest.mark.parametrize("degrees", [0, 90, 180, -90])
@pytest.mark.parametrize("mirrored", [False, True])
def test_phone_footage_comes_out_upright(clip: MakeClip, degrees: int, mirrored: bool) -> None:
    upright = quadrants(96, 128)
    expected = np.rot90(upright, degrees // 90)
    expected = expected[:, ::-1] if mirrored else expected
    path = clip(still=upright, size=(96, 128), prepare=lambda s: s.set_display_rotation(degrees, hflip=mirrored))
    source = FileSource(path)
    assert source.info.size == expected.shape[:2]
    assert abs(corners(source.read().rgb) - corners(expected)).max() <= 3  # type: ignore[union-attr]


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv420p10le"])
def test_frames_that_nobody_holds_leave_memory_at_once(clip: MakeClip, pix_fmt: str) -> None:
    source = FileSource(clip(frames=30, pix_fmt=pix_fmt))
    gc.collect()
    gc.disable()
    try:
        before = sum(issubclass(type(each), av.VideoFrame) for each in gc.get_objects())
        assert len([frame.rgb.shape for frame in iter(source.read, None)]) == 30
        after = sum(issubclass(type(each), av.VideoFrame) for each in gc.get_objects())
    finally:
        gc.enable()
    assert after - before <= 1, "the first is asked how it is turned, and refers to itself from then on"


MATRICES = {
    "untagged": (2, None),
    "601": (6, Colorspace.ITU601),
    "709": (1, Colorspace.ITU709),
    "2020": (9, Colorspace.BT2020),
}


@pytest.mark.parametrize("matrix", MATRICES)
@pytest.mark.parametrize("height", [96, 720])
@pytest.mark.parametrize("full", [False, True], ids=["limited", "full"])
@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv444p", "yuv420p10le"])
def test_colours_come_back(clip: MakeClip, matrix: str, height: int, full: bool, pix_fmt: str) -> None:
    tag, stored = MATRICES[matrix]
    if stored is None:  # as players take it
        stored = Colorspace.ITU709 if height == 720 else Colorspace.ITU601

    def prepare(stream: Any) -> None:
        stream.codec_context.colorspace, stream.codec_context.color_range = tag, 1 + full

    picture = quadrants(height, 128)
    path = clip(
        still=picture,
        size=(height, 128),
        frames=1,
        pix_fmt=pix_fmt,
        prepare=prepare,
        options={"preset": "ultrafast", "crf": "6"},
        convert={"dst_colorspace": stored, "src_color_range": 2, "dst_color_range": 1 + full},
    )
    frame = FileSource(path).read()
    assert frame is not None
    assert abs(corners(frame.rgb) - corners(picture)).max() <= 4


def test_motion_jpeg_is_full_range_601_at_any_height(clip: MakeClip) -> None:
    picture = quadrants(720, 128)
    convert = {"dst_colorspace": Colorspace.ITU601, "src_color_range": 2, "dst_color_range": 2}
    path = clip(codec="mjpeg", name="a.avi", pix_fmt="yuvj420p", still=picture, size=(720, 128), convert=convert)
    assert abs(corners(FileSource(path).read().rgb) - corners(picture)).max() <= 4  # type: ignore[union-attr]


@pytest.mark.parametrize("full", [False, True], ids=["limited", "full"])
def test_grey_keeps_its_levels(tmp_path: Path, full: bool) -> None:
    path = str(tmp_path / "grey.mp4")
    with av.open(path, "w") as output:
        stream = output.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "gray"
        stream.codec_context.color_range = 1 + full
        grey = np.full((48, 64), 235, np.uint8)
        grey[:, :32] = 16
        output.mux(stream.encode(av.VideoFrame.from_ndarray(grey, format="gray")))
        output.mux(stream.encode(None))
    frame = FileSource(path).read()
    assert frame is not None
    black, white = (16, 235) if full else (0, 255)
    assert abs(frame.rgb[:, :24].astype(int) - black).max() <= 2
    assert abs(frame.rgb[:, 40:].astype(int) - white).max() <= 2


@pytest.mark.parametrize(
    ("codec", "name", "fields"),
    [
        ("libx264", "clip.mp4", {"container_options": {"movflags": "+faststart"}, "options": {"g": "6"}}),
        ("libx264", "clip.mkv", {"options": {"g": "6"}}),
        ("mjpeg", "clip.avi", {"pix_fmt": "yuvj420p"}),
        ("libvpx-vp9", "clip.webm", {}),
    ],
    ids=["mp4", "mkv", "avi", "webm"],
)
def test_of_a_truncated_file_all_that_decodes_is_delivered_and_the_loss_counted(
    clip: MakeClip, codec: str, name: str, fields: dict[str, Any]
) -> None:
    path = Path(clip(codec=codec, name=name, frames=40, noise=50, **fields))
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 2 // 3])
    source = FileSource(str(path))
    frames = frames_of(source)
    assert [number_in(f.rgb) for f in frames] == list(range(len(frames)))
    assert 10 < len(frames) < 40
    assert abs(len(frames) + source.corrupt - 40) <= 1
    assert source.read() is None


@pytest.mark.parametrize(("codec", "name"), [("libx264", "clip.mp4"), ("libx264", "clip.ts"), ("mjpeg", "clip.avi")])
def test_damage_in_the_middle_is_counted_and_passed_over(clip: MakeClip, codec: str, name: str) -> None:
    fields = {"pix_fmt": "yuvj420p"} if codec == "mjpeg" else {"options": {"g": "6"}}
    movflags = {"movflags": "+faststart"} if name.endswith("mp4") else {}
    path = Path(clip(codec=codec, name=name, frames=40, noise=50, container_options=movflags, **fields))
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + len(data) // 8] = np.random.default_rng(0).bytes(len(data) // 8)
    path.write_bytes(data)
    source = FileSource(str(path))
    frames = frames_of(source)
    numbers = [number_in(f.rgb) for f in frames]
    assert numbers[:10] == list(range(10))
    assert numbers[-5:] == list(range(35, 40))
    assert all(a.pts < b.pts for a, b in pairwise(frames))
    assert source.corrupt > 0


def test_joined_recordings_go_on_when_their_clock_starts_again(clip: MakeClip) -> None:
    path = Path(clip(name="clip.ts", frames=60, options={"g": "10"}))
    path.write_bytes(path.read_bytes() * 2)
    frames = frames_of(FileSource(str(path)))
    assert len(frames) == 120
    gaps = [(b.pts - a.pts) * b.time_base for a, b in pairwise(frames)]
    assert min(gaps) > 0
    assert gaps.count(Fraction(1, 25)) >= 115
    assert max(gaps) < 1


def test_a_closed_source_is_at_its_end(clip: MakeClip) -> None:
    source = FileSource(clip())
    source.close()
    assert source.read() is None


def test_frames_know_when_decoding_began_and_how_long_they_last(clip: MakeClip) -> None:
    frames = frames_of(FileSource(clip()))
    assert all(a.capture_s < b.capture_s for a, b in pairwise(frames))
    assert all(f.decode_ms > 0 and f.duration * f.time_base == Fraction(1, 25) for f in frames)
    assert [f.index for f in frames] == list(range(12))


def test_cover_art_is_no_video(clip: MakeClip, tmp_path: Path) -> None:
    path = str(tmp_path / "song.mp4")
    with av.open(path, "w") as output:
        audio = output.add_stream("aac", rate=48000)
        cover = output.add_stream("mjpeg", rate=1, pix_fmt="yuvj420p", width=64, height=48)
        cover.disposition = av.stream.Disposition.attached_pic
        for block in tone(48000, 0.3):
            output.mux(audio.encode(block))
        output.mux(cover.encode(av.VideoFrame.from_ndarray(quadrants(48, 64), format="rgb24")))
        output.mux([*cover.encode(None), *audio.encode(None)])
    with pytest.raises(SourceError, match="only sound"):
        FileSource(path)


def _audio_only(path: Path) -> None:
    with av.open(str(path), "w", format="mp4") as output:
        stream = output.add_stream("aac", rate=48000)
        for block in tone(48000, 0.3):
            output.mux(stream.encode(block))
        output.mux(stream.encode(None))


def _no_frame(path: Path) -> None:
    with av.open(str(path), "w", format="mp4") as output:
        output.add_stream("libx264", rate=25, width=64, height=48)
        output.start_encoding()


@pytest.mark.parametrize(
    ("name", "make", "line"),
    [
        ("missing.mp4", lambda path: None, "no such file"),
        ("empty.mp4", Path.touch, "is empty"),
        ("text.mp4", lambda path: path.write_text("not a video\n" * 50), "not a video"),
        ("text.txt", lambda path: path.write_text("not a video\n" * 50), "not a video"),
        ("zeros.mkv", lambda path: path.write_bytes(bytes(5000)), "not a video"),
        ("song.mp4", _audio_only, "only sound"),
        ("nothing.mp4", _no_frame, "no video track|not one picture"),
        ("folder", Path.mkdir, "is a folder.*--images"),
    ],
)
def test_what_is_no_video_is_refused_in_one_line(
    tmp_path: Path, name: str, make: Callable[[Path], object], line: str
) -> None:
    make(tmp_path / name)
    with pytest.raises(SourceError, match=line) as caught:
        FileSource(str(tmp_path / name))
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_track_that_begins_in_the_middle_is_left_out(tmp_path: Path) -> None:
    pictures = Path(make(tmp_path, Clip(name="a.flv", codec="flv", frames=2600))).read_bytes()
    both = Path(make(tmp_path, Clip(name="b.flv", codec="flv", frames=25, audio="mp3", audio_rate=44100))).read_bytes()
    joined = tmp_path / "joined.flv"
    joined.write_bytes(pictures[:4] + b"\1" + pictures[5:] + both[13:])
    source = FileSource(str(joined))
    count = 0
    while source.read() is not None:
        count += 1
    source.close()
    assert count == 2625
