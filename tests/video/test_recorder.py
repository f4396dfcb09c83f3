"""Recordings re-opened: frames, times, durations, colours, and what is left after a kill or a full disk."""

from __future__ import annotations

import errno
import signal
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import pytest

from segnet_live.config import Encoding
from segnet_live.errors import OutputError
from segnet_live.video.file import FileSource
from segnet_live.video.recorder import Recorder
from tests.support.clips import corners, ends, number_in, numbered, quadrants, record, times

MakeClip = Callable[..., str]
TICK = Fraction(1, 1000)


def numbers(path: str | Path) -> list[int]:
    with av.open(str(path)) as container:
        return [number_in(frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)]


@pytest.mark.parametrize(
    "fields",
    [
        {"rate": Fraction(30000, 1001), "time_base": Fraction(1, 30000)},
        {"rate": Fraction(30000, 1001), "codec": "mjpeg", "pix_fmt": "yuvj420p", "name": "clip.avi"},
        {"time_base": TICK, "pts": [0, 40, 41, 200, 777, 1000, 1900, 2000, 4033, 4066]},
        {"time_base": TICK, "pts": [1400 + 40 * n for n in range(9)], "name": "clip.mkv"},
        {"name": "clip.h264"},
        {"size": (49, 65), "codec": "libvpx-vp9", "name": "clip.webm"},
    ],
    ids=["29.97", "29.97 avi", "variable rate", "first pts 1.4 s", "no pts", "odd sides"],
)
def test_a_recording_keeps_frames_gaps_and_duration(clip: MakeClip, tmp_path: Path, fields: dict[str, object]) -> None:
    source = clip(**fields)
    video = FileSource(source)
    frames = []
    while (frame := video.read()) is not None:
        frames.append(frame)
    recorder = record(source, tmp_path / "out.mp4")
    assert recorder.frames == len(frames)
    expected = [(f.pts - frames[0].pts) * f.time_base for f in frames]
    assert times(tmp_path / "out.mp4") == expected
    assert numbers(tmp_path / "out.mp4") == [number_in(f.rgb) for f in frames]
    last = frames[-1].duration * frames[-1].time_base
    assert last > 0
    assert ends(tmp_path / "out.mp4") == expected[-1] + last


@pytest.mark.parametrize(("rate", "distance_ms"), [(1, 1000), (30, 400), (30, 33)])
def test_all_but_the_last_second_of_a_growing_file_plays(tmp_path: Path, rate: int, distance_ms: int) -> None:
    rare = Encoding("x264", look_ahead=False)
    with Recorder(tmp_path / "out.mp4", (48, 64), time_base=TICK, rate=Fraction(rate), encoding=rare) as recorder:
        for number in range(100):
            recorder.write(numbered(number % 16, 48, 64), number * distance_ms)
        with av.open(str(recorder.partial)) as container:
            *_, last = container.decode(video=0)
            assert last.time is not None
            assert 99 * distance_ms / 1000 - last.time <= 1.0


def test_an_odd_side_gains_one_replicated_pixel(tmp_path: Path) -> None:
    with Recorder(tmp_path / "out.mp4", (49, 65), time_base=TICK) as recorder:
        recorder.write(quadrants(49, 65), 0)
    with av.open(str(tmp_path / "out.mp4")) as container:
        rgb = next(container.decode(video=0)).to_ndarray(format="rgb24").astype(int)
    assert rgb.shape == (50, 66, 3)
    assert abs(rgb[-1, :-2] - rgb[-3, :-2]).max() < 12
    assert abs(rgb[:-2, -1] - rgb[:-2, -3]).max() < 12


@pytest.mark.parametrize(("height", "matrix"), [(96, 6), (720, 1)])
def test_colours_are_tagged_as_they_are_encoded(tmp_path: Path, height: int, matrix: int) -> None:
    picture = quadrants(height, 128)
    with Recorder(tmp_path / "out.mp4", (height, 128), time_base=TICK) as recorder:
        recorder.write(picture, 0)
    with av.open(str(tmp_path / "out.mp4")) as container:
        frame = next(container.decode(video=0))
        assert (frame.colorspace, frame.color_range, frame.format.name) == (matrix, 1, "yuv420p")
    again = FileSource(str(tmp_path / "out.mp4")).read()
    assert again is not None
    assert abs(corners(again.rgb) - corners(picture)).max() <= 4


def test_the_finished_file_is_an_ordinary_fast_start_mp4(clip: MakeClip, tmp_path: Path) -> None:
    record(clip(audio="aac"), tmp_path / "out.mp4")
    data = (tmp_path / "out.mp4").read_bytes()
    assert 0 < data.index(b"moov") < data.index(b"mdat")
    assert b"moof" not in data
    assert sorted(p.name for p in tmp_path.iterdir()) == ["clip.mp4", "out.mp4"]
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert container.streams.video[0].codec_context.name == "h264"


