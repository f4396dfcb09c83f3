"""The governor under simulated loads: a clock that only the simulation moves, so every run is the same."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import numpy as np
import pytest

from segnet_live.engine.base import EngineInfo
from segnet_live.engine.governed import GovernedEngine
from segnet_live.engine.governor import Governor, Step, Target, ladder
from segnet_live.engine.resize import network_size
from segnet_live.errors import EngineError, UsageError
from segnet_live.frame import Size

TOP = network_size((540, 960))
STEPS = ladder((540, 960), TOP, strides=())
STRIDED = ladder((540, 960), TOP)
TOP = STEPS[0].cost


class Machine:
    """Frames whose time is a fixed part plus a part proportional to the network's pixels, with noise."""

    def __init__(self, target: Target, steps: tuple[Step, ...] = STEPS, noise: float = 0.15) -> None:
        self.now = 0.0
        self.frames = 0
        self.governor = Governor(target, steps, clock=lambda: self.now)
        self.changes: list[float] = []
        self._random = np.random.default_rng(0)
        self._noise = noise

    def run(self, seconds: float, top_ms: Callable[[float], float], fixed_ms: float = 5.0) -> Step:
        end = self.now + seconds
        while self.now < end:
            before = self.governor.step
            jitter = 1 + self._noise * abs(self._random.normal())
            self.frames += 1
            pixels = before.size[0] * before.size[1] if self.frames % before.stride == 0 else 0
            busy_ms = (fixed_ms + top_ms(self.now) * pixels / TOP) * jitter
            self.now += max(busy_ms, 1000 / 60) / 1000
            if self.governor.observe(busy_ms, busy_ms + 10) != before:
                self.changes.append(self.now)
        return self.governor.step


def test_ladder_falls_in_steps_that_keep_the_aspect() -> None:
    pixels = [step.size[0] * step.size[1] for step in STEPS]
    assert len(pixels) >= 4
    assert pixels == sorted(pixels, reverse=True)
    assert pixels[-1] < 0.4 * pixels[0]
    assert all(1.4 < step.size[1] / step.size[0] < 2.2 for step in STEPS)


def test_ladder_starts_at_the_asked_size_and_ends_with_strides() -> None:
    steps = ladder((540, 960), (352, 640), strides=(2, 3))
    assert steps[0] == Step((352, 640))
    assert [step.stride for step in steps[-3:]] == [1, 2, 3]
    assert steps[-1].size == steps[-3].size
    assert [step.cost for step in steps] == sorted((step.cost for step in steps), reverse=True)


def test_a_light_load_is_left_alone() -> None:
    machine = Machine(Target(fps=25))
    assert machine.run(120, lambda _: 15) == STEPS[0]
    assert machine.changes == []
    assert "held" in machine.governor.status


def test_a_heavy_load_is_brought_to_target_within_seconds() -> None:
    machine = Machine(Target(fps=25))
    step = machine.run(5, lambda _: 70)
    assert (5 + 70 * step.cost / TOP) < 40
    assert machine.changes[-1] < 5


@pytest.mark.parametrize(
    ("steps", "top_ms"),
    [
        pytest.param(STEPS, 36, id="the top size is at its limit"),
        pytest.param(STEPS, 60, id="between two sizes"),
        pytest.param(STEPS, 144, id="the smallest size is at its limit"),
        pytest.param(STRIDED, 36, id="the top size is at its limit, with strides"),
        pytest.param(STRIDED, 204, id="between two strides"),
        pytest.param(STRIDED, 588, id="the last stride is at its limit"),
    ],
)
def test_a_steady_load_never_oscillates(steps: tuple[Step, ...], top_ms: int) -> None:
    machine = Machine(Target(fps=25), steps, noise=0.25)
    machine.run(1800, lambda _: top_ms)
    settled = [at for at in machine.changes if at > 60]
    assert len(machine.changes) <= 18
    assert len(settled) <= 14  # half an hour: failed rises, each barred twice as long as the one before
    assert all(b - a >= 1.0 for a, b in zip(machine.changes, machine.changes[1:], strict=False))


def test_it_rises_again_when_the_load_goes_away() -> None:
    machine = Machine(Target(latency_ms=60))
    low = machine.run(20, lambda _: 120)
    assert low != STEPS[0]
    assert machine.run(60, lambda _: 12) == STEPS[0]


def test_a_load_that_comes_and_goes_changes_seldom() -> None:
    machine = Machine(Target(fps=25))
    machine.run(600, lambda now: 60 if now % 4 < 2 else 15)
    assert len(machine.changes) <= 40
    late = [at for at in machine.changes if at > 300]
    assert len(late) <= 12


def test_where_the_smallest_input_is_too_slow_frames_are_skipped() -> None:
    machine = Machine(Target(fps=25), STRIDED)
    step = machine.run(20, lambda _: 250)
    assert step.size == STRIDED[-1].size
    assert step.stride > 1
    assert "1 frame in" in machine.governor.status
    assert "held" in machine.governor.status
    assert machine.run(60, lambda _: 12) == STRIDED[0]


def test_one_slow_frame_changes_nothing() -> None:
    machine = Machine(Target(fps=25))
    machine.run(60, lambda now: 300 if int(now * 10) % 50 == 0 else 15)
    assert machine.changes == []


def test_an_impossible_target_is_said_and_rests_on_the_last_step() -> None:
    machine = Machine(Target(fps=200))
    assert machine.run(30, lambda _: 100) == STEPS[-1]
    assert "out of reach" in machine.governor.status
    assert len(machine.changes) <= len(STEPS)


@pytest.mark.parametrize("values", [{}, {"fps": 0.0}, {"latency_ms": -1.0}, {"fps": float("nan")}])
def test_senseless_targets_are_refused(values: dict[str, float]) -> None:
    with pytest.raises(UsageError):
        Target(**values)


