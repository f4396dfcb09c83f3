"""Memory and processor use of this process, sampled once a second off the window's thread."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass

import psutil

MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Usage:
    """One sample; a GPU's memory is the whole device's (`None` without an NVIDIA GPU).

    Attributes:
        cpu_percent: of one core: two busy cores are 200.
    """

    memory_mib: float
    cpu_percent: float
    vram_used_mib: float | None = None
    vram_total_mib: float | None = None


class UsageMeter:
    """Samples in a thread of its own until closed; `latest` may be read from anywhere."""

    def __init__(self, interval_s: float = 1.0) -> None:
        self.latest: Usage | None = None
        self._interval_s = interval_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="usage", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        process = psutil.Process(os.getpid())
        process.cpu_percent()
        import pynvml

        try:
            pynvml.nvmlInit()
            gpu = pynvml.nvmlDeviceGetHandleByIndex(0)
        except pynvml.NVMLError:
            gpu = None
        while not self._stop.wait(self._interval_s):
            used = total = None
            if gpu is not None:
                try:
                    memory = pynvml.nvmlDeviceGetMemoryInfo(gpu)
                    used, total = memory.used / MIB, memory.total / MIB
                except pynvml.NVMLError:  # the driver was unloaded or the GPU fell off the bus
                    gpu = None
            self.latest = Usage(process.memory_info().rss / MIB, process.cpu_percent(), used, total)

    def close(self) -> None:
        self._stop.set()
        self._thread.join(2.0)
