"""Define the engine contract: frame in, label map at network size out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from segnet_live.config import Backend, Precision
from segnet_live.frame import RGB, LabelMap, Size


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """A description of the engine that runs, and why it was chosen, for HUD, log and benchmark.

    Attributes:
        backend: never "auto".
        device: as a person knows it, e.g. "AMD EPYC (2 threads)" or "NVIDIA H100".
        precision: never "auto".
        model: the card's name.
        input_size: (height, width) the network runs at.
        reason: why this backend, one clause.
        parity: share 0..1 of pixels labelled as fp32 eager labels them, on reference frames; None if not measured.
    """

    backend: Backend
    device: str
    precision: Precision
    model: str
    input_size: Size
    reason: str = ""
    parity: float | None = None


class Engine(Protocol):
    """A network ready to run. Owned by one thread at a time; `segment` blocks until the label map is on the host.

    tests/engine/test_contract.py holds every engine to this.
    """

    @property
    def info(self) -> EngineInfo: ...

    def segment(self, rgb: RGB) -> LabelMap:
        """Label a frame of any size, (H, W, 3) uint8; return (h, w) uint8 class ids at `info.input_size`.

        The label map is the caller's own: no later call writes to it.

        Raises:
            EngineError: the device failed, or the engine is closed.
        """
        ...

    def close(self) -> None:
        """Free device memory; do nothing the second time."""
        ...


@runtime_checkable
class Overlapping(Protocol):
    """What an engine on a GPU offers beside `Engine`: the host's work on a frame while the device has the one before.

    Where nobody waits for the newest frame, `pipeline/headless/pipeline.py` uses it.
    """

    @property
    def overlaps(self) -> bool:
        """Whether the next frame may be submitted; where not, `segment` it once nothing is under way."""
        ...

    def submit(self, rgb: RGB) -> None:
        """Hand a frame to the device and return while it works; two at most are under way.

        Raises:
            EngineError: the device failed, or the engine is closed.
        """
        ...

    def wait(self) -> LabelMap:
        """Return what `Engine.segment` would have, of the oldest frame under way.

        Raises:
            EngineError: the device failed; nothing is under way any more.
        """
        ...


def overlaps(engine: Engine) -> bool:
    """Return whether the engine takes the next frame by `submit`."""
    return isinstance(engine, Overlapping) and engine.overlaps
