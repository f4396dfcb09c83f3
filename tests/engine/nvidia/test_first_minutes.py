"""The script for the first minutes on a GPU, rehearsed without one."""

from __future__ import annotations

import pytest

from segnet_live.card import Card
from tests.engine.nvidia import first_minutes


def test_every_step_runs(tiny_card: Card, capsys: pytest.CaptureFixture[str]) -> None:
    few = ["-n", "5", "--captures", "2", "--size", "32x48", "--no-compiler"]
    first_minutes.main(["--device", "cpu", "--model", str(tiny_card.folder), *few])
    said = capsys.readouterr().out
    assert "0 of 2 captured beside" in said
    assert "0 of them wrong" in said
    assert "labels right: True" in said
    assert "tiny mask: p50" in said
