"""What a run says of itself: plain lines in a log, a bar on a terminal, and the text burnt into a recording."""

from __future__ import annotations

import io
import sys

import pytest

from segnet_live.engine.base import EngineInfo
from segnet_live.metrics import Metrics
from segnet_live.pipeline.headless import progress
from segnet_live.pipeline.headless.progress import FrameProgress
from segnet_live.render.hud import hud_lines


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


def test_burnt_text_tells_rates_latency_and_engine_in_ascii() -> None:
    now = 0.0
    metrics = Metrics(lambda: now)
    engine = EngineInfo("openvino", "AMD® EPYC™", "bf16", "segnet-fast", (320, 576))
    assert not any("latency" in line for line in hud_lines(metrics.snapshot(), engine)), "nothing was measured yet"
    for _ in range(5):
        now += 0.5
        metrics.arrived()
        metrics.stage("inference", 20.0)
        metrics.displayed(30.0)
    text = "\n".join(hud_lines(metrics.snapshot(), engine))
    for fact in ("source 2.0 fps", "p50 30 ms", "inference 20.0", "openvino", "bf16", "320x576", "segnet-fast"):
        assert fact in text
    assert text.isascii()
