"""Run the network in fp16 as one CUDA graph, without any compiler: ready in seconds, on every GPU and system."""

from __future__ import annotations

import numpy as np
import torch

from segnet_live.card import Card
from segnet_live.config import Precision
from segnet_live.engine.base import EngineInfo
from segnet_live.engine.eager import DTYPES
from segnet_live.engine.nvidia.cuda_graph import FrameLoop, GraphedEngine
from segnet_live.engine.nvidia.device import as_engine_error, compile_lock, set_up_cudnn
from segnet_live.errors import EngineError
from segnet_live.frame import Size
from segnet_live.nets.deploy import Deploy
from segnet_live.nets.load import load_network
from segnet_live.nets.pooling import form_for


class CudaGraphEngine(GraphedEngine):
    """An engine that replays PyTorch's own kernels as one CUDA graph: no launch of an operation waits for Python.

    A stage of `auto`; `--backend torch` is `EagerEngine`, the reference.

    Args:
        precision: "fp16" (also for "auto"), "bf16" or "fp32".
        device: "cuda", or "cpu" for tests.

    Raises:
        EngineError: unknown precision, or the GPU fails.
        CardError: see `load_network`.
    """

    def __init__(
        self, card: Card, size: Size, *, precision: Precision = "auto", device: str = "cuda", reason: str = ""
    ) -> None:
        precision = "fp16" if precision == "auto" else precision
        if precision not in DTYPES:
            raise EngineError(f"backend torch has no precision {precision!r}", f"choose from {', '.join(DTYPES)}")
        set_up_cudnn()
        network = load_network(card)
        deploy = Deploy(network, card.mean, card.std, pooling=form_for(network, "cuda"), dtype=DTYPES[precision])
        try:
            deploy.to(device).network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
            with compile_lock():
                loop = FrameLoop(deploy, size, torch.device(device))
                loop.segment(np.zeros((*size, 3), np.uint8))
            name = torch.cuda.get_device_name() if device == "cuda" else f"CPU ({torch.get_num_threads()} threads)"
        except RuntimeError as error:
            raise as_engine_error(error, "capturing the network as a CUDA graph failed") from error
        info = EngineInfo("torch", name, precision, card.name, size, "; ".join(filter(None, (reason, "a CUDA graph"))))
        super().__init__(loop, info, "the network's CUDA graph stopped")
