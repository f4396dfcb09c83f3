"""The pipeline's clock."""

from __future__ import annotations

import tracemalloc

import pytest

from segnet_live.metrics import Metrics


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_rates_are_right_from_the_first_frames_on_after_a_pause_and_when_frames_stop() -> None:
    clock = Clock()
    metrics = Metrics(clock)

    def run(seconds: float) -> tuple[float, float]:
        for _ in range(round(seconds * 25)):
            metrics.arrived()
            metrics.displayed(20.0)
            clock.now += 1 / 25
        snapshot = metrics.snapshot()
        return snapshot.source_fps, snapshot.displayed_fps

    assert metrics.snapshot().source_fps == 0
    assert run(0.5) == pytest.approx((25, 25), rel=0.1)
    assert run(1.0) == pytest.approx((25, 25), rel=0.1)
    assert run(5.0) == pytest.approx((25, 25), rel=0.03)
    clock.now += 1.0
    assert metrics.snapshot().source_fps == pytest.approx(12.5, rel=0.1), "a source that stalls slows down"
    clock.now += 30.0
    assert metrics.snapshot().source_fps == 0
    assert run(0.5) == pytest.approx((25, 25), rel=0.1)


def test_a_snapshot_sums_up_what_happened_just_now() -> None:
    clock = Clock()
    metrics = Metrics(clock)
    for latency_ms in range(1, 101):
        clock.now += 0.02
        metrics.arrived()
        metrics.stage("decode", 2.0)
        metrics.stage("inference", latency_ms / 10)
        metrics.displayed(float(latency_ms))
    metrics.dropped("capture", 3)
    metrics.dropped("capture")
    snapshot = metrics.snapshot()
    assert snapshot.source_fps == snapshot.displayed_fps == pytest.approx(50)
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


def test_confidence_is_the_mean_of_the_last_two_seconds_and_nothing_where_none_was_asked_for() -> None:
    clock = Clock()
    metrics = Metrics(clock)
    assert metrics.snapshot().confidence is None
    metrics.rated(0.0, 1.0)
    clock.now += 3
    metrics.rated(0.8, 0.2)
    metrics.rated(0.6, 0.4)
    mean, unsure = metrics.snapshot().confidence or (0, 0)
    assert (mean, unsure) == (pytest.approx(0.7), pytest.approx(0.3))
    clock.now += 3
    assert metrics.snapshot().confidence is None
