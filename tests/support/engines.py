"""Engines that do as a test tells them, and whose labels are known."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from segnet_live.card import Card
from segnet_live.engine.base import Engine, EngineInfo, EngineOutput
from segnet_live.errors import EngineError
from segnet_live.frame import LabelMap, Size
from tests.support.sources import SIZE


class FakeEngine:
    """Labels a frame with its own first pixel, at half size; `before` runs ahead of each."""

    info = EngineInfo("fake", "no device", "fp32", "none", (SIZE[0] // 2, SIZE[1] // 2), "a test")
    parity = None

    def __init__(self, before: Callable[[int], object] = lambda index: None) -> None:
        self.closed = 0
        self._before = before

    def segment(self, rgb: NDArray[np.uint8]) -> LabelMap:
        self._before(int(rgb[0, 0, 0]))
        return np.full(self.info.input_size, rgb[0, 0, 0], np.uint8)

    def close(self) -> None:
        self.closed += 1


class OverlappingEngine(FakeEngine):
    """Labels like FakeEngine; has two frames under way, as an engine on a GPU.

    Args:
        fails_at: the frame whose `wait` raises; everything under way is lost with it.
    """

    overlaps = True

    def __init__(self, fails_at: int | None = None) -> None:
        super().__init__()
        self.log: list[str] = []
        self._under_way: list[int] = []
        self._fails_at = fails_at

    def submit(self, rgb: NDArray[np.uint8]) -> None:
        assert len(self._under_way) < 2
        self._under_way.append(int(rgb[0, 0, 0]))
        self.log.append(f"submit {self._under_way[-1]}")

    def wait(self) -> EngineOutput:
        index = self._under_way.pop(0)
        if index == self._fails_at:
            self._under_way.clear()
            raise EngineError("the GPU is lost")
        self.log.append(f"wait {index}")
        return EngineOutput(np.full(self.info.input_size, index, np.uint8))


ROAD, SKY, CAR = 3, 0, 8


class HalfEngine:
    """Labels the left half road and the right half sky; `hold` makes it wait, `fail` makes it raise.

    With confidence, it is certain of the road and knows nothing of the sky.
    """

    def __init__(self, model: str, backend: str, size: Size, *, confidence: bool = False) -> None:
        self.info = EngineInfo(backend, "a test", "fp32", model, size, "asked for", confidence=confidence)
        self.closed = 0
        self.hold = threading.Event()
        self.hold.set()
        self.fail: Exception | None = None
        self.threads: set[str] = set()
        self.segmented = 0

    def segment(self, rgb: NDArray[np.uint8]) -> LabelMap:
        self.threads.add(threading.current_thread().name)
        self.segmented += 1
        self.hold.wait(10)
        if self.fail is not None:
            raise self.fail
        labels = np.full(self.info.input_size, SKY, np.uint8)
        labels[:, : labels.shape[1] // 2] = ROAD
        return labels

    def segment_with_confidence(self, rgb: NDArray[np.uint8]) -> EngineOutput:
        labels = self.segment(rgb)
        sure = np.where(labels == ROAD, 255, 0).astype(np.uint8)
        return EngineOutput(labels, sure if self.info.confidence else None)

    def close(self) -> None:
        self.closed += 1


@dataclass
class Engines:
    """Opens HalfEngines and remembers them; `before` runs ahead of each opening, in its thread."""

    opened: list[HalfEngine] = field(default_factory=list)
    before: Callable[[str], None] = lambda backend: None

    def open(
        self,
        card: Card,
        *,
        backend: str = "auto",
        size: Size | None = None,
        source_size: Size | None = None,
        precision: str = "auto",
        confidence: bool = False,
        samples: int = 0,
        overlap: bool = False,
        at_source: bool = False,
        enlarges: bool = False,
    ) -> Engine:
        self.before(backend)
        engine = HalfEngine(card.name, backend, size or (32, 48), confidence=confidence)
        self.opened.append(engine)
        return engine
