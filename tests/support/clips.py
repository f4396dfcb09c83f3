"""Small clips made on the spot, so that no test needs a file from elsewhere, and what recordings of them hold."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from segnet_live.frame import Size
from segnet_live.video.file import FileSource
from segnet_live.video.recorder import Recorder

RED, GREEN, BLUE, WHITE = (200, 30, 40), (40, 180, 60), (30, 50, 190), (230, 230, 230)


def quadrants(height: int, width: int) -> NDArray[np.uint8]:
    """Red, green over blue, white: tells colours and every turn and mirroring apart."""
    rgb = np.empty((height, width, 3), np.uint8)
    rgb[: height // 2, : width // 2] = RED
    rgb[: height // 2, width // 2 :] = GREEN
    rgb[height // 2 :, : width // 2] = BLUE
    rgb[height // 2 :, width // 2 :] = WHITE
    return rgb


def corners(rgb: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Mean colours of the four quadrants' middles, in reading order: (4, 3)."""
    h, w = rgb.shape[0] // 4, rgb.shape[1] // 4
    spots = [(y * h - 2, x * w - 2) for y in (1, 3) for x in (1, 3)]
    return np.array([rgb[y : y + 4, x : x + 4].reshape(-1, 3).mean(0).round().astype(int) for y, x in spots])


