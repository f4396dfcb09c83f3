"""Stand-ins for TensorRT and a GPU, and a build process with them: `python -m tests.support.stand_ins MODE REQUEST`."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from segnet_live.card import Card
from segnet_live.engine.artifacts import ENGINE, Artifact
from segnet_live.engine.base import EngineInfo
from segnet_live.engine.nvidia import build_process
from segnet_live.engine.nvidia.device import GPU
from segnet_live.engine.nvidia.tensorrt_build import Toolchain
from segnet_live.errors import EngineError
from segnet_live.frame import LabelMap, Size
from segnet_live.nets.deploy import Deploy
from segnet_live.nets.load import load_network
from segnet_live.nets.pooling import EXACT, MASK

FAKE_GPU = GPU("no GPU at all", "0.0", "13.0", "580.00")
SOFTWARE = {"torch": torch.__version__, "tensorrt": "0"}


class StandIn:
    """Runs an engine's graph with eager PyTorch; the "engine" is the name of its pooling form.

    Args:
        broken: pooling forms that do not load.
        wrong: pooling forms that give one class everywhere.
    """

    def __init__(
        self, card: Card, size: Size, entry: Artifact, *, broken: Sequence[str] = (), wrong: Sequence[str] = ()
    ) -> None:
        name = entry.files[ENGINE].decode()
        if name in broken:
            raise EngineError("TensorRT cannot read the engine")
        self._wrong = name in wrong
        self._run = Deploy(load_network(card), card.mean, card.std, pooling=(EXACT | {"mask": MASK})[name])
        precision = entry.key_fields["precision"]
        parity = entry.metadata["parity"]["overall"]
        self.info = EngineInfo("tensorrt", "no GPU", precision, card.name, size, "", parity)

    def segment(self, rgb: NDArray[np.uint8]) -> LabelMap:
        with torch.inference_mode():
            labels: LabelMap = self._run(torch.from_numpy(rgb)[None])[0].numpy()
        return np.zeros_like(labels) if self._wrong else labels

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
    if mode == "resize" and deploy.network.pooling.name != mode:
        raise RuntimeError("only resize is converted")
    if mode == "assert":
        raise AssertionError("Torch not compiled with CUDA enabled")
    return deploy.network.pooling.name.encode()


def tools(mode: str = "well", *, broken: Sequence[str] = (), wrong: Sequence[str] = ()) -> Toolchain:
    """A build without TensorRT and GPU that goes as `mode` says."""
    if mode == "wrong":
        wrong = (*EXACT, "mask")
    return Toolchain(
        require=lambda: None,
        gpu=lambda: FAKE_GPU,
        versions=lambda: SOFTWARE,
        convert=partial(convert, mode),
        run=partial(StandIn, broken=broken, wrong=wrong),
        frames=pictures(),
        timed_frames=1,
        warm_s=0.0,
    )


if __name__ == "__main__":
    torch.set_num_threads(1)
    code = build_process.main(sys.argv, tools(sys.argv[1]))
    if sys.argv[1] == "late":  # as a vendor's library may, when the process ends
        os.abort()
    sys.exit(code)
