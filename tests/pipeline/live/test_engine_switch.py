"""The switch from one engine to the next: never at the cost of a picture, and only where it changes something."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from segnet_live.card import Card
from segnet_live.engine.governor import Target
from segnet_live.frame import Size
from segnet_live.pipeline.live.engine_switch import EngineChoice, EngineState, EngineSwitch
from tests.support.engines import Engines, HalfEngine

SOURCE = (480, 640)


def until(condition: Callable[[], object]) -> None:
    for _ in range(1000):
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError("it never came")


class Rig:
    """A switch, the engines that it opens, and what it says."""

    def __init__(self, card: Card) -> None:
        self.choice = EngineChoice(card, "torch", size=(32, 48))
        self.engines = Engines()
        self.news: list[EngineState] = []
        self.switch = EngineSwitch(self.engines.open, self.news.append)

    def opened(self, choice: EngineChoice, source: Size = SOURCE) -> HalfEngine:
        """Request `choice` and let it run."""
        self.switch.request(choice, source)
        until(lambda: self.switch.has_pending)
        assert self.switch.current() is not None
        return self.engines.opened[-1]


@pytest.fixture
def rig(tiny_card: Card) -> Iterator[Rig]:
    rig = Rig(tiny_card)
    yield rig
    rig.switch.close()


@pytest.mark.parametrize("end", ["another is ready", "it failed"])
def test_the_inference_thread_never_waits_for_an_engine_to_close(rig: Rig, end: str) -> None:
    old = rig.opened(rig.choice)
    gate, closers = threading.Event(), []

    def close_slowly() -> None:
        closers.append(threading.current_thread())
        assert gate.wait(30)
        old.closed += 1

    old.close = close_slowly  # type: ignore[method-assign]
    if end == "it failed":
        rig.switch.fail("the engine stopped")
        assert rig.switch.current() is None
    else:
        new = rig.opened(replace(rig.choice, backend="openvino"))
        assert rig.switch.current() == (new, replace(rig.choice, backend="openvino"))
    assert old.closed == 0, "the picture goes on while the old engine is still closing"
    gate.set()
    until(lambda: old.closed == 1)
    assert threading.current_thread() not in closers


def test_an_engine_that_cannot_even_be_closed_ends_nothing(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    def lost() -> None:
        raise RuntimeError("CUDA error: the GPU is lost")

    rig.opened(rig.choice).close = lost  # type: ignore[method-assign]
    rig.switch.fail("the engine stopped")
    until(lambda: "closing an engine failed" in caplog.text)
    assert rig.news[-1].error == "the engine stopped"


def test_the_same_request_opens_nothing(rig: Rig) -> None:
    rig.opened(rig.choice)
    rig.switch.request(rig.choice, SOURCE)
    rig.switch.request(rig.choice, (360, 640))
    assert len(rig.engines.opened) == 1


def test_a_ladder_follows_the_aspect_of_the_source_also_below_a_given_size(rig: Rig) -> None:
    governed = replace(rig.choice, size=(352, 480), target=Target(fps=25))
    rig.opened(governed, (480, 640))
    rig.switch.request(governed, (960, 1280))
    assert len(rig.engines.opened) == 1, "of the same aspect ratio: the same ladder"
    rig.opened(governed, (540, 960))
    assert len(rig.engines.opened) == 2


@pytest.mark.parametrize(("busy_ms", "left_out"), [(60.0, True), (20.0, False)])
def test_an_engine_too_slow_for_its_source_leaves_frames_out_and_says_so(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, busy_ms: float, left_out: bool
) -> None:
    monkeypatch.setattr("segnet_live.engine.governor.SETTLE_S", 0.0)
    rig.switch.request(rig.choice, SOURCE, Fraction(30))
    until(lambda: rig.switch.has_pending)
    segmented = 0
    for _ in range(300):
        current = rig.switch.current()
        assert current is not None
        before = rig.engines.opened[0].segmented
        labels = current[0].segment(np.full((64, 96, 3), 90, np.uint8))
        assert labels.shape == (32, 48)
        called = rig.engines.opened[0].segmented - before
        segmented += called
        took_ms = busy_ms if called else 2.0
        rig.switch.observe(took_ms, took_ms)
    assert len(rig.engines.opened) == 1, "the same engine goes on"
    assert (segmented < 250) == left_out
    assert ("1 frame in 3" in rig.switch.governor_status) == left_out
    rig.switch.close()
    assert rig.engines.opened[0].closed == 1


def test_an_engine_in_use_is_closed_with_the_switch(rig: Rig) -> None:
    engine = rig.opened(rig.choice)
    assert engine.segment(np.zeros((8, 8, 3), np.uint8)).shape == (32, 48)
    rig.switch.close()
    rig.switch.close()
    assert engine.closed == 1


@pytest.mark.parametrize(("source", "rate", "spared"), [((2160, 3840), 30, True), ((720, 1280), 30, False)])
def test_large_or_quick_sources_spare_the_engine_frames_that_others_wait_behind(
    rig: Rig, source: Size, rate: int, spared: bool
) -> None:
    rig.switch.request(rig.choice, source, Fraction(rate))
    until(lambda: rig.switch.has_pending)
    current = rig.switch.current()
    assert current is not None
    engine, picture = current[0], np.zeros((32, 48, 3), np.uint8)
    engine.segment(picture)
    rig.engines.opened[-1].fail = RuntimeError("it was asked all the same")
    rig.switch.hurry()
    if spared:
        engine.segment(picture)
    else:
        with pytest.raises(RuntimeError, match="all the same"):
            engine.segment(picture)


def test_an_engine_that_takes_over_spares_the_frames_that_the_failed_one_spared(rig: Rig) -> None:
    large = (2160, 3840)
    rig.switch.request(rig.choice, large, Fraction(30))
    until(lambda: rig.switch.has_pending)
    assert rig.switch.current() is not None
    rig.switch.take_over("the engine stopped", large)
    until(lambda: rig.switch.has_pending)
    current = rig.switch.current()
    assert current is not None
    assert current[1].backend == "openvino"
    picture = np.zeros((32, 48, 3), np.uint8)
    current[0].segment(picture)
    rig.switch.hurry()
    current[0].segment(picture)
    assert rig.engines.opened[-1].segmented == 1, "its labels are carried along"
