"""The sound of recordings: copied or encoded, in step with its pictures, cut where they are cut."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.audio.stream import AudioStream
from av.packet import Packet

from segnet_live.video.file import FileSource
from segnet_live.video.recorder import Recorder
from segnet_live.video.soundtrack import Soundtrack
from tests.support.clips import ends, packets, pitches, record, times

MakeClip = Callable[..., str]
TICK = Fraction(1, 1000)


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


def test_sound_whose_times_jump_by_hours_does_not_become_hours_of_silence(
    clip: MakeClip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = clip(name="clip.mkv", frames=12, audio="ac3")
    demux = Soundtrack._demux

    def damaged(self: Soundtrack) -> Iterator[Packet[AudioStream]]:
        container = self._container

        class Damaged:
            def demux(self, stream: AudioStream) -> Iterator[Packet[AudioStream]]:
                for packet in container.demux(stream):
                    if packet.pts is not None and packet.dts is not None and packet.pts * packet.time_base > 0.2:
                        packet.pts += int(20_000 / packet.time_base)
                        packet.dts += int(20_000 / packet.time_base)
                    yield packet

        self._container = Damaged()  # type: ignore[assignment]
        try:
            yield from demux(self)
        finally:
            self._container = container

    monkeypatch.setattr(Soundtrack, "_demux", damaged)
    record(source, tmp_path / "out.mp4")
    with av.open(str(tmp_path / "out.mp4")) as recorded:
        assert recorded.duration is not None
        assert recorded.duration < 2_000_000
