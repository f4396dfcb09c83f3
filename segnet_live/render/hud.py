"""The figures burnt into a recording: the pipeline's own, in plain ASCII, refreshed four times a second."""

from __future__ import annotations

import math
import time

from segnet_live.engine.base import Engine, EngineInfo
from segnet_live.metrics import Metrics, Snapshot

REFRESH_S = 0.25


class HudText:
    """Lines for `overlay.burn_text`; the engine is asked each time, for a governor may change its size. One thread."""

    def __init__(self, metrics: Metrics, engine: Engine) -> None:
        self._metrics = metrics
        self._engine = engine
        self._due_s = 0.0
        self._lines: list[str] = []

    def lines(self) -> list[str]:
        """What to show now."""
        now = time.monotonic()
        if now >= self._due_s:
            self._due_s = now + REFRESH_S
            self._lines = hud_lines(self._metrics.snapshot(), self._engine.info)
        return self._lines


def hud_lines(snapshot: Snapshot, engine: EngineInfo) -> list[str]:
    """Rates, latency, stage times and engine, one line each; figures not measured yet are left out."""
    height, width = engine.input_size
    lines = [f"source {snapshot.source_fps:.1f} fps, done {snapshot.displayed_fps:.1f} fps"]
    if not math.isnan(snapshot.latency_ms.p50):
        lines.append(f"latency p50 {snapshot.latency_ms.p50:.0f} ms, p95 {snapshot.latency_ms.p95:.0f} ms")
    if snapshot.stages_ms:
        lines.append(", ".join(f"{name} {ms:.1f}" for name, ms in snapshot.stages_ms.items()) + " ms")
    lines.append(f"{engine.model} {engine.backend} {engine.precision} {height}x{width}, {engine.device}")
    return [line.encode("ascii", "replace").decode("ascii") for line in lines]
