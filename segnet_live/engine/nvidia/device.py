"""Find out whether CUDA engines can run and on which GPU, and let one of their compilers run at a time."""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

import torch

from segnet_live.errors import EngineError, first_line
from segnet_live.system.nvidia import driver_problem, driver_version

OLD_TORCH = "https://download.pytorch.org/whl/cu126"
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


class OutOfMemory(EngineError):
    """The GPU has not enough memory just now; the same call may succeed when a compiler has given its share back."""


class Missing(EngineError):
    """A package that would run an engine is not installed, which is no fault."""


def cuda_problem() -> EngineError | None:
    """Return why CUDA engines cannot run here, with what to do about it; None if they can."""
    if torch.cuda.is_available():
        try:
            return _unfit()
        except Exception as error:  # torch wraps what fails while CUDA starts in errors of several trees
            return EngineError(f"CUDA does not start ({first_line(error)})", "check that nvidia-smi runs, or restart")
    driver = driver_version()
    if driver is None:
        return driver_problem() or EngineError("no NVIDIA driver answers", "with an NVIDIA GPU, install its driver")
    if torch.version.cuda is None:
        return EngineError(f"PyTorch {torch.__version__} is built without CUDA", INSTALL_TORCH)
    try:
        torch.cuda.init()  # type: ignore[no-untyped-call]
    except Exception as error:
        if "too old" in str(error):
            needed = torch.version.cuda
            return EngineError(f"the NVIDIA driver {driver} is too old for CUDA {needed}", "install a newer driver")
        return EngineError(f"CUDA does not start ({first_line(error)})", "check that nvidia-smi runs")
    return EngineError("the driver answers but shows PyTorch no GPU", "check CUDA_VISIBLE_DEVICES")


def best_device() -> str:
    """Return "cuda" where a GPU can be used, else "cpu": `is_available` is true for one without kernels, or lost."""
    return "cuda" if torch.cuda.is_available() and cuda_problem() is None else "cpu"


def _unfit() -> EngineError | None:
    """Return why this PyTorch has no kernels for the GPU; None if it has.

    CUDA starts on such a GPU and copies memory; only the first kernel fails, with "no kernel image is available".

    Raises:
        Exception: the GPU does not answer.
    """
    own = torch.cuda.get_device_capability()
    built = [name.partition("_") for name in torch.cuda.get_arch_list()]
    kernels = [divmod(int(number.rstrip("af")), 10) for kind, _, number in built if kind == "sm"]
    portable = [divmod(int(number.rstrip("af")), 10) for kind, _, number in built if kind == "compute"]
    # machine code runs on later GPUs of its generation, portable code on every later one
    if not built or any(k[0] == own[0] and k[1] <= own[1] for k in kernels) or any(p <= own for p in portable):
        return None
    name = f"this GPU ({torch.cuda.get_device_name()}, sm_{own[0]}{own[1]})"
    torch_is = f"PyTorch {torch.__version__}, which is built for CUDA {torch.version.cuda}"
    if kernels and own > max(kernels):
        return EngineError(f"{name} is too new for {torch_is}", INSTALL_TORCH)
    return EngineError(f"{name} is too old for {torch_is}", "install a build for CUDA 12.6: " + OLD_TORCH)


def set_up_cudnn() -> None:
    """Make fp32 mean fp32 in this process, and let cuDNN time its algorithms for every convolution that it meets.

    cuDNN takes TF32, which has fp16's mantissa, unless told otherwise. Both for good, not for a while: the settings
    belong to the process, and engines of several threads would restore them in any order; a frame that ran while
    another thread had them changed would stand still for all of its convolutions. (`torch.backends.cudnn.flags` also
    switches cuDNN off unless told otherwise.)
    """
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.benchmark = True


_COMPILE_LOCK = threading.RLock()


class Cancelled(Exception):
    """Raised in a preparation whose engine is no longer wanted."""


@contextlib.contextmanager
def compile_lock(cancel: threading.Event | None = None, patience_s: float = math.inf) -> Iterator[None]:
    """Hold the lock for compiling and for capturing CUDA graphs, which PyTorch allows one thread only. Reentrant.

    Args:
        patience_s: how long to wait for another thread.

    Raises:
        Cancelled: `cancel` was set before it was this thread's turn.
        EngineError: the other thread took longer than `patience_s`.
    """
    until_s = time.monotonic() + patience_s
    while not _COMPILE_LOCK.acquire(timeout=min(0.2, max(0.0, until_s - time.monotonic()))):
        if cancel is not None and cancel.is_set():
            raise Cancelled
        if time.monotonic() >= until_s:
            raise EngineError("another engine is being compiled")
    try:
        if cancel is not None and cancel.is_set():
            raise Cancelled
        yield
    finally:
        _COMPILE_LOCK.release()


@contextlib.contextmanager
def compile_lock_if_free() -> Iterator[bool]:
    """Hold the lock of `compile_lock` if nobody else does, and say so: for a thread that has a frame to label."""
    free = _COMPILE_LOCK.acquire(blocking=False)
    try:
        yield free
    finally:
        if free:
            _COMPILE_LOCK.release()


def release_cached(wait_s: float = 0.0) -> None:
    """Free the device memory that torch holds in reserve, unless another thread is capturing a graph.

    Args:
        wait_s: how long to wait for that thread.
    """
    if torch.cuda.is_available() and _COMPILE_LOCK.acquire(timeout=wait_s):
        try:
            with contextlib.suppress(RuntimeError):  # a lost GPU, or a capture that failed; nothing is lost by it
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
    # while another thread captures a graph, torch's allocator says "captures_underway" instead of "out of memory"
    full = "out of memory" in str(error).lower() or "captures_underway" in str(error)
    if full or isinstance(error, torch.cuda.OutOfMemoryError):
        return OutOfMemory(f"{what}: the GPU is out of memory", "close other programs or take a smaller --size")
    return EngineError(f"{what}: {text}", "nvidia-smi tells if the GPU was lost" if "CUDA" in text else "")
