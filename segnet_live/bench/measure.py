"""Time calls so that their figures can be compared: in turns in one run, without warm-up, with n kept."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

BLOCK = 10
"""Counted calls in one turn; one comes before them that is not counted: it finds another's data in the CPU's caches."""
BLOCK_S = 1.0
TURN_MS = 50.0
"""A turn on a GPU lasts as long at least, so that one of half-millisecond calls is more than its first moment."""
FEWEST = 5


@dataclass(frozen=True, slots=True)
class Timing:
    """Milliseconds of `n` counted calls."""

    n: int
    mean: float
    p50: float
    p95: float
    p99: float

    @classmethod
    def of(cls, times_ms: Sequence[float]) -> Timing:
        """Return the percentiles of `times_ms`; raise ValueError if there are none."""
        if not times_ms:
            raise ValueError("got no times; measure at least one call")
        p50, p95, p99 = (float(v) for v in np.percentile(times_ms, (50, 95, 99)))
        return cls(len(times_ms), float(np.mean(times_ms)), p50, p95, p99)

    @property
    def per_second(self) -> float:
        """Throughput of one caller that never waits."""
        return 1000 / self.mean


def timed_ms(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return (time.perf_counter() - began) * 1e3


def interleaved(
    calls: Mapping[str, Callable[[], object]],
    *,
    n: int,
    seconds: float,
    warm_up: int = 5,
    between: Callable[[], object] = lambda: None,
    warm_s: Callable[[str], float] = lambda name: 0.0,
) -> dict[str, Timing]:
    """Time every call `n` times, in turns, so that a machine that slows down slows all of them.

    Args:
        calls: each must block until its result is there.
        seconds: a slow contender stops here, after five calls at least.
        warm_up: calls of each before any is counted; one is enough for those slower than a second.
        between: run after every round, such as a reading of how busy the machine is.
        warm_s: seconds of uncounted work before each turn of a call: a GPU that idled while another call had its turn
            has lowered its clock.
    """
    times: dict[str, list[float]] = {name: [] for name in calls}
    for call in calls.values():
        for _ in range(warm_up):
            if timed_ms(call) > 1000:
                break
    waiting = list(calls)
    while waiting:
        for name in list(waiting):
            mine = times[name]
            began_s = time.perf_counter()
            while time.perf_counter() - began_s < warm_s(name):
                calls[name]()
            mine.extend(_turn(calls[name], n - len(mine), TURN_MS if warm_s(name) else 0.0))
            if len(mine) >= n or (len(mine) >= FEWEST and sum(mine) >= seconds * 1e3):
                waiting.remove(name)
        between()
    return {name: Timing.of(mine) for name, mine in times.items()}


def _turn(call: Callable[[], object], remaining: int, least_ms: float) -> list[float]:
    """Return one turn's counted times: BLOCK of them, more if they last less than `least_ms`."""
    block: list[float] = []
    if timed_ms(call) > BLOCK_S * 1e3:
        return [timed_ms(call)]
    while len(block) < remaining and sum(block) < (least_ms if len(block) >= BLOCK else BLOCK_S * 1e3):
        block.append(timed_ms(call))
    return block
