"""Define the engine contract: frame in, label map at network size out, and its confidence if that was asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from segnet_live.config import Backend, Precision
from segnet_live.frame import RGB, ConfidenceMap, LabelMap, Size


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
        confidence: it was opened to give a confidence map with every label map.
        samples: passes for each frame with dropout on; 0 for the one without.
        other: the second engine of a comparison, None outside one.
    """

    backend: Backend
    device: str
    precision: Precision
    model: str
    input_size: Size
    reason: str = ""
    parity: float | None = None
    confidence: bool = False
    samples: int = 0
    other: EngineInfo | None = None


class EngineOutput(NamedTuple):
    """What an engine makes of one frame, each map (h, w) at `info.input_size` and the caller's own.

    Attributes:
        labels: uint8 class ids.
        confidence: uint8 0..255; None from an engine that was not opened with it.
        variance: float32 0..0.25, the mean over the classes of the variance between samples; None without samples.
        other: uint8 class ids from the second engine of a comparison, (h, w) at its own `info.input_size`; else None.
        small: the picture as (h, w, 3) uint8 RGB, from an engine that shrinks it itself; else None.
        at_source: (H, W) uint8 class ids at the picture's size, from such an engine that was asked for them; else None.
        enlarge: brings (h, w) uint8 class ids that were made of `labels` to the picture's size on the GPU; None comes
            back where that failed. Belongs to the thread that owns the engine. From an engine that was asked for it.
    """

    labels: LabelMap
    confidence: ConfidenceMap | None = None
    variance: NDArray[np.float32] | None = None
    other: LabelMap | None = None
    small: RGB | None = None
    at_source: LabelMap | None = None
    enlarge: Callable[[LabelMap], LabelMap | None] | None = None


@dataclass(frozen=True, slots=True)
class RequestedOutputs:
    """What an engine is asked to give of each frame beside its labels.

    Attributes:
        confidence: how sure the network is of each pixel.
        samples: passes with dropout on, whose mean labels the frame; they give confidence and variance. 0 for none.
        at_source: labels at the size of the picture, where a GPU has it anyway; who gets none makes them (`labels_at`).
        enlarges: the same for labels that the host changes first: no labels of that size, but the means to make them.
    """

    confidence: bool = False
    samples: int = 0
    at_source: bool = False
    enlarges: bool = False

    @property
    def count(self) -> int:
        """How many of labels, confidence and variance there are."""
        return 3 if self.samples else 2 if self.confidence else 1

    def describe(self, info: EngineInfo) -> EngineInfo:
        """Return the description of an engine that gives them."""
        return replace(info, confidence=self.count > 1, samples=self.samples)


LABELS = RequestedOutputs()
"""Labels alone."""


class Engine(Protocol):
    """A network ready to run. Owned by one thread at a time; `segment` blocks until the label map is on the host.

    An engine that can say how sure it is also has `segment_with_confidence`, from a frame to `EngineOutput`: call
    `run_engine`, which takes every engine.

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
    """What an engine may offer beside `Engine`: to take a frame while the one before is under way.

    On a GPU the host works meanwhile; on a CPU each of two frames has half of the cores, which then do not wait
    for each other.

    Where nobody waits for the newest frame, `pipeline/headless/pipeline.py` uses it.
    """

    @property
    def info(self) -> EngineInfo: ...

    @property
    def overlaps(self) -> bool:
        """Whether the next frame may be submitted; where not, `segment` it once nothing is under way."""
        ...

    def submit(self, rgb: RGB) -> None:
        """Hand a frame to the device and return while it works; two at most are under way.

        Raises:
            EngineError: the device failed, or the engine is closed; nothing is under way any more.
        """
        ...

    def wait(self) -> EngineOutput:
        """Return what `run_engine` would have, of the oldest frame under way.

        Raises:
            EngineError: the device failed; nothing is under way any more.
        """
        ...


def overlaps(engine: Engine) -> bool:
    """Return whether the engine takes the next frame by `submit`."""
    return bool(getattr(engine, "overlaps", False))  # `isinstance` of a protocol takes 50 us


def shrinks(engine: object) -> bool:
    """Return whether the engine brings frames to its size itself, on a GPU; `picture_for` gives it whole ones."""
    return bool(getattr(engine, "shrinks", False))


def run_engine(engine: Engine, rgb: RGB) -> EngineOutput:
    """Return what `engine` makes of a frame: its labels, and all else that it was opened to give.

    Raises:
        EngineError: see `Engine.segment`.
    """
    with_confidence: Callable[[RGB], EngineOutput] | None = getattr(engine, "segment_with_confidence", None)
    return with_confidence(rgb) if with_confidence is not None else EngineOutput(engine.segment(rgb))