def numbered(number: int, height: int, width: int) -> NDArray[np.uint8]:
    """Grey with `number` as 8 black or white bars, which survive any codec."""
    rgb = np.full((height, width, 3), 128, np.uint8)
    for bit in range(8):
        rgb[:, bit * width // 8 : (bit + 1) * width // 8] = 235 if number >> bit & 1 else 20
    return rgb


def number_in(rgb: NDArray[np.uint8]) -> int:
    """The number that `numbered` drew."""
    width = rgb.shape[1]
    middles = [rgb[rgb.shape[0] // 2, bit * width // 8 + width // 16].mean() > 128 for bit in range(8)]
    return sum(int(on) << bit for bit, on in enumerate(middles))


@dataclass(kw_only=True)
class Clip:
    """How to make a clip; every frame is `numbered` unless `still` is given."""

    name: str = "clip.mp4"
    codec: str = "libx264"
    size: tuple[int, int] = (48, 64)
    frames: int = 12
    rate: Fraction = Fraction(25)
    time_base: Fraction | None = None
    pts: Sequence[int] | None = None
    pix_fmt: str = "yuv420p"
    still: NDArray[np.uint8] | None = None
    noise: int = 0
    options: dict[str, str] = field(default_factory=dict)
    container_options: dict[str, str] = field(default_factory=dict)
    prepare: Callable[[Any], None] = lambda stream: None
    convert: dict[str, Any] = field(default_factory=dict)
    audio: str | None = None
    audio_s: float | None = None
    audio_start_s: float = 0.0
    audio_rate: int = 48000
    audio_hz: Sequence[float] = (440,)


def make(folder: Path, clip: Clip) -> str:
    """Encode `clip` in `folder`; gives its path."""
    path = str(folder / clip.name)
    height, width = clip.size
    time_base = clip.time_base or 1 / clip.rate
    pts = clip.pts or [round(n / clip.rate / time_base) for n in range(clip.frames)]
    with av.open(path, "w", options=clip.container_options) as output:
        video = output.add_stream(clip.codec, rate=clip.rate, options=clip.options)
        video.width, video.height, video.pix_fmt = width, height, clip.pix_fmt
        video.codec_context.time_base = time_base
        clip.prepare(video)
        audio = output.add_stream(clip.audio, rate=clip.audio_rate) if clip.audio else None
        for number, stamp in enumerate(pts):
            rgb = clip.still if clip.still is not None else numbered(number, height, width)
            if clip.noise:  # gives the codec something to store, so that most of the file is pictures
                grain = np.random.default_rng(number).integers(-clip.noise, clip.noise, rgb.shape)
                rgb = (rgb + grain).clip(0, 255).astype(np.uint8)
            frame = av.VideoFrame.from_ndarray(rgb, format="rgb24").reformat(format=clip.pix_fmt, **clip.convert)
            frame.pts, frame.time_base = stamp, time_base
            output.mux(video.encode(frame))
        if audio is not None:
            length_s = clip.audio_s or float(pts[-1] * time_base + 1 / clip.rate)
            for block in tone(clip.audio_rate, length_s, clip.audio_start_s, clip.audio_hz):
                output.mux(audio.encode(block))
            output.mux(audio.encode(None))
        output.mux(video.encode(None))
    return path


def tone(rate: int, length_s: float, start_s: float = 0.0, hz: Sequence[float] = (440,)) -> list[av.AudioFrame]:
    """Stereo in blocks of 1024; each second has the next of the pitches `hz`, over and over."""
    blocks = []
    for begin in range(0, round(rate * length_s), 1024):
        t = np.arange(begin, min(begin + 1024, round(rate * length_s))) / rate
        pitch = np.array(hz)[t.astype(int) % len(hz)]
        wave = (np.sin(2 * np.pi * pitch * t) * 12000).astype(np.int16)
        block = av.AudioFrame.from_ndarray(np.repeat(wave, 2)[None], format="s16", layout="stereo")
        block.sample_rate, block.pts, block.time_base = rate, begin + round(start_s * rate), Fraction(1, rate)
        blocks.append(block)
    return blocks


def packets(path: str | Path, kind: str) -> list[tuple[Fraction, Fraction, bytes]]:
    """(time, duration, bytes) of all packets of the first stream of a kind, in display order."""
    with av.open(str(path)) as container:
        found = [p for p in container.demux(**{kind: 0}) if p.size and p.pts is not None]
        return sorted((p.pts * p.time_base, (p.duration or 0) * p.time_base, bytes(p)) for p in found)


def pitches(path: Path, starts_s: list[float], length_s: float = 0.6) -> list[float]:
    """The loudest frequency of the sound in each stretch of `length_s` of a recording, by the sound's own times."""
    with av.open(str(path)) as container:
        blocks = [(float(f.pts * f.time_base), f.sample_rate, f.to_ndarray()[0]) for f in container.decode(audio=0)]
    rate = blocks[0][1]
    samples = np.zeros(round((blocks[-1][0] + 1) * rate))
    for begin_s, _, block in blocks:
        begin = max(0, round(begin_s * rate))
        samples[begin : begin + len(block)] = block
    found = []
    for start_s in starts_s:
        piece = samples[round(start_s * rate) : round((start_s + length_s) * rate)]
        found.append(float(np.abs(np.fft.rfft(piece * np.hanning(len(piece)))).argmax() / length_s))
    return found


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


def ends(path: str | Path, kind: str = "video") -> Fraction:
    time, duration, _ = packets(path, kind)[-1]
    return time + duration


STRIPED_FRAMES = 24
STRIPED_RATE = 12


def striped_clip(
    path: Path,
    frames: int = STRIPED_FRAMES,
    size: tuple[int, int] = (64, 96),
    *,
    sound: bool = True,
    movflags: str = "",
) -> Path:
    """A clip of moving stripes, `frames` / 12 s long, MPEG-4 and AAC."""
    height, width = size
    with av.open(str(path), "w", options={"movflags": movflags} if movflags else {}) as output:
        video = output.add_stream("mpeg4", rate=STRIPED_RATE, width=width, height=height, pix_fmt="yuv420p")
        audio = output.add_stream("aac", rate=8000, layout="mono") if sound else None
        for index in range(frames):
            rgb = np.zeros((height, width, 3), np.uint8)
            rgb[:, (np.arange(width) + 3 * index) % 24 < 12] = (200, 120, 40)
            frame = av.VideoFrame.from_ndarray(rgb, format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, STRIPED_RATE)
            output.mux(video.encode(frame))
        output.mux(video.encode(None))
        if audio is not None:
            samples = np.sin(np.arange(8000 * frames // STRIPED_RATE) / 9)[None].astype(np.float32)
            for start in range(0, samples.shape[1], 1024):
                block = av.AudioFrame.from_ndarray(
                    samples[:, start : start + 1024].copy(), format="fltp", layout="mono"
                )
                block.sample_rate, block.pts, block.time_base = 8000, start, Fraction(1, 8000)
                output.mux(audio.encode(block))
            output.mux(audio.encode(None))
    return path


def grey_clip(path: Path, frames: int = 20, size: Size = (64, 96), rate: int = 20) -> Path:
    """A clip whose grey level tells the frame's number: 10 a frame."""
    with av.open(str(path), "w") as output:
        video = output.add_stream("mpeg4", rate=rate, width=size[1], height=size[0], pix_fmt="yuv420p")
        video.bit_rate = 2_000_000
        for index in range(frames):
            frame = av.VideoFrame.from_ndarray(np.full((*size, 3), 10 + 10 * (index % 24), np.uint8), format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, rate)
            output.mux(video.encode(frame))
        output.mux(video.encode(None))
    return path


def shaded_clip(path: Path, shade: int, *, size: tuple[int, int] = (64, 96), frames: int = 6) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=Fraction(25))
        stream.height, stream.width, stream.pix_fmt = *size, "yuv420p"
        for index in range(frames):
            frame = av.VideoFrame.from_ndarray(np.full((*size, 3), shade + index, np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