class FakeEngine:
    def __init__(self, size: Size) -> None:
        self.info = EngineInfo("torch", "fake", "fp32", "fake", size)
        self.closed = False

    def segment(self, rgb: np.ndarray) -> np.ndarray:
        return np.zeros(self.info.input_size, np.uint8)

    def close(self) -> None:
        self.closed = True


def until(condition: Callable[[], object]) -> None:
    for _ in range(1000):
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError("it never came")


def test_only_every_stride_th_frame_is_segmented_and_the_first_at_once() -> None:
    now = [0.0]
    size = (32, 64)
    engine = GovernedEngine(FakeEngine, Target(fps=25), [Step(size), Step(size, 3)], clock=lambda: now[0])
    try:
        for _ in range(50):
            now[0] += 0.1
            assert not engine.skips()
            engine.observe(100.0, 100.0)
            if engine.governor.step.stride > 1:
                break
        assert [engine.skips() for _ in range(6)] == [False, True, True, False, True, True]
    finally:
        engine.close()


def test_frames_that_others_wait_behind_are_left_out_but_not_for_ever() -> None:
    size = (32, 64)
    engine = GovernedEngine(FakeEngine, Target(fps=25), [Step(size), Step(size, 3)])
    skipped = []
    for _ in range(6):
        engine.hurry()
        skipped.append(engine.skips())
    assert skipped == [True, True, False, True, True, False], "the longest stride's rate at least"
    assert not engine.skips(), "who does not hurry has the governor's stride"
    engine.close()


def test_where_the_first_size_is_fast_enough_no_other_is_opened() -> None:
    opened: list[Size] = []
    now = [0.0]

    def open_at(size: Size) -> FakeEngine:
        opened.append(size)
        return FakeEngine(size)

    engine = GovernedEngine(open_at, Target(fps=25), STEPS, clock=lambda: now[0])
    for _ in range(100):
        now[0] += 0.04
        engine.observe(20.0, 30.0)
    assert "held" in engine.status
    engine.close()
    assert opened == [STEPS[0].size]


def test_engine_keeps_running_until_the_smaller_one_is_ready() -> None:
    opened: list[FakeEngine] = []
    gate = threading.Event()
    now = [0.0]

    def open_at(size: Size) -> FakeEngine:
        if opened:
            assert gate.wait(10)
        if size == STEPS[1].size:
            raise EngineError("no such size today; take another")
        opened.append(FakeEngine(size))
        return opened[-1]

    engine = GovernedEngine(open_at, Target(fps=25), STEPS, clock=lambda: now[0])

    def frames(seconds: float) -> Size:
        for _ in range(round(seconds / 0.1)):
            now[0] += 0.1
            engine.segment(np.zeros((8, 8, 3), np.uint8))
            engine.observe(100.0, 100.0)
        return engine.info.input_size

    try:
        assert frames(5) == STEPS[0].size
        assert "preparing" in engine.status
        gate.set()
        until(lambda: "preparing" not in engine.status)
        assert frames(5) == STEPS[-1].size
    finally:
        engine.close()
    assert all(e.closed for e in opened)
    assert STEPS[1].size not in [e.info.input_size for e in opened]


def too_slow(engine: GovernedEngine, now: list[float]) -> None:
    for _ in range(50):
        now[0] += 0.1
        engine.observe(100.0, 100.0)


def test_closing_does_not_wait_for_a_size_that_is_being_opened_and_which_then_closes_itself() -> None:
    opened: list[FakeEngine] = []
    gate = threading.Event()
    now = [0.0]

    def open_at(size: Size) -> FakeEngine:
        assert not opened or gate.wait(10)
        opened.append(FakeEngine(size))
        return opened[-1]

    engine = GovernedEngine(open_at, Target(fps=25), STEPS, clock=lambda: now[0])
    too_slow(engine, now)
    assert "preparing" in engine.status
    engine.close()  # would hang here for ever if it waited
    assert [e.closed for e in opened] == [True]
    gate.set()
    until(lambda: "preparing" not in engine.status)
    assert [e.closed for e in opened] == [True, True], "and no further size was opened"


def test_reports_from_another_thread_never_disturb_the_stride() -> None:
    now = [0.0]
    size = (32, 64)
    engine = GovernedEngine(FakeEngine, Target(fps=25), [Step(size), Step(size, 3)], clock=lambda: now[0])
    too_slow(engine, now)
    assert engine.governor.step.stride == 3
    ended = threading.Event()

    def report() -> None:
        while not ended.is_set():
            engine.observe(100.0, 100.0)

    thread = threading.Thread(target=report)
    thread.start()
    skipped = [engine.skips() for _ in range(3000)]
    ended.set()
    thread.join()
    first = skipped.index(False)
    assert skipped[first:] == ([False, True, True] * 1000)[: 3000 - first]
    engine.close()
    engine.observe(100.0, 100.0)  # a writer that is still at work when the engine closes


def test_a_size_whose_better_engine_is_still_coming_is_not_entered() -> None:
    opened: list[FakeEngine] = []
    now = [0.0]

    def open_at(size: Size) -> FakeEngine:
        opened.append(FakeEngine(size))
        opened[-1].settled = not opened[1:]  # type: ignore[attr-defined]
        return opened[-1]

    engine = GovernedEngine(open_at, Target(fps=25), STEPS, clock=lambda: now[0])
    too_slow(engine, now)
    until(lambda: "preparing" not in engine.status)
    too_slow(engine, now)
    assert engine.info.input_size == STEPS[0].size
    for other in opened:
        other.settled = True  # type: ignore[attr-defined]
    too_slow(engine, now)
    assert engine.info.input_size != STEPS[0].size
    engine.close()
