"""Ask the NVIDIA driver: GPUs, their memory, the driver's version. The only module that talks to NVML.

NVML counts all GPUs of the machine, CUDA only those that CUDA_VISIBLE_DEVICES shows and in an order of its own, so that
a GPU is named by its UUID here. None of this needs CUDA or torch.
"""

from __future__ import annotations

import contextlib
import math
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass

from segnet_live.errors import EngineError

MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Device:
    """A GPU as the driver lists it.

    Attributes:
        uuid: "GPU-..." as `nvidia-smi -L` prints it.
        memory_mib: all the memory it has; NaN where the driver cannot tell.
    """

    name: str
    uuid: str
    memory_mib: float


@dataclass(frozen=True, slots=True)
class Memory:
    """The memory of a whole GPU in MiB, whichever process uses it."""

    used_mib: float
    total_mib: float


class BrokenDriver(EngineError):
    """A driver that is installed does not run: there is a GPU, most likely, and it goes unused."""


@contextlib.contextmanager
def session() -> Iterator[None]:
    """Keep the driver's library open for the body. May be nested, and used by several threads at once.

    Raises:
        BrokenDriver: one is installed and does not run.
        EngineError: there is none, or one that answered fails in the body.
    """
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        if "mismatch" in str(error).lower():
            raise BrokenDriver("the NVIDIA driver was updated and the old one still runs", "restart") from error
        if not isinstance(error, pynvml.NVMLError_LibraryNotFound):
            advice = "restart, or reinstall the driver; nvidia-smi says more"
            raise BrokenDriver(f"the NVIDIA driver is installed but does not run ({error})", advice) from error
        raise EngineError(f"no NVIDIA driver answers ({error})", "with an NVIDIA GPU, install its driver") from error
    try:
        yield
    except pynvml.NVMLError as error:
        raise EngineError(f"the NVIDIA driver failed ({error})", "check that nvidia-smi runs") from error
    finally:
        pynvml.nvmlShutdown()


def devices() -> list[Device]:
    """Return all GPUs of the machine, in the driver's order.

    Raises:
        EngineError: no driver answers, or it fails.
    """
    import pynvml

    with session():
        handles = [pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(pynvml.nvmlDeviceGetCount())]
        return [
            Device(
                str(pynvml.nvmlDeviceGetName(handle)),
                str(pynvml.nvmlDeviceGetUUID(handle)),
                _total_mib(handle),
            )
            for handle in handles
        ]


def _total_mib(handle: object) -> float:
    """Return a GPU's memory; NaN where the driver cannot tell, as on machines that share one memory (GB10)."""
    import pynvml

    try:
        return float(pynvml.nvmlDeviceGetMemoryInfo(handle).total / MIB)
    except pynvml.NVMLError_NotSupported:
        return math.nan


def has_gpu() -> bool:
    """Return whether the driver lists a GPU; importing torch to ask CUDA would cost seconds."""
    import pynvml

    try:
        with session():
            return bool(pynvml.nvmlDeviceGetCount() > 0)
    except EngineError:
        return False


def driver_version() -> str | None:
    """Return the version of the installed driver; None where no driver answers."""
    import pynvml

    try:
        with session():
            return str(pynvml.nvmlSystemGetDriverVersion())
    except EngineError:
        return None


def driver_problem() -> EngineError | None:
    """Return why no driver answers, with what to do about it; None if one does."""
    try:
        with session():
            return None
    except EngineError as error:
        return error


def broken_driver() -> EngineError | None:
    """Return why an installed driver does not run, with what to do about it; None if it runs, or there is none."""
    problem = driver_problem()
    return problem if isinstance(problem, BrokenDriver) else None


def memory(uuid: str) -> Memory:
    """Return the GPU's memory in use now.

    Raises:
        EngineError: no driver answers, or it has no such GPU (any more).
    """
    import pynvml

    with session():
        found = pynvml.nvmlDeviceGetMemoryInfo(pynvml.nvmlDeviceGetHandleByUUID(uuid))
        return Memory(found.used / MIB, found.total / MIB)


@dataclass(frozen=True, slots=True)
class Activity:
    """What a GPU is doing at one moment.

    Attributes:
        clock_mhz: of its processors now.
        held_back: why the driver keeps the clock down: power, heat, a fault; idling is no reason.
        others: processes other than this one that compute on it.
    """

    clock_mhz: int
    held_back: tuple[str, ...]
    others: int


def activity(uuid: str) -> Activity | None:
    """Return what the GPU is doing; None where the driver does not tell."""
    import pynvml

    reasons = {
        pynvml.nvmlClocksThrottleReasonSwPowerCap: "its power limit",
        pynvml.nvmlClocksThrottleReasonSwThermalSlowdown: "heat",
        pynvml.nvmlClocksThrottleReasonHwSlowdown: "heat or power",
    }
    try:
        with session():
            handle = pynvml.nvmlDeviceGetHandleByUUID(uuid)
            clock = int(pynvml.nvmlDeviceGetClockInfo(handle, pynvml.NVML_CLOCK_SM))
            bits = int(pynvml.nvmlDeviceGetCurrentClocksThrottleReasons(handle))
            pids = {process.pid for process in pynvml.nvmlDeviceGetComputeRunningProcesses(handle)}
    except EngineError:
        return None
    return Activity(clock, tuple(why for bit, why in reasons.items() if bits & bit), len(pids - {os.getpid()}))


def current() -> Device | None:
    """Return the GPU that this process computes on, or would take; None where there is none.

    Once CUDA runs it is CUDA's word. Before that it is the first of CUDA_VISIBLE_DEVICES, whose numbers are taken in
    the driver's order (CUDA sorts by speed unless CUDA_DEVICE_ORDER=PCI_BUS_ID, which matters for unlike GPUs only).
    """
    try:
        found = devices()
    except EngineError:
        return None
    in_use = _cuda_uuid()
    if in_use is not None:
        return next((device for device in found if device.uuid == in_use), None)
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return found[0] if found else None
    first = visible.split(",")[0].strip()
    if first.isdecimal():
        return found[int(first)] if int(first) < len(found) else None
    return next((device for device in found if first and device.uuid.startswith(first)), None)


def _cuda_uuid() -> str | None:
    """Return the UUID of CUDA's current device if this process runs CUDA already. Never imports torch."""
    cuda = getattr(sys.modules.get("torch"), "cuda", None)  # another thread may be importing it just now
    if cuda is None or not hasattr(cuda, "is_initialized") or not cuda.is_initialized():
        return None
    return f"GPU-{cuda.get_device_properties(cuda.current_device()).uuid}"
