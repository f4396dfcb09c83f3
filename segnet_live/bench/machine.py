"""Describe the machine that was measured on, and tell whether it was quiet enough to believe the figures."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil

from segnet_live import __version__
from segnet_live.system import nvidia

FEATURES = (
    "avx2", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "avx512_fp16", "amx_tile", "amx_bf16", "amx_int8",
    "asimd", "asimddp", "bf16", "i8mm", "sve",
)  # fmt: skip
"""CPU flags, as Linux names them, that decide which precision is fast."""
PACKAGES = ("torch", "openvino", "opencv-python", "av", "numpy", "tensorrt", "tensorrt-rtx")
SPREAD_LIMIT = 1.15
OTHERS_LIMIT = 0.05


@dataclass(frozen=True, slots=True)
class Machine:
    """The machine that was measured on.

    Attributes:
        features: those of FEATURES that this CPU has; None where the system does not tell (not Linux).
    """

    cpu: str
    cores: int
    features: tuple[str, ...] | None
    memory_gib: float
    gpu: str | None
    system: str
    versions: dict[str, str] = field(default_factory=dict)

    def lines(self) -> list[str]:
        features = "unknown on this system" if self.features is None else ", ".join(self.features) or "none that matter"
        return [
            f"machine: {self.cpu}, {self.cores} cores, {self.memory_gib:.0f} GiB; CPU features: {features}",
            f"GPU: {self.gpu or 'none'}; {self.system}",
            ", ".join(f"{name} {version}" for name, version in self.versions.items()),
        ]


def describe_machine() -> Machine:
    """Return the description of this machine; its cores are those that this process may use."""
    versions = {"segnet-live": __version__, "python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    name, flags = _cpu()
    return Machine(
        cpu=name,
        cores=usable_cores(),
        features=None if flags is None else tuple(f for f in FEATURES if f in flags),
        memory_gib=psutil.virtual_memory().total / 2**30,
        gpu=_gpu(),
        system=f"{platform.system()} {platform.release()}, {platform.machine()}",
        versions=versions,
    )


def usable_cores() -> int:
    """Return the cores this process may run on: fewer than the machine's in a container or under taskset."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _cpu() -> tuple[str, set[str] | None]:
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor() or platform.machine(), None
    fields = {}
    for line in text.splitlines():
        name, _, value = line.partition(":")
        fields[name.strip()] = value.strip()
    return fields.get("model name", platform.machine()), set(
        (fields.get("flags") or fields.get("Features", "")).split()
    )


def _gpu() -> str | None:
    device = nvidia.current()
    return f"{device.name}, driver {nvidia.driver_version()}" if device is not None else None


@dataclass(frozen=True, slots=True)
class Noise:
    """The noise of the machine during a measurement.

    Attributes:
        spread: p95 / p50 of a fixed computation on one core, repeated between the measurements; 1.0 is a quiet machine.
        others: share of all cores' time that other processes used, 0..1.
        stolen: share that the hypervisor gave to other guests, 0..1.
        load_average: the system's, over the minute before the start; None where there is none (Windows).
        gpu: what kept the GPU from an even speed, in words.
    """

    spread: float
    others: float
    stolen: float
    load_average: float | None
    gpu: tuple[str, ...] = ()

    @property
    def reasons(self) -> tuple[str, ...]:
        """Return why the figures cannot be judged; empty on a quiet machine."""
        found = []
        if self.spread > SPREAD_LIMIT:
            found.append(f"a fixed computation varied by {100 * (self.spread - 1):.0f} % (p95 over p50)")
        if self.others > OTHERS_LIMIT:
            found.append(f"other processes used {100 * self.others:.0f} % of the cores")
        if self.stolen > OTHERS_LIMIT:
            found.append(f"the hypervisor took {100 * self.stolen:.0f} %")
        return (*found, *self.gpu)

    def line(self) -> str:
        if self.reasons:
            return f"TOO NOISY TO JUDGE: {'; '.join(self.reasons)}. Close other programs and run again."
        return (
            f"quiet machine: a fixed computation varied by {100 * (self.spread - 1):.0f} %, "
            f"other processes used {100 * self.others:.0f} % of the cores"
        )


def gpu_noise(seen: Sequence[nvidia.Activity]) -> tuple[str, ...]:
    """Return what kept a GPU from an even speed between measurements, in words."""
    found = []
    clocks = [activity.clock_mhz for activity in seen]
    if clocks and max(clocks) > SPREAD_LIMIT * min(clocks):
        found.append(f"the GPU's clock went from {min(clocks)} to {max(clocks)} MHz")
    held_back = sorted({reason for activity in seen for reason in activity.held_back})
    if held_back:
        found.append(f"the GPU's clock was held back by {' and '.join(held_back)}")
    if any(activity.others for activity in seen):
        found.append("other processes computed on the GPU")
    return tuple(found)


class NoiseMeter:
    """A watch over the machine's noise, from its making to `read`; call `sample` while nothing is being timed.

    Args:
        on_gpu: watch the GPU too; `sample` then follows its work at once, before it lowers its clock.
    """

    def __init__(self, *, on_gpu: bool = False) -> None:
        self._gpu = nvidia.current() if on_gpu else None
        self._seen: list[nvidia.Activity] = []
        self._values = np.random.default_rng(0).random(20_000)
        self._times: list[float] = []
        self._load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
        self._cpu = psutil.cpu_times()
        self._own_s = _own_s()
        self._began_s = time.perf_counter()
        np.sort(self._values)  # the first one maps memory

    def sample(self) -> None:
        """Ask the GPU, and run the fixed computation five times: a few milliseconds."""
        if self._gpu is not None and (seen := nvidia.activity(self._gpu.uuid)) is not None:
            self._seen.append(seen)
        for _ in range(5):
            began = time.perf_counter()
            np.sort(self._values)
            self._times.append(time.perf_counter() - began)

    def read(self) -> Noise:
        self.sample()
        now = psutil.cpu_times()
        capacity_s = (time.perf_counter() - self._began_s) * (psutil.cpu_count() or 1)
        busy_s = sum(getattr(now, f, 0.0) - getattr(self._cpu, f, 0.0) for f in ("user", "nice", "system"))
        stolen_s = getattr(now, "steal", 0.0) - getattr(self._cpu, "steal", 0.0)
        others_s = max(0.0, busy_s - (_own_s() - self._own_s))
        p50, p95 = np.percentile(self._times, (50, 95))
        # the system counts in hundredths of a second, which may be more than the time between two looks
        others, stolen = (min(1.0, seconds / capacity_s) for seconds in (others_s, stolen_s))
        return Noise(float(p95 / p50), others, stolen, self._load, gpu_noise(self._seen))


def _own_s() -> float:
    """Return the CPU seconds of this process and of its children that ended."""
    own = psutil.Process().cpu_times()
    return float(own.user + own.system + own.children_user + own.children_system)
