"""An engine that gets better while it runs: swapped between frames, and never at the cost of one."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from segnet_live.engine.base import Engine, EngineInfo
from segnet_live.engine.nvidia import progressive
from segnet_live.engine.nvidia.device import OutOfMemory
from segnet_live.engine.nvidia.progressive import ProgressiveEngine, Stage
from segnet_live.engine.parity import Disagreement
from segnet_live.errors import EngineError
from segnet_live.frame import LabelMap

at_once = functools.partial(ProgressiveEngine, trial=0)
"""Without a trial: every later stage counts as faster."""
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
    engine = at_once(instant(eager), [gated(inductor, compiled), gated(tensorrt, built)])
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
    engine = at_once(instant(Fake("torch", 1)), [gated(Fake("inductor", 2), gate), instant(Fake("tensorrt", 3))])
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
    engine = at_once(instant(Fake("torch", 1)), [raising("inductor", error), instant(Fake("tensorrt", 3))])
    until(lambda: first_label(engine) == 3)
    assert "inductor is not used" in caplog.text
    engine.close()


def test_the_frame_on_which_an_engine_breaks_is_not_lost(caplog: pytest.LogCaptureFixture) -> None:
    best, smaller = Fake("tensorrt", 3), Fake("torch", 1)
    engine = at_once(instant(best), [], fallbacks=[raising("torch on cuda", EngineError("lost")), instant(smaller)])
    assert first_label(engine) == 3
    best.broken = True
    assert first_label(engine) == 1
    assert best.closed
    assert "out of memory" in engine.info.reason
    assert "going on with torch" in caplog.text
    engine.close()


def test_without_anything_smaller_the_reason_is_raised() -> None:
    only = Fake("torch", 1)
    engine = at_once(instant(only), [])
    only.broken = True
    with pytest.raises(EngineError, match="torch stopped"):
        engine.segment(FRAME)
    engine.close()


def test_a_first_stage_that_fails_is_replaced() -> None:
    engine = at_once(raising("torch on cuda", EngineError("full")), [], fallbacks=[instant(Fake("torch", 1))])
    assert first_label(engine) == 1
    assert "full" in engine.info.reason
    engine.close()


def test_closing_cancels_what_is_being_prepared() -> None:
    cancelled = threading.Event()

    def builds(cancel: threading.Event) -> Engine:
        assert cancel.wait(30)
        cancelled.set()
        raise RuntimeError("cancelled")

    engine = at_once(instant(Fake("torch", 1)), [Stage("tensorrt", builds), raising("more", AssertionError())])
    engine.close()
    assert cancelled.wait(30)


def test_an_engine_that_comes_too_late_closes_itself() -> None:
    gate = threading.Event()
    late = Fake("inductor", 2)
    engine = at_once(instant(Fake("torch", 1)), [gated(late, gate)])
    engine.close()
    gate.set()
    until(lambda: late.closed)


class Clock:
    """Seconds that pass only while an engine works."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


class Timed(Fake):
    def __init__(self, name: str, number: int, clock: Clock, takes_s: float) -> None:
        super().__init__(name, number)
        self._clock, self._takes_s = clock, takes_s
        self.frames = 0

    def segment(self, rgb: NDArray[np.uint8]) -> LabelMap:
        self._clock.now_s += self._takes_s
        self.frames += 1
        return super().segment(rgb)


def tried(first_s: float, second_s: float) -> tuple[ProgressiveEngine, Timed, Timed]:
    clock = Clock()
    old, new = Timed("torch", 1, clock, first_s), Timed("inductor", 2, clock, second_s)
    engine = ProgressiveEngine(instant(old), [instant(new)], trial=5, clock=clock)
    until(lambda: engine.settled)
    return engine, old, new


def test_a_newcomer_is_kept_only_if_it_is_faster_measured_in_turns() -> None:
    engine, old, new = tried(2.0, 1.0)
    labels = [first_label(engine) for _ in range(12)]
    assert labels == [1, 2] * 6
    assert first_label(engine) == 2
    assert old.closed
    engine, old, new = tried(1.0, 2.0)
    for _ in range(12):
        first_label(engine)
    assert new.closed
    assert first_label(engine) == 1
    assert not old.closed
    engine.close()


def test_a_newcomer_that_fails_on_trial_costs_no_frame() -> None:
    engine, old, new = tried(2.0, 1.0)
    assert first_label(engine) == 1
    new.broken = True
    assert [first_label(engine) for _ in range(3)] == [1, 1, 1]
    assert new.closed
    engine.close()
    assert old.closed


def test_an_engine_on_trial_is_closed_with_the_others() -> None:
    engine, old, new = tried(2.0, 1.0)
    first_label(engine)
    engine.close()
    assert old.closed
    assert new.closed


