"""Writes assets/drive.mp4: the rendered drive `segnet_live.video.synthetic.DRIVE` as H.264 with a sound track.

Run from a clone: `python assets/make_drive.py [OUT.mp4]`. The same code and libraries give the same pictures and sound;
the ground truth of frame i is that of the source's frame i (`SyntheticDrive(DRIVE)`).
"""

from __future__ import annotations

import argparse
import os
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace
from numpy.typing import NDArray

from segnet_live.video.synthetic import DRIVE, SyntheticDrive

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
    """Renders and encodes; `path` appears only once it is whole."""
    partial = path.with_suffix(".partial.mp4")
    height, width = DRIVE.size
    with av.open(str(partial), "w", options={"movflags": "+faststart"}) as container:
        video = container.add_stream("libx264", rate=DRIVE.rate, options={"preset": "slow", "crf": "22"})
        video.width, video.height, video.pix_fmt = width, height, "yuv420p"
        video.time_base = 1 / DRIVE.rate
        context = video.codec_context
        context.thread_count = 1
        context.gop_size = 50
        context.colorspace = context.color_primaries = context.color_trc = BT709
        context.color_range = ColorRange.MPEG
        sound = container.add_stream("aac", rate=SOUND_HZ, layout="mono")
        sound.bit_rate = 48_000
        for frame in SyntheticDrive(DRIVE):
            picture = av.VideoFrame.from_ndarray(frame.rgb, format="rgb24").reformat(
                format="yuv420p", dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG
            )
            picture.pts, picture.time_base = frame.pts, frame.time_base
            container.mux(video.encode(picture))
        container.mux(video.encode(None))
        samples = engine_and_road(float(DRIVE.frames / DRIVE.rate), DRIVE.seed)
        for start in range(0, samples.shape[1], 1024):
            block = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples[:, start : start + 1024]), "fltp", "mono")
            block.sample_rate, block.pts, block.time_base = SOUND_HZ, start, Fraction(1, SOUND_HZ)
            container.mux(sound.encode(block))
        container.mux(sound.encode(None))
    os.replace(partial, path)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", nargs="?", type=Path, default=Path(__file__).with_name("drive.mp4"))
    write(parser.parse_args().out)
