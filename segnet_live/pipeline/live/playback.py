"""The playback clock: when a file's frame is due."""

from __future__ import annotations

MAX_LATE_S = 0.5
"""A frame later than this is not caught up with: the clock starts anew at it."""


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
