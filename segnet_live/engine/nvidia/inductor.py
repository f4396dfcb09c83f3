"""Run backend `inductor`: the network through torch.compile; the default on an NVIDIA GPU until TensorRT is ready.

On a GPU it has not been run by the tests; they run the same graph through Inductor on the CPU.
"""

from __future__ import annotations

import importlib.util
from dataclasses import replace

import numpy as np
import torch

from segnet_live.card import Card
from segnet_live.config import Precision
from segnet_live.engine.base import EngineInfo
from segnet_live.engine.eager import DTYPES
from segnet_live.engine.nvidia.cuda_graph import FrameLoop
from segnet_live.engine.nvidia.device import (
    as_engine_error,
    compile_lock,
    cuda_problem,
    fastest_convolutions,
    release_cached,
    use_true_fp32,
)
from segnet_live.errors import EngineError, first_line
from segnet_live.frame import RGB, LabelMap, Size
from segnet_live.nets.deploy import Deploy
from segnet_live.nets.load import load_network
from segnet_live.nets.pooling import form_for

MOST_COMPILED = 1024
"""Networks and sizes that one process may compile."""


def inductor_problem() -> EngineError | None:
    """Return why torch.compile cannot be used on a GPU here, with what to do about it; None if it can."""
    problem = cuda_problem()
    if problem is None and importlib.util.find_spec("triton") is None:
        return EngineError("torch.compile needs Triton, which is missing (on Windows: pip install triton-windows)")
    return problem


class InductorEngine:
    """An engine that compiles the network when opened, in a minute or so, and runs it as one CUDA graph.

    Args:
        precision: "fp16" (also for "auto"), "bf16" or "fp32".
        device: "cuda", or "cpu" for tests (it needs a C++ compiler then).

    Raises:
        EngineError: unknown precision, no GPU, no Triton, or the compiler fails.
        CardError: see `load_network`.
    """

    def __init__(
        self, card: Card, size: Size, *, precision: Precision = "auto", device: str = "cuda", reason: str = ""
    ) -> None:
        precision = "fp16" if precision == "auto" else precision
        if precision not in DTYPES:
            raise EngineError(f"backend inductor has no precision {precision!r}", f"choose from {', '.join(DTYPES)}")
        problem = inductor_problem() if device == "cuda" else None
        if problem is not None:
            raise EngineError(f"backend inductor: {problem.problem}", problem.advice)
        network = load_network(card)
        pooling = form_for(network, "inductor")
        deploy = Deploy(network, card.mean, card.std, pooling=pooling, dtype=DTYPES[precision]).to(device)
        deploy.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        from torch._dynamo import config as dynamo  # takes a second to import, and the first frame needs none of it

        use_true_fp32()
        try:
            # Dynamo counts all networks that a process ever compiled as versions of one function, and stops at eight
            limit = dynamo.patch(recompile_limit=MOST_COMPILED, accumulated_recompile_limit=MOST_COMPILED)
            with compile_lock(), fastest_convolutions(), limit:
                compiled = torch.compile(deploy, fullgraph=True, dynamic=False)
                self._loop = FrameLoop(compiled, size, torch.device(device))
                self._loop.segment(np.zeros((*size, 3), np.uint8))
        except Exception as error:  # Dynamo, Inductor, Triton and the C++ compiler have an error tree each
            if isinstance(error, torch.cuda.OutOfMemoryError):
                raise as_engine_error(error, "compiling the network failed") from error
            raise EngineError(f"torch.compile failed: {first_line(error)}", "take --backend torch") from error
        name = torch.cuda.get_device_name() if device == "cuda" else f"CPU ({torch.get_num_threads()} threads)"
        self.info = EngineInfo("inductor", name, precision, card.name, size, reason)

    def agrees(self, parity: float) -> None:
        """Put the engine's agreement with fp32 eager into `info`."""
        self.info = replace(self.info, parity=parity)

    def segment(self, rgb: RGB) -> LabelMap:
        try:
            return self._loop.segment(rgb)
        except RuntimeError as error:
            raise as_engine_error(error, "the compiled network stopped") from error

    def close(self) -> None:
        self._loop.close()
        release_cached()
