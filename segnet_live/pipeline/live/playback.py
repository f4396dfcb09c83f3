"""Find when a frame of a file is due: the playback clock."""

from __future__ import annotations

MAX_LATE_S = 0.5
"""A frame later than this is not caught up with: the clock starts anew at it."""


class PlaybackClock:
    """A clock that maps source time to `time.perf_counter()` at a speed. Used by one thread."""

    def __init__(self, speed: float = 1.0) -> None:
        self._speed = speed
        self._pts_s = 0.0
        self._at_s = 0.0

    def anchor(self, pts_s: float, now_s: float) -> None:
        """Make source time `pts_s` due at `now_s`, after a start, a seek or a pause."""
        self._pts_s, self._at_s = pts_s, now_s

    def change_speed(self, speed: float, now_s: float) -> None:
        """Run source time `speed` times as fast from `now_s` on, without a jump."""
        if speed != self._speed:
            self.anchor(self._pts_s + (now_s - self._at_s) * self._speed, now_s)
            self._speed = speed

    def due(self, pts_s: float) -> float:
        """Return the `perf_counter` second at which source time `pts_s` is due."""
        return self._at_s + (pts_s - self._pts_s) / self._speed
