"""Open the engines of an NVIDIA GPU in the order in which they become ready: eager, then inductor, then TensorRT."""

from __future__ import annotations

import logging
import threading

from segnet_live.card import Card
from segnet_live.config import Precision
from segnet_live.engine import parity
from segnet_live.engine.base import Engine
from segnet_live.engine.eager import EagerEngine
from segnet_live.engine.nvidia import build_process, tensorrt_build
from segnet_live.engine.nvidia.device import compile_lock
from segnet_live.engine.nvidia.inductor import InductorEngine, inductor_problem
from segnet_live.engine.nvidia.progressive import ProgressiveEngine, Stage
from segnet_live.engine.nvidia.tensorrt import TensorRTEngine, require_tensorrt, tensorrt_problem
from segnet_live.errors import EngineError
from segnet_live.frame import Size

log = logging.getLogger(__name__)


def open_inductor(
    card: Card, size: Size, precision: Precision, reason: str, cancel: threading.Event | None = None
) -> InductorEngine:
    """Open a compiled engine that agrees with fp32 eager.

    Raises:
        EngineError: it cannot be compiled, or disagrees.
        CardError: the weights are damaged.
        Cancelled: `cancel` was set before the compiler began.
    """
    with compile_lock(cancel):
        engine = InductorEngine(card, size, precision=precision, reason=reason)
        try:
            found = parity.measure(engine, card)
            parity.require(found, engine.info, card)
        except Exception:
            engine.close()
            raise
    parity.remember(card, engine.info, found)
    engine.agrees(found.overall)
    return engine


def open_tensorrt(card: Card, size: Size, precision: Precision, reason: str, cancel: threading.Event) -> TensorRTEngine:
    """Open a TensorRT engine from the store, or build it in a child process.

    Raises:
        EngineError: TensorRT is missing, the build fails, or the engine disagrees with fp32 eager.
        CardError: the weights are damaged.
        Cancelled: `cancel` was set.
    """
    precision = tensorrt_build.precision_of(precision)
    require_tensorrt()
    entry = tensorrt_build.find(card, size, precision)
    if entry is None:
        log.info("building a TensorRT engine for %s at %dx%d; this takes minutes, once", card.name, *size)
        entry = build_process.build_in_child(card, size, precision, cancel)
    with compile_lock(cancel):
        return TensorRTEngine(card, size, entry, reason=reason)


def open_cuda(card: Card, size: Size, precision: Precision, reason: str) -> Engine:
    """Open what `auto` means on an NVIDIA GPU: frames at once, faster ones when ready, a smaller engine when one fails.

    Raises:
        SegnetLiveError: not even eager PyTorch runs, neither on the GPU nor on the CPU.
    """

    def eager(device: str) -> Stage:
        return Stage(
            f"torch on {device}",
            lambda _: EagerEngine(card, size, device=device, precision=precision, reason=reason),
        )

    inductor = Stage("inductor", lambda cancel: open_inductor(card, size, precision, reason, cancel))
    tensorrt = Stage("tensorrt", lambda cancel: open_tensorrt(card, size, precision, reason, cancel))
    later = [
        stage
        for stage, problem in ((inductor, inductor_problem()), (tensorrt, tensorrt_problem()))
        if _usable(stage, problem)
    ]
    buildable = tensorrt in later and precision in ("auto", *tensorrt_build.PRECISIONS)
    if buildable and tensorrt_build.find(card, size, tensorrt_build.precision_of(precision)) is not None:
        later = [tensorrt]  # ready sooner than anything could be compiled
    return ProgressiveEngine(eager("cuda"), later, fallbacks=(eager("cuda"), eager("cpu")))


def _usable(stage: Stage, problem: EngineError | None) -> bool:
    if problem is not None:
        log.info("%s is not used: %s", stage.name, problem)
    return problem is None
