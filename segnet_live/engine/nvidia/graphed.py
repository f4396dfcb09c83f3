"""Run the network as one CUDA graph without any compiler, ready in seconds on every GPU and system.

Also what the engines of an NVIDIA GPU share: the shell around a frame loop.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from segnet_live.card import Card
from segnet_live.config import Precision
from segnet_live.engine.base import LABELS, EngineInfo, EngineOutput, RequestedOutputs
from segnet_live.engine.eager import DTYPES, deployed_as_asked
from segnet_live.engine.nvidia.cuda_graph import FrameLoop
from segnet_live.engine.nvidia.device import as_engine_error, compile_lock, release_cached, set_up_cudnn
from segnet_live.engine.parity import Parity
from segnet_live.errors import EngineError
from segnet_live.frame import RGB, LabelMap, Size
from segnet_live.nets.deploy import Deployed
from segnet_live.nets.load import load_network
from segnet_live.nets.pooling import Runtime, form_for


def dtype_of(backend: str, asked: Precision) -> tuple[Precision, torch.dtype]:
    """Return the precision that PyTorch's graph engines run for the one asked for, with its type.

    Raises:
        EngineError: they have it not.
    """
    precision: Precision = "fp16" if asked == "auto" else asked
    if precision not in DTYPES:
        raise EngineError(f"backend {backend} has no precision {precision!r}", f"choose from {', '.join(DTYPES)}")
    return precision, DTYPES[precision]


def deployed_for(card: Card, runtime: Runtime, dtype: torch.dtype, maps: RequestedOutputs) -> Deployed:
    """Return the graph of `card` in the pooling form of `runtime`, on the CPU.

    Raises:
        EngineError: there is no dropout to sample.
        CardError: see `load_network`.
    """
    network = load_network(card)
    return deployed_as_asked(card, network, maps, pooling=form_for(network, runtime), dtype=dtype)


def looped(
    card: Card,
    graph: Deployed,
    size: Size,
    device: str,
    maps: RequestedOutputs,
    compiled: Callable[[Deployed], Any] = lambda graph: graph,
) -> tuple[FrameLoop, str]:
    """Move a graph to the device, channels last, and capture it there; return its loop and the device's name.

    Args:
        compiled: what to make of it first.

    Raises:
        Exception: whatever PyTorch or the compiler raises.
    """
    graph.to(device).network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    with compile_lock():
        loop = FrameLoop(compiled(graph), size, torch.device(device), maps, classes=len(card.classes))
        try:
            loop.segment(np.zeros((*size, 3), np.uint8))
        except Exception:
            loop.close()
            raise
    return loop, torch.cuda.get_device_name() if device == "cuda" else f"CPU ({torch.get_num_threads()} threads)"


class GraphedEngine:
    """An engine around a FrameLoop: `segment`, or `submit` and `wait` apart (`base.Overlapping`).

    Args:
        stopped: what an error in use begins with.
    """

    def __init__(self, loop: FrameLoop, info: EngineInfo, stopped: str) -> None:
        self._loop = loop
        self._stopped = stopped
        self.info = info

    def agrees(self, parity: Parity | None) -> None:
        """Put the engine's agreement with fp32 eager into `info`."""
        self.info = replace(self.info, parity=parity.overall if parity else None)

    @property
    def overlaps(self) -> bool:
        return True

    @property
    def shrinks(self) -> bool:
        return True

    def segment(self, rgb: RGB) -> LabelMap:
        return self.segment_with_confidence(rgb).labels

    def segment_with_confidence(self, rgb: RGB) -> EngineOutput:
        self.submit(rgb)
        return self.wait()

    def submit(self, rgb: RGB) -> None:
        try:
            self._loop.submit(rgb)
        except RuntimeError as error:
            raise as_engine_error(error, self._stopped) from error

    def wait(self) -> EngineOutput:
        try:
            return self._loop.wait()
        except RuntimeError as error:
            raise as_engine_error(error, self._stopped) from error

    def close(self) -> None:
        self._loop.close()
        release_cached()


class CudaGraphEngine(GraphedEngine):
    """An engine that replays PyTorch's own kernels as one CUDA graph: no launch of an operation waits for Python.

    A stage of `auto`; `--backend torch` is `EagerEngine`, the reference.

    Args:
        precision: "fp16" (also for "auto"), "bf16" or "fp32".
        device: "cuda", or "cpu" for tests.
        maps: what it is to give beside labels.

    Raises:
        EngineError: unknown precision, the GPU fails, or there is no dropout to sample.
        CardError: see `load_network`.
    """

    def __init__(
        self,
        card: Card,
        size: Size,
        *,
        precision: Precision = "auto",
        device: str = "cuda",
        reason: str = "",
        maps: RequestedOutputs = LABELS,
    ) -> None:
        precision, dtype = dtype_of("torch", precision)
        set_up_cudnn()
        graph = deployed_for(card, "cuda", dtype, maps)
        try:
            loop, name = looped(card, graph, size, device, maps)
        except RuntimeError as error:
            raise as_engine_error(error, "capturing the network as a CUDA graph failed") from error
        info = EngineInfo("torch", name, precision, card.name, size, "; ".join(filter(None, (reason, "a CUDA graph"))))
        super().__init__(loop, maps.describe(info), "the network's CUDA graph stopped")
