"""Hold a frame rate or a latency by running the network smaller or on fewer frames, and report the step taken.

`Governor` decides and touches nothing but numbers; `governed.GovernedEngine` is an engine that follows its decisions.
Frames that are skipped get labels from `smoothing`.
"""

from __future__ import annotations

import logging
import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from segnet_live.config import format_size
from segnet_live.engine.resize import DEFAULT_PIXELS, network_size
from segnet_live.errors import UsageError
from segnet_live.frame import Size

log = logging.getLogger(__name__)

STRIDES = (2, 3, 4)
SHARES = (1.0, 0.7, 0.5, 0.35, 0.25)
"""Pixels of each size of the ladder, as shares of the first."""
WINDOW_S = 1.0
MIN_FRAMES = 8
SETTLE_S = 1.0
"""No decision for so long after a change: the first frames of a new size are not typical."""
RISE_AFTER_S = 4.0
HEADROOM = 0.8
"""A larger size is tried only where it should need no more than this share of the budget."""
FIRST_BAR_S, LONGEST_BAR_S = 20.0, 320.0
"""Seconds for which a size that was too slow is not tried again; doubled each time."""


@dataclass(frozen=True, slots=True)
class Target:
    """The target to hold: at least `fps` frames a second, a latency of at most `latency_ms`, or both.

    Latency is from capture to display, without a window to the labels.

    Raises:
        UsageError: neither is given, or one is not a positive number.
    """

    fps: float | None = None
    latency_ms: float | None = None

    def __post_init__(self) -> None:
        if self.fps is None and self.latency_ms is None:
            raise UsageError("the governor got no target", "give --target-fps or --max-latency")
        for option, value in (("--target-fps", self.fps), ("--max-latency", self.latency_ms)):
            if value is not None and not (math.isfinite(value) and value > 0):
                raise UsageError(f"{option} got {value:g}", "give a number above 0")

    def load(self, busy_ms: float, latency_ms: float) -> float:
        """Return how much of the budget a frame used: 1.0 is exactly on target, more is too slow."""
        by_rate = busy_ms * self.fps / 1000 if self.fps else 0.0
        return max(by_rate, latency_ms / self.latency_ms if self.latency_ms else 0.0)

    def __str__(self) -> str:
        parts = [f"{self.fps:g} fps"] if self.fps else []
        return " and ".join([*parts, f"{self.latency_ms:g} ms"] if self.latency_ms else parts)


@dataclass(frozen=True, slots=True)
class Step:
    """One rung of the ladder: the network's (height, width), and segmenting every `stride`-th frame."""

    size: Size
    stride: int = 1

    @property
    def cost(self) -> float:
        """Relative time of a frame: pixels; carrying labels on to a skipped one is not quite free."""
        return self.size[0] * self.size[1] * (1 if self.stride == 1 else 1 / self.stride + 0.1)

    def __str__(self) -> str:
        every = f", 1 frame in {self.stride}" if self.stride > 1 else ""
        return f"{format_size(self.size)}{every}"


def ladder(source: Size, top: Size, *, strides: Sequence[int] = STRIDES) -> tuple[Step, ...]:
    """Return steps, the cheapest last: sizes of the source's aspect below `top`, then `strides` at the smallest.

    Args:
        source: (height, width) of the frames.
        top: the network size to start from.
        strides: they raise the rate; the latency of the frames that are segmented stays.
    """
    pixels = min(top[0] * top[1], 16 * DEFAULT_PIXELS)
    sizes = [top]
    for share in SHARES[1:]:
        size = network_size(source, round(pixels * share))
        if size[0] * size[1] < 0.9 * sizes[-1][0] * sizes[-1][1]:
            sizes.append(size)
    return (*(Step(size) for size in sizes), *(Step(sizes[-1], stride) for stride in strides))


def strided(size: Size) -> tuple[Step, ...]:
    """Return steps at one size, which only leave more and more frames out."""
    return tuple(Step(size, stride) for stride in (1, *STRIDES))