def test_lack_of_memory_is_tried_once_more_and_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []
    monkeypatch.setattr(progressive, "release_cached", waited.append)

    class Short(Fake):
        lacks = 1

        def segment(self, rgb: NDArray[np.uint8]) -> LabelMap:
            if self.lacks:
                self.lacks -= 1
                raise OutOfMemory("the GPU is out of memory")
            return super().segment(rgb)

    short, gate = Short("torch", 1), threading.Event()
    engine = at_once(instant(short), [gated(Fake("inductor", 2), gate)], [instant(Fake("cpu", 3))])
    assert first_label(engine) == 1
    gate.set()
    until(lambda: first_label(engine) == 2)  # what was coming still came
    assert waited == [progressive.MEMORY_WAIT_S]
    assert not engine.fell_back
    short = Short("torch", 1)
    short.lacks = 2
    engine.close()
    engine = at_once(instant(short), [], [instant(Fake("cpu", 3))])
    assert first_label(engine) == 3
    assert engine.fell_back
    engine.close()


def test_a_lost_gpu_that_raises_from_close_leaves_the_fallback() -> None:
    class Lost(Fake):
        def close(self) -> None:
            raise RuntimeError("CUDA error: unspecified launch failure")

    lost = Lost("tensorrt", 3)
    engine = at_once(instant(lost), [], [instant(Fake("openvino", 1))])
    lost.broken = True
    assert first_label(engine) == 1
    engine.close()


def test_what_a_driver_raises_while_the_first_stage_opens_leaves_the_fallback() -> None:
    error = AssertionError("Torch not compiled with CUDA enabled")
    again = raising("torch on cuda", AssertionError("must not be tried again"))
    engine = at_once(raising("torch on cuda", error), [], [again, instant(Fake("openvino", 1))])
    assert first_label(engine) == 1
    assert "Torch not compiled" in engine.info.reason
    engine.close()


def test_a_stage_behind_another_is_opened_only_where_that_one_failed() -> None:
    behind = Stage("inductor", lambda _: Fake("inductor", 2), unless="tensorrt")
    engine = at_once(instant(Fake("torch", 1)), [instant(Fake("tensorrt", 3)), behind])
    until(lambda: engine.settled)
    assert first_label(engine) == 3
    engine.close()
    engine = at_once(instant(Fake("torch", 1)), [raising("tensorrt", EngineError("refused")), behind])
    until(lambda: engine.settled)
    assert first_label(engine) == 2
    engine.close()


def test_a_stage_that_disagrees_takes_along_what_computes_like_it() -> None:
    """A GPU whose fp16 is broken: the graph was refused, and eager fp16 labelled wrongly for good."""
    wrong, exact, compiled = Fake("torch", 1), Fake("torch in fp32", 2), Fake("inductor", 3)
    gate = threading.Event()

    def refused(_: threading.Event) -> Engine:
        raise Disagreement("torch fp16 agrees with fp32 eager on 1.00% of pixels")

    graph = Stage("a graph", refused, vouches_for=("torch", "a graph"))
    again = [raising(name, AssertionError("must not be tried")) for name in ("torch", "a graph")]
    engine = at_once(instant(wrong), [graph, gated(compiled, gate)], [*again, instant(exact)])
    until(lambda: first_label(engine) == 2)
    assert wrong.closed
    assert "agrees with fp32 eager on 1.00%" in engine.info.reason
    assert not engine.fell_back  # the next file would meet the same
    gate.set()
    until(lambda: first_label(engine) == 3)  # what is still coming comes
    engine.close()


def test_a_first_stage_that_disagrees_leaves_those_that_compute_like_it_out() -> None:
    first = Stage("a graph", raising("", Disagreement("no probabilities")).open, vouches_for=("torch",))
    again = raising("torch", AssertionError("must not be tried"))
    engine = at_once(first, [], [again, instant(Fake("torch in fp32", 2))])
    assert first_label(engine) == 2
    engine.close()


def test_a_search_that_fails_keeps_what_was_found(caplog: pytest.LogCaptureFixture) -> None:
    """A leftover folder of TensorRT ended the thread, and PyTorch's CUDA graph was never tried."""

    def search() -> Iterator[Stage]:
        yield instant(Fake("a graph", 2))
        raise AttributeError("module 'tensorrt' has no attribute '__version__'")

    engine = at_once(instant(Fake("torch", 1)), search)
    until(lambda: first_label(engine) == 2)
    until(lambda: engine.settled)
    assert "has no attribute '__version__'" in caplog.text
    engine.close()


def test_the_first_frame_does_not_wait_for_what_later_stages_import() -> None:
    gate = threading.Event()
    names: list[str] = []

    def later() -> list[Stage]:
        assert gate.wait(30)
        names.append(threading.current_thread().name)
        return [instant(Fake("tensorrt", 3))]

    engine = at_once(instant(Fake("torch", 1)), later)
    assert first_label(engine) == 1
    gate.set()
    until(lambda: first_label(engine) == 3)
    assert names == ["better engines"]
    engine.close()


def test_what_failed_in_use_does_not_come_back_as_its_own_fallback() -> None:
    graph = Fake("a CUDA graph", 2)
    again = raising("a CUDA graph", AssertionError("must not be tried again"))
    engine = at_once(instant(Fake("torch", 1)), [instant(graph)], [again, instant(Fake("openvino", 3))])
    until(lambda: first_label(engine) == 2)
    graph.broken = True
    assert first_label(engine) == 3
    engine.close()
