"""The engine contract: frame in, label map at network size out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from segnet_live.frame import LabelMap, Size


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """What runs, and why it was chosen: the words the HUD, the log and the benchmark show.

    Attributes:
        backend: "torch", "openvino", "inductor" or "tensorrt".
        device: as a person knows it, e.g. "AMD EPYC (2 threads)" or "NVIDIA H100".
        precision: "fp32", "bf16", "fp16" or "int8".
        model: the card's name.
        input_size: (height, width) the network runs at.
        reason: why this backend, one clause.
        parity: share 0..1 of pixels labelled as fp32 eager labels them, on reference frames; None if not measured.
    """

    backend: str
    device: str
    precision: str
    model: str
    input_size: Size
    reason: str = ""
    parity: float | None = None


class Engine(Protocol):
    """A network ready to run. Owned by one thread at a time; `segment` blocks until the label map is on the host."""

    @property
    def info(self) -> EngineInfo: ...

    def segment(self, rgb: NDArray[np.uint8]) -> LabelMap:
        """(H, W, 3) uint8 RGB of any size -> (h, w) uint8 class ids at `info.input_size`, owned by the caller."""
        ...

    def close(self) -> None:
        """Give device memory back; the engine is not used afterwards."""
        ...
