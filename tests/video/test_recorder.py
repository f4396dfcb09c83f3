"""Recordings re-opened: frames, times, durations, sound, colours, and what is left after a kill or a full disk."""

from __future__ import annotations

import errno
import io
import signal
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from segnet_live.errors import OutputError
from segnet_live.video.file import FileSource
from segnet_live.video.recorder import Recorder
from segnet_live.video.soundtrack import Soundtrack
from tests.video.conftest import corners, number_in, numbered, packets, pitches, quadrants

MakeClip = Callable[..., str]
TICK = Fraction(1, 1000)


def record(source: str, output: Path, *, start_s: float = 0.0, duration_s: float | None = None) -> Recorder:
    """`source` recorded as it is."""
    video = FileSource(source, start_s=start_s, duration_s=duration_s)
    info = video.info
    with Recorder(
        output,
        info.size,
        time_base=info.time_base,
        rate=info.rate,
        audio_from=source if info.audio else None,
        cut_audio=start_s > 0 or duration_s is not None,
    ) as recorder:
        while (frame := video.read()) is not None:
            recorder.write(frame.rgb, frame.pts, frame.duration)
    video.close()
    return recorder


def times(path: str | Path, kind: str = "video") -> list[Fraction]:
    return [time for time, _, _ in packets(path, kind)]


def numbers(path: str | Path) -> list[int]:
    with av.open(str(path)) as container:
        return [number_in(frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)]


def ends(path: str | Path, kind: str = "video") -> Fraction:
    time, duration, _ = packets(path, kind)[-1]
    return time + duration


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


@pytest.mark.parametrize(
    ("codec", "name"), [("aac", "clip.mp4"), ("aac", "clip.mkv"), ("aac", "clip.ts"), ("libmp3lame", "clip.avi")]
)
def test_aac_and_mp3_are_copied_packet_by_packet(clip: MakeClip, tmp_path: Path, codec: str, name: str) -> None:
    source = clip(audio=codec, name=name, frames=30)
    record(source, tmp_path / "out.mp4")
    theirs, ours = packets(source, "audio"), packets(tmp_path / "out.mp4", "audio")
    strip = 7 if name.endswith(".ts") else 0  # ADTS headers have no place in mp4
    assert [data for _, _, data in ours] == [data[strip:] for _, _, data in theirs]
    # Sound and picture keep their offset, to one sample or one tick of a container with coarse times.
    begin = FileSource(source).read()
    assert begin is not None
    offset = (theirs[0][0] - begin.pts * begin.time_base) - (ours[0][0] - times(tmp_path / "out.mp4")[0])
    assert abs(offset) <= Fraction(1, 1000)
    assert all(
        abs((a[0] - theirs[0][0]) - (b[0] - ours[0][0])) <= Fraction(2, 1000) for a, b in zip(theirs, ours, strict=True)
    )


@pytest.mark.parametrize(("codec", "name"), [("libopus", "clip.webm"), ("pcm_s16le", "clip.mkv"), ("flac", "clip.mkv")])
def test_other_sound_becomes_aac(clip: MakeClip, tmp_path: Path, codec: str, name: str) -> None:
    video = {"codec": "libvpx-vp9"} if name.endswith("webm") else {}
    source = clip(audio=codec, name=name, frames=30, **video)
    record(source, tmp_path / "out.mp4")
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert container.streams.audio[0].codec_context.name == "aac"
        samples = np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)])
    assert len(samples) / 48000 == pytest.approx(1.2, abs=0.05)
    middle = samples[24000:33600]
    loudest = np.abs(np.fft.rfft(middle)).argmax() * 48000 / len(middle)
    assert loudest == pytest.approx(440, abs=10)


@pytest.mark.parametrize("start_s", [0.3, -0.3], ids=["after", "before"])
def test_sound_that_starts_elsewhere_stays_in_step(clip: MakeClip, tmp_path: Path, start_s: float) -> None:
    first = 0 if start_s > 0 else 300
    pts = [first + 40 * n for n in range(30)]
    source = clip(audio="libmp3lame", name="clip.mkv", time_base=TICK, pts=pts, audio_start_s=max(0.0, start_s))
    record(source, tmp_path / "out.mp4")
    theirs = times(source, "audio")[0] - times(source)[0]
    ours = times(tmp_path / "out.mp4", "audio")[0] - times(tmp_path / "out.mp4")[0]
    assert float(ours) == pytest.approx(float(theirs), abs=0.002)
    assert len(packets(source, "audio")) == len(packets(tmp_path / "out.mp4", "audio"))


@pytest.mark.parametrize("codec", ["aac", "pcm_s16le"])
def test_a_trimmed_recording_has_just_its_own_sound(clip: MakeClip, tmp_path: Path, codec: str) -> None:
    source = clip(audio=codec, name="clip.mkv", frames=75, options={"g": "10"})
    recorder = record(source, tmp_path / "out.mp4", start_s=1.0, duration_s=1.0)
    assert recorder.frames == 25
    assert recorder.elapsed_s == pytest.approx(0.96)
    assert ends(tmp_path / "out.mp4") == 1
    assert float(ends(tmp_path / "out.mp4", "audio")) == pytest.approx(1.0, abs=0.05)
    assert float(times(tmp_path / "out.mp4", "audio")[0]) == pytest.approx(0.0, abs=0.05)


