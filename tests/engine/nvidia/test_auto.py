"""Which stages `auto` prepares on which machine."""

from __future__ import annotations

import pytest

from segnet_live.card import Card
from segnet_live.engine.nvidia import auto, tensorrt_build
from segnet_live.errors import EngineError

SIZE = (32, 48)


def stages(
    card: Card, monkeypatch: pytest.MonkeyPatch, *, has: str, kept: bool = False, precision: str = "auto"
) -> list[str]:
    for name in ("inductor", "tensorrt", "rtx"):
        problem = None if name in has.split() else EngineError(f"{name} is not here")
        monkeypatch.setattr(auto, f"{name}_problem", lambda problem=problem: problem)
    monkeypatch.setattr(tensorrt_build, "find", lambda *_: object() if kept else None)
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


def test_the_network_s_cuda_graph_needs_no_compiler(tiny_card: Card) -> None:
    engine = auto.CudaGraphEngine(tiny_card, SIZE, precision="fp32", device="cpu", reason="asked for")
    assert engine.info.reason == "asked for; a CUDA graph"
    engine.agrees(0.999)
    assert engine.info.parity == 0.999
    engine.close()
    with pytest.raises(EngineError, match="the network's CUDA graph stopped: this engine is closed"):
        engine.submit(__import__("numpy").zeros((*SIZE, 3), "uint8"))
