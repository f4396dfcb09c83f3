"""Run backend `inductor`: the network through torch.compile; the default on an NVIDIA GPU until TensorRT is ready.

On a GPU it has not been run by the tests; they run the same graph through Inductor on the CPU.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import shutil
import sys
import sysconfig
import time
from functools import partial
from pathlib import Path

import torch

from segnet_live.card import Card
from segnet_live.config import Precision
from segnet_live.engine.base import LABELS, EngineInfo, RequestedOutputs
from segnet_live.engine.exporting import exporting
from segnet_live.engine.nvidia.device import (
    Missing,
    as_engine_error,
    compile_lock,
    cuda_problem,
    set_up_cudnn,
)
from segnet_live.engine.nvidia.graphed import GraphedEngine, deployed_for, dtype_of, looped
from segnet_live.errors import EngineError, first_line
from segnet_live.frame import Size
from segnet_live.system.paths import cache_dir

MOST_COMPILED = 1024
"""Networks and sizes that one process may compile."""
UNUSED_S = 30 * 24 * 3600.0
"""After so long what a version of PyTorch has compiled is deleted: it has probably been replaced."""
COMPILER_THREADS = 4
"""At most; torch would take a process for each of 32 cores, beside a video that is running."""


def inductor_problem() -> EngineError | None:
    """Return why torch.compile cannot be used on a GPU here, with what to do about it; None if it can."""
    return cuda_problem() or toolchain_problem()


def toolchain_problem() -> EngineError | None:
    """Return which of the compilers that torch.compile calls is missing, with what to do about it; None: none is."""
    if importlib.util.find_spec("triton") is None:
        return Missing("torch.compile needs Triton, which is missing", "on Windows: pip install triton-windows")
    if sys.platform == "linux":  # Triton compiles a stub in C for every kernel; on Windows it brings a compiler
        if not any(shutil.which(name) for name in (os.environ.get("CC", "gcc"), "gcc", "clang")):
            return EngineError("torch.compile needs a C compiler, and there is none", "install gcc: apt install gcc")
        header = Path(sysconfig.get_paths()["include"]) / "Python.h"
        if not header.is_file():
            return EngineError(f"torch.compile needs {header}, which is missing", "apt install python3-dev")
    return None


def keep_compiled() -> None:
    """Let Inductor and Triton keep what they compile in this user's cache; before either is imported.

    Their own places lie in /tmp: gone after a restart, and executable code in a folder whose name can be guessed.
    Each version of PyTorch has a folder, as it uses nothing of another's; one that was not used for UNUSED_S goes.
    """
    folder = cache_dir("inductor", torch.__version__)
    with contextlib.suppress(OSError):
        os.utime(folder)
        for other in folder.parent.iterdir():
            if time.time() - other.stat().st_mtime > UNUSED_S:
                shutil.rmtree(other, ignore_errors=True)
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(folder))
    os.environ.setdefault("TRITON_CACHE_DIR", str(folder / "triton"))
    os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", str(min(COMPILER_THREADS, os.cpu_count() or 1)))


def cause(error: BaseException) -> str:
    """Return the line of a compiler's error that says what went wrong: the last that names an error, else the first.

    What comes before it names the processes that it came through.
    """
    named = [line.strip() for line in str(error).splitlines() if re.match(r"\s*[\w.]*(Error|Exception): \S", line)]
    return named[-1] if named else first_line(error)


class InductorEngine(GraphedEngine):
    """An engine that compiles the network when opened, in a minute or so, and runs it as one CUDA graph.

    Args:
        precision: "fp16" (also for "auto"), "bf16" or "fp32".
        device: "cuda", or "cpu" for tests (it needs a C++ compiler then).
        maps: what it is to give beside labels.

    Raises:
        EngineError: unknown precision, no GPU, no Triton, no dropout to sample, or the compiler fails.
        CardError: see `load_network`.
    """

    def __init__(
        self,
        card: Card,
        size: Size,
        *,
        precision: Precision = "auto",
        device: str = "cuda",
        reason: str = "",
        maps: RequestedOutputs = LABELS,
    ) -> None:
        precision, dtype = dtype_of("inductor", precision)
        problem = inductor_problem() if device == "cuda" else None
        if problem is not None:
            raise EngineError(f"backend inductor: {problem.problem}", problem.advice)
        graph = deployed_for(card, "inductor", dtype, maps)
        keep_compiled()
        from torch._dynamo import config as dynamo  # takes a second to import, and the first frame needs none of it

        set_up_cudnn()
        try:
            # Dynamo counts all networks that a process ever compiled as versions of one function, and stops at eight
            limit = dynamo.patch(recompile_limit=MOST_COMPILED, accumulated_recompile_limit=MOST_COMPILED)
            with compile_lock(), exporting(), limit:
                compiled = partial(torch.compile, fullgraph=True, dynamic=False)
                loop, name = looped(card, graph, size, device, maps, compiled)
        except Exception as error:  # Dynamo, Inductor, Triton and the C++ compiler have an error tree each
            if isinstance(error, torch.cuda.OutOfMemoryError):
                raise as_engine_error(error, "compiling the network failed") from error
            raise EngineError(f"torch.compile failed: {cause(error)}", "take --backend torch") from error
        info = EngineInfo("inductor", name, precision, card.name, size, reason)
        super().__init__(loop, maps.describe(info), "the compiled network stopped")
