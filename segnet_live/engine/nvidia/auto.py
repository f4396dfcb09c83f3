"""Open the engines of an NVIDIA GPU in the order in which they become ready.

Eager fp16 gives the first frame; then PyTorch's kernels as one CUDA graph (seconds), then what is compiled:
TensorRT-RTX (seconds), or inductor (a minute) and TensorRT (minutes). Each takes over only if it is faster.
"""

from __future__ import annotations

import importlib.util
import logging
import math
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from segnet_live.card import Card
from segnet_live.config import Precision
from segnet_live.engine import parity
from segnet_live.engine.artifacts import set_aside
from segnet_live.engine.base import LABELS, Engine, RequestedOutputs
from segnet_live.engine.eager import EagerEngine
from segnet_live.engine.nvidia import build_process, tensorrt_build
from segnet_live.engine.nvidia.device import Missing, OutOfMemory, compile_lock
from segnet_live.engine.nvidia.graphed import CudaGraphEngine
from segnet_live.engine.nvidia.inductor import InductorEngine, inductor_problem
from segnet_live.engine.nvidia.progressive import ProgressiveEngine, Stage
from segnet_live.engine.nvidia.tensorrt import TensorRTEngine, require_tensorrt, tensorrt_problem
from segnet_live.engine.nvidia.tensorrt_rtx import open_rtx, rtx_problem
from segnet_live.errors import EngineError
from segnet_live.frame import Size

log = logging.getLogger(__name__)

EAGER, GRAPH = "torch on cuda", "a CUDA graph"
_said: set[str] = set()
PATIENCE_S = 2.0
"""How long a frame whose engine failed waits for the compiler, before it goes to the next engine that needs none."""


def open_graph(
    card: Card,
    size: Size,
    precision: Precision,
    reason: str,
    cancel: threading.Event | None = None,
    maps: RequestedOutputs = LABELS,
    patience_s: float = math.inf,
) -> CudaGraphEngine:
    """Open PyTorch's own kernels as one CUDA graph, which agrees with fp32 eager; ready in seconds.

    Args:
        cancel: None for a fallback, for which a frame is waiting.
        patience_s: how long to wait for another engine that is being compiled.

    Raises:
        Disagreement: it disagrees.
        EngineError: it cannot be captured, or not now.
        CardError: the weights are damaged.
        Cancelled: `cancel` was set before it began.
    """
    with compile_lock(cancel, patience_s):
        engine = CudaGraphEngine(card, size, precision=precision, reason=reason, maps=maps)
        engine.agrees(parity.checked(engine, card, kept=cancel is None))
    return engine


def open_inductor(
    card: Card,
    size: Size,
    precision: Precision,
    reason: str,
    cancel: threading.Event | None = None,
    maps: RequestedOutputs = LABELS,
) -> InductorEngine:
    """Open a compiled engine that agrees with fp32 eager.

    Args:
        cancel: for an engine that is prepared while another one runs: it is compiled in a child process first, and this
            one finds it in the compiler's cache. Without it, it is compiled here.

    Raises:
        EngineError: it cannot be compiled, or disagrees.
        CardError: the weights are damaged.
        Cancelled: `cancel` was set.
    """
    if cancel is not None:
        build_process.warm_in_child(card, size, precision, cancel, maps=maps)
    with compile_lock(cancel):
        engine = InductorEngine(card, size, precision=precision, reason=reason, maps=maps)
        engine.agrees(parity.checked(engine, card))
    return engine


def open_tensorrt(
    card: Card, size: Size, precision: Precision, reason: str, cancel: threading.Event, maps: RequestedOutputs = LABELS
) -> TensorRTEngine:
    """Open a TensorRT engine from the store, or build it in a child process; one that is refused is built anew.

    Raises:
        EngineError: TensorRT is missing, the build fails, or the engine disagrees with fp32 eager.
        CardError: the weights are damaged.
        Cancelled: `cancel` was set.
    """
    precision = tensorrt_build.precision_of(precision)
    require_tensorrt()
    entry = tensorrt_build.find(card, size, precision, maps=maps)
    if entry is not None:
        try:
            with compile_lock(cancel):
                return TensorRTEngine(card, size, entry, reason=reason, maps=maps)
        except OutOfMemory:
            raise
        except EngineError as error:  # as after some updates of the driver
            log.warning("the kept TensorRT engine is built anew: %s", error)
    log.warning("building a TensorRT engine for %s at %dx%d; this takes minutes, once", card.name, *size)
    with set_aside(entry):
        entry = build_process.build_in_child(card, size, precision, cancel, maps=maps)
    with compile_lock(cancel):
        return TensorRTEngine(card, size, entry, reason=reason, maps=maps)