@pytest.mark.parametrize(
    ("codec", "name"),
    [
        ("aac", "clip.mp4"),
        ("aac", "clip.ts"),
        ("libmp3lame", "clip.mkv"),
        ("libopus", "clip.mkv"),
        ("pcm_s16le", "clip.mkv"),
    ],
)
def test_where_pictures_are_cut_the_sound_goes_on_with_them(
    clip: MakeClip, tmp_path: Path, codec: str, name: str
) -> None:
    source = clip(audio=codec, name=name, frames=100, audio_hz=(400, 700, 1000, 1300), options={"g": "10"})
    video = FileSource(source)
    info = video.info
    interval = round(1 / (info.rate * info.time_base)) if info.rate else 0
    written = 0
    with Recorder(
        tmp_path / "out.mp4",
        info.size,
        time_base=info.time_base,
        rate=info.rate,
        audio_from=info.sound_location,
        cut_audio=True,
    ) as recorder:
        for second in (2, 0, 3, 3):  # sought forwards and back, and looped
            video.seek(info.start_s + second)
            for number in range(25):
                frame = video.read()
                assert frame is not None
                if number == 0:
                    recorder.continue_from(frame.pts * frame.time_base)
                recorder.write(frame.rgb, written * interval)
                written += 1
    assert float(ends(tmp_path / "out.mp4")) == pytest.approx(4, abs=0.01)
    assert float(ends(tmp_path / "out.mp4", "audio")) == pytest.approx(4, abs=0.06)
    moments = [t for t, _, _ in packets(tmp_path / "out.mp4", "audio")]
    assert max(np.diff([float(t) for t in moments])) < 0.06, "no hole where it was cut"
    found = pitches(tmp_path / "out.mp4", [0.2, 1.2, 2.2, 3.2])
    assert found == pytest.approx([1000, 400, 1300, 1300], abs=15)


def test_a_recording_begun_after_the_sound_ended_has_it_after_a_seek_back(clip: MakeClip, tmp_path: Path) -> None:
    source = clip(audio="aac", audio_s=1.0, frames=75)
    rgb = np.zeros((48, 64, 3), np.uint8)
    with Recorder(
        tmp_path / "out.mp4", (48, 64), time_base=Fraction(1, 25), audio_from=source, cut_audio=True
    ) as recorder:
        recorder.continue_from(Fraction(2))
        for pts in range(50):
            if pts == 25:
                recorder.continue_from(Fraction(0))
            recorder.write(rgb, pts)
    assert float(times(tmp_path / "out.mp4", "audio")[0]) == pytest.approx(1.0, abs=0.03)
    assert float(ends(tmp_path / "out.mp4", "audio")) == pytest.approx(2.0, abs=0.03)


def test_a_gap_in_the_sound_becomes_silence_of_its_length(clip: MakeClip, tmp_path: Path) -> None:
    whole = clip(audio="pcm_s16le", name="whole.mkv", frames=75)
    with av.open(whole) as source, av.open(str(tmp_path / "gap.mkv"), "w") as output:
        streams = {s.index: output.add_stream_from_template(s) for s in source.streams}
        for packet in source.demux():
            kept = packet.pts is not None and not (
                packet.stream.type == "audio" and 1 <= packet.pts * packet.time_base < 2
            )
            if kept:
                packet.stream = streams[packet.stream_index]
                output.mux(packet)
    record(str(tmp_path / "gap.mkv"), tmp_path / "out.mp4")
    with av.open(str(tmp_path / "out.mp4")) as container:
        sound = np.concatenate([f.to_ndarray()[0] for f in container.decode(audio=0)])
    loud = [np.abs(sound[round(s * 48000) : round((s + 0.5) * 48000)]).max() > 0.1 for s in (0.2, 1.2, 2.2)]
    assert loud == [True, False, True]


def test_a_long_wait_for_late_sound_piles_up_nothing(clip: MakeClip) -> None:
    sound = Soundtrack.open(clip(name="clip.mkv", audio="aac", audio_start_s=0.4))
    assert sound is not None
    with av.open(io.BytesIO(), "w", format="mp4") as output:
        sound.begin(output)
        for _ in range(100_000):
            assert list(sound.packets_until(Fraction(1, 10), Fraction(0))) == []
        assert len(list(sound.packets_until(None, Fraction(0)))) > 10
    sound.close()


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
from tests.video.conftest import numbered
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
def test_a_disk_that_is_full_from_the_start_is_named(tmp_path: Path) -> None:
    (tmp_path / "out.partial.mp4").symlink_to("/dev/full")
    recorder = Recorder(tmp_path / "out.mp4", (48, 64), time_base=TICK, overwrite=True)

    def write() -> None:
        for number in range(200):
            recorder.write(numbered(number, 48, 64), number * 40)

    with pytest.raises(OutputError, match="disk is full"):
        write()
    recorder.close()
    assert not (tmp_path / "out.mp4").exists()
