"""An engine that follows a governor's decisions, with the smaller sizes prepared in the background."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from segnet_live.engine.base import Engine, EngineInfo
from segnet_live.engine.governor import HEADROOM, Governor, Step, Target
from segnet_live.errors import SegnetLiveError
from segnet_live.frame import LabelMap, Size

log = logging.getLogger(__name__)


class GovernedEngine:
    """An engine whose input size follows a governor. The first size runs at once; the others open in the background
    as soon as the target is in danger: on a machine that is fast enough none is ever compiled.

    `segment`, `observe` and `close` belong to the inference thread; `status` may be read from any.

    Args:
        open_at: opens an engine at a (height, width); runs in a background thread for all but the first.
    """

    def __init__(
        self,
        open_at: Callable[[Size], Engine],
        target: Target,
        steps: Sequence[Step],
        *,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._open_at = open_at
        self._engines: dict[Size, Engine] = {steps[0].size: open_at(steps[0].size)}
        self._lock = threading.Lock()
        self._closing = False
        self.governor = Governor(target, steps, available=lambda step: step.size in self._engines, clock=clock)
        self._current = self._engines[steps[0].size]
        self._to_skip = 0
        sizes = [size for size in dict.fromkeys(step.size for step in steps) if size not in self._engines]
        self._preparing = threading.Thread(target=self._prepare, args=(sizes,), name="governor-prepare", daemon=True)
        self._in_danger = False

    @property
    def info(self) -> EngineInfo:
        return self._current.info

    @property
    def status(self) -> str:
        return self.governor.status + (", preparing sizes" if self._preparing.is_alive() else "")

    def segment(self, rgb: NDArray[np.uint8]) -> LabelMap:
        return self._current.segment(rgb)

    def skips(self) -> bool:
        """Whether the next frame is one that the stride leaves out; ask once a frame, and `segment` it if not."""
        if self._to_skip > 0:
            self._to_skip -= 1
            return True
        self._to_skip = self.governor.step.stride - 1
        return False

    def observe(self, busy_ms: float, latency_ms: float) -> None:
        """Report a finished frame (see `Governor.observe`); the next `segment` may run at another size."""
        before = self.governor.step
        step = self.governor.observe(busy_ms, latency_ms)
        if not self._in_danger and self.governor.load > HEADROOM:
            self._in_danger = True
            self._preparing.start()
        if step != before:
            self._current, self._to_skip = self._engines[step.size], 0

    def close(self) -> None:
        """Close all sizes; waits for the one that is just being opened."""
        with self._lock:
            self._closing = True
        if self._in_danger:
            self._preparing.join()
        for engine in self._engines.values():
            engine.close()
        self._engines.clear()

    def _prepare(self, sizes: Sequence[Size]) -> None:
        for size in sizes:
            with self._lock:
                if self._closing:
                    return
            try:
                engine = self._open_at(size)
            except SegnetLiveError as error:
                log.warning("governor: %dx%d cannot be prepared and is left out: %s", *size, error)
                continue
            self._engines[size] = engine
