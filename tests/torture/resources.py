"""Watch memory, threads and files over the pieces of a long run."""

from __future__ import annotations

import gc
import os
import threading

import numpy as np
import psutil

from tests.torture.journal import Facts

MOST_KIB_A_THOUSAND_FRAMES = 8.0
MOST_MIB_MORE = 24.0


class Resources:
    """Memory, threads and open files of this process, as they grow over pieces of a run.

    Args:
        most_threads_more: threads that may come and go: the window opens and closes engines in some.
        warm_up: pieces at first whose memory is not judged: each view, size and model takes its share when it is used
            first.
    """

    def __init__(self, most_threads_more: int = 0, warm_up: int = 0) -> None:
        self._most_threads_more = most_threads_more
        self._warm_up = warm_up
        self._process = psutil.Process()
        self._memory: list[tuple[int, float]] = []
        self._frames = 0
        self._first: tuple[int, int] | None = None

    def after(self, frames: int) -> Facts:
        """What there is after so many frames more; the problem names what grew."""
        gc.collect()
        self._frames += frames
        rss_mib = self._process.memory_info().rss / 2**20
        now = threading.active_count(), len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
        self._first = self._first or now  # after the first piece: pools are made then
        self._memory.append((self._frames, rss_mib))
        settled = self._memory[max(self._warm_up, len(self._memory) // 10 + 1) :]
        slope = 0.0
        if len(settled) >= 5:
            x, y = np.array(settled).T
            slope = float(np.polyfit(x, y, 1)[0]) * 1024 * 1000
        more_mib = rss_mib - settled[0][1] if settled else 0.0
        problem = ""
        if len(settled) >= 5 and slope > MOST_KIB_A_THOUSAND_FRAMES and more_mib > MOST_MIB_MORE:
            problem = f"memory grows by {slope:.1f} KiB in 1000 frames, {more_mib:.0f} MiB so far"
        if now[0] > self._first[0] + self._most_threads_more or now[1] > self._first[1] + 2:
            problem = f"{now[0]} threads and {now[1]} files, {self._first[0]} and {self._first[1]} at first"
        return {
            "problem": problem, "frames": frames, "rss_mib": rss_mib, "slope_kib_a_1000": slope,
            "threads": now[0], "files": now[1],
        }  # fmt: skip
