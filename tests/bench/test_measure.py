"""Timing in turns, and what is said of the machine."""

from __future__ import annotations

import time
from types import SimpleNamespace

import pytest

from segnet_live.bench import machine, measure
from segnet_live.bench.machine import Noise, NoiseMeter, describe_machine
from segnet_live.bench.measure import Timing, interleaved
from segnet_live.system import nvidia


class Clock:
    """Stands in for time.perf_counter; only the calls that are timed move it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr(measure.time, "perf_counter", lambda: self.now)

    def call(self, log: list[str], name: str, ms: float) -> object:
        def work() -> None:
            log.append(name)
            self.now += ms / 1e3

        return work


def test_percentiles_and_throughput() -> None:
    timing = Timing.of([10.0] * 98 + [30.0, 50.0])
    assert (timing.n, timing.p50, timing.mean) == (100, 10.0, 10.6)
    assert timing.p95 == 10.0
    assert 30 <= timing.p99 <= 50
    assert timing.per_second == pytest.approx(94.34, abs=0.01)


def test_contenders_take_turns_and_each_gets_its_n(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, log, rounds = Clock(monkeypatch), [], []
    calls = {name: clock.call(log, name, ms) for name, ms in (("a", 2.0), ("b", 4.0))}
    timings = interleaved(calls, n=25, seconds=100, warm_up=3, between=lambda: rounds.append(len(log)))
    assert {name: t.n for name, t in timings.items()} == {"a": 25, "b": 25}
    assert (timings["a"].p50, timings["b"].p50) == (pytest.approx(2), pytest.approx(4))
    assert len(rounds) == 3
    after_warm_up = "".join(log[6:])
    assert after_warm_up.startswith("a" * 11 + "b" * 11 + "a" * 11)


def test_a_slow_contender_stops_after_its_seconds_with_five_calls_at_least(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, log = Clock(monkeypatch), []
    timings = interleaved({"slow": clock.call(log, "s", 3000.0)}, n=200, seconds=1)  # type: ignore[dict-item]
    assert timings["slow"].n == 5
    assert log.count("s") == 11  # one to warm up, then a cold one before each counted one


def test_a_gpu_is_at_speed_before_each_turn_which_lasts(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, log = Clock(monkeypatch), []
    calls = {"g": clock.call(log, "g", 0.5), "c": clock.call(log, "c", 5.0)}
    timings = interleaved(calls, n=120, seconds=9, warm_up=1, warm_s=lambda name: 0.3 if name == "g" else 0.0)
    first_turn = "".join(log[2:]).split("c")[0]
    assert 600 <= len(first_turn) - 101 <= 602  # 0.3 s uncounted, one call more, then 50 ms that count
    assert "c" * 11 + "g" in "".join(log)
    assert {name: t.n for name, t in timings.items()} == {"g": 120, "c": 120}


def test_what_kept_a_gpu_from_an_even_speed_is_said() -> None:
    even = nvidia.Activity(1900, (), 0)
    assert machine.gpu_noise([even, even]) == ()
    uneven = machine.gpu_noise([even, nvidia.Activity(345, ("heat",), 2)])
    assert uneven == (
        "the GPU's clock went from 345 to 1900 MHz",
        "the GPU's clock was held back by heat",
        "other processes computed on the GPU",
    )
    assert "heat" in Noise(1.0, 0.0, 0.0, None, uneven).line()


def test_warm_up_is_not_counted() -> None:
    pauses = iter([0.05, 0.05] + [0.0] * 100)
    timings = interleaved({"x": lambda: time.sleep(next(pauses))}, n=10, seconds=5, warm_up=2)
    assert timings["x"].p99 < 50


def test_a_noisy_machine_is_called_so_with_the_reason() -> None:
    quiet = Noise(spread=1.03, others=0.01, stolen=0.0, load_average=0.2)
    assert quiet.reasons == ()
    assert quiet.line().startswith("quiet machine")
    noisy = Noise(spread=1.6, others=0.4, stolen=0.2, load_average=9.0)
    assert len(noisy.reasons) == 3
    assert noisy.line().startswith("TOO NOISY TO JUDGE")
    assert "60 %" in noisy.line()


def test_the_meter_gives_shares() -> None:
    meter = NoiseMeter()
    meter.sample()
    noise = meter.read()
    assert noise.spread >= 1
    assert 0 <= noise.others <= 1
    assert 0 <= noise.stolen <= 1


def test_the_machine_is_named_with_versions_and_cores() -> None:
    found = describe_machine()
    assert found.cores >= 1
    assert {"python", "torch", "openvino", "segnet-live"} <= set(found.versions)
    assert found.cpu in found.lines()[0]


def test_programs_of_low_priority_make_noise_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def times(nice: float) -> SimpleNamespace:
        return SimpleNamespace(user=1.0, nice=nice, system=1.0)

    monkeypatch.setattr(machine.psutil, "cpu_times", lambda: times(0.0))
    meter = NoiseMeter()
    monkeypatch.setattr(machine.psutil, "cpu_times", lambda: times(1000.0))
    assert "other processes" in meter.read().line()