def test_an_exception_inside_still_finalises_and_cuts_the_sound(clip: MakeClip, tmp_path: Path) -> None:
    source = clip(audio="aac", frames=75)
    video = FileSource(source)

    def half() -> None:
        with Recorder(
            tmp_path / "out.mp4",
            video.info.size,
            time_base=video.info.time_base,
            rate=video.info.rate,
            audio_from=source,
        ) as recorder:
            while (frame := video.read()) is not None:
                recorder.write(frame.rgb, frame.pts, frame.duration)
                if frame.index == 24:
                    raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        half()
    assert ends(tmp_path / "out.mp4") == 1
    assert float(ends(tmp_path / "out.mp4", "audio")) == pytest.approx(1.0, abs=0.05)
    assert not (tmp_path / "out.partial.mp4").exists()


def test_key_frames_are_at_most_a_second_apart(tmp_path: Path) -> None:
    pts = [0, 40, 500, 990, 1010, 1900, 2100, 5000, 5100, 6100, 6101]
    with Recorder(tmp_path / "out.mp4", (48, 64), time_base=TICK) as recorder:
        for number, stamp in enumerate(pts):
            recorder.write(numbered(number, 48, 64), stamp)
    with av.open(str(tmp_path / "out.mp4")) as container:
        keys = [p.pts * p.time_base * 1000 for p in container.demux(video=0) if p.is_keyframe and p.size]
    for key, later in zip(keys, [*keys[1:], 6101], strict=True):
        assert later - key <= 1000 or not [p for p in pts if key < p < later]


