"""An engine that gets better while it runs: swapped between frames, and never at the cost of one."""

from __future__ import annotations

import threading
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from segnet_live.engine.base import Engine, EngineInfo
from segnet_live.engine.nvidia.progressive import ProgressiveEngine, Stage
from segnet_live.errors import EngineError
from segnet_live.frame import LabelMap

FRAME = np.zeros((4, 4, 3), np.uint8)


class Fake:
    """Labels every pixel with its own number; breaks when told to; knows which thread used it."""

    def __init__(self, name: str, number: int) -> None:
        self.info = EngineInfo(name, "nothing", "fp32", "tiny", (4, 4), "asked for")
        self.number = number
        self.broken = self.closed = False
        self.threads: set[int] = set()

    def segment(self, rgb: NDArray[np.uint8]) -> LabelMap:
        assert not self.closed
        self.threads.add(threading.get_ident())
        if self.broken:
            raise EngineError(f"{self.info.backend} stopped: the GPU is out of memory")
        return np.full(rgb.shape[:2], self.number, np.uint8)

    def close(self) -> None:
        self.closed = True


def instant(engine: Engine) -> Stage:
    return Stage(engine.info.backend, lambda _: engine)


def gated(engine: Engine, gate: threading.Event) -> Stage:
    def wait(_: threading.Event) -> Engine:
        assert gate.wait(30)
        return engine

    return Stage(engine.info.backend, wait)


def raising(name: str, error: Exception) -> Stage:
    def fail(_: threading.Event) -> Engine:
        raise error

    return Stage(name, fail)


def first_label(engine: ProgressiveEngine) -> int:
    return int(engine.segment(FRAME)[0, 0])


def until(holds: Callable[[], bool]) -> None:
    for _ in range(3000):
        if holds():
            return
        threading.Event().wait(0.01)
    raise AssertionError("it never came true")


def test_frames_come_at_once_and_from_better_engines_later() -> None:
    eager, inductor, tensorrt = Fake("torch", 1), Fake("inductor", 2), Fake("tensorrt", 3)
    compiled, built = threading.Event(), threading.Event()
    engine = ProgressiveEngine(instant(eager), [gated(inductor, compiled), gated(tensorrt, built)])
    assert first_label(engine) == 1
    until(lambda: "inductor is being prepared" in engine.info.reason)
    assert "inductor is being prepared" in engine.info.reason
    compiled.set()
    until(lambda: first_label(engine) == 2)
    assert eager.closed
    assert engine.info.backend == "inductor"
    built.set()
    until(lambda: first_label(engine) == 3)
    assert inductor.closed
    until(lambda: "being prepared" not in engine.info.reason)
    assert engine.info.reason == "asked for"
    engine.close()
    assert tensorrt.closed
    assert eager.threads == inductor.threads == tensorrt.threads == {threading.get_ident()}


def test_every_frame_gets_its_labels_while_engines_change() -> None:
    gate = threading.Event()
    engine = ProgressiveEngine(
        instant(Fake("torch", 1)), [gated(Fake("inductor", 2), gate), instant(Fake("tensorrt", 3))]
    )
    labels = []
    for index in range(400):
        if index == 100:
            gate.set()
        labels.append(first_label(engine))
        threading.Event().wait(0.0005)
    assert len(labels) == 400
    assert labels == sorted(labels)
    until(lambda: first_label(engine) == 3)
    engine.close()


@pytest.mark.parametrize("error", [EngineError("no Triton"), RuntimeError("a crash in a library"), AssertionError()])
def test_a_stage_that_cannot_be_opened_is_named_and_skipped(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    engine = ProgressiveEngine(instant(Fake("torch", 1)), [raising("inductor", error), instant(Fake("tensorrt", 3))])
    until(lambda: first_label(engine) == 3)
    assert "inductor is not used" in caplog.text
    engine.close()


def test_the_frame_on_which_an_engine_breaks_is_not_lost(caplog: pytest.LogCaptureFixture) -> None:
    best, smaller = Fake("tensorrt", 3), Fake("torch", 1)
    engine = ProgressiveEngine(
        instant(best), [], fallbacks=[raising("torch on cuda", EngineError("lost")), instant(smaller)]
    )
    assert first_label(engine) == 3
    best.broken = True
    assert first_label(engine) == 1
    assert best.closed
    assert "out of memory" in engine.info.reason
    assert "going on with torch" in caplog.text
    engine.close()


def test_without_anything_smaller_the_reason_is_raised() -> None:
    only = Fake("torch", 1)
    engine = ProgressiveEngine(instant(only), [])
    only.broken = True
    with pytest.raises(EngineError, match="torch stopped"):
        engine.segment(FRAME)
    engine.close()


def test_a_first_stage_that_fails_is_replaced() -> None:
    engine = ProgressiveEngine(raising("torch on cuda", EngineError("full")), [], fallbacks=[instant(Fake("torch", 1))])
    assert first_label(engine) == 1
    assert "full" in engine.info.reason
    engine.close()


def test_closing_cancels_what_is_being_prepared() -> None:
    cancelled = threading.Event()

    def builds(cancel: threading.Event) -> Engine:
        assert cancel.wait(30)
        cancelled.set()
        raise RuntimeError("cancelled")

    engine = ProgressiveEngine(
        instant(Fake("torch", 1)), [Stage("tensorrt", builds), raising("more", AssertionError())]
    )
    engine.close()
    assert cancelled.wait(30)


def test_an_engine_that_comes_too_late_closes_itself() -> None:
    gate = threading.Event()
    late = Fake("inductor", 2)
    engine = ProgressiveEngine(instant(Fake("torch", 1)), [gated(late, gate)])
    engine.close()
    gate.set()
    until(lambda: late.closed)
