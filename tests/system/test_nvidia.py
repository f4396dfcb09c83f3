"""What the NVIDIA driver is asked, with a driver of two GPUs in its place."""

from __future__ import annotations

import sys
import time
import types
from collections.abc import Callable

import pynvml
import pytest

from segnet_live.errors import EngineError
from segnet_live.system import nvidia
from segnet_live.system.usage import UsageMeter

FIRST, SECOND = "GPU-11111111-0000", "GPU-22222222-0000"
USED_MIB = {FIRST: 100, SECOND: 2000}


class Driver:
    """Two GPUs; counts how often it was opened and not closed, and can be lost."""

    def __init__(self) -> None:
        self.opened = 0
        self.lost = False

    def init(self) -> None:
        self.opened += 1

    def shutdown(self) -> None:
        self.opened -= 1

    def information(self, uuid: str) -> object:
        if self.lost:
            raise pynvml.NVMLError_GpuIsLost
        assert self.opened
        return types.SimpleNamespace(used=USED_MIB[uuid] << 20, total=8000 << 20)


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> Driver:
    driver = Driver()
    monkeypatch.setattr(pynvml, "nvmlInit", driver.init)
    monkeypatch.setattr(pynvml, "nvmlShutdown", driver.shutdown)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetCount", lambda: 2)
    monkeypatch.setattr(pynvml, "nvmlSystemGetDriverVersion", lambda: "580.1")
    monkeypatch.setattr(pynvml, "nvmlDeviceGetHandleByIndex", lambda index: (FIRST, SECOND)[index])
    monkeypatch.setattr(pynvml, "nvmlDeviceGetHandleByUUID", lambda uuid: uuid)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetUUID", lambda handle: handle)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetName", lambda handle: f"card {handle[4]}")
    monkeypatch.setattr(pynvml, "nvmlDeviceGetMemoryInfo", driver.information)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return driver


def test_gpus_are_listed_and_the_driver_is_closed_again(driver: Driver) -> None:
    assert [(device.name, device.uuid, device.memory_mib) for device in nvidia.devices()] == [
        ("card 1", FIRST, 8000),
        ("card 2", SECOND, 8000),
    ]
    assert nvidia.has_gpu()
    assert nvidia.driver_version() == "580.1"
    assert driver.opened == 0


@pytest.mark.parametrize(
    ("visible", "expected"),
    [(None, FIRST), ("1", SECOND), ("1,0", SECOND), ("GPU-2222", SECOND), ("", None), ("-1", None), ("7", None)],
)
def test_the_gpu_in_use_is_the_first_that_is_visible(
    driver: Driver, monkeypatch: pytest.MonkeyPatch, visible: str | None, expected: str | None
) -> None:
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    device = nvidia.current()
    assert (device.uuid if device else None) == expected


def test_once_cuda_runs_its_own_word_counts(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    cuda = types.SimpleNamespace(
        is_initialized=lambda: True,
        current_device=lambda: 0,
        get_device_properties=lambda index: types.SimpleNamespace(uuid=SECOND.removeprefix("GPU-")),
    )
    monkeypatch.setitem(sys.modules, "torch", types.SimpleNamespace(cuda=cuda))
    device = nvidia.current()
    assert device is not None
    assert device.uuid == SECOND


def until(condition: Callable[[], object]) -> None:
    for _ in range(500):
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError("it never came")


def test_the_hud_shows_the_memory_of_the_gpu_in_use(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    meter = UsageMeter(interval_s=0.01)
    until(lambda: meter.latest)
    assert meter.latest is not None
    assert (meter.latest.vram_used_mib, meter.latest.vram_total_mib) == (2000, 8000)
    driver.lost = True
    until(lambda: meter.latest is not None and meter.latest.vram_used_mib is None)
    meter.close()
    assert driver.opened == 0


def test_without_a_driver_there_is_no_gpu_and_the_reason_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> None:
        raise pynvml.NVMLError_LibraryNotFound

    monkeypatch.setattr(pynvml, "nvmlInit", missing)
    assert not nvidia.has_gpu()
    assert nvidia.current() is None
    assert nvidia.driver_version() is None
    with pytest.raises(EngineError, match=r"no NVIDIA driver answers .*; with an NVIDIA GPU, install its driver"):
        nvidia.devices()
