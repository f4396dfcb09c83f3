"""What there is to know of the NVIDIA GPU: whether CUDA engines can run, its identity, and the memory they take."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass

import pynvml
import torch

from segnet_live.errors import EngineError

MIB = 1 << 20
INSTALL_TORCH = "install a CUDA build of PyTorch: https://pytorch.org/get-started/locally"


@dataclass(frozen=True, slots=True)
class GPU:
    """What makes an engine built here another one than an engine built elsewhere.

    Attributes:
        sm: compute capability, e.g. "9.0".
        cuda: the version torch was built for.
        driver: version of the installed driver.
    """

    name: str
    sm: str
    cuda: str
    driver: str


def driver_version() -> str | None:
    """The NVIDIA driver's version, None where no driver answers. Needs no CUDA."""
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return None
    try:
        return str(pynvml.nvmlSystemGetDriverVersion())
    finally:
        pynvml.nvmlShutdown()


def cuda_problem() -> str:
    """Why CUDA engines cannot run here and what to do about it, in one clause; "" if they can."""
    if torch.cuda.is_available():
        return ""
    driver = driver_version()
    if driver is None:
        return "no NVIDIA driver answers; with an NVIDIA GPU, install its driver"
    if torch.version.cuda is None:
        return f"PyTorch {torch.__version__} is built without CUDA; {INSTALL_TORCH}"
    try:
        torch.cuda.init()  # type: ignore[no-untyped-call]
    except (RuntimeError, AssertionError) as error:
        if "too old" in str(error):
            return f"the NVIDIA driver {driver} is too old for CUDA {torch.version.cuda}; install a newer driver"
        return f"CUDA does not start ({first_line(error)}); check that nvidia-smi runs"
    return "the driver answers but shows PyTorch no GPU; check CUDA_VISIBLE_DEVICES"


def use_true_fp32() -> None:
    """From now on fp32 is fp32 in this process: cuDNN takes TF32, which has fp16's mantissa, unless told otherwise.

    For good, not for a while: the setting belongs to the process, and engines of several threads would restore it in
    any order. (`torch.backends.cudnn.flags` also switches cuDNN off unless told otherwise.)
    """
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False


_ALONE = threading.RLock()


class Cancelled(Exception):
    """What was being prepared is no longer wanted."""


@contextlib.contextmanager
def alone(cancel: threading.Event | None = None) -> Iterator[None]:
    """One thread at a time compiles for the GPU and captures CUDA graphs: PyTorch allows no second one.

    Raises:
        Cancelled: `cancel` was set before it was this thread's turn.
    """
    while not _ALONE.acquire(timeout=0.2):
        if cancel is not None and cancel.is_set():
            raise Cancelled
    try:
        if cancel is not None and cancel.is_set():
            raise Cancelled
        yield
    finally:
        _ALONE.release()


@contextlib.contextmanager
def fastest_convolutions() -> Iterator[None]:
    """cuDNN times its algorithms for every convolution that it meets in here; to be used `alone`."""
    before = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = True
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = before


def release_cached() -> None:
    """Give device memory that torch holds in reserve back, unless another thread is capturing a graph just now."""
    if torch.cuda.is_available() and _ALONE.acquire(blocking=False):
        try:
            torch.cuda.empty_cache()
        finally:
            _ALONE.release()


def gpu() -> GPU:
    """The GPU in use.

    Raises:
        EngineError: there is none that CUDA can use.
    """
    problem = cuda_problem()
    if problem:
        raise EngineError(problem)
    properties = torch.cuda.get_device_properties(torch.cuda.current_device())
    sm = f"{properties.major}.{properties.minor}"
    return GPU(properties.name, sm, str(torch.version.cuda), driver_version() or "unknown")


@dataclass(frozen=True, slots=True)
class Memory:
    """Two counters of GPU memory, MiB; None where it cannot be told.

    Attributes:
        torch_peak_mib: most that torch's allocator has reserved since `reset_peak`.
        process_mib: what the driver counts for this process now: context, TensorRT and torch together.
    """

    torch_peak_mib: float | None
    process_mib: float | None


def reset_peak() -> None:
    """Start counting torch's peak anew; without a GPU nothing happens."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()


def memory() -> Memory:
    """Both counters now."""
    peak = torch.cuda.max_memory_reserved() / MIB if torch.cuda.is_available() else None
    return Memory(peak, _process_mib())


def _process_mib() -> float | None:
    """The driver's figure for this process; None without a driver, or where it hides processes (containers)."""
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return None
    try:
        used = [
            process.usedGpuMemory
            for index in range(pynvml.nvmlDeviceGetCount())
            for process in pynvml.nvmlDeviceGetComputeRunningProcesses(pynvml.nvmlDeviceGetHandleByIndex(index))
            if process.pid == os.getpid() and process.usedGpuMemory is not None
        ]
    except pynvml.NVMLError:
        return None
    finally:
        pynvml.nvmlShutdown()
    return sum(used) / MIB if used else None


def window_bits(pooling: str, precision: str) -> int:
    """Bits that an engine's memory of one 2x2 pooling window takes; the paper needs 2.

    `slices` and `resize` keep a code in the activation's own type, because TensorRT compares no smaller one;
    `mask` keeps four booleans of a byte; PyTorch's own indices are int64.
    """
    activation = {"fp32": 32, "fp16": 16, "bf16": 16}
    return {"torch": 64, "mask": 32}.get(pooling) or activation[precision]


def as_engine_error(error: Exception, what: str) -> EngineError:
    """`error` from CUDA or TensorRT as the one line that says what was lost and what to do."""
    text = first_line(error)
    if isinstance(error, torch.cuda.OutOfMemoryError) or "out of memory" in text.lower():
        return EngineError(f"{what}: the GPU is out of memory; close other programs or take a smaller --size")
    return EngineError(f"{what}: {text}" + ("; nvidia-smi tells if the GPU was lost" if "CUDA" in text else ""))


def first_line(error: BaseException) -> str:
    """The first non-empty line of an error's text, or its type."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
