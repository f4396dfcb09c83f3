"""Which stages `auto` prepares on which machine."""

from __future__ import annotations

import sys
import threading
import types
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from segnet_live.card import Card
from segnet_live.engine.artifacts import ENGINE, Artifact
from segnet_live.engine.base import LABELS, Engine, EngineOutput, RequestedOutputs
from segnet_live.engine.nvidia import auto, tensorrt, tensorrt_build, tensorrt_rtx
from segnet_live.engine.nvidia.device import Missing, OutOfMemory, compile_lock
from segnet_live.engine.parity import Disagreement, Parity
from segnet_live.errors import EngineError

SIZE = (32, 48)


def stages(
    card: Card, monkeypatch: pytest.MonkeyPatch, *, has: str, kept: bool = False, precision: str = "auto"
) -> list[str]:
    for name in ("inductor", "tensorrt", "rtx"):
        problem = None if name in has.split() else EngineError(f"{name} is not here")
        monkeypatch.setattr(auto, f"{name}_problem", lambda problem=problem: problem)
    monkeypatch.setattr(tensorrt_build, "find", lambda *_, **__: object() if kept else None)
    found = auto._compiled(card, SIZE, precision, "")
    return [f"{stage.name} unless {stage.unless}" if stage.unless else stage.name for stage in found]


@pytest.mark.parametrize(
    ("has", "kept", "expected"),
    [
        ("", False, []),  # Windows as it comes: PyTorch's kernels as one CUDA graph stay
        ("inductor", False, ["inductor"]),
        ("inductor tensorrt", False, ["inductor", "tensorrt"]),
        ("inductor tensorrt", True, ["tensorrt", "inductor unless tensorrt"]),  # one that is refused leaves inductor
        ("tensorrt", True, ["tensorrt"]),
        ("inductor rtx", False, ["tensorrt-rtx", "inductor unless tensorrt-rtx"]),
        ("rtx", False, ["tensorrt-rtx"]),
        ("tensorrt rtx", False, ["tensorrt"]),
    ],
)
def test_stages(tiny_card: Card, monkeypatch: pytest.MonkeyPatch, has: str, kept: bool, expected: list[str]) -> None:
    assert stages(tiny_card, monkeypatch, has=has, kept=kept) == expected


def test_bf16_is_nothing_for_tensorrt(tiny_card: Card, monkeypatch: pytest.MonkeyPatch) -> None:
    everything = "inductor tensorrt rtx"
    assert stages(tiny_card, monkeypatch, has=everything, precision="bf16") == ["inductor"]


