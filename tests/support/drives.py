"""Indexes of drives that never were, and the pages made of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from segnet_live.classes import CAMVID
from segnet_live.drives.index import DriveIndex, Facts


def drive_index(
    shares: Mapping[str, Sequence[float]],
    *,
    rate: float = 10.0,
    start_s: float = 0.0,
    confidence: Sequence[float] | None = None,
    motion: Sequence[float] | None = None,
    change: Sequence[float] | None = None,
    title: str = "drive.mp4",
) -> DriveIndex:
    """An index of a drive at `rate` frames a second with these class shares; what is left of each frame is Road."""
    count = len(next(iter(shares.values())))
    columns = np.zeros((count, len(CAMVID)), np.float32)
    for name, values in shares.items():
        columns[:, CAMVID.names.index(name)] = values
    if "Road" not in shares:
        columns[:, CAMVID.names.index("Road")] = 1 - columns.sum(axis=1)

    def column(values: Sequence[float] | None, default: float) -> np.ndarray:
        return np.full(count, default, np.float32) if values is None else np.array(values, np.float32)

    facts = Facts(title, (360, 640), rate, count / rate, "tiny", "openvino, int8, input 32x64", "a CPU", 50.0, True)
    return DriveIndex(
        facts,
        CAMVID,
        np.arange(count) / rate + start_s,
        columns,
        column(confidence, np.nan),
        column(motion, 0.01),
        column(change, 0.01),
        {"smooth": False},
    )
