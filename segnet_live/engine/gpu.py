"""What there is to know of the NVIDIA GPU: whether CUDA engines can run, its identity, and the memory they take."""

from __future__ import annotations

import os
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
