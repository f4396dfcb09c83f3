"""The tensorrt engine's logic, with stand-ins for TensorRT and CUDA; no GPU and no TensorRT take part."""

from __future__ import annotations

import enum
import types
from typing import Any

import numpy as np
import pytest
import torch

from segnet_live.card import Card
from segnet_live.engine.artifacts import ENGINE, Artifact
from segnet_live.engine.base import RequestedOutputs
from segnet_live.engine.nvidia import cuda_graph, tensorrt, trt_builder
from segnet_live.errors import EngineError

SIZE = (4, 6)
ENTRY = Artifact({"precision": "fp16"}, {"parity": {"overall": 0.9991}}, {ENGINE: b"engine"})


class Mode(enum.Enum):
    INPUT = 1
    OUTPUT = 2


class FakeTensorRT(types.SimpleNamespace):
    """As much of TensorRT's runtime as is used; what it is told is kept in `addresses` and `runs`."""

    __hash__ = object.__hash__

    def __init__(self) -> None:
        self.addresses: dict[str, int] = {}
        self.runs = 0
        self.readable = self.fits = self.starts = True
        self.kernels = b"compiled"
        self.given: list[bytes] = []
        self.tensors = {"rgb": ("u8", (1, *SIZE, 3)), "ids": ("i32", (1, *SIZE))}
        levels = {name: name for name in ("VERBOSE", "INFO", "WARNING", "ERROR", "INTERNAL_ERROR")}
        super().__init__(
            ILogger=type("ILogger", (), levels | {"__init__": lambda self: None}),
            Runtime=lambda logger: self,
            TensorIOMode=Mode,
            DataType=types.SimpleNamespace(UINT8="u8", INT32="i32", FLOAT="f32", HALF="f16"),
        )

    @property
    def num_io_tensors(self) -> int:
        return len(self.tensors)

    def deserialize_cuda_engine(self, blob: bytes) -> Any:
        return self if self.readable else None

    def create_execution_context(self, config: Any = None) -> Any:
        return self if self.fits else None

    def create_runtime_config(self) -> Any:
        return self

    def create_runtime_cache(self) -> Any:
        return self

    def set_runtime_cache(self, cache: Any) -> None:
        pass

    def serialize(self) -> bytes:
        return self.kernels

    def deserialize(self, blob: bytes) -> bool:
        self.given.append(blob)
        return True

    def get_tensor_name(self, index: int) -> str:
        return list(self.tensors)[index]

    def get_tensor_mode(self, name: str) -> Mode:
        return Mode.INPUT if name.startswith(("rgb", "noise")) else Mode.OUTPUT

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return self.tensors[name][1]

    def get_tensor_dtype(self, name: str) -> str:
        return self.tensors[name][0]

    def set_tensor_address(self, name: str, address: int) -> None:
        self.addresses[name] = address

    def execute_async_v3(self, stream: int) -> bool:
        self.runs += 1
        return self.starts


@pytest.fixture
def trt(monkeypatch: pytest.MonkeyPatch) -> FakeTensorRT:
    fake = FakeTensorRT()
    monkeypatch.setitem(__import__("sys").modules, "tensorrt", fake)
    monkeypatch.setattr(tensorrt, "tensorrt_problem", lambda: None)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda *_: types.SimpleNamespace(cuda_stream=7))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda *_: "no GPU")
    # the engine asks for "cuda"; its tensors live on the CPU here
    monkeypatch.setattr(tensorrt.torch, "device", lambda name: torch.empty(0).device)
    return fake


def test_runs_on_fixed_addresses_and_shows_its_parity(trt: FakeTensorRT, tiny_card: Card) -> None:
    engine = tensorrt.TensorRTEngine(tiny_card, SIZE, ENTRY, reason="asked for")
    assert (engine.info.backend, engine.info.precision, engine.info.parity) == ("tensorrt", "fp16", 0.9991)
    labels = engine.segment(np.zeros((*SIZE, 3), np.uint8))
    before = dict(trt.addresses)
    engine.segment(np.ones((*SIZE, 3), np.uint8))
    assert labels.shape == SIZE
    assert trt.addresses == before
    assert trt.runs == 2
    engine.close()


def test_confidence_and_samples_come_down_beside_labels_and_dropout_gets_new_numbers_for_each_frame(
    trt: FakeTensorRT, tiny_card: Card, monkeypatch: pytest.MonkeyPatch
) -> None:
    shape = (1, *SIZE)
    trt.tensors |= {"noise0": ("f16", (3, 8, 2, 3)), "confidence": ("i32", shape), "variance": ("f32", shape)}
    drawn: list[torch.Tensor] = []
    real = torch.Tensor.uniform_
    monkeypatch.setattr(torch.Tensor, "uniform_", lambda self: drawn.append(real(self).clone()) or self)
    engine = tensorrt.TensorRTEngine(tiny_card, SIZE, ENTRY, maps=RequestedOutputs(samples=3))
    assert (engine.info.confidence, engine.info.samples) == (True, 3)
    found = engine.segment_with_confidence(np.zeros((*SIZE, 3), np.uint8))
    assert found.confidence is not None
    assert found.variance is not None
    assert (found.confidence.dtype, found.variance.dtype) == (np.uint8, np.float32)
    engine.segment(np.zeros((*SIZE, 3), np.uint8))
    assert set(trt.addresses) == set(trt.tensors)
    assert drawn[0].shape == (3, 8, 2, 3)
    assert not torch.equal(drawn[0], drawn[1])
    with pytest.raises(EngineError, match="this engine takes and gives"):
        tensorrt.TensorRTEngine(tiny_card, SIZE, ENTRY)  # of one that gives more than was asked for


