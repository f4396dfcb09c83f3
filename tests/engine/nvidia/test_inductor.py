"""The inductor engine: its graph compiled for the CPU, which needs a C++ compiler but no GPU."""

from __future__ import annotations

import functools
import os
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from segnet_live.card import Card
from segnet_live.engine import exporting
from segnet_live.engine.eager import EagerEngine
from segnet_live.engine.nvidia import graphed, inductor
from segnet_live.engine.nvidia.cuda_graph import FrameLoop
from segnet_live.engine.nvidia.inductor import InductorEngine
from segnet_live.errors import EngineError
from segnet_live.system.paths import cache_dir

SIZE = (45, 59)


def test_cudnn_is_set_up_for_good_so_that_no_frame_beside_a_compiler_stands_still(
    tiny_card: Card, monkeypatch: pytest.MonkeyPatch
) -> None:
    cudnn = torch.backends.cudnn
    monkeypatch.setattr(cudnn, "benchmark", False)
    seen = []

    class Loop(FrameLoop):
        def __init__(self, *arguments: Any, **named: Any) -> None:
            seen.append((cudnn.enabled, cudnn.benchmark, cudnn.allow_tf32))
            super().__init__(*arguments, **named)

    monkeypatch.setattr(graphed, "FrameLoop", Loop)
    monkeypatch.setattr(inductor.torch, "compile", lambda network, **_: network)
    EagerEngine(tiny_card, SIZE, device="cpu").close()
    before = (cudnn.enabled, cudnn.benchmark, cudnn.allow_tf32)
    InductorEngine(tiny_card, SIZE, device="cpu").close()
    assert [before, *seen] == [(True, True, False)] * 2
    assert (cudnn.enabled, cudnn.benchmark) == (True, True)


def test_other_threads_get_their_turn_more_often_while_a_compiler_runs(
    tiny_card: Card, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual, seen = sys.getswitchinterval(), []

    def compiled(network: object, **_: object) -> object:
        seen.append(sys.getswitchinterval())
        return network

    monkeypatch.setattr(inductor.torch, "compile", compiled)
    InductorEngine(tiny_card, SIZE, device="cpu").close()
    assert seen == [pytest.approx(exporting.SMALL_STEP_S)]
    assert sys.getswitchinterval() == pytest.approx(usual)


def test_what_is_compiled_stays_in_the_user_s_cache_and_takes_few_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR", "TORCHINDUCTOR_COMPILE_THREADS"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    inductor.keep_compiled()
    assert Path(os.environ["TORCHINDUCTOR_CACHE_DIR"]) == cache_dir("inductor", torch.__version__)
    assert Path(os.environ["TRITON_CACHE_DIR"]).parent == cache_dir("inductor", torch.__version__)
    assert 1 <= int(os.environ["TORCHINDUCTOR_COMPILE_THREADS"]) <= inductor.COMPILER_THREADS


def test_what_another_pytorch_compiled_is_deleted_when_it_was_not_used_for_a_month(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "environ", dict(os.environ))
    for name, days in (("2.0.0", 40), ("2.1.0", 20), (torch.__version__, 40)):
        (cache_dir("inductor", name) / "kernel.py").touch()
        used_s = time.time() - days * 24 * 3600
        os.utime(cache_dir("inductor", name), (used_s, used_s))
    inductor.keep_compiled()
    assert {path.name for path in cache_dir("inductor").iterdir()} == {"2.1.0", torch.__version__}
    assert (cache_dir("inductor", torch.__version__) / "kernel.py").exists()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "SubprocException: An exception occurred in a subprocess:\n\nTraceback ...\n"
            "  raise RuntimeError(\nRuntimeError: Failed to find C compiler. Please specify via CC\n\nSet TORCH_LOGS",
            "RuntimeError: Failed to find C compiler. Please specify via CC",
        ),
        ("g++: not found\nmuch more", "g++: not found"),
    ],
)
def test_of_a_compiler_s_many_lines_the_cause_is_shown(text: str, expected: str) -> None:
    assert inductor.cause(RuntimeError(text)) == expected


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere Triton brings its compiler")
@pytest.mark.parametrize(("gone", "said"), [("gcc", "apt install gcc"), ("header", "apt install python3-dev")])
def test_without_a_c_compiler_or_python_s_headers_torch_compile_is_not_tried(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, gone: str, said: str
) -> None:
    monkeypatch.setattr(inductor, "cuda_problem", lambda: None)
    monkeypatch.setattr(inductor.importlib.util, "find_spec", lambda name: object())
    monkeypatch.setattr(inductor.shutil, "which", lambda name: None if gone == "gcc" else f"/usr/bin/{name}")
    monkeypatch.setattr(inductor.sysconfig, "get_paths", lambda: {"include": str(tmp_path)})
    if gone == "gcc":
        (tmp_path / "Python.h").touch()
    assert said in str(inductor.inductor_problem())


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
