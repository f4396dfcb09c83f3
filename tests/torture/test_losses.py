"""Live sources that are lost again and again, headless and in the window: all come back, none is late."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from segnet_live.card import Card
from segnet_live.pipeline import backoff
from segnet_live.pipeline.headless.job import prepare
from segnet_live.video import container
from tests.support.engines import Engines
from tests.support.rtsp import Server
from tests.torture import losses, rtsp_losses
from tests.torture.journal import Facts, run_long


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Short waits, and an engine whose labels are known."""
    monkeypatch.setattr(backoff, "FIRST_S", 0.05)
    monkeypatch.setattr(backoff, "LONGEST_S", 0.2)
    monkeypatch.setattr(container, "READ_TIMEOUT_S", 0.6)
    monkeypatch.setitem(prepare.__kwdefaults__, "open_engine", Engines().open)


def test_a_camera_that_is_lost_comes_back_in_the_window(tiny_card: Card) -> None:
    facts = losses.lose_in_the_window(tiny_card, ("reset", "another size", "refused"))
    assert not facts["problem"], facts


def test_a_camera_that_is_lost_comes_back_without_a_window(tiny_card: Card, tmp_path: Path) -> None:
    facts = losses.lose_headless(tiny_card, ("half a frame", "hang up", "clock back"), tmp_path)
    assert not facts["problem"], facts


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(container, "READ_TIMEOUT_S", 4.0)  # a session of RTSP takes some seconds on a busy machine
    server = Server()
    yield server
    server.die()


@pytest.mark.stream
def test_an_rtsp_camera_that_is_lost_comes_back_in_the_window(tiny_card: Card, server: Server) -> None:
    facts = rtsp_losses.lose_in_the_window(tiny_card, server, ("silence", "another codec"))
    assert not facts["problem"], facts


@pytest.mark.stream
def test_an_rtsp_camera_that_is_lost_comes_back_without_a_window(
    tiny_card: Card, server: Server, tmp_path: Path
) -> None:
    facts = rtsp_losses.lose_headless(tiny_card, server, ("killed", "another size"), tmp_path)
    assert not facts["problem"], facts


@pytest.mark.torture
@pytest.mark.timeout(0)
def test_a_thousand_losses(tiny_card: Card, tmp_path: Path) -> None:
    def one(number: int, dice: random.Random) -> Facts:
        ways = [dice.choice(losses.WAYS) for _ in range(10)]
        if number % 2:
            return losses.lose_headless(tiny_card, ways, tmp_path)
        return losses.lose_in_the_window(tiny_card, ways)

    run_long("losses", 100, one)


@pytest.mark.torture
@pytest.mark.stream
@pytest.mark.timeout(0)
def test_two_hundred_losses_of_an_rtsp_camera(tiny_card: Card, server: Server, tmp_path: Path) -> None:
    def one(number: int, dice: random.Random) -> Facts:
        ways = [dice.choice(rtsp_losses.WAYS) for _ in range(10)]
        if number % 2:
            return rtsp_losses.lose_headless(tiny_card, server, ways, tmp_path)
        return rtsp_losses.lose_in_the_window(tiny_card, server, ways)

    run_long("rtsp-losses", 20, one)
