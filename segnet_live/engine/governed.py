"""Run an engine whose input size follows a governor, with the smaller sizes opened in the background."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence

from segnet_live.engine.base import Engine, EngineInfo, EngineOutput, run_engine, shrinks
from segnet_live.engine.governor import HEADROOM, Governor, Step, Target
from segnet_live.errors import SegnetLiveError
from segnet_live.frame import RGB, LabelMap, Size

log = logging.getLogger(__name__)


class GovernedEngine:
    """An engine whose input size follows a governor. The first size runs at once; the others open in the background
    as soon as the target is in danger: on a machine that is fast enough none is ever compiled.

    `segment`, `skips` and `close` belong to the inference thread; `observe` and `status` may be called from any.

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
        self._lock = threading.Lock()  # of everything below, and of the dict above
        self._closed = threading.Event()
        self.governor = Governor(target, steps, available=self._available, clock=clock)
        self._current = self._engines[steps[0].size]
        self._to_skip = self._skipped = 0
        # with sizes to choose from, these come before frames that are left out
        self._longest = max(step.stride for step in steps) if len({step.size for step in steps}) == 1 else 1
        self._sizes = [size for size in dict.fromkeys(step.size for step in steps) if size not in self._engines]
        self._in_danger = self._preparing = False

    def _available(self, step: Step) -> bool:
        """Return whether a step can be entered: its engine is open, and no better one is still coming.

        While a GPU still runs it the simple way, a smaller size can be slower than a larger one.
        """
        engine = self._engines.get(step.size)
        return engine is not None and (engine is self._current or getattr(engine, "settled", True))

    @property
    def info(self) -> EngineInfo:
        return self._current.info

    @property
    def status(self) -> str:
        with self._lock:
            return self.governor.status + (", preparing sizes" if self._preparing else "")

    @property
    def shrinks(self) -> bool:
        return shrinks(self._current)

    def segment(self, rgb: RGB) -> LabelMap:
        return self._current.segment(rgb)

    def segment_with_confidence(self, rgb: RGB) -> EngineOutput:
        return run_engine(self._current, rgb)

    def hurry(self) -> None:
        """Leave the next frame out whatever the stride, as others wait behind it; the longest stride still holds."""
        with self._lock:
            if self._to_skip == 0 and self._skipped < self._longest - 1:
                self._to_skip = 1

    def skips(self) -> bool:
        """Return whether the next frame is left out; ask once a frame, and `segment` it if not."""
        with self._lock:
            if self._to_skip > 0:
                self._to_skip -= 1
                self._skipped += 1
                return True
            self._skipped, self._to_skip = 0, self.governor.step.stride - 1
            return False

    def observe(self, busy_ms: float, latency_ms: float) -> None:
        """Report a finished frame (see `Governor.observe`); the next `segment` may run at another size."""
        with self._lock:
            if self._closed.is_set():
                return
            before = self.governor.step
            step = self.governor.observe(busy_ms, latency_ms)
            if not self._in_danger and self.governor.load > HEADROOM:
                self._in_danger = self._preparing = True
                threading.Thread(target=self._prepare, name="governor-prepare", daemon=True).start()
            if step != before:
                self._current, self._to_skip = self._engines[step.size], 0

    def close(self) -> None:
        """Close all sizes without waiting; the one that is just being opened is closed as soon as it is open."""
        with self._lock:
            self._closed.set()
            engines = list(self._engines.values())
            self._engines.clear()
        for engine in engines:
            engine.close()

    def _prepare(self) -> None:
        try:
            for size in self._sizes:
                if self._closed.is_set():
                    return
                try:
                    engine = self._open_at(size)
                except SegnetLiveError as error:
                    log.warning("governor: %dx%d cannot be prepared and is left out: %s", *size, error)
                    continue
                with self._lock:
                    late = self._closed.is_set()
                    if not late:
                        self._engines[size] = engine
                if late:
                    engine.close()
        finally:
            with self._lock:
                self._preparing = False
