"""Frames of the app's rendered drive as training images: every seed another street, with exact labels."""

from __future__ import annotations

import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np

from segnet_live.errors import OutputError
from segnet_live.video.drive.render import render
from train.data import Sample

FRAMES_A_STREET = 8
FRAMES_APART = 50
"""Two seconds of the drive: far enough for another view, and a street is built once for eight pictures."""
SIZE = (360, 480)


def _street(street: int, seed: int) -> list[Sample]:
    number = seed * 100_000 + street
    frames = (render(number, i * FRAMES_APART, SIZE) for i in range(FRAMES_A_STREET))
    return [Sample(f"rendered{number:08d}_{i * FRAMES_APART:06d}", *frame) for i, frame in enumerate(frames)]


def rendered_samples(count: int, seed: int, kept: Path) -> list[Sample]:
    """`count` frames with their labels, from the file `kept` if an earlier call wrote it, else rendered on all cores.

    Raises:
        OutputError: `kept` cannot be written.
    """
    if kept.is_file():
        with np.load(kept) as arrays:
            return [
                Sample(*each) for each in zip(arrays["names"].tolist(), arrays["rgb"], arrays["labels"], strict=True)
            ]
    streets = range(-(-count // FRAMES_A_STREET))
    with ProcessPoolExecutor(os.cpu_count(), multiprocessing.get_context("spawn")) as pool:
        samples = [s for street in pool.map(partial(_street, seed=seed), streets) for s in street][:count]
    partial_file = kept.with_name(f"{kept.name}.{os.getpid()}.partial")
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        with open(partial_file, "wb") as file:
            np.savez_compressed(
                file,
                names=np.array([s.name for s in samples]),
                rgb=np.stack([s.rgb for s in samples]),
                labels=np.stack([s.labels for s in samples]),
            )
        partial_file.replace(kept)
    except OSError as error:
        partial_file.unlink(missing_ok=True)
        raise OutputError(
            f"{kept} cannot be written ({error.strerror}); free disk space or pass another --out"
        ) from error
    return samples
