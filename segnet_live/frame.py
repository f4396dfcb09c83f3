"""The values that travel through the pipeline: `Frame`, `LabelMap`, `SegmentedFrame`."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Size: TypeAlias = tuple[int, int]
"""(height, width) in pixels."""
RGB: TypeAlias = NDArray[np.uint8]
"""(H, W, 3) uint8, red first."""
LabelMap: TypeAlias = NDArray[np.uint8]
"""(H, W) uint8 class ids; 255 or the class set's void id marks unlabelled pixels."""


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One picture and its place in source time.

    Attributes:
        rgb: (H, W, 3) uint8 RGB, upright, square pixels. Never written to after construction.
        index: 0-based position among the frames this source delivered.
        pts: presentation time in units of `time_base`; sources invent none: a frame without pts gets one
            from the source's rate before it leaves the source.
        time_base: seconds per pts tick.
        capture_s: `time.perf_counter()` when `read` returned (camera, stream) or decoding began (file).
        decode_ms: milliseconds the source spent on this frame.
        name: file stem for image sources, else "".
        truth: ground-truth label map at the frame's size where the source knows it (synthetic), else None.
        duration: how long the source shows it, in units of `time_base`; 0 where unknown.
    """

    rgb: NDArray[np.uint8]
    index: int
    pts: int
    time_base: Fraction
    capture_s: float = 0.0
    decode_ms: float = 0.0
    name: str = ""
    truth: LabelMap | None = None
    duration: int = 0

    @property
    def pts_s(self) -> float:
        """Source time in seconds: pts x time_base."""
        return float(self.pts * self.time_base)

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return self.rgb.shape[0], self.rgb.shape[1]


@dataclass(frozen=True, slots=True, eq=False)
class SegmentedFrame:
    """A frame with the label map made from that very frame.

    Attributes:
        labels: label map at the source's size (after the shared host step).
        latency_ms: capture to label map ready.
        stages_ms: milliseconds by stage name ("decode", "inference", "resize", ...).
    """

    frame: Frame
    labels: LabelMap
    latency_ms: float
    stages_ms: dict[str, float] = field(default_factory=dict)
