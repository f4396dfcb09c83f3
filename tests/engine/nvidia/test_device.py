"""What is said when there is no GPU to be used, and which engines that leaves."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pynvml
import pytest
import torch

from segnet_live.card import Card
from segnet_live.config import Precision
from segnet_live.engine import eager, parity
from segnet_live.engine import open as engine_open
from segnet_live.engine.nvidia import auto, device
from segnet_live.engine.nvidia.progressive import ProgressiveEngine
from segnet_live.errors import EngineError
from tests.support.cards import write_card
from tests.support.stand_ins import pictures

SIZE = (32, 48)


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> None:
    """A driver that answers."""
    monkeypatch.setattr(pynvml, "nvmlInit", lambda: None)
    monkeypatch.setattr(pynvml, "nvmlShutdown", lambda: None)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetCount", lambda: 1)
    monkeypatch.setattr(pynvml, "nvmlSystemGetDriverVersion", lambda: "470.57")


class LooksLikeCuda(str):
    """A device that is named as the CPU and says that it is CUDA: the engine's logic for one, without one."""

    type = "cuda"


def test_eager_frames_keep_away_from_the_stream_on_which_others_capture(
    tiny_card: Card, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Finding A4: work on the default stream depends on every blocking stream that another thread may be capturing."""
    on: list[object] = ["the default stream"]
    used: list[object] = []

    class Stream:
        def __init__(self, _: object) -> None:
            used.append("made")

        def wait_stream(self, other: object) -> None:
            used.append(f"waits for {other}")

    @contextlib.contextmanager
    def stream(chosen: object) -> Iterator[None]:
        on.append(chosen)
        yield
        on.pop()

    class Torch:
        device = staticmethod(lambda _: LooksLikeCuda("cpu"))

        def __getattr__(self, name: str) -> object:
            return getattr(torch, name)

    monkeypatch.setattr(eager, "torch", Torch())
    monkeypatch.setattr(torch.cuda, "Stream", Stream)
    monkeypatch.setattr(torch.cuda, "stream", stream)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda _: on[-1])
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "a GPU")
    engine = eager.EagerEngine(tiny_card, SIZE, device="cuda")
    assert used == ["made", "waits for the default stream"]  # on which the weights were copied
    assert engine._run is not None
    engine._run.register_forward_pre_hook(lambda *_: used.append(on[-1]))
    engine.segment(np.zeros((*SIZE, 3), np.uint8))
    assert isinstance(used[-1], Stream)


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
        (torch.cuda.DeferredCudaCallError("CUDA call failed lazily"), "check that nvidia-smi runs"),
        (None, "check CUDA_VISIBLE_DEVICES"),
    ],
)
def test_a_driver_that_cuda_cannot_use(
    monkeypatch: pytest.MonkeyPatch, said: str | Exception | None, expected: str
) -> None:
    def init() -> None:
        if said:
            raise RuntimeError(said) if isinstance(said, str) else said

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
    assert engine.info.backend == "openvino"  # several times faster there than PyTorch
    assert "out of memory" in engine.info.reason
    engine.close()


@pytest.mark.parametrize("precision", ["auto", "fp16"])
@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH, "was updated and the old one still runs; restart"),
        (pynvml.NVML_ERROR_DRIVER_NOT_LOADED, "is installed but does not run"),
    ],
)
def test_auto_names_a_driver_that_does_not_run_whatever_precision_was_meant_for_the_gpu(
    tiny_card: Card, monkeypatch: pytest.MonkeyPatch, fault: int, said: str, precision: Precision
) -> None:
    """It said "no NVIDIA GPU", and with fp16 only that OpenVINO has no such precision."""

    def broken() -> None:
        raise pynvml.NVMLError(fault)

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(pynvml, "nvmlInit", broken)
    engine = engine_open.open_engine(tiny_card, size=SIZE, precision=precision)
    assert engine.info.backend == "openvino"
    assert said in engine.info.reason
    engine.close()


def test_without_a_gpu_a_precision_that_the_cpu_has_not_is_refused(
    tiny_card: Card, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_open.nvidia, "has_gpu", lambda: False)
    monkeypatch.setattr(engine_open.nvidia, "broken_driver", lambda: None)
    with pytest.raises(EngineError, match="openvino has no precision 'fp16'"):
        engine_open.open_engine(tiny_card, size=SIZE, precision="fp16")


SUPPORTED = ["sm_75", "sm_80", "sm_86", "sm_90", "sm_100", "sm_120", "compute_120"]


@pytest.fixture
def cuda(driver: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A CUDA that starts, on a GPU whose generation each test chooses."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: SUPPORTED)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda *_: "a GPU")
    monkeypatch.setattr(torch.version, "cuda", "13.0")


@pytest.mark.usefixtures("cuda")
@pytest.mark.parametrize(
    ("capability", "said"),
    [
        ((6, 1), "(a GPU, sm_61) is too old for PyTorch"),  # GTX 10xx
        ((7, 0), "install a build for CUDA 12.6: https://download.pytorch.org/whl/cu126"),  # V100
        ((7, 5), None),
        ((8, 9), None),  # machine code for 8.6 runs there
        ((12, 1), None),
    ],
)
def test_a_gpu_that_this_pytorch_has_no_kernels_for(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], said: str | None
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda *_: capability)
    problem = device.cuda_problem()
    assert (said is None) == (problem is None)
    assert (said or "") in str(problem or "")


@pytest.mark.usefixtures("cuda")
@pytest.mark.parametrize("ask", ["torch", "samples", "reference"])
def test_a_gpu_without_kernels_is_left_alone_by_all_that_takes_the_best_device(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ask: str
) -> None:
    """They ended with "no kernel image is available": CUDA itself starts there."""
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda *_: (6, 1))
    card = write_card(tmp_path / "card", "segnet-basic", arguments={"dropout": 0.5})
    if ask == "reference":
        assert len(list(parity.reference_labels(card, SIZE, pictures(1)))) == 1
        return
    engine = (
        engine_open.open_engine(card, size=SIZE, samples=2)
        if ask == "samples"
        else engine_open.open_engine(card, size=SIZE, backend="torch")
    )
    assert engine.info.device.startswith("CPU")
    assert engine.segment(pictures(1)[0]).shape == SIZE
    engine.close()


@pytest.mark.usefixtures("cuda")
def test_a_gpu_that_is_too_new(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda *_: (13, 0))
    monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: SUPPORTED[:-1])
    assert "too new for PyTorch" in str(device.cuda_problem())


@pytest.mark.usefixtures("cuda")
@pytest.mark.parametrize("failure", ["old", "lost", "no kernel"])
def test_auto_never_fails_for_the_gpu_s_sake(tiny_card: Card, monkeypatch: pytest.MonkeyPatch, failure: str) -> None:
    """An old one is seen at once; a lost one raises from the first question; at worst the first kernel fails."""

    def lost(*_: object) -> tuple[int, int]:
        raise torch.cuda.DeferredCudaCallError("CUDA call failed lazily at initialization with error: unknown error")

    capability = {"old": lambda *_: (6, 1), "lost": lost, "no kernel": lambda *_: (8, 9)}[failure]
    monkeypatch.setattr(torch.cuda, "get_device_capability", capability)

    def no_kernel(self: object, *_: object, **__: object) -> None:
        raise RuntimeError("CUDA error: no kernel image is available for execution on the device\nmore")

    if failure == "no kernel":
        monkeypatch.setattr(auto.CudaGraphEngine, "__init__", no_kernel)
        monkeypatch.setattr(auto.EagerEngine, "__init__", no_kernel)
        monkeypatch.setattr(auto, "_compiled", lambda *_: [])
    engine = engine_open.open_engine(tiny_card, size=SIZE)
    info = engine.info
    engine.close()
    assert info.backend == "openvino"
    said = {"old": "is too old", "lost": "CUDA does not start", "no kernel": "no kernel image is available"}[failure]
    assert said in info.reason


@pytest.mark.usefixtures("cuda")
def test_int8_means_the_engine_that_has_it(tiny_card: Card, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda *_: (8, 9))
    with pytest.raises(EngineError, match="tiny has no int8 ranges on its card"):  # OpenVINO's words
        engine_open.open_engine(tiny_card, size=SIZE, precision="int8")


def test_a_driver_that_was_updated_under_way_is_no_missing_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def mismatch() -> None:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH)

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(pynvml, "nvmlInit", mismatch)
    assert str(device.cuda_problem()).endswith("the old one still runs; restart")


def test_freeing_memory_on_a_lost_gpu_raises_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def lost() -> None:
        raise RuntimeError("CUDA error: unspecified launch failure")

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "empty_cache", lost)
    device.release_cached()


@pytest.mark.parametrize(
    "error",
    [
        torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate"),
        RuntimeError("captures_underway.empty() INTERNAL ASSERT FAILED at CUDACachingAllocator.cpp"),
    ],
)
def test_lack_of_memory_is_told_from_everything_else(error: Exception) -> None:
    assert isinstance(device.as_engine_error(error, "it stopped"), device.OutOfMemory)
    assert not isinstance(device.as_engine_error(RuntimeError("CUDA error"), "it stopped"), device.OutOfMemory)


def test_a_frame_waits_a_moment_for_a_compiler_and_no_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    emptied: list[int] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: emptied.append(1))
    refused: list[str] = []

    def frame() -> None:
        device.release_cached(0)
        try:
            with device.compile_lock(patience_s=0):
                raise AssertionError("two at a time")
        except EngineError as error:
            refused.append(str(error))
        refused.append("waits")
        device.release_cached(60)

    thread = threading.Thread(target=frame)
    with device.compile_lock():
        thread.start()
        while "waits" not in refused:
            threading.Event().wait(0.01)
        assert emptied == []
    thread.join(60)
    assert refused == ["another engine is being compiled", "waits"]
    assert emptied == [1]


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
