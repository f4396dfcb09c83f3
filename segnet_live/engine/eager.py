"""Backend `torch`: PyTorch eager on any device, the oracle that every other engine is compared with."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from segnet_live.card import Card
from segnet_live.engine.base import EngineInfo
from segnet_live.engine.nvidia.device import as_engine_error, release_cached, use_true_fp32
from segnet_live.engine.resize import fit_input
from segnet_live.errors import EngineError
from segnet_live.frame import LabelMap, Size
from segnet_live.nets.deploy import Deploy
from segnet_live.nets.load import load_network
from segnet_live.nets.pooling import MASK, RESIZE

DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


class EagerEngine:
    """Runs the deployed network operation by operation.

    Args:
        device: "cpu", "cuda" or "cuda:N"; None takes the first CUDA device, else the CPU.
        precision: "fp32" (also for "auto": this engine is the reference), "fp16" or "bf16".

    Raises:
        EngineError: the precision is unknown, or the GPU fails.
        CardError: see `load_network`.
    """

    def __init__(
        self, card: Card, size: Size, *, device: str | None = None, precision: str = "auto", reason: str = ""
    ) -> None:
        precision = "fp32" if precision == "auto" else precision
        if precision not in DTYPES:
            raise EngineError(f"backend torch has no precision {precision!r}; choose from {', '.join(DTYPES)}")
        use_true_fp32()
        self._device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        network = load_network(card)
        # on CUDA, max_unpool2d makes its inputs contiguous, which breaks channels-last; the equal resize form does not
        exact = RESIZE if self._device.type == "cuda" else network.pooling
        pooling = MASK if network.pooling is MASK else exact
        deploy = Deploy(network, card.mean, card.std, pooling=pooling, dtype=DTYPES[precision])
        try:
            self._run = deploy.to(self._device)
        except RuntimeError as error:
            raise as_engine_error(error, f"moving {card.name} to {self._device} failed") from error
        self._run.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        if self._device.type == "cuda":
            name = torch.cuda.get_device_name(self._device)
        else:
            name = f"CPU ({torch.get_num_threads()} threads)"
        self.info = EngineInfo("torch", name, precision, card.name, size, reason)

    def segment(self, rgb: NDArray[np.uint8]) -> LabelMap:
        fitted = np.ascontiguousarray(fit_input(rgb, self.info.input_size))
        try:
            with torch.inference_mode():
                ids = self._run(torch.from_numpy(fitted)[None].to(self._device))
                labels: LabelMap = ids[0].cpu().numpy()
        except RuntimeError as error:
            raise as_engine_error(error, f"PyTorch on {self._device} stopped") from error
        return labels

    def close(self) -> None:
        self._run.to("meta")
        release_cached()
