"""Labelled pictures, runs and interruptions of them."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from segnet_live.learning.data import LabelledSet
from train.config import FitConfig
from train.distributed import Processes
from train.fit import Run, Session
from train.initialise import split_samples, starting_network


def write_pair(root: Path, split: str, name: str, rgb: np.ndarray, labels: np.ndarray) -> None:
    for folder, picture in ((root / split, rgb[..., ::-1]), (root / f"{split}annot", labels)):
        folder.mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(folder / f"{name}.png"), picture)


def interrupt_at(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on a run gets a Ctrl-C during that step."""
    one_step = Run._one_step

    def interrupted(self: Run) -> None:
        one_step(self)
        if self.step == step:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(Run, "_one_step", interrupted)


ALONE = Processes(0, 1, torch.device("cpu"))


def run(config: FitConfig, camvid: Path, out: Path, **session: Any) -> Run:
    labelled = LabelledSet()
    images = split_samples(config, labelled, camvid, out)
    network = starting_network(config, labelled, "", "")
    about = {"data": images.about, "seen": images.seen.as_json(names=True)}
    return Run(config, labelled, images.train, images.val, network, ALONE, Session(out, about, **session))
