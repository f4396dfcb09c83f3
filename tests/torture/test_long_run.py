"""Runs without end: memory stays flat, and no thread, file or socket is left over.

A long run goes in pieces of a case each, all in one process, so that it can be stopped and goes on. Memory is judged
over the pieces of one process: its slope a thousand frames, after the first tenth.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from segnet_live.card import Card
from segnet_live.classes import CAMVID
from segnet_live.cli import main
from segnet_live.metrics import Metrics
from segnet_live.pipeline.headless.pipeline import Pipeline
from tests.support.clips import Clip, make
from tests.support.engines import HalfEngine
from tests.support.sinks import FakeSink
from tests.support.sources import FakeSource
from tests.torture.journal import Facts, run_long
from tests.torture.resources import Resources


class Forgetful(FakeSink):
    """A sink that keeps nothing."""

    def write(self, result: object) -> None:
        pass


def through_the_pipeline(frames: int) -> None:
    """Small frames through the headless threads; the network is a stub that answers at once."""
    pipeline = Pipeline(FakeSource(frames), HalfEngine("none", "a test", (24, 32)), [Forgetful()], Metrics(), CAMVID)
    pipeline.start()
    while not pipeline.wait(0.5):
        pass
    pipeline.close()
    assert pipeline.error is None
    assert pipeline.written == frames


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory, tiny_card: Card) -> Callable[..., int]:
    """Runs the real engine and recorder over so many frames of a clip, in this process; gives their number."""
    folder = tmp_path_factory.mktemp("long")
    clip = make(folder, Clip(frames=250, audio="aac"))

    def once(frames: int = 250) -> int:
        given = ["--video", clip, "--headless", "--model", str(tiny_card.folder), "--size", "32x64", "--overwrite"]
        given += ["--duration", str(frames / 25)]
        assert main([*given, "--record", str(folder / "out.mp4"), "--stats", str(folder / "out.csv")]) == 0
        return frames

    return once


def test_a_run_leaves_nothing_behind(recorded: Callable[..., int]) -> None:
    resources = Resources()
    through_the_pipeline(300)
    recorded(25)
    resources.after(325)
    for _ in range(2):
        through_the_pipeline(300)
        facts = resources.after(300 + recorded(25))
    assert not facts["problem"], facts


@pytest.mark.torture
@pytest.mark.timeout(0)
def test_a_million_frames_through_the_pipeline() -> None:
    resources = Resources()

    def piece(number: int, dice: random.Random) -> Facts:
        through_the_pipeline(10_000)
        return resources.after(10_000)

    run_long("pipeline", 100, piece)


@pytest.mark.torture
@pytest.mark.timeout(0)
def test_a_hundred_thousand_recorded_frames(recorded: Callable[..., int], tmp_path: Path) -> None:
    resources = Resources()

    def piece(number: int, dice: random.Random) -> Facts:
        return resources.after(sum(recorded() for _ in range(4)))

    run_long("recorder", 100, piece)
