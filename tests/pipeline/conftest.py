"""Short clips and a small network that runs from the cache."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

FRAMES = 24
RATE = 12


def write_clip(
    path: Path, frames: int = FRAMES, size: tuple[int, int] = (64, 96), *, sound: bool = True, movflags: str = ""
) -> Path:
    """A clip of moving stripes, `frames` / 12 s long, MPEG-4 and AAC."""
    height, width = size
    with av.open(str(path), "w", options={"movflags": movflags} if movflags else {}) as output:
        video = output.add_stream("mpeg4", rate=RATE, width=width, height=height, pix_fmt="yuv420p")
        audio = output.add_stream("aac", rate=8000, layout="mono") if sound else None
        for index in range(frames):
            rgb = np.zeros((height, width, 3), np.uint8)
            rgb[:, (np.arange(width) + 3 * index) % 24 < 12] = (200, 120, 40)
            frame = av.VideoFrame.from_ndarray(rgb, format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, RATE)
            output.mux(video.encode(frame))
        output.mux(video.encode(None))
        if audio is not None:
            samples = np.sin(np.arange(8000 * frames // RATE) / 9)[None].astype(np.float32)
            for start in range(0, samples.shape[1], 1024):
                block = av.AudioFrame.from_ndarray(
                    samples[:, start : start + 1024].copy(), format="fltp", layout="mono"
                )
                block.sample_rate, block.pts, block.time_base = 8000, start, Fraction(1, 8000)
                output.mux(audio.encode(block))
            output.mux(audio.encode(None))
    return path


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 frames of 96x64 in 2 s, with sound."""
    return write_clip(tmp_path_factory.mktemp("clips") / "drive.mp4")
