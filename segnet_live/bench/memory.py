"""Measure the memory of a piece of work in a process of its own, where nothing else has raised the peak."""

from __future__ import annotations

import multiprocessing
import re
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import ParamSpec, TypeVar

import numpy as np
import psutil

from segnet_live.card import Card
from segnet_live.config import Backend, Precision
from segnet_live.engine.open import open_engine
from segnet_live.errors import EngineError
from segnet_live.frame import Size
from segnet_live.system import nvidia

P = ParamSpec("P")
R = TypeVar("R")


def in_own_process(work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Return `work`'s result from a fresh interpreter; work and arguments must be importable and picklable.

    Raises:
        EngineError: the process was killed (most often for want of memory).
        Exception: whatever `work` raised.
    """
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        try:
            return pool.submit(work, *args, **kwargs).result()
        except BrokenProcessPool as error:
            raise EngineError(
                f"{getattr(work, '__name__', 'a measurement')} was killed, most likely for want of memory; free some"
            ) from error


def rss_mib() -> float:
    """Return the resident memory of this process now."""
    return float(psutil.Process().memory_info().rss) / 2**20


def peak_rss_mib() -> float:
    """Return the most this process ever had resident; where the system keeps no such figure, what it has now."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        info = psutil.Process().memory_info()
        return float(getattr(info, "peak_wset", info.rss)) / 2**20
    found = re.search(r"VmHWM:\s*(\d+) kB", status)
    return int(found[1]) / 1024 if found else rss_mib()


@dataclass(frozen=True, slots=True)
class EngineMemory:
    """The memory that one engine needs.

    Attributes:
        process_mib: the process's peak above what it had before the engine was opened, its libraries included.
        vram_mib: device memory above the bare CUDA context by the driver's figure; None on a CPU.
        vram_torch_mib: torch's peak of reserved device memory; None on a CPU.
    """

    process_mib: float
    vram_mib: float | None = None
    vram_torch_mib: float | None = None


def engine_memory(card: Card, backend: Backend, size: Size, precision: Precision) -> EngineMemory:
    """Open an engine, run it ten times, and say what that took. Call it in a process of its own.

    Raises:
        EngineError, CardError: see `open_engine`.
    """
    device_mib = _device_mib()
    before_mib = rss_mib()
    engine = open_engine(card, backend=backend, size=size, precision=precision)
    try:
        rgb = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
        if device_mib is not None:
            from segnet_live.engine.nvidia.device import release_cached, reset_peak

            release_cached()  # what opening took, such as the reference engine that parity is measured with
            reset_peak()
        for _ in range(10):
            engine.segment(rgb)
        process_mib = peak_rss_mib() - before_mib
        if device_mib is None:
            return EngineMemory(process_mib)
        import torch

        after_mib = _device_mib() or device_mib
        return EngineMemory(process_mib, after_mib - device_mib, torch.cuda.max_memory_reserved() / 2**20)
    finally:
        engine.close()


def _device_mib() -> float | None:
    """Return the memory in use on the GPU, by its driver, once this process has a CUDA context; None without one.

    Raises:
        EngineError: the GPU is too full for a context, or lost.
    """
    if not nvidia.has_gpu():
        return None
    import torch

    from segnet_live.engine.nvidia.device import as_engine_error, best_device

    if best_device() == "cpu":
        return None
    try:
        torch.zeros(1, device="cuda")  # makes the context
        torch.cuda.synchronize()
    except RuntimeError as error:
        raise as_engine_error(error, "the memory of the GPU cannot be measured") from error
    device = nvidia.current()
    try:
        return nvidia.memory(device.uuid).used_mib if device is not None else None
    except EngineError:
        return None
