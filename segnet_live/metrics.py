"""Measure the pipeline: stage times, latency, rates and drops, read as one frozen snapshot."""

from __future__ import annotations

import threading
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Collection
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
    """The figures that the HUD shows, at one moment.

    Attributes:
        source_fps: frames delivered by the source per second.
        displayed_fps: frames painted (or written, headless) per second; both rates count from their first frame on.
        latency_ms: capture to display; without a window, to the label map (`Frame.capture_s` says what capture is).
        stages_ms: mean milliseconds by stage over the window, in pipeline order.
        dropped: frames left out since the start, by the stage that dropped them.
        history: (age in seconds, latency in ms) of the last ten seconds, oldest first.
        confidence: mean confidence and share of unsure pixels over the window, 0..1; None where none was asked for.
        disagreement: mean share of pixels on which two engines differ, 0..1; None where one runs.
    """

    source_fps: float
    displayed_fps: float
    latency_ms: Percentiles
    stages_ms: dict[str, float]
    dropped: dict[str, int]
    history: tuple[tuple[float, float], ...]
    confidence: tuple[float, float] | None = None
    disagreement: float | None = None


class Metrics:
    """A collector of measurements from any thread, which never blocks longer than an append.

    Args:
        clock: seconds; tests pass their own.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._arrivals: deque[float] = deque(maxlen=MOST)
        self._displays: deque[tuple[float, float]] = deque(maxlen=MOST)
        self._stages: dict[str, deque[tuple[float, float]]] = defaultdict(lambda: deque(maxlen=MOST))
        self._confidences: deque[tuple[float, float, float]] = deque(maxlen=MOST)
        self._disagreements: deque[tuple[float, float]] = deque(maxlen=MOST)
        self._dropped: Counter[str] = Counter()
        self._arrivals_since_s = self._displays_since_s = 0.0

    def arrived(self) -> None:
        """Count a frame that the source delivered just now."""
        with self._lock:
            now = self._clock()
            if not self._arrivals or now - self._arrivals[-1] > WINDOW_S:
                self._arrivals_since_s = now
            self._arrivals.append(now)

    def stage(self, name: str, ms: float) -> None:
        """Count the `ms` that a frame spent in stage `name`."""
        with self._lock:
            self._stages[name].append((self._clock(), ms))

    def rated(self, mean_confidence: float, unsure_share: float) -> None:
        """Count how sure the network was of a frame: its mean confidence and its share of unsure pixels, 0..1."""
        with self._lock:
            self._confidences.append((self._clock(), mean_confidence, unsure_share))

    def compared(self, disagreement: float) -> None:
        """Count a frame on whose share `disagreement` of pixels, 0..1, two engines differ."""
        with self._lock:
            self._disagreements.append((self._clock(), disagreement))

    def displayed(self, latency_ms: float) -> None:
        """Count a frame that reached its end (painted, or its label map was ready) `latency_ms` after its capture."""
        with self._lock:
            now = self._clock()
            if not self._displays or now - self._displays[-1][0] > WINDOW_S:
                self._displays_since_s = now
            self._displays.append((now, latency_ms))

    def dropped(self, stage: str, count: int = 1) -> None:
        """Count frames that `stage` left out."""
        with self._lock:
            self._dropped[stage] += count

    def snapshot(self) -> Snapshot:
        """Return the figures of this moment."""
        now = self._clock()
        with self._lock:
            while self._arrivals and now - self._arrivals[0] >= WINDOW_S:
                self._arrivals.popleft()
            while self._displays and now - self._displays[0][0] > HISTORY_S:
                self._displays.popleft()
            stages = {}
            for name, times in self._stages.items():
                while times and now - times[0][0] > WINDOW_S:
                    times.popleft()
                if times:
                    stages[name] = float(np.mean([ms for _, ms in times]))
            while self._confidences and now - self._confidences[0][0] > WINDOW_S:
                self._confidences.popleft()
            rated = np.array(self._confidences)[:, 1:].mean(0) if self._confidences else None
            while self._disagreements and now - self._disagreements[0][0] > WINDOW_S:
                self._disagreements.popleft()
            differ = [share for _, share in self._disagreements]
            shown = [at for at, _ in self._displays if now - at < WINDOW_S]
            recent = [ms for at, ms in self._displays if now - at < WINDOW_S]
            spread = [float(v) for v in np.percentile(recent, (50, 95, 99))] if recent else [float("nan")] * 3
            return Snapshot(
                source_fps=_rate(self._arrivals, self._arrivals_since_s, now),
                displayed_fps=_rate(shown, self._displays_since_s, now),
                latency_ms=Percentiles(*spread),
                stages_ms=stages,
                dropped=dict(self._dropped),
                history=tuple((now - at, ms) for at, ms in self._displays),
                confidence=None if rated is None else (float(rated[0]), float(rated[1])),
                disagreement=float(np.mean(differ)) if differ else None,
            )


def _rate(times: Collection[float], since_s: float, now: float) -> float:
    """Return events a second over the window, or since the first of them if that is less long ago."""
    span_s = now - since_s
    if span_s >= WINDOW_S:
        return len(times) / WINDOW_S
    # The first one opens the span: it ends no interval.
    return (len(times) - 1) / span_s if len(times) > 1 and span_s > 0 else 0.0
