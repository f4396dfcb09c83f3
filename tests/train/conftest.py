"""A tiny labelled set in CamVid's layout, and settings that train on it in seconds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.support.training import write_pair
from train.config import FitConfig


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Sums keep their order, so that equal runs are equal bit for bit."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def camvid(tmp_path: Path) -> Path:
    """6 training and 3 validation pairs of 64x96 (height x width): sky above road, a car somewhere, some void."""
    root = tmp_path / "camvid"
    rng = np.random.default_rng(0)
    names = {
        "train": ["0001TP_000030", "0001TP_000060", "0006R0_000030", "0006R0_000060", "0016E5_000030", "0016E5_000060"]
    }
    names["val"] = ["0016E5_000101", "0016E5_000103", "0016E5_000105"]
    for split, every in names.items():
        for name in every:
            labels = np.full((64, 96), 0, np.uint8)
            labels[30:] = 3
            left = int(rng.integers(0, 60))
            labels[24:40, left : left + 20] = 8
            labels[:, :2] = 11
            rgb = np.clip(labels[..., None] * np.array([20, 12, 7]) + rng.normal(60, 10, (64, 96, 3)), 0, 255)
            write_pair(root, split, name, rgb.astype(np.uint8), labels)
    return root


@pytest.fixture
def quick() -> FitConfig:
    """Two epochs of three steps, each with an evaluation."""
    return FitConfig("segnet-fast", "release", epochs=2, batch=2, crop=(32, 64), evaluations=2, precision="fp32")
