"""Stand-ins for TensorRT and a GPU, and a build process with them: `python -m tests.support.stand_ins MODE REQUEST`."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from segnet_live.card import Card
from segnet_live.engine import parity
from segnet_live.engine.artifacts import Entry
from segnet_live.engine.base import EngineInfo
from segnet_live.engine.nvidia import build_process, tensorrt_build
from segnet_live.engine.nvidia.device import GPU
from segnet_live.frame import LabelMap, Size
from segnet_live.nets.deploy import Deploy
from segnet_live.nets.load import load_network
from segnet_live.nets.pooling import EXACT, MASK

FAKE_GPU = GPU("no GPU at all", "0.0", "13.0", "580.00")
SOFTWARE = {"torch": torch.__version__, "torch_tensorrt": "0", "tensorrt": "0"}


class StandIn:
    """Runs an entry's graph with eager PyTorch; the "engine" is the name of its pooling form."""

    wrong = False

    def __init__(self, card: Card, size: Size, entry: Entry, *, reason: str = "") -> None:
        form = (EXACT | {"mask": MASK})[entry.blob.decode()]
        self._run = Deploy(load_network(card), card.mean, card.std, pooling=form)
        self.info = EngineInfo(
            "tensorrt",
            "no GPU",
            str(entry.facts["precision"]),
            card.name,
            size,
            reason,
            entry.notes["parity"]["overall"],
        )

    def segment(self, rgb: NDArray[np.uint8]) -> LabelMap:
        with torch.inference_mode():
            labels: LabelMap = self._run(torch.from_numpy(rgb)[None])[0].numpy()
        return np.zeros_like(labels) if self.wrong else labels

    def close(self) -> None:
        pass


def pictures(count: int = 2) -> list[NDArray[np.uint8]]:
    return list(np.random.default_rng(0).integers(0, 256, (count, 32, 48, 3), dtype=np.uint8))


def convert(mode: str, deploy: Deploy, size: Size, timing_cache: Path) -> bytes:
    """What `tensorrt_build.convert` does, or how it may end."""
    if mode == "crash":
        os.abort()
    if mode == "hang":
        (timing_cache.parent / "hangs").touch()
        time.sleep(600)
    if mode == "memory":
        raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
    if mode == "slices" and deploy.network.pooling.name == mode:
        raise RuntimeError("Slices are not converted")
    if mode == "assert":
        raise AssertionError("Torch not compiled with CUDA enabled")
    return deploy.network.pooling.name.encode()


def install(patch: Any, mode: str = "well") -> None:
    """Put the stand-ins in place; `patch(owner, name, value)` sets an attribute."""
    patch(tensorrt_build, "gpu", lambda: FAKE_GPU)
    patch(tensorrt_build, "versions", lambda: SOFTWARE)
    patch(tensorrt_build, "require_tensorrt", lambda: None)
    patch(tensorrt_build, "DEVICE", "cpu")
    patch(tensorrt_build, "TIMED_FRAMES", 1)
    patch(tensorrt_build, "TensorRTEngine", StandIn)
    patch(tensorrt_build, "convert", lambda *arguments: convert(mode, *arguments))
    patch(parity, "reference_frames", pictures)
    patch(StandIn, "wrong", mode == "wrong")


if __name__ == "__main__":
    torch.set_num_threads(1)
    install(setattr, sys.argv[1])
    code = build_process.main(sys.argv)
    if sys.argv[1] == "late":  # as a vendor's library may, when the process ends
        os.abort()
    sys.exit(code)
