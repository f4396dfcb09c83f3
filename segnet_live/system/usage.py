"""Sample memory and processor use of this process once a second, off the window's thread."""

from __future__ import annotations

import contextlib
import os
import threading
from dataclasses import dataclass

from segnet_live.errors import EngineError
from segnet_live.system import nvidia

MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Usage:
    """One sample; the GPU is the one this process computes on, its memory the whole device's; None without one.

    Attributes:
        cpu_percent: of one core: two busy cores are 200.
    """

    memory_mib: float
    cpu_percent: float
    vram_used_mib: float | None = None
    vram_total_mib: float | None = None


class UsageMeter:
    """A sampler in a thread of its own until it is closed; `latest` may be read from any thread."""

    def __init__(self, interval_s: float = 1.0) -> None:
        self.latest: Usage | None = None
        self._interval_s = interval_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="usage", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        import psutil  # takes 15 ms, which the first picture need not wait for

        process = psutil.Process(os.getpid())
        process.cpu_percent()
        with contextlib.ExitStack() as driver:
            try:
                driver.enter_context(nvidia.session())  # else each sample would load and unload the driver's library
                answers = True
            except EngineError:
                answers = False
            while not self._stop.wait(self._interval_s):
                memory = _gpu_memory() if answers else None
                used, total = (memory.used_mib, memory.total_mib) if memory is not None else (None, None)
                self.latest = Usage(process.memory_info().rss / MIB, process.cpu_percent(), used, total)

    def close(self) -> None:
        self._stop.set()
        self._thread.join(2.0)


def _gpu_memory() -> nvidia.Memory | None:
    try:
        device = nvidia.current()
        return nvidia.memory(device.uuid) if device is not None else None
    except EngineError:  # the driver was unloaded or the GPU fell off the bus
        return None
