"""Collect how much of the picture each class takes along a file, or how sure the network is."""

from __future__ import annotations

import threading

import numpy as np
from numpy.typing import NDArray

from segnet_live.frame import SourceInfo

BINS = 480


class ClassTimeline:
    """The mean class shares by place in a file, which fill in as frames are seen. Any threads.

    Of one "class", it serves for the mean confidence as well.

    Args:
        classes: how many classes there are.
        source: the file; its duration must be known.

    Attributes:
        source: frames of this very source belong here, and of no other.
        revision: grows with every change, so that a painter knows when to paint again.
    """

    def __init__(self, classes: int, source: SourceInfo) -> None:
        if not source.duration_s:
            raise ValueError(f"{source.title} tells no duration; a timeline needs one")
        self.source = source
        self._lock = threading.Lock()
        self._sums = np.zeros((BINS, classes), np.float32)
        self._guesses = np.full((BINS, classes), np.nan, np.float32)
        self._counts = np.zeros(BINS, np.int32)
        self._start_s, self._duration_s = source.start_s, source.duration_s
        self.revision = 0

    def add(self, time_s: float, shares: NDArray[np.float32], since_s: float | None = None) -> None:
        """Count a frame at source time `time_s` with its (K,) class `shares`.

        Args:
            since_s: source time of the frame shown before it in the same segment; what lies between was not looked at
                and takes this frame's shares where nothing better is known.
        """
        at = self._bin(time_s)
        if not 0 <= at < BINS or len(shares) != self._sums.shape[1]:
            return
        with self._lock:
            self._sums[at] += shares
            self._counts[at] += 1
            for between in range(max(0, self._bin(since_s) + 1) if since_s is not None else at, at):
                if not self._counts[between]:
                    self._guesses[between] = shares
            self.revision += 1

    def _bin(self, time_s: float) -> int:
        return int((time_s - self._start_s) / self._duration_s * BINS)

    def means(self) -> NDArray[np.float32]:
        """Return (BINS, K) float32 mean shares; NaN where nothing was seen."""
        with self._lock:
            seen = self._counts > 0
            means = self._guesses.copy()
            means[seen] = self._sums[seen] / self._counts[seen, None]
        return means
