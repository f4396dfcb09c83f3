"""The pipeline's promises: order, nothing lost or mixed up, one error, outputs always closed, no thread left."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from segnet_live.classes import CAMVID
from segnet_live.engine.takeover import TakeoverEngine
from segnet_live.errors import EngineError, OutputError, SourceLost
from segnet_live.metrics import Metrics
from segnet_live.pipeline.headless import pipeline as headless_pipeline
from segnet_live.pipeline.headless.pipeline import Pipeline
from tests.support.engines import FakeEngine, OverlappingEngine
from tests.support.sinks import FakeSink
from tests.support.sources import SIZE, FakeSource, fail_at


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    deadline = time.monotonic() + 5
    while set(threading.enumerate()) - before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not set(threading.enumerate()) - before


def run(source: FakeSource, engine: FakeEngine, *sinks: FakeSink) -> Pipeline:
    pipeline = Pipeline(source, engine, sinks, Metrics(), CAMVID)
    pipeline.start()
    assert pipeline.wait(20)
    pipeline.close()
    assert source.closed == 1
    assert engine.closed == 1
    return pipeline


def test_offline_every_frame_comes_in_order_with_its_own_labels_at_source_size() -> None:
    sink = FakeSink(before=lambda index: time.sleep(0.002))
    pipeline = run(FakeSource(40), FakeEngine(), sink)
    assert sink.indices == list(range(40))
    assert all(s.labels.shape == SIZE and (s.labels == s.frame.index).all() for s in sink.taken)
    assert pipeline.written == 40
    assert pipeline.skipped == 0
    assert pipeline.error is None
    assert sink.closed == [True]


def test_stages_overlap() -> None:
    """The second frame is read while the first is still being written."""
    second_read = threading.Event()
    source = FakeSource(3, before_read=lambda index: second_read.set() if index == 1 else None)
    waited: list[bool] = []
    sink = FakeSink(before=lambda index: waited.append(second_read.wait(5)) if index == 0 else None)
    run(source, FakeEngine(), sink)
    assert waited == [True]


def test_a_gpu_has_the_next_frame_before_the_last_one_is_waited_for() -> None:
    sink, engine = FakeSink(), OverlappingEngine()
    run(FakeSource(5), engine, sink)
    assert engine.log[:4] == ["submit 0", "submit 1", "wait 0", "submit 2"]
    assert engine.log[-2:] == ["wait 3", "wait 4"]
    assert sink.indices == list(range(5))
    assert all((s.labels == s.frame.index).all() for s in sink.taken)


@pytest.mark.parametrize("fails_at", [3, 9])
def test_no_frame_under_way_is_lost_with_a_gpu(fails_at: int) -> None:
    sink, told = FakeSink(), []
    engine = TakeoverEngine(OverlappingEngine(fails_at), lambda _: FakeEngine(), told.append)
    source = FakeSource(10)
    pipeline = Pipeline(source, engine, [sink], Metrics(), CAMVID)
    pipeline.start()
    assert pipeline.wait(20)
    pipeline.close()
    assert pipeline.error is None
    assert sink.indices == list(range(10))
    assert all((s.labels == s.frame.index).all() for s in sink.taken)


def test_a_live_source_s_newest_frame_is_never_kept_waiting_for_the_next() -> None:
    sink, engine = FakeSink(), OverlappingEngine()
    run(FakeSource(3, live=True), engine, sink)
    assert engine.log == []
    assert sink.indices[-1] == 2


def test_latency_runs_from_capture_until_the_label_map_is_ready() -> None:
    sink = FakeSink()
    run(FakeSource(2), FakeEngine(before=lambda index: time.sleep(0.05)), sink)
    for result in sink.taken:
        assert result.latency_ms >= 50
        assert result.stages_ms["inference"] >= 50
        assert result.stages_ms["decode"] == 1.0


def test_a_governor_is_told_of_every_frame_by_the_thread_that_owns_the_engine() -> None:
    told: list[tuple[float, float]] = []
    threads: set[str] = set()

    def observe(busy_ms: float, latency_ms: float) -> None:
        told.append((busy_ms, latency_ms))
        threads.add(threading.current_thread().name)

    sink = FakeSink(before=lambda index: time.sleep(0.01))
    pipeline = Pipeline(FakeSource(20), FakeEngine(), [sink], Metrics(), CAMVID, observe=observe)
    pipeline.start()
    assert pipeline.wait(20)
    pipeline.close()
    assert threads == {"segnet-live infer"}
    assert len(told) >= 15
    assert all(busy_ms >= 10 for busy_ms, _ in told), "the slowest stage counts, here the output"


def test_live_takes_the_newest_and_counts_what_it_skipped() -> None:
    let_go = threading.Event()
    source = FakeSource(100, live=True, before_read=lambda index: let_go.set() if index == 100 else None)
    engine = FakeEngine(before=lambda index: let_go.wait(5))
    sink = FakeSink()
    pipeline = run(source, engine, sink)
    assert sink.indices[-1] == 99
    assert pipeline.skipped >= 90
    assert pipeline.written + pipeline.skipped == 100


@pytest.mark.parametrize("stage", ["source", "engine", "sink"])
def test_a_failing_stage_keeps_what_was_finished_and_closes_every_sink_once(stage: str) -> None:
    failures = {"source": SourceLost("gone"), "engine": EngineError("out of memory"), "sink": OutputError("disk full")}
    failing = {name: fail_at(5, failures[name]) if name == stage else lambda index: None for name in failures}
    sink = FakeSink()
    last = FakeSink(before=failing["sink"])
    source = FakeSource(1000, before_read=failing["source"])
    pipeline = run(source, FakeEngine(before=failing["engine"]), sink, last)
    assert pipeline.error is failures[stage]
    assert last.indices == list(range(5))
    assert pipeline.written == 5
    assert sink.closed == last.closed == [False]
    assert source.delivered < 20


def test_the_first_error_is_the_one_that_is_kept() -> None:
    def refuse() -> None:
        raise OutputError("cannot be closed either")

    first = OutputError("disk full")
    other = FakeSink()
    pipeline = run(FakeSource(10), FakeEngine(), FakeSink(fail_at(2, first), on_close=refuse), other)
    assert pipeline.error is first
    assert other.closed == [False]


def test_an_output_that_cannot_be_completed_is_an_error() -> None:
    def refuse() -> None:
        raise OutputError("cannot be renamed")

    pipeline = run(FakeSource(3), FakeEngine(), FakeSink(on_close=refuse))
    assert isinstance(pipeline.error, OutputError)
    assert pipeline.written == 3


def test_stop_finishes_the_frames_already_captured() -> None:
    seen = threading.Event()
    sink = FakeSink(before=lambda index: seen.set() if index == 3 else None)
    source = FakeSource(10**6)
    pipeline = Pipeline(source, FakeEngine(), [sink], Metrics(), CAMVID)
    pipeline.start()
    assert seen.wait(10)
    pipeline.stop()
    pipeline.stop()
    assert pipeline.wait(10)
    pipeline.close()
    assert pipeline.error is None
    assert sink.closed == [False]
    assert sink.indices == list(range(len(sink.indices)))
    assert source.delivered - len(sink.indices) <= 1


def test_a_source_that_hangs_does_not_hold_up_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(headless_pipeline, "CAPTURE_GRACE_S", 0.05)
    unplugged = threading.Event()
    source = FakeSource(5, live=True, before_read=lambda index: unplugged.wait(20) if index == 4 else None)
    sink = FakeSink()
    pipeline = Pipeline(source, FakeEngine(), [sink], Metrics(), CAMVID)
    pipeline.start()
    while source.delivered < 4:
        time.sleep(0.005)
    pipeline.stop()
    assert pipeline.wait(10)
    pipeline.close()
    assert sink.indices[-1] == 3
    assert sink.closed == [False]
    assert source.closed == 0, "a source must not be closed while its thread is inside it"
    unplugged.set()