def test_gpus_run_fp16_unless_another_precision_is_asked_for(tiny_card: Card, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    class Eager(auto.EagerEngine):
        def __init__(self, card: Card, size: tuple[int, int], *, device: str, precision: str, reason: str) -> None:
            asked.append(precision)
            super().__init__(card, size, device="cpu", precision="fp32", reason=reason)

    monkeypatch.setattr(auto, "EagerEngine", Eager)
    monkeypatch.setattr(auto, "_compiled", lambda *_: [])

    def no_graph(*_: object) -> None:
        raise EngineError("a CUDA graph needs CUDA")

    monkeypatch.setattr(auto, "open_graph", no_graph)
    for precision in ("auto", "fp32"):
        auto.open_cuda(tiny_card, SIZE, precision, "").close()  # type: ignore[arg-type]
    assert asked == ["fp16", "fp32"]


@pytest.mark.parametrize(
    ("maps", "first", "later"),
    [(RequestedOutputs(confidence=True), "eager", "compiled"), (RequestedOutputs(samples=4), "graph", "")],
)
def test_confidence_comes_from_every_stage_and_samples_from_the_cuda_graph_alone(
    tiny_card: Card, monkeypatch: pytest.MonkeyPatch, maps: RequestedOutputs, first: str, later: str
) -> None:
    asked: list[tuple[str, RequestedOutputs]] = []

    def opens(name: str) -> object:
        def opened(
            *_: object, maps: RequestedOutputs = LABELS, confidence: bool = False, samples: int = 0, **__: object
        ) -> object:
            asked.append((name, RequestedOutputs(confidence, samples) if name == "eager" else maps))
            return types.SimpleNamespace(close=lambda: None)

        return opened

    def compiled(
        card: object, size: object, precision: object, reason: object, maps: RequestedOutputs
    ) -> list[auto.Stage]:
        asked.append(("compiled", maps))
        return []

    monkeypatch.setattr(auto, "EagerEngine", opens("eager"))
    monkeypatch.setattr(auto, "open_graph", lambda *a, maps=None, **_: opens("graph")(maps=maps or a[-1]))
    monkeypatch.setattr(auto, "_compiled", compiled)
    engine = auto.open_cuda(tiny_card, SIZE, "auto", "", maps)
    engine._thread.join(30)  # type: ignore[attr-defined]
    engine._ready = None  # type: ignore[attr-defined]
    assert asked[0] == (first, maps)
    assert {given for _, given in asked} == {maps}
    assert {name for name, _ in asked} == {first, "graph", later} - {""}


class Half(auto.EagerEngine):
    """Eager on a GPU without fp16 of its own: one class everywhere."""

    def __init__(self, card: Card, size: tuple[int, int], *, device: str, precision: str, reason: str) -> None:
        super().__init__(card, size, device="cpu", precision="fp32", reason=reason)
        self.info = replace(self.info, precision=precision)  # type: ignore[arg-type]


def test_where_fp16_is_wrong_fp32_labels(tiny_card: Card, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def graph(card: object, size: object, precision: str, *_: object, **__: object) -> None:
        asked.append(precision)
        if precision == "auto":
            raise Disagreement("torch fp16 agrees with fp32 eager on 1.00% of pixels")
        raise EngineError("a CUDA graph needs CUDA")

    monkeypatch.setattr(auto, "EagerEngine", Half)
    monkeypatch.setattr(auto, "open_graph", graph)
    monkeypatch.setattr(auto, "_compiled", lambda *_: iter(()))
    engine = auto.open_cuda(tiny_card, SIZE, "auto", "")
    assert engine.info.precision == "fp16"
    engine._thread.join(60)  # type: ignore[attr-defined]
    engine.segment(np.zeros((*SIZE, 3), np.uint8))
    assert engine.info.precision == "fp32"
    assert asked == ["auto", "fp32"]
    engine.close()


def test_a_leftover_folder_of_tensorrt_is_none(
    tmp_path: Path, tiny_card: Card, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a removal that was interrupted; it can be imported."""
    for name in ("tensorrt", "tensorrt_rtx"):
        (tmp_path / name).mkdir()
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(tensorrt, "cuda_problem", lambda: None)
    monkeypatch.setattr(auto, "inductor_problem", lambda: None)
    monkeypatch.setattr(tensorrt_rtx, "cuda_problem", lambda: None)
    assert "TensorRT does not load (" in str(tensorrt.tensorrt_problem())
    assert "TensorRT-RTX does not load (" in str(tensorrt_rtx.rtx_missing())
    assert [stage.name for stage in auto._compiled(tiny_card, SIZE, "auto", "")] == ["inductor"]
    for name in ("tensorrt", "tensorrt_rtx"):
        sys.modules.pop(name, None)


def test_an_engine_that_fails_beside_a_compiler_does_not_wait_for_it(
    tiny_card: Card, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Fails(Half):
        def segment_with_confidence(self, rgb: object) -> EngineOutput:
            raise EngineError("CUDA error: unspecified launch failure")

    monkeypatch.setattr(auto, "EagerEngine", Fails)
    monkeypatch.setattr(auto, "PATIENCE_S", 0.0)
    monkeypatch.setattr(auto, "CudaGraphEngine", lambda *_, **__: pytest.fail("it waited"))
    monkeypatch.setattr(auto, "_compiled", lambda *_: iter(()))
    engines: list[Engine] = []
    holds, done = threading.Event(), threading.Event()

    def compiler() -> None:
        with compile_lock():
            holds.set()
            done.wait(60)

    thread = threading.Thread(target=compiler)
    thread.start()
    assert holds.wait(60)
    engines.append(auto.open_cuda(tiny_card, SIZE, "auto", ""))
    assert engines[0].segment(np.zeros((*SIZE, 3), np.uint8)).shape == SIZE
    assert engines[0].info.backend == "openvino"
    engines[0].close()
    done.set()
    thread.join(60)


def test_a_kept_tensorrt_engine_that_is_refused_is_built_anew(
    tiny_card: Card, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, built = (Artifact({}, {}, {ENGINE: name}, tmp_path / "kept.json") for name in (b"kept", b"built"))
    (tmp_path / "kept.json").touch()

    def opened(card: object, size: object, entry: Artifact, **_: object) -> bytes:
        if entry is kept:
            raise EngineError("TensorRT cannot read the engine")
        return entry.files[ENGINE]

    monkeypatch.setattr(auto, "require_tensorrt", lambda: None)
    monkeypatch.setattr(auto, "TensorRTEngine", opened)
    monkeypatch.setattr(tensorrt_build, "find", lambda *_, **__: kept)
    monkeypatch.setattr(auto.build_process, "build_in_child", lambda *_, **__: built)
    assert auto.open_tensorrt(tiny_card, SIZE, "fp16", "", threading.Event()) == b"built"
    assert not (tmp_path / "kept.json").exists()


@pytest.mark.parametrize(
    ("error", "builds"), [(OutOfMemory("the GPU is out of memory"), False), (EngineError("CUDA error"), True)]
)
def test_a_full_or_lost_gpu_deletes_no_kept_engine(
    tiny_card: Card, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: EngineError, builds: bool
) -> None:
    kept = Artifact({}, {}, {ENGINE: b"kept"}, tmp_path / "kept.json")
    (tmp_path / "kept.json").write_text("it")
    seen: list[bool] = []

    def build(*_: object, **__: object) -> Artifact:
        seen.append((tmp_path / "kept.json").exists())  # the child would find it there, and build nothing
        raise EngineError("building the TensorRT engine failed: CUDA error")

    def opened(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(auto, "require_tensorrt", lambda: None)
    monkeypatch.setattr(auto, "TensorRTEngine", opened)
    monkeypatch.setattr(tensorrt_build, "find", lambda *_, **__: kept)
    monkeypatch.setattr(auto.build_process, "build_in_child", build)
    with pytest.raises(EngineError):
        auto.open_tensorrt(tiny_card, SIZE, "fp16", "", threading.Event())
    assert seen == [False] * builds
    assert (tmp_path / "kept.json").read_text() == "it"


def test_why_an_installed_engine_is_not_used_is_said_once(
    tiny_card: Card, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(auto, "_said", set())
    for _ in range(2):
        stages(tiny_card, monkeypatch, has="inductor")
    assert caplog.messages == [
        "tensorrt is not used: tensorrt is not here",
        "tensorrt-rtx is not used: rtx is not here",
    ]
    caplog.clear()
    missing = Missing("TensorRT-RTX is not installed", "pip install")
    monkeypatch.setattr(auto, "rtx_problem", lambda: missing)
    assert [stage.name for stage in auto._compiled(tiny_card, SIZE, "auto", "")] == ["inductor"]
    assert caplog.messages == []


def test_the_network_s_cuda_graph_needs_no_compiler(tiny_card: Card) -> None:
    engine = auto.CudaGraphEngine(tiny_card, SIZE, precision="fp32", device="cpu", reason="asked for")
    assert engine.info.reason == "asked for; a CUDA graph"
    engine.agrees(Parity(0.999, (), 1))
    assert engine.info.parity == 0.999
    engine.close()
    with pytest.raises(EngineError, match="the network's CUDA graph stopped: this engine is closed"):
        engine.submit(__import__("numpy").zeros((*SIZE, 3), "uint8"))
