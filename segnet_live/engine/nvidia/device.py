"""Find out whether CUDA engines can run and on which GPU, and let one of their compilers run at a time."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass

import torch

from segnet_live.errors import EngineError, first_line
from segnet_live.system.nvidia import driver_version

INSTALL_TORCH = "install a CUDA build of PyTorch: https://pytorch.org/get-started/locally"


@dataclass(frozen=True, slots=True)
class GPU:
    """The GPU's properties that a compiled engine depends on.

    Attributes:
        sm: compute capability, e.g. "9.0".
        cuda: the version torch was built for.
        driver: version of the installed driver.
    """

    name: str
    sm: str
    cuda: str
    driver: str


def cuda_problem() -> EngineError | None:
    """Return why CUDA engines cannot run here, with what to do about it; None if they can."""
    if torch.cuda.is_available():
        return None
    driver = driver_version()
    if driver is None:
        return EngineError("no NVIDIA driver answers", "with an NVIDIA GPU, install its driver")
    if torch.version.cuda is None:
        return EngineError(f"PyTorch {torch.__version__} is built without CUDA", INSTALL_TORCH)
    try:
        torch.cuda.init()  # type: ignore[no-untyped-call]
    except (RuntimeError, AssertionError) as error:
        if "too old" in str(error):
            needed = torch.version.cuda
            return EngineError(f"the NVIDIA driver {driver} is too old for CUDA {needed}", "install a newer driver")
        return EngineError(f"CUDA does not start ({first_line(error)})", "check that nvidia-smi runs")
    return EngineError("the driver answers but shows PyTorch no GPU", "check CUDA_VISIBLE_DEVICES")


def use_true_fp32() -> None:
    """Make fp32 mean fp32 in this process: cuDNN takes TF32, which has fp16's mantissa, unless told otherwise.

    For good, not for a while: the setting belongs to the process, and engines of several threads would restore it in
    any order. (`torch.backends.cudnn.flags` also switches cuDNN off unless told otherwise.)
    """
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False


_COMPILE_LOCK = threading.RLock()


class Cancelled(Exception):
    """Raised in a preparation whose engine is no longer wanted."""


@contextlib.contextmanager
def compile_lock(cancel: threading.Event | None = None) -> Iterator[None]:
    """Hold the lock for compiling and for capturing CUDA graphs, which PyTorch allows one thread only. Reentrant.

    Raises:
        Cancelled: `cancel` was set before it was this thread's turn.
    """
    while not _COMPILE_LOCK.acquire(timeout=0.2):
        if cancel is not None and cancel.is_set():
            raise Cancelled
    try:
        if cancel is not None and cancel.is_set():
            raise Cancelled
        yield
    finally:
        _COMPILE_LOCK.release()


@contextlib.contextmanager
def fastest_convolutions() -> Iterator[None]:
    """Let cuDNN time its algorithms for every convolution that it meets in the body; hold `compile_lock`."""
    before = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = True
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = before


def release_cached() -> None:
    """Free the device memory that torch holds in reserve, unless another thread is capturing a graph."""
    if torch.cuda.is_available() and _COMPILE_LOCK.acquire(blocking=False):
        try:
            torch.cuda.empty_cache()
        finally:
            _COMPILE_LOCK.release()


def gpu() -> GPU:
    """Return the GPU in use.

    Raises:
        EngineError: there is none that CUDA can use.
    """
    problem = cuda_problem()
    if problem is not None:
        raise problem
    properties = torch.cuda.get_device_properties(torch.cuda.current_device())
    sm = f"{properties.major}.{properties.minor}"
    return GPU(properties.name, sm, str(torch.version.cuda), driver_version() or "unknown")


def reset_peak() -> None:
    """Reset torch's peak of device memory; do nothing without a GPU."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()


def as_engine_error(error: Exception, what: str) -> EngineError:
    """Return `error` from CUDA or TensorRT as the one line that says what was lost and what to do."""
    text = first_line(error)
    if isinstance(error, torch.cuda.OutOfMemoryError) or "out of memory" in text.lower():
        return EngineError(f"{what}: the GPU is out of memory", "close other programs or take a smaller --size")
    return EngineError(f"{what}: {text}", "nvidia-smi tells if the GPU was lost" if "CUDA" in text else "")
