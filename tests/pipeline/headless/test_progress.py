"""What a run says of itself: plain lines in a log, a bar on a terminal."""

from __future__ import annotations

import io
import sys

import pytest

from segnet_live.pipeline.headless import progress
from segnet_live.pipeline.headless.progress import FrameProgress


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    return clock


def test_a_log_gets_a_plain_line_every_few_seconds(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with FrameProgress(300) as shown:
        for second in range(16):
            clock.now = 100.0 + second
            shown.update(10 * max(0, second - 2), skipped=0)  # two seconds until the first frame are not counted
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert lines[-1] == "130/300 frames, 10.0 frames/s, 0:17 left"


def test_a_live_source_has_no_end_but_tells_what_it_skips(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with FrameProgress(None) as shown:
        shown.update(0, skipped=0)
        clock.now += 10
        shown.update(50, skipped=7)
    assert capsys.readouterr().out == "50 frames, 5.0 frames/s, 7 skipped\n"


def test_a_terminal_gets_a_bar_with_rate_and_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    with FrameProgress(40) as shown:
        shown.update(10, skipped=0)
    assert "10/40" in terminal.getvalue()
    assert "frames/s" in terminal.getvalue()
