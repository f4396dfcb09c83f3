"""Which stages `auto` prepares on which machine."""

from __future__ import annotations

import threading
import types
from pathlib import Path

import pytest

from segnet_live.card import Card
from segnet_live.engine.artifacts import ENGINE, Artifact
from segnet_live.engine.base import LABELS, Maps
from segnet_live.engine.nvidia import auto, tensorrt_build
from segnet_live.engine.parity import Parity
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
    ("maps", "first", "later"), [(Maps(confidence=True), "eager", "compiled"), (Maps(samples=4), "graph", "")]
)
def test_confidence_comes_from_every_stage_and_samples_from_the_cuda_graph_alone(
    tiny_card: Card, monkeypatch: pytest.MonkeyPatch, maps: Maps, first: str, later: str
) -> None:
    asked: list[tuple[str, Maps]] = []

    def opens(name: str) -> object:
        def opened(*_: object, maps: Maps = LABELS, confidence: bool = False, samples: int = 0, **__: object) -> object:
            asked.append((name, Maps(confidence, samples) if name == "eager" else maps))
            return types.SimpleNamespace(close=lambda: None)

        return opened

    def compiled(card: object, size: object, precision: object, reason: object, maps: Maps) -> list[auto.Stage]:
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
    assert not (tmp_path / "kept.json").exists()  # the child would find it there, and build nothing


def test_the_network_s_cuda_graph_needs_no_compiler(tiny_card: Card) -> None:
    engine = auto.CudaGraphEngine(tiny_card, SIZE, precision="fp32", device="cpu", reason="asked for")
    assert engine.info.reason == "asked for; a CUDA graph"
    engine.agrees(Parity(0.999, (), 1))
    assert engine.info.parity == 0.999
    engine.close()
    with pytest.raises(EngineError, match="the network's CUDA graph stopped: this engine is closed"):
        engine.submit(__import__("numpy").zeros((*SIZE, 3), "uint8"))
