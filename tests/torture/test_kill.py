"""Recordings killed at random instants: what was recorded plays, at most two seconds are lost."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from segnet_live.card import Card
from tests.torture import kill
from tests.torture.journal import Facts, dice, run_long


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, int], Path]:
    """Makes each kind of source once."""
    folder = tmp_path_factory.mktemp("sources")

    def made(kind: str, seconds: int) -> Path:
        path = folder / f"{kind}-{seconds}.mp4"
        return path if path.exists() else kill.clip(path, kind, seconds)

    return made


@pytest.mark.parametrize("kind", ["sound", "1 fps"])
def test_what_was_recorded_plays_after_a_kill(
    kind: str, source: Callable[[str, int], Path], tiny_card: Card, tmp_path: Path
) -> None:
    facts = kill.kill_headless(source(kind, 12), tiny_card.folder, tmp_path, dice("kill-short", 0))
    assert not facts["problem"], facts


@pytest.mark.torture
@pytest.mark.timeout(0)
def test_a_hundred_recordings_are_killed(source: Callable[[str, int], Path], tiny_card: Card, tmp_path: Path) -> None:
    def one(number: int, dice: random.Random) -> Facts:
        folder = tmp_path / str(number)
        folder.mkdir()
        kind = kill.KINDS[number % len(kill.KINDS)]
        in_window = number // len(kill.KINDS) % 2 == 1
        run = kill.kill_window if in_window else kill.kill_headless
        facts = run(source(kind, 60), tiny_card.folder, folder, dice)
        shutil.rmtree(folder)
        return {"source": kind, "window": in_window} | facts

    run_long("kill", 100, one)
