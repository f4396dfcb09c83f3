"""Try every engine on a small SegNet: does it run here, and does it do what PyTorch eager does?

In fp32, because random weights decide many pixels by a hair: fp16 would differ without being wrong. How well an
installed model fares in its engine's own precision is what `segnet-live compile` measures.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import save

from segnet_live.card import Card, read_card
from segnet_live.commands.finding import Finding, failure
from segnet_live.engine.base import Engine
from segnet_live.engine.eager import EagerEngine
from segnet_live.engine.nvidia.device import cuda_problem
from segnet_live.engine.nvidia.graphed import CudaGraphEngine
from segnet_live.engine.nvidia.inductor import InductorEngine, inductor_problem
from segnet_live.engine.nvidia.tensorrt import TensorRTEngine, tensorrt_problem
from segnet_live.engine.nvidia.tensorrt_rtx import rtx_problem
from segnet_live.engine.open import open_engine
from segnet_live.engine.parity import MINIMUM
from segnet_live.errors import EngineError
from segnet_live.frame import Size
from segnet_live.nets.networks import NETWORKS
from segnet_live.system.exit import scratch_folder

SIZE: Size = (96, 128)
HALF = "CUDA graph in fp16"
MINIMUM_HALF = 0.9
"""What fp16 agrees on at least, of random weights; where it is broken, that is next to nothing."""
CLASSES = (("Sky", (128, 128, 128)), ("Road", (128, 64, 128)), ("Car", (64, 0, 128)))


def trials() -> Iterator[Finding]:
    """Yield a finding for every engine; the failure of one does not end the others."""
    with scratch_folder() as folder:
        card = small_card(folder / "small")
        eager = EagerEngine(card, SIZE, device="cpu")
        scene = picture()
        truth = eager.segment(scene)
        yield Finding("torch on the CPU", "ok", f"PyTorch {torch.__version__}, the reference")
        for what, problem, make in _engines(card, folder):
            try:
                reason = problem()
                if reason is not None:
                    yield Finding(what, "absent", reason.problem, reason.advice)
                    continue
                engine = make()
                agreement = float((engine.segment(scene) == truth).mean())
                info = engine.info
                engine.close()
            except Exception as error:  # whatever a vendor's library raises is what the user needs to see
                yield failure(what, error)
                continue
            if agreement >= (MINIMUM_HALF if what == HALF else MINIMUM):
                yield Finding(what, "ok", f"{agreement:.2%} of pixels agree, {info.precision} on {info.device}")
            else:
                advice = "do not use it; take another --backend, and report this table"
                yield Finding(what, "failed", f"only {agreement:.2%} of pixels agree", advice)


def _engines(card: Card, folder: Path) -> Iterator[tuple[str, Callable[[], EngineError | None], Callable[[], Engine]]]:
    """Yield (name, why it cannot run, how to open it) of every engine but eager on the CPU.

    In fp32, though GPUs run fp16: of random weights, 4 % of the labels hang on what fp16 rounds away. One in fp16 tells
    whether the GPU computes in it at all.
    """

    def no_openvino() -> EngineError | None:
        try:
            import segnet_live.engine.quiet_openvino  # noqa: F401
        except ImportError as error:
            return EngineError(f"OpenVINO does not load ({error})", "pip install openvino")
        return None

    yield "openvino", no_openvino, lambda: open_engine(card, backend="openvino", size=SIZE, precision="fp32")
    yield "torch on the GPU", cuda_problem, lambda: EagerEngine(card, SIZE, device="cuda")
    yield HALF, cuda_problem, lambda: CudaGraphEngine(card, SIZE, precision="fp16")
    yield "inductor", inductor_problem, lambda: InductorEngine(card, SIZE, precision="fp32")
    yield "tensorrt", tensorrt_problem, lambda: _built(card, folder)
    yield "tensorrt-rtx", rtx_problem, lambda: open_engine(card, backend="tensorrt-rtx", size=SIZE, precision="fp32")


def _built(card: Card, folder: Path) -> Engine:
    """Build a TensorRT engine in a store of its own, and open it."""
    from segnet_live.engine.artifacts import ArtifactStore
    from segnet_live.engine.nvidia.build_process import build_in_child

    entry = build_in_child(card, SIZE, "fp32", threading.Event(), ArtifactStore(folder / "cache"))
    return TensorRTEngine(card, SIZE, entry)


def picture() -> NDArray[np.uint8]:
    """Return a smooth random picture, (96, 128, 3) uint8, the same every time."""
    noise = np.random.default_rng(0).integers(0, 255, (9, 12, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(noise, SIZE[::-1], interpolation=cv2.INTER_CUBIC), np.uint8)


def small_card(folder: Path) -> Card:
    """Write a model folder with random weights of SegNet-Basic, the smallest network with pooling indices."""
    torch.manual_seed(0)
    state = NETWORKS["segnet-basic"](len(CLASSES)).state_dict()
    data = save({k: np.ascontiguousarray(v.numpy()) for k, v in state.items() if not k.endswith("num_batches_tracked")})
    folder.mkdir()
    (folder / "weights.safetensors").write_bytes(data)
    card = {
        "name": "small",
        "architecture": "segnet-basic",
        "classes": [{"name": name, "colour": colour} for name, colour in CLASSES],
        "void_id": len(CLASSES),
        "input_size": SIZE,
        "normalisation": {"mean": [0.4, 0.4, 0.4], "std": [0.3, 0.3, 0.3]},
        "sha256": hashlib.sha256(data).hexdigest(),
        "licence": "none: random weights",
    }
    (folder / "card.json").write_text(json.dumps(card))
    return read_card(folder)
