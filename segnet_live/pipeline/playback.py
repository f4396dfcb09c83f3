"""The playback clock: when a file's frame is due, and the continuous time a recording of the window has."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

from segnet_live.frame import Frame

USUAL_INTERVAL = Fraction(1, 25)
LATEST_S = 0.5


class PlaybackClock:
    """Maps source time to `time.perf_counter()` at a speed. Used by one thread."""

    def __init__(self, speed: float = 1.0) -> None:
        self._speed = speed
        self._pts_s = 0.0
        self._at_s = 0.0

    def anchor(self, pts_s: float, now_s: float) -> None:
        """Source time `pts_s` is due at `now_s`: after a start, a seek or a pause."""
        self._pts_s, self._at_s = pts_s, now_s

    def change_speed(self, speed: float, now_s: float) -> None:
        """From `now_s` on source time runs `speed` times as fast; no jump."""
        if speed != self._speed:
            self.anchor(self._pts_s + (now_s - self._at_s) * self._speed, now_s)
            self._speed = speed

    def due(self, pts_s: float) -> float:
        """The `perf_counter` second at which source time `pts_s` is due."""
        return self._at_s + (pts_s - self._pts_s) / self._speed


class ContinuousTime:
    """Rewrites pts so that seeks, loops and pauses leave no gap, while time between neighbours stays the source's own.

    Frames carry a stretch number; within one stretch the distances are the source's, and a new stretch goes on one
    frame interval after the last frame. Used by one thread.
    """

    def __init__(self) -> None:
        self._time_base: Fraction | None = None
        self._stretch = -1
        self._offset = Fraction(0)
        self._last: Fraction | None = None
        self._interval = USUAL_INTERVAL

    def restamp(self, frame: Frame, stretch: int, rate: Fraction | None = None) -> Frame | None:
        """The frame at its place in the recording, in the first frame's time base; None if its time does not advance.

        Args:
            rate: the source's frames per second; tells how far apart two stretches lie.
        """
        if self._time_base is None:
            self._time_base = frame.time_base
        source = frame.pts * frame.time_base
        if stretch != self._stretch:
            if rate:
                self._interval = 1 / rate
            self._offset = (Fraction(0) if self._last is None else self._last + self._interval) - source
            self._stretch = stretch
        time = source + self._offset
        pts = round(time / self._time_base)
        if self._last is not None and pts <= round(self._last / self._time_base):
            return None
        self._last = time
        return replace(frame, pts=pts, time_base=self._time_base)
