"""The inductor engine: its graph compiled for the CPU, which needs a C++ compiler but no GPU."""

from __future__ import annotations

import functools
from typing import Any

import pytest
import torch

from segnet_live.card import Card
from segnet_live.engine.nvidia import inductor
from segnet_live.engine.nvidia.cuda_graph import FrameLoop
from segnet_live.engine.nvidia.inductor import InductorEngine
from segnet_live.errors import EngineError

SIZE = (45, 59)


def test_convolutions_are_cudnns_fastest_and_fp32_is_no_tf32(tiny_card: Card, monkeypatch: pytest.MonkeyPatch) -> None:
    cudnn = torch.backends.cudnn
    seen = []

    class Loop(FrameLoop):
        def __init__(self, *arguments: Any) -> None:
            seen.append((cudnn.enabled, cudnn.benchmark, cudnn.allow_tf32))
            super().__init__(*arguments)

    monkeypatch.setattr(inductor, "FrameLoop", Loop)
    monkeypatch.setattr(inductor.torch, "compile", lambda network, **_: network)
    InductorEngine(tiny_card, SIZE, device="cpu").close()
    assert seen == [(True, True, False)]
    assert (cudnn.enabled, cudnn.benchmark) == (True, False)


@pytest.mark.filterwarnings("ignore")
def test_a_process_compiles_as_many_sizes_as_its_user_tries(tiny_card: Card, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inductor.torch, "compile", functools.partial(torch.compile, backend="eager"))
    for width in range(32, 52, 2):
        InductorEngine(tiny_card, (32, width), precision="fp32", device="cpu").close()


def test_a_compiler_that_fails_is_an_engine_error(tiny_card: Card, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> object:
        def run(*_: object) -> object:
            raise AssertionError("CppCompileError: g++: not found\nmuch more")

        return run

    monkeypatch.setattr(inductor.torch, "compile", fail)
    with pytest.raises(
        EngineError, match=r"torch\.compile failed: CppCompileError: g\+\+: not found; take --backend torch"
    ):
        InductorEngine(tiny_card, SIZE, device="cpu")


def test_without_triton_the_reason_is_named(tiny_card: Card, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inductor, "cuda_problem", lambda: None)
    monkeypatch.setattr(inductor.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(EngineError, match=r"backend inductor: torch\.compile needs Triton, which is missing"):
        InductorEngine(tiny_card, SIZE)


def test_unknown_precision_is_named(tiny_card: Card) -> None:
    with pytest.raises(EngineError, match="no precision 'int8'"):
        InductorEngine(tiny_card, SIZE, precision="int8", device="cpu")
