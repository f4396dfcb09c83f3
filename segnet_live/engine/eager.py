"""Run backend `torch`: PyTorch eager on any device, the reference that every other engine is compared with."""

from __future__ import annotations

import contextlib

import torch

from segnet_live.card import Card
from segnet_live.config import Precision
from segnet_live.engine.base import EngineInfo, EngineOutput, RequestedOutputs
from segnet_live.engine.nvidia.device import as_engine_error, best_device, release_cached, set_up_cudnn
from segnet_live.engine.resize import fit_input
from segnet_live.errors import EngineError
from segnet_live.frame import RGB, LabelMap, Size
from segnet_live.nets.deploy import Deployed, deploy
from segnet_live.nets.load import load_network
from segnet_live.nets.pooling import Pooling, form_for
from segnet_live.nets.segnet import Network

DTYPES: dict[Precision, torch.dtype] = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


def deployed_as_asked(
    card: Card,
    network: Network,
    maps: RequestedOutputs,
    *,
    pooling: Pooling,
    dtype: torch.dtype,
    ids: torch.dtype = torch.uint8,
) -> Deployed:
    """Return the deployed form of `network` that gives what an engine was asked for.

    Raises:
        EngineError: there is no dropout to sample, or too few samples are asked for.
    """
    try:
        return deploy(
            network,
            card.mean,
            card.std,
            confidence=maps.confidence,
            temperature=card.temperature,
            samples=maps.samples,
            pooling=pooling,
            dtype=dtype,
            ids=ids,
        )
    except ValueError as error:
        raise EngineError(f"--samples {maps.samples} for {card.name}: {error}") from error


class EagerEngine:
    """An engine that runs the deployed network operation by operation.

    Args:
        device: "cpu", "cuda" or "cuda:N"; None takes the GPU if it can be used, else the CPU.
        precision: "fp32" (also for "auto": this engine is the reference), "fp16" or "bf16".
        network: runs in place of the card's own, with the card's name and normalisation.
        confidence: say how sure the network is of each pixel.
        samples: label by the mean of so many passes with dropout on, which also says how sure the network is; 0 for one
            pass without.

    Raises:
        EngineError: the precision is unknown, the GPU fails, or there is no dropout to sample.
        CardError: see `load_network`.
    """

    def __init__(
        self,
        card: Card,
        size: Size,
        *,
        device: str | None = None,
        precision: Precision = "auto",
        reason: str = "",
        network: Network | None = None,
        confidence: bool = False,
        samples: int = 0,
    ) -> None:
        precision = "fp32" if precision == "auto" else precision
        if precision not in DTYPES:
            raise EngineError(f"backend torch has no precision {precision!r}", f"choose from {', '.join(DTYPES)}")
        set_up_cudnn()
        self._device = torch.device(device or best_device())
        network = load_network(card) if network is None else network
        pooling = form_for(network, "cuda" if self._device.type == "cuda" else "cpu")
        maps = RequestedOutputs(confidence, samples)
        deployed = deployed_as_asked(card, network, maps, pooling=pooling, dtype=DTYPES[precision])
        # not the default stream, on which work depends on streams that another thread may be capturing
        self._stream: torch.cuda.Stream | None = None
        try:
            self._run: Deployed | None = deployed.to(self._device)
            deployed.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
            if self._device.type == "cuda":
                self._stream = torch.cuda.Stream(self._device)  # type: ignore[no-untyped-call]
                self._stream.wait_stream(torch.cuda.current_stream(self._device))  # the copies above
                name = torch.cuda.get_device_name(self._device)
            else:
                name = f"CPU ({torch.get_num_threads()} threads)"
        except RuntimeError as error:
            raise as_engine_error(error, f"moving {card.name} to {self._device} failed") from error
        self.info = maps.describe(EngineInfo("torch", name, precision, card.name, size, reason))

    def segment(self, rgb: RGB) -> LabelMap:
        return self.segment_with_confidence(rgb).labels

    def segment_with_confidence(self, rgb: RGB) -> EngineOutput:
        if self._run is None:
            raise EngineError("this engine is closed")
        try:
            with torch.inference_mode(), self._on_stream():
                # copied: torch warns of arrays that may not be written to, and takes no mirrored ones
                fitted = torch.from_numpy(fit_input(rgb, self.info.input_size).copy())
                outputs = self._run(fitted[None].to(self._device))
                maps = [output[0].cpu().numpy() for output in (outputs if isinstance(outputs, tuple) else (outputs,))]
        except RuntimeError as error:
            raise as_engine_error(error, f"PyTorch on {self._device} stopped") from error
        return EngineOutput(*maps)

    def _on_stream(self) -> contextlib.AbstractContextManager[object]:
        return contextlib.nullcontext() if self._stream is None else torch.cuda.stream(self._stream)

    def close(self) -> None:
        self._run = None
        release_cached()
