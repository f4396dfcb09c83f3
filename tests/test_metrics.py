"""The pipeline's clock."""

from __future__ import annotations

import tracemalloc

import pytest

from segnet_live.metrics import Metrics


def test_a_snapshot_sums_up_what_happened_just_now() -> None:
    metrics = Metrics()
    for latency_ms in range(1, 101):
        metrics.arrived()
        metrics.stage("decode", 2.0)
        metrics.stage("inference", latency_ms / 10)
        metrics.displayed(float(latency_ms))
    metrics.dropped("capture", 3)
    metrics.dropped("capture")
    snapshot = metrics.snapshot()
    assert snapshot.source_fps == snapshot.displayed_fps == 50
    assert snapshot.latency_ms.p50 == pytest.approx(50.5)
    assert snapshot.latency_ms.p95 == pytest.approx(95.05)
    assert list(snapshot.stages_ms) == ["decode", "inference"]
    assert snapshot.stages_ms["inference"] == pytest.approx(5.05)
    assert snapshot.dropped == {"capture": 4}
    assert len(snapshot.history) == 100


def test_memory_stays_flat_though_nobody_looks() -> None:
    metrics = Metrics()

    def run(frames: int) -> int:
        for _ in range(frames):
            metrics.arrived()
            metrics.displayed(1.0)
            metrics.stage("inference", 1.0)
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        settled = run(5_000)
        assert run(20_000) - settled < 100_000
    finally:
        tracemalloc.stop()