GROW = """
import sys, time
from fractions import Fraction
from segnet_live.video.recorder import Recorder
from segnet_live.video.soundtrack import Soundtrack
from tests.support.clips import numbered
rate = Fraction(sys.argv[2])
audio = sys.argv[3] if len(sys.argv) > 3 else None
recorder = Recorder(sys.argv[1], (48, 64), time_base=1 / rate, rate=rate, audio_from=audio)
for n in range(int(8 * rate)):
    recorder.write(numbered(n % 256, 48, 64), n, 1)
print("ready", flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("rate", ["30000/1001", "5"])
@pytest.mark.parametrize("audio", ["none", "short", "late"])
def test_after_a_kill_all_but_the_last_two_seconds_plays(clip: MakeClip, tmp_path: Path, rate: str, audio: str) -> None:
    sound = []
    if audio != "none":
        start_s = 6.0 if audio == "late" else 0.0
        sound = [clip(name="sound.mkv", audio="libmp3lame", audio_start_s=start_s, audio_s=2.0)]
    command = [sys.executable, "-c", GROW, str(tmp_path / "out.mp4"), rate, *sound]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        child.send_signal(signal.SIGKILL)
    assert not (tmp_path / "out.mp4").exists()
    found = numbers(tmp_path / "out.partial.mp4")
    assert found == [n % 256 for n in range(len(found))]
    assert len(found) / Fraction(rate) >= 6
    stamps = times(tmp_path / "out.partial.mp4")
    assert [t - stamps[0] for t in stamps] == [n / Fraction(rate) for n in range(len(found))]


def test_an_existing_file_is_kept_unless_told_otherwise(tmp_path: Path) -> None:
    (tmp_path / "out.mp4").write_bytes(b"precious")
    with pytest.raises(OutputError, match=r"exists already.*--overwrite"):
        Recorder(tmp_path / "out.mp4", (48, 64), time_base=TICK)
    recorder = Recorder(tmp_path / "out.mp4", (48, 64), time_base=TICK, overwrite=True)
    recorder.write(numbered(1, 48, 64), 0)
    assert (tmp_path / "out.mp4").read_bytes() == b"precious"
    recorder.close()
    assert numbers(tmp_path / "out.mp4") == [1]


def test_an_interrupted_recording_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "out.partial.mp4").write_bytes(b"precious")
    with pytest.raises(OutputError, match="interrupted recording"):
        Recorder(tmp_path / "out.mp4", (48, 64), time_base=TICK)
    assert (tmp_path / "out.partial.mp4").read_bytes() == b"precious"


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_link_in_the_place_of_the_growing_file_is_not_followed(tmp_path: Path, overwrite: bool) -> None:
    victim, dangling = tmp_path / "victim.txt", tmp_path / "nothing.txt"
    victim.write_bytes(b"precious")
    for name, target in (("a", victim), ("b", dangling)):
        (tmp_path / f"{name}.partial.mp4").symlink_to(target)
        if not overwrite:
            with pytest.raises(OutputError, match="interrupted recording"):
                Recorder(tmp_path / f"{name}.mp4", (48, 64), time_base=TICK)
            continue
        with Recorder(tmp_path / f"{name}.mp4", (48, 64), time_base=TICK, overwrite=True) as recorder:
            recorder.write(numbered(1, 48, 64), 0)
        assert numbers(tmp_path / f"{name}.mp4") == [1]
    assert victim.read_bytes() == b"precious"
    assert not dangling.exists()


def test_a_link_to_itself_is_replaced(tmp_path: Path) -> None:
    loop = tmp_path / "loop.mp4"
    loop.symlink_to(loop)
    with Recorder(loop, (48, 64), time_base=TICK, overwrite=True) as recorder:
        recorder.write(numbered(1, 48, 64), 0)
    assert numbers(loop) == [1]


@pytest.mark.parametrize("tick", [TICK, Fraction(1, 10_000_000)])
def test_a_clock_that_jumps_ahead_ends_no_recording(
    tmp_path: Path, tick: Fraction, caplog: pytest.LogCaptureFixture
) -> None:
    step = int(Fraction(1, 25) / tick)
    with Recorder(tmp_path / "out.mp4", (48, 64), time_base=tick, rate=Fraction(25)) as recorder:
        for number, frames in enumerate((0, 1, 2, 10**9, 10**9 + 1, 3 * 10**9)):
            recorder.write(numbered(number, 48, 64), frames * step)
        with pytest.raises(OutputError, match="times must rise"):
            recorder.write(numbered(9, 48, 64), 10**9 * step)
    assert numbers(tmp_path / "out.mp4") == list(range(6))
    assert times(tmp_path / "out.mp4") == [Fraction(number, 25) for number in range(6)]
    assert sum(record.levelname == "WARNING" for record in caplog.records) == 1, "the user is told, once"


def test_a_pause_of_half_an_hour_stays(tmp_path: Path) -> None:
    with Recorder(tmp_path / "out.mp4", (48, 64), time_base=TICK, rate=Fraction(25)) as recorder:
        for number, ms in enumerate((0, 40, 1_800_000)):
            recorder.write(numbered(number, 48, 64), ms)
    assert times(tmp_path / "out.mp4") == [0, Fraction(40, 1000), 1800]


def test_a_folder_that_is_removed_is_told_while_it_records(tmp_path: Path) -> None:
    folder = tmp_path / "gone"
    folder.mkdir()
    recorder = Recorder(folder / "out.mp4", (48, 64), time_base=TICK)
    recorder.write(numbered(0, 48, 64), 0)
    recorder.write(numbered(1, 48, 64), 40)
    (folder / "out.partial.mp4").unlink()
    folder.rmdir()

    def write() -> None:
        for number in range(2, 100):
            recorder.write(numbered(number % 9, 48, 64), number * 40)

    with pytest.raises(OutputError, match=r"was removed or moved\)$"):
        write()


def test_the_input_is_never_the_output(clip: MakeClip, tmp_path: Path) -> None:
    source = clip()
    (tmp_path / "link.mp4").symlink_to(source)
    for name in ("clip.mp4", "link.mp4"):
        with pytest.raises(OutputError, match="is the input itself"):
            Recorder(tmp_path / name, (48, 64), time_base=TICK, source=source, overwrite=True)


@pytest.mark.parametrize(
    ("name", "line"),
    [("out.avi", "end in .mp4|ends in .mp4"), ("none/out.mp4", "no folder"), ("folder.mp4", "is a folder")],
)
def test_a_place_that_cannot_be_written_is_refused_first(tmp_path: Path, name: str, line: str) -> None:
    (tmp_path / "folder.mp4").mkdir()
    with pytest.raises(OutputError, match=line):
        Recorder(tmp_path / name, (48, 64), time_base=TICK)
    assert [p.name for p in tmp_path.iterdir()] == ["folder.mp4"]


def test_frames_of_another_size_or_an_earlier_time_are_refused(tmp_path: Path) -> None:
    with Recorder(tmp_path / "out.mp4", (48, 64), time_base=TICK) as recorder:
        recorder.write(numbered(0, 48, 64), 10)
        with pytest.raises(OutputError, match="50x64"):
            recorder.write(numbered(1, 50, 64), 20)
        with pytest.raises(OutputError, match="times must rise"):
            recorder.write(numbered(1, 48, 64), 10)
        recorder.write(numbered(1, 48, 64), 20)
    assert numbers(tmp_path / "out.mp4") == [0, 1]


@pytest.mark.parametrize("act", ["close", "abort"])
def test_nothing_recorded_leaves_nothing(tmp_path: Path, act: str) -> None:
    recorder = Recorder(tmp_path / "out.mp4", (48, 64), time_base=TICK)
    getattr(recorder, act)()
    recorder.close()
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_fills_up_keeps_the_partial_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("segnet_live.video.recorder.remux", full)
    recorder = Recorder(tmp_path / "out.mp4", (48, 64), time_base=TICK)
    for number in range(9):
        recorder.write(numbered(number, 48, 64), number * 40)
    with pytest.raises(OutputError, match=r"disk is full.*out\.partial\.mp4"):
        recorder.close()
    recorder.close()
    assert numbers(tmp_path / "out.partial.mp4") == list(range(9))
    assert not (tmp_path / "out.mp4").exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_disk_that_is_full_from_the_start_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("segnet_live.video.recorder.make_new", lambda path: None)  # which would delete the link
    (tmp_path / "out.partial.mp4").symlink_to("/dev/full")
    recorder = Recorder(tmp_path / "out.mp4", (48, 64), time_base=TICK, overwrite=True)

    def write() -> None:
        for number in range(200):
            recorder.write(numbered(number, 48, 64), number * 40)

    with pytest.raises(OutputError, match="disk is full"):
        write()
    recorder.close()
    assert not (tmp_path / "out.mp4").exists()