class Governor:
    """The choice of the ladder's step to run at, made from the times of frames. One thread.

    Too slow for a window: the largest step that should hold the target, at once. Room to spare for four seconds: one
    step up, unless that step failed lately: each failure bars it twice as long. So under a steady load it comes to
    rest, and under a load that comes and goes it changes seldom.

    Args:
        available: tells whether a step can be entered now; only such steps are chosen.
        clock: seconds; tests pass their own.
    """

    def __init__(
        self,
        target: Target,
        steps: Sequence[Step],
        *,
        available: Callable[[Step], bool] = lambda _: True,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.target = target
        self.steps = tuple(steps)
        self._available = available
        self._clock = clock
        self._at = 0
        self._loads: deque[tuple[float, float]] = deque()
        self._group: list[tuple[float, float]] = []
        self._changed_s = clock()
        self._room_since_s: float | None = None
        self._rose_s = -math.inf
        self._barred_until_s = [-math.inf] * len(self.steps)
        self._bar_s = [FIRST_BAR_S] * len(self.steps)
        self._load = math.nan

    @property
    def step(self) -> Step:
        return self.steps[self._at]

    @property
    def load(self) -> float:
        """Share of the budget that frames need at the present step, NaN while that is unknown."""
        return self._load

    @property
    def status(self) -> str:
        """One line for the HUD: the target, the step, and how it is held."""
        if math.isnan(self._load):
            state = "measuring"
        elif self._load <= 1:
            state = "held"
        elif self._at == len(self.steps) - 1:
            state = f"out of reach, {self._load:.1f} x the budget"
        else:
            state = "adapting"
        return f"{self.target}: {self.step} ({state})"

    def observe(self, busy_ms: float, latency_ms: float) -> Step:
        """Take one frame's times and name the step for the next one.

        Args:
            busy_ms: what the slowest stage spent on it, waiting excluded.
            latency_ms: from its capture until it was painted; without a window, until its labels were ready.
        """
        now = self._clock()
        if now - self._changed_s < SETTLE_S:
            return self.step
        self._group.append((busy_ms, latency_ms))
        if len(self._group) < self.step.stride:
            return self.step
        # Of one segmented frame and those that were skipped after it, the rate is what they take together.
        group, self._group = self._group, []
        busy_ms = sum(busy for busy, _ in group) / len(group)
        self._loads.append((now, self.target.load(busy_ms, max(latency for _, latency in group))))
        while now - self._loads[0][0] > WINDOW_S and len(self._loads) > MIN_FRAMES:
            self._loads.popleft()
        if len(self._loads) < MIN_FRAMES:
            return self.step
        loads = sorted(load for _, load in self._loads)
        self._load = loads[3 * len(loads) // 4]
        if self._load > 1:
            self._room_since_s = None
            self._descend(now)
        else:
            self._ascend(now)
        return self.step

    def _descend(self, now: float) -> None:
        lower = [i for i in range(self._at + 1, len(self.steps)) if self._available(self.steps[i])]
        if not lower:
            return
        holds = [i for i in lower if self._load * self.steps[i].cost / self.step.cost <= 0.95]
        if now - self._rose_s < 3 * RISE_AFTER_S:  # the rise was a mistake
            self._barred_until_s[self._at] = now + self._bar_s[self._at]
            self._bar_s[self._at] = min(2 * self._bar_s[self._at], LONGEST_BAR_S)
        self._move(holds[0] if holds else lower[-1], now)

    def _ascend(self, now: float) -> None:
        upper = self._at - 1
        if (
            upper < 0
            or now < self._barred_until_s[upper]
            or not self._available(self.steps[upper])
            or self._load * self.steps[upper].cost / self.step.cost > HEADROOM
        ):
            self._room_since_s = None
            return
        if self._room_since_s is None:
            self._room_since_s = now
        elif now - self._room_since_s >= RISE_AFTER_S:
            self._rose_s = now
            self._move(upper, now)

    def _move(self, to: int, now: float) -> None:
        log.info("governor: %s -> %s at %.2f of the budget (%s)", self.step, self.steps[to], self._load, self.target)
        self._at = to
        self._changed_s = now
        self._room_since_s = None
        self._loads.clear()
        self._group.clear()
