"""The pipeline's own clock: stage times, latency, rates and drops, read as one frozen snapshot."""

from __future__ import annotations

import threading
import time
from collections import Counter, defaultdict, deque
from dataclasses import dataclass

import numpy as np

WINDOW_S = 2.0
HISTORY_S = 10.0
MOST = 4096
"""Values kept of each kind, ten seconds at 400 a second: without a window nobody asks for snapshots, which forget."""


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Milliseconds over the last two seconds; nan where nothing was measured."""

    p50: float
    p95: float
    p99: float


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything the HUD shows and `--stats` sums up, at one moment.

    Attributes:
        source_fps: frames delivered by the source per second.
        displayed_fps: frames painted (or written, headless) per second.
        latency_ms: capture to display (headless: decode start to label map ready).
        stages_ms: mean milliseconds by stage over the window, in pipeline order.
        dropped: frames left out since the start, by the stage that dropped them.
        history: (age in seconds, latency in ms) of the last ten seconds, oldest first.
    """

    source_fps: float
    displayed_fps: float
    latency_ms: Percentiles
    stages_ms: dict[str, float]
    dropped: dict[str, int]
    history: tuple[tuple[float, float], ...]


class Metrics:
    """Collects from any thread; never blocks longer than an append."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._arrivals: deque[float] = deque(maxlen=MOST)
        self._displays: deque[tuple[float, float]] = deque(maxlen=MOST)
        self._stages: dict[str, deque[tuple[float, float]]] = defaultdict(lambda: deque(maxlen=MOST))
        self._dropped: Counter[str] = Counter()

    def arrived(self) -> None:
        """The source delivered a frame just now."""
        with self._lock:
            self._arrivals.append(time.perf_counter())

    def stage(self, name: str, ms: float) -> None:
        """A frame spent `ms` in stage `name`."""
        with self._lock:
            self._stages[name].append((time.perf_counter(), ms))

    def displayed(self, latency_ms: float) -> None:
        """A frame reached its end (painted, or its label map was ready) `latency_ms` after its capture."""
        with self._lock:
            self._displays.append((time.perf_counter(), latency_ms))

    def dropped(self, stage: str, count: int = 1) -> None:
        """`count` frames were left out by `stage`."""
        with self._lock:
            self._dropped[stage] += count

    def snapshot(self) -> Snapshot:
        now = time.perf_counter()
        with self._lock:
            while self._arrivals and now - self._arrivals[0] > WINDOW_S:
                self._arrivals.popleft()
            while self._displays and now - self._displays[0][0] > HISTORY_S:
                self._displays.popleft()
            stages = {}
            for name, times in self._stages.items():
                while times and now - times[0][0] > WINDOW_S:
                    times.popleft()
                if times:
                    stages[name] = float(np.mean([ms for _, ms in times]))
            recent = [ms for at, ms in self._displays if now - at <= WINDOW_S]
            spread = [float(v) for v in np.percentile(recent, (50, 95, 99))] if recent else [float("nan")] * 3
            return Snapshot(
                source_fps=len(self._arrivals) / WINDOW_S,
                displayed_fps=len(recent) / WINDOW_S,
                latency_ms=Percentiles(*spread),
                stages_ms=stages,
                dropped=dict(self._dropped),
                history=tuple((now - at, ms) for at, ms in self._displays),
            )
