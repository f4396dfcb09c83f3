"""Choose and open an engine, say why it is this one, and put governor and smoothing around it."""

from __future__ import annotations

import importlib.util
import threading
from collections.abc import Callable
from dataclasses import replace

from segnet_live.card import Card, require_rgb
from segnet_live.config import BACKENDS, Backend, Precision
from segnet_live.engine.base import Engine, RequestedOutputs
from segnet_live.engine.governed import GovernedEngine
from segnet_live.engine.governor import STRIDES, Target, ladder, strided
from segnet_live.engine.resize import network_size
from segnet_live.engine.smoothing import SmoothedEngine
from segnet_live.errors import EngineError
from segnet_live.frame import Size
from segnet_live.system import nvidia


def runs_on_gpu(backend: Backend) -> bool:
    """Return whether `open_engine` would take the GPU for this backend; may import torch."""
    if backend == "openvino" or not nvidia.has_gpu():
        return False
    from segnet_live.engine.nvidia.device import cuda_problem

    return cuda_problem() is None


def fixed_backend(backend: Backend) -> Backend:
    """Return the backend to measure with: on a GPU "auto" changes engines in mid-run, and a figure is of one engine."""
    return "torch" if backend == "auto" and runs_on_gpu("auto") else backend


def open_engine(
    card: Card,
    *,
    backend: Backend = "auto",
    size: Size | None = None,
    source_size: Size | None = None,
    precision: Precision = "auto",
    confidence: bool = False,
    samples: int = 0,
    overlap: bool = False,
    at_source: bool = False,
    enlarges: bool = False,
) -> Engine:
    """Open an engine for `card`.

    Args:
        backend: one of `config.BACKENDS`; "auto" takes the best one that this machine has.
        size: network input (height, width); None derives it from `source_size`, or takes the card's.
        source_size: (height, width) of the frames to come.
        precision: one of `config.PRECISIONS`; "auto" is the backend's fast default.
        confidence: say how sure the network is of each pixel; False runs the same graph as if there were no such thing.
        samples: label by the mean of so many passes with dropout on, and give their variance; 0 for one pass without.
        overlap: let an engine that has the choice begin a frame while the one before is under way: more frames a
            second, each later. On a GPU that is so in any case.
        at_source: label maps are wanted at the frames' size, too; an engine on a GPU makes them there.
        enlarges: the same for label maps that are smoothed before (`EngineOutput.enlarge`).

    Raises:
        EngineError: unknown or missing backend, unknown precision, or the network cannot be run; the backend draws no
            samples, or the network has no dropout, or it takes depth.
        CardError: the weights are damaged or do not fit.
    """
    if backend not in BACKENDS:
        raise EngineError(f"unknown backend {backend!r}", f"choose from {', '.join(BACKENDS)}")
    require_rgb(card)
    if size is None:
        size = network_size(source_size, card.pixels) if source_size else card.input_size
    reason = "asked for"
    maps = RequestedOutputs(confidence, samples, at_source, enlarges)
    if backend == "openvino" and samples:
        raise EngineError("backend openvino draws no samples", "take --backend torch, or leave --backend out")
    if backend == "auto":
        no_gpu, problem = "no NVIDIA GPU", nvidia.broken_driver()
        if nvidia.has_gpu():
            from segnet_live.engine.nvidia.device import cuda_problem

            problem = cuda_problem()
            if problem is None and precision != "int8":
                from segnet_live.engine.nvidia.auto import open_cuda

                return open_cuda(card, size, precision, "an NVIDIA GPU is present", maps)
            no_gpu = f"the NVIDIA GPU is not used: {problem or 'int8 there needs --backend tensorrt or tensorrt-rtx'}"
        elif problem is not None:
            no_gpu = f"no NVIDIA GPU is used: {problem}"
        if problem is not None and precision in ("fp16", "bf16"):
            precision = "auto"  # one for the GPU says nothing on a CPU
        if samples:
            backend, reason = "torch", f"samples are PyTorch's; {no_gpu}" if problem else "samples are PyTorch's"
        elif importlib.util.find_spec("openvino"):
            backend, reason = "openvino", f"{no_gpu}; fastest on a CPU"
        else:
            backend, reason = "torch", f"{no_gpu}; OpenVINO is not installed (pip install openvino)"
    if backend == "openvino":
        from segnet_live.engine.openvino import OpenVINOEngine
        from segnet_live.engine.parity import known

        engine = OpenVINOEngine(card, size, precision=precision, reason=reason, confidence=confidence, overlap=overlap)
        found = known(card, replace(engine.info, confidence=False))  # its labels are the same
        if found is not None:
            engine.info = replace(engine.info, parity=found.overall)
        return engine
    if backend == "torch":
        from segnet_live.engine.eager import EagerEngine

        return EagerEngine(card, size, precision=precision, reason=reason, confidence=confidence, samples=samples)
    if backend == "inductor":
        from segnet_live.engine.nvidia.auto import open_inductor

        return open_inductor(card, size, precision, reason, maps=maps)
    if backend == "tensorrt-rtx":
        from segnet_live.engine.nvidia.tensorrt_rtx import open_rtx

        return open_rtx(card, size, precision, reason, maps=maps)
    from segnet_live.engine.nvidia.auto import open_tensorrt

    return open_tensorrt(card, size, precision, reason, threading.Event(), maps)


def assemble_engine(
    open_at: Callable[[Size | None], Engine],
    card: Card,
    source_size: Size,
    *,
    size: Size | None,
    target: Target | None,
    smooth: bool,
    keep_up_fps: float | None = None,
) -> tuple[Engine, GovernedEngine | None]:
    """Return an engine, governed and smoothed if asked for, and its governor to report frames to.

    Args:
        open_at: opens the bare engine at a (height, width), None for the default.
        source_size: (height, width) of the frames.
        size: the largest network size, None for the default.
        keep_up_fps: without a target, hold this rate by skipping frames alone; None never skips.
    """
    if target is None and keep_up_fps is None:
        engine = open_at(size)
        return (SmoothedEngine(engine, card.classes) if smooth else engine), None
    top = size or network_size(source_size, card.pixels)
    if target is None:
        governed = GovernedEngine(open_at, Target(fps=keep_up_fps), strided(top))
    else:
        governed = GovernedEngine(open_at, target, ladder(source_size, top, strides=STRIDES if target.fps else ()))
    return SmoothedEngine(governed, card.classes, smooth=smooth, skips=governed.skips), governed