def open_cuda(card: Card, size: Size, precision: Precision, reason: str, maps: RequestedOutputs = LABELS) -> Engine:
    """Open what `auto` means on an NVIDIA GPU: frames at once, faster ones when ready, a smaller engine when one fails.

    Samples come from PyTorch's CUDA graph from the first frame on: a graph that is captured while another thread draws
    from the same generator would end that one's frame.

    Raises:
        SegnetLiveError: not even eager PyTorch runs, neither on the GPU nor on the CPU.
    """
    fast: Precision = "fp16" if precision == "auto" else precision  # fp32 eager is the reference, not a way to run
    given: dict[str, Any] = {"confidence": maps.confidence, "samples": maps.samples} if maps.count > 1 else {}
    first = Stage(EAGER, lambda _: EagerEngine(card, size, device="cuda", precision=fast, reason=reason, **given))
    exact = Stage(
        "torch on cuda in fp32",
        lambda _: EagerEngine(card, size, device="cuda", precision="fp32", reason=reason, **given),
    )
    in_fp32 = () if fast == "fp32" else (exact,)
    # GPUs without fp16 of their own, and weights that overflow in it: what the graph is refused for, eager does, too
    same = () if fast == "fp32" else (EAGER, GRAPH)
    graph = Stage(GRAPH, lambda cancel: open_graph(card, size, precision, reason, cancel, maps), vouches_for=same)
    fp32_graph = Stage(
        "a CUDA graph in fp32", lambda cancel: open_graph(card, size, "fp32", reason, cancel, maps), unless=GRAPH
    )
    waited_for = replace(graph, open=lambda _: open_graph(card, size, precision, reason, maps=maps))
    at_hand = replace(graph, open=lambda _: open_graph(card, size, precision, reason, maps=maps, patience_s=PATIENCE_S))

    def on_cpu(_: threading.Event) -> Engine:
        """Open the fastest engine that needs no GPU."""
        own: Precision = precision if precision == "fp32" else "auto"  # a precision of the GPU's says nothing here
        if importlib.util.find_spec("openvino") and not maps.samples:
            from segnet_live.engine.openvino import OpenVINOEngine

            return OpenVINOEngine(card, size, precision=own, reason=reason, confidence=maps.confidence)
        return EagerEngine(card, size, device="cpu", precision=own, reason=reason, **given)

    last = Stage("torch on the CPU", lambda _: EagerEngine(card, size, device="cpu", reason=reason, **given))
    if maps.samples:
        return ProgressiveEngine(waited_for, [], fallbacks=(first, *in_fp32, last))

    def later() -> Iterator[Stage]:
        yield graph  # before anything is looked for: what is half installed may end the search
        if in_fp32:
            yield fp32_graph
        yield from _compiled(card, size, precision, reason, maps)

    return ProgressiveEngine(first, later, fallbacks=(at_hand, first, *in_fp32, Stage("the CPU", on_cpu), last))


def _compiled(
    card: Card, size: Size, precision: Precision, reason: str, maps: RequestedOutputs = LABELS
) -> Iterator[Stage]:
    """Yield the compiled stages that this machine can prepare, best last. Runs in the background thread: it imports.

    Whichever of them fails leaves another one: inductor stands behind TensorRT and TensorRT-RTX.
    """
    inductor = Stage("inductor", lambda cancel: open_inductor(card, size, precision, reason, cancel, maps))
    tensorrt = Stage("tensorrt", lambda cancel: open_tensorrt(card, size, precision, reason, cancel, maps))
    rtx = Stage("tensorrt-rtx", lambda cancel: open_rtx(card, size, precision, reason, cancel, maps))
    built = precision in ("auto", *tensorrt_build.PRECISIONS)
    compiles = _usable(inductor, inductor_problem())
    if built and _usable(tensorrt, tensorrt_problem()):
        kept = tensorrt_build.find(card, size, tensorrt_build.precision_of(precision), maps=maps) is not None
        # one that is kept is ready sooner than anything could be compiled
        order = (tensorrt, replace(inductor, unless=tensorrt.name)) if kept else (inductor, tensorrt)
        yield from (stage for stage in order if compiles or stage is tensorrt)
        return
    if built and _usable(rtx, rtx_problem()):
        yield rtx
        inductor = replace(inductor, unless=rtx.name)
    if compiles:
        yield inductor


def _usable(stage: Stage, problem: EngineError | None) -> bool:
    if problem is not None:
        line = f"{stage.name} is not used: {problem}"
        log.log(logging.INFO if isinstance(problem, Missing) or line in _said else logging.WARNING, "%s", line)
        _said.add(line)  # a governor opens an engine for each size
    return problem is None
