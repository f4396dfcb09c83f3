"""Render frames of drives as training images: every seed is another street, and the labels are exact."""

from __future__ import annotations

import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np

from segnet_live.learning.data import Sample
from segnet_live.system.files import replace_atomically
from train.drive.render import render

FRAMES_A_STREET = 8
FRAMES_APART = 50
"""Two seconds of the drive: far enough for another view, and a street is built once for eight pictures."""
SIZE = (360, 480)


def _street(street: int, seed: int) -> list[Sample]:
    number = seed * 100_000 + street
    frames = (render(number, i * FRAMES_APART, SIZE) for i in range(FRAMES_A_STREET))
    return [Sample(f"rendered{number:08d}_{i * FRAMES_APART:06d}", *frame) for i, frame in enumerate(frames)]


def rendered_samples(count: int, seed: int, kept: Path) -> list[Sample]:
    """Return `count` frames with their labels: from the file `kept` if it holds these very ones, else rendered anew.

    Rendering takes all cores; what comes of it replaces `kept`.

    Raises:
        OutputError: `kept` cannot be written.
    """
    asked = np.array([count, seed, *SIZE])
    if kept.is_file():
        with np.load(kept) as arrays:
            # A run of other options may have left it: one that was stopped before its first checkpoint is repeated so.
            if "asked" in arrays and np.array_equal(arrays["asked"], asked):
                names = arrays["names"].tolist()
                return [Sample(*each) for each in zip(names, arrays["rgb"], arrays["labels"], strict=True)]
    streets = range(-(-count // FRAMES_A_STREET))
    with ProcessPoolExecutor(os.cpu_count(), multiprocessing.get_context("spawn")) as pool:
        samples = [s for street in pool.map(partial(_street, seed=seed), streets) for s in street][:count]
    advice = "free disk space or pass another --out"
    with replace_atomically(kept, advice=advice) as scratch, open(scratch, "wb") as file:
        np.savez_compressed(
            file,
            asked=asked,
            names=np.array([s.name for s in samples]),
            rgb=np.stack([s.rgb for s in samples]),
            labels=np.stack([s.labels for s in samples]),
        )
    return samples