def test_what_rtx_compiles_for_this_gpu_is_kept_and_given_back(trt: FakeTensorRT, tiny_card: Card) -> None:
    class Kept:
        content: bytes | None = None

        def load(self) -> bytes | None:
            return self.content

        def save(self, content: bytes) -> None:
            self.content = content

    kept = Kept()
    for _ in range(2):
        engine = tensorrt.TensorRTEngine(tiny_card, SIZE, ENTRY, runtime=trt, cache=kept)
        assert engine.info.backend == "tensorrt-rtx"
        engine.close()
    assert kept.content == b"compiled"
    assert trt.given == [b"compiled"]


def test_what_tensorrt_complained_of_is_in_the_error_once(trt: FakeTensorRT, tiny_card: Card) -> None:
    trt.readable = False
    trt_builder.logger(trt).log("ERROR", "Version tag does not match\nmore")
    with pytest.raises(EngineError, match=r"cannot read the engine \(Version tag does not match\);"):
        tensorrt.TensorRTEngine(tiny_card, SIZE, ENTRY)
    with pytest.raises(EngineError, match=r"cannot read the engine;"):
        tensorrt.TensorRTEngine(tiny_card, SIZE, ENTRY)
    assert trt_builder.logger(trt) is trt_builder.logger(trt)  # TensorRT keeps the first and warns of others


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"readable": False}, "cannot read the engine; `segnet-live cache clear`"),
        ({"fits": False}, "out of memory"),
        ({"tensors": {"rgb": ("u8", (1, 8, 8, 3)), "ids": ("i32", (1, 8, 8))}}, "this engine takes and gives"),
    ],
)
def test_an_engine_that_cannot_run_says_why(
    trt: FakeTensorRT, tiny_card: Card, change: dict[str, Any], said: str
) -> None:
    vars(trt).update(change)
    with pytest.raises(EngineError, match=said):
        tensorrt.TensorRTEngine(tiny_card, SIZE, ENTRY)


def test_a_failure_in_mid_run_is_an_engine_error(trt: FakeTensorRT, tiny_card: Card) -> None:
    engine = tensorrt.TensorRTEngine(tiny_card, SIZE, ENTRY)
    trt.starts = False
    with pytest.raises(EngineError, match="the TensorRT engine stopped"):
        engine.segment(np.zeros((*SIZE, 3), np.uint8))


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            torch.cuda.OutOfMemoryError("CUDA out of memory. Tried ..."),
            "the GPU is out of memory; close other programs",
        ),
        (RuntimeError("CUDA error: device-side assert\nmore"), "CUDA error: device-side assert; nvidia-smi tells"),
    ],
)
def test_a_lost_gpu_is_told_from_lack_of_memory(
    trt: FakeTensorRT, tiny_card: Card, monkeypatch: pytest.MonkeyPatch, error: Exception, said: str
) -> None:
    engine = tensorrt.TensorRTEngine(tiny_card, SIZE, ENTRY)

    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(cuda_graph.FrameLoop, "_step", fail)
    with pytest.raises(EngineError, match=said):
        engine.segment(np.zeros((*SIZE, 3), np.uint8))


def test_without_a_gpu_the_reason_is_named(tiny_card: Card, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tensorrt, "cuda_problem", lambda: EngineError("no NVIDIA driver answers"))
    with pytest.raises(EngineError, match="backend tensorrt: no NVIDIA driver answers"):
        tensorrt.TensorRTEngine(tiny_card, SIZE, ENTRY)


@pytest.mark.parametrize("error", [AssertionError("Torch not compiled"), ImportError("libnvinfer.so.11"), OSError("x")])
def test_a_tensorrt_that_does_not_load_is_named(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    class Broken:
        def find_spec(self, name: str, *_: object) -> None:
            if name == "tensorrt":
                raise error

    monkeypatch.setattr(tensorrt, "cuda_problem", lambda: None)
    monkeypatch.setattr(tensorrt.importlib.util, "find_spec", lambda name: object())
    monkeypatch.delitem(__import__("sys").modules, "tensorrt", raising=False)
    monkeypatch.setattr("sys.meta_path", [Broken(), *__import__("sys").meta_path])
    assert "TensorRT does not load" in str(tensorrt.tensorrt_problem())
    assert str(error) in str(tensorrt.tensorrt_problem())
