"""Drafts folders of small pictures whose labels follow from their colours."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from segnet_live.classes import CAMVID
from segnet_live.drafts.folder import DraftFolder, Record
from segnet_live.frame import RGB, LabelMap

SKY, ROAD, CAR = 0, 3, 8


def scene(seed: int) -> tuple[RGB, LabelMap]:
    """A picture of 64x96 and its labels: sky above road, a car somewhere."""
    rng = np.random.default_rng(seed)
    labels = np.full((64, 96), SKY, np.uint8)
    labels[30:] = ROAD
    left = int(rng.integers(0, 60))
    labels[24:44, left : left + 24] = CAR
    rgb = np.clip(labels[..., None] * np.array([25, 12, 5]) + rng.normal(30, 6, (64, 96, 3)), 0, 255)
    return rgb.astype(np.uint8), labels


def write_drafts(root: Path, count: int, *, corrected: int) -> DraftFolder:
    """`count` drafts guessed to be road throughout; the first `corrected` of them are corrected."""
    folder = DraftFolder(root)
    for i in range(count):
        rgb, truth = scene(i)
        draft = folder.add(f"drive_{i:03d}", rgb, np.full_like(truth, ROAD), CAMVID, Record("drive.mp4", i, "tiny"))
        if i < corrected:
            folder.save(draft, truth, done=True)
    return folder
