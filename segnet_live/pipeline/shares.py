"""How much of the picture each class takes, now and along a file."""

from __future__ import annotations

import threading

import numpy as np
from numpy.typing import NDArray

BINS = 480


class ShareStrip:
    """Mean class shares by place in a file, filling in as frames are seen. Any threads.

    Attributes:
        revision: grows with every change, so that a painter knows when to paint again.
    """

    def __init__(self, classes: int, start_s: float, duration_s: float) -> None:
        self._lock = threading.Lock()
        self._sums = np.zeros((BINS, classes), np.float32)
        self._counts = np.zeros(BINS, np.int32)
        self._start_s, self._duration_s = start_s, duration_s
        self.revision = 0

    def add(self, time_s: float, shares: NDArray[np.float32]) -> None:
        """A frame at source time `time_s` has (K,) `shares`."""
        at = int((time_s - self._start_s) / self._duration_s * BINS)
        if 0 <= at < BINS and len(shares) == self._sums.shape[1]:
            with self._lock:
                self._sums[at] += shares
                self._counts[at] += 1
                self.revision += 1

    def means(self, frame_s: float = 0.0) -> NDArray[np.float32]:
        """(BINS, K) float32 mean shares; nan where nothing was seen.

        Args:
            frame_s: how long a frame lasts: bins that a seen frame covers take its shares.
        """
        with self._lock:
            counts, sums = self._counts.copy(), self._sums.copy()
        with np.errstate(invalid="ignore"):
            means = sums / counts[:, None]
        reach = int(np.ceil(frame_s / self._duration_s * BINS)) if self._duration_s else 0
        for at in np.flatnonzero(counts):
            for covered in range(at + 1, min(BINS, at + reach + 1)):
                if counts[covered]:
                    break
                means[covered] = means[at]
        return means.astype(np.float32, copy=False)
