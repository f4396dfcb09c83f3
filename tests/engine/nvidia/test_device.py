"""What is said when there is no GPU to be used, and which engines that leaves."""

from __future__ import annotations

import threading

import pynvml
import pytest
import torch

from segnet_live.card import Card
from segnet_live.engine import open as engine_open
from segnet_live.engine.nvidia import auto, device
from segnet_live.engine.nvidia.progressive import ProgressiveEngine
from segnet_live.errors import EngineError

SIZE = (32, 48)


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> None:
    """A driver that answers."""
    monkeypatch.setattr(pynvml, "nvmlInit", lambda: None)
    monkeypatch.setattr(pynvml, "nvmlShutdown", lambda: None)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetCount", lambda: 1)
    monkeypatch.setattr(pynvml, "nvmlSystemGetDriverVersion", lambda: "470.57")


def test_no_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> None:
        raise pynvml.NVMLError_LibraryNotFound

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(pynvml, "nvmlInit", missing)
    assert "no NVIDIA driver answers" in str(device.cuda_problem())
    with pytest.raises(EngineError, match="no NVIDIA driver"):
        device.gpu()


@pytest.mark.usefixtures("driver")
def test_a_torch_without_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.version, "cuda", None)
    assert "built without CUDA; install a CUDA build of PyTorch: https://pytorch.org" in str(device.cuda_problem())


@pytest.mark.usefixtures("driver")
@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (
            "The NVIDIA driver on your system is too old (found version 11040).",
            "driver 470.57 is too old for CUDA 13.0",
        ),
        ("CUDA unknown error - this may be due to an incorrectly set up environment", "check that nvidia-smi runs"),
        (None, "check CUDA_VISIBLE_DEVICES"),
    ],
)
def test_a_driver_that_cuda_cannot_use(monkeypatch: pytest.MonkeyPatch, said: str | None, expected: str) -> None:
    def init() -> None:
        if said:
            raise RuntimeError(said)

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.cuda, "init", init)
    assert expected in str(device.cuda_problem())


@pytest.mark.usefixtures("driver")
def test_auto_runs_on_the_cpu_and_says_why_the_gpu_is_not_used(
    tiny_card: Card, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.version, "cuda", None)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    info = engine_open.open_engine(tiny_card, size=SIZE).info
    assert info.backend == "openvino"
    assert "the NVIDIA GPU is not used" in info.reason
    assert "built without CUDA" in info.reason


@pytest.mark.parametrize("backend", ["inductor", "tensorrt"])
def test_a_backend_that_needs_a_gpu_says_so(tiny_card: Card, backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(EngineError, match=f"backend {backend}: "):
        engine_open.open_engine(tiny_card, backend=backend, size=SIZE)


def test_a_gpu_that_cannot_hold_the_network_leaves_the_cpu(tiny_card: Card, monkeypatch: pytest.MonkeyPatch) -> None:
    eager = auto.EagerEngine

    def opened(card: Card, size: tuple[int, int], *, device: str, **arguments: str) -> object:
        if device == "cuda":
            raise EngineError("moving tiny to cuda failed: the GPU is out of memory")
        return eager(card, size, device=device, **arguments)

    monkeypatch.setattr(auto, "EagerEngine", opened)
    engine = auto.open_cuda(tiny_card, SIZE, "auto", "an NVIDIA GPU is present")
    assert isinstance(engine, ProgressiveEngine)
    assert engine.info.device.startswith("CPU")
    assert "out of memory" in engine.info.reason
    engine.close()


def test_one_thread_at_a_time_compiles_and_one_that_is_cancelled_gives_up() -> None:
    order: list[str] = []
    cancel = threading.Event()

    def second() -> None:
        try:
            with device.compile_lock(cancel):
                order.append("second")
        except device.Cancelled:
            order.append("cancelled")

    def third() -> None:
        with device.compile_lock():
            order.append("third")

    threads = [threading.Thread(target=second), threading.Thread(target=third)]
    with device.compile_lock(), device.compile_lock():  # a thread does not wait for itself
        for thread in threads:
            thread.start()
        cancel.set()
        threads[0].join(30)
        order.append("first")
    threads[1].join(30)
    assert order == ["cancelled", "first", "third"]
