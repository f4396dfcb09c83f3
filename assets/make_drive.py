"""Render the example drive: assets/drive.mp4, H.264 with a sound track, and assets/drive-labels.mkv, its ground truth.

Run from a clone: `python assets/make_drive.py [OUT.mp4]`; the labels go to OUT-labels.mkv. The same code and libraries
give the same files. Picture i of the label track (FFV1, grey, lossless) holds the CamVid class ids of frame i of the
clip.
"""

from __future__ import annotations

import argparse
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.container import OutputContainer
from av.video.reformatter import ColorRange, Colorspace
from av.video.stream import VideoStream
from numpy.typing import NDArray

from segnet_live.system.files import replace_atomically
from train.drive.render import RATE, SHIPPED_FRAMES, SHIPPED_SEED, SHIPPED_SIZE, render

LABELS = {"level": "3", "coder": "1", "context": "1", "slices": "4"}
SOUND_HZ = 48_000
BT709 = 1  # ISO/IEC 23091-2 code point of primaries, transfer and matrix


def engine_and_road(duration_s: float, seed: int) -> NDArray[np.float32]:
    """(1, N) float32 samples -1..1: a four-cylinder's hum that breathes a little, over the hiss of tyres."""
    rng = np.random.default_rng(seed)
    time_s = np.arange(round(duration_s * SOUND_HZ)) / SOUND_HZ
    firing_hz = 58 + 3 * np.sin(2 * np.pi * 0.21 * time_s) + 1.5 * np.sin(2 * np.pi * 0.57 * time_s)
    phase = 2 * np.pi * np.cumsum(firing_hz) / SOUND_HZ
    hum = sum(np.sin(phase * k + k * k) / k**1.3 for k in (0.5, 1, 1.5, 2, 3, 4))
    hiss = rng.standard_normal(len(time_s) + 64)
    tyres = np.convolve(hiss, np.hanning(65) / 16, mode="valid")[: len(time_s)]
    swell = 0.8 + 0.2 * np.sin(2 * np.pi * 0.4 * time_s + 1)
    fade = np.clip(np.minimum(time_s, duration_s - time_s) / 0.15, 0, 1)
    return ((0.07 * hum + 0.05 * tyres * swell) * fade).astype(np.float32)[None]


def write(path: Path) -> None:
    """Render and encode clip and label track; each appears only once both are whole."""
    labels_path = path.with_name(f"{path.stem}-labels.mkv")
    with (
        replace_atomically(path) as partial,
        replace_atomically(labels_path) as labels_partial,
        # the names tell nothing of the format, and no random identifier may differ from run to run
        av.open(str(partial), "w", format="mp4", options={"movflags": "+faststart"}) as container,
        av.open(str(labels_partial), "w", format="matroska", options={"fflags": "+bitexact"}) as label_container,
    ):
        video = _video_track(container)
        sound = container.add_stream("aac", rate=SOUND_HZ, layout="mono")
        sound.bit_rate = 48_000
        labels = _label_track(label_container)
        for index in range(SHIPPED_FRAMES):
            rgb, truth = render(SHIPPED_SEED, index, SHIPPED_SIZE)
            picture = av.VideoFrame.from_ndarray(rgb, format="rgb24").reformat(
                format="yuv420p", dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG
            )
            label_map = av.VideoFrame.from_ndarray(truth, format="gray")
            for frame, to, stream in ((picture, container, video), (label_map, label_container, labels)):
                frame.pts, frame.time_base = index, 1 / RATE
                to.mux(stream.encode(frame))
        container.mux(video.encode(None))
        label_container.mux(labels.encode(None))
        samples = engine_and_road(float(SHIPPED_FRAMES / RATE), SHIPPED_SEED)
        for start in range(0, samples.shape[1], 1024):
            block = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples[:, start : start + 1024]), "fltp", "mono")
            block.sample_rate, block.pts, block.time_base = SOUND_HZ, start, Fraction(1, SOUND_HZ)
            container.mux(sound.encode(block))
        container.mux(sound.encode(None))


def _video_track(container: OutputContainer) -> VideoStream:
    video = container.add_stream("libx264", rate=RATE, options={"preset": "slow", "crf": "22"})
    video.height, video.width = SHIPPED_SIZE
    video.pix_fmt = "yuv420p"
    video.time_base = 1 / RATE
    context = video.codec_context
    context.thread_count = 1
    context.gop_size = 50
    context.colorspace = context.color_primaries = context.color_trc = BT709
    context.color_range = ColorRange.MPEG
    return video


def _label_track(container: OutputContainer) -> VideoStream:
    labels = container.add_stream("ffv1", rate=RATE, options=LABELS)
    labels.height, labels.width = SHIPPED_SIZE
    labels.pix_fmt = "gray"
    labels.codec_context.gop_size = 1  # every picture is a key frame: seeking finds each at once
    return labels


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", nargs="?", type=Path, default=Path(__file__).with_name("drive.mp4"))
    write(parser.parse_args().out)
