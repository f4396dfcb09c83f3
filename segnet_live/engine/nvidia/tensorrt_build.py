"""Builds TensorRT engines: find one in the cache, or convert, measure and check one (`build_process` has the child).

Never run on a GPU so far. The converter contract tests run `convert` with Torch-TensorRT's real converters and a
recorder in place of TensorRT; the other tests run real child processes with stand-ins for the conversion.
"""

from __future__ import annotations

import importlib.metadata
import logging
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from segnet_live.card import Card
from segnet_live.engine import parity
from segnet_live.engine.artifacts import EngineCache, Entry, Facts
from segnet_live.engine.nvidia.device import as_engine_error, gpu, release_cached
from segnet_live.engine.nvidia.tensorrt import TensorRTEngine, require_tensorrt
from segnet_live.errors import EngineError
from segnet_live.frame import Size
from segnet_live.nets.deploy import GRAPH_REVISION, Deploy
from segnet_live.nets.load import load_network
from segnet_live.nets.pooling import MASK, RESIZE, SLICES, Pooling
from segnet_live.nets.segnet import Network

log = logging.getLogger(__name__)

PRECISIONS = {"fp16": torch.float16, "fp32": torch.float32}
OPTIONS: dict[str, Any] = {
    "optimization_level": 3,
    "require_full_compilation": True,
    "immutable_weights": True,
    "workspace_size": 64 << 20,  # bounds scratch memory; the whole process should stay below 200 MiB
}
"""For Torch-TensorRT, which ignores what it does not know: a contract test checks the names."""
TIMED_FRAMES = 30
DEVICE = "cuda"


def pooling_forms(card: Card) -> tuple[Pooling, ...]:
    """Equal forms that TensorRT converts; the build keeps the one that is faster on the user's GPU."""
    return (MASK,) if card.architecture == "segnet-fast" else (SLICES, RESIZE)


def precision_of(wish: str) -> str:
    """The precision for "auto" or a name.

    Raises:
        EngineError: TensorRT engines are not built in it.
    """
    precision = "fp16" if wish == "auto" else wish
    if precision not in PRECISIONS:
        raise EngineError(f"backend tensorrt has no precision {wish!r}; choose from {', '.join(PRECISIONS)}")
    return precision


def facts_of(card: Card, size: Size, precision: str, pooling: Pooling) -> Facts:
    """Everything that makes an engine another one, or a wrong one."""
    return {
        "model": card.name,
        "weights": card.sha256,
        "architecture": card.architecture,
        "arguments": card.arguments,
        "classes": len(card.classes),
        "mean": card.mean,
        "std": card.std,
        "graph": GRAPH_REVISION,
        "pooling": pooling.name,
        "size": size,
        "precision": precision,
        "options": OPTIONS,
        **asdict(gpu()),
        **versions(),
    }


def versions() -> Facts:
    """Of the software that builds and runs engines."""
    return {name: importlib.metadata.version(name) for name in ("torch", "torch_tensorrt", "tensorrt")}


def find(card: Card, size: Size, precision: str, cache: EngineCache | None = None) -> Entry | None:
    """The cached engine for this card, size, precision, GPU and software; None means: build it."""
    cache = cache or EngineCache()
    for form in pooling_forms(card):
        entry = cache.load(facts_of(card, size, precision, form))
        if entry is not None:
            return entry
    return None


def deployed(network: Network, card: Card, precision: str, pooling: Pooling) -> Deploy:
    """The graph as TensorRT gets it: int32 class ids, because TensorRT has no uint8 output."""
    return Deploy(network, card.mean, card.std, pooling=pooling, dtype=PRECISIONS[precision], ids=torch.int32)


def convert(deploy: Deploy, size: Size, timing_cache: Path) -> bytes:
    """A serialised engine of the whole graph; an operation without a converter is an error, never a fallback.

    Networks are strongly typed: the graph's own dtype is the precision.
    """
    import torch_tensorrt

    example = torch.zeros((1, *size, 3), dtype=torch.uint8, device=deploy.scale.device)
    with torch.no_grad():
        program = torch.export.export(deploy, (example,), strict=False)
    engine: bytes = torch_tensorrt.dynamo.convert_exported_program_to_serialized_trt_engine(
        program,
        arg_inputs=[example],
        device=torch_tensorrt.Device("cuda:0"),
        disable_tf32=deploy.dtype == torch.float32,
        timing_cache_path=str(timing_cache),  # the default lies in a folder that all users share
        **OPTIONS,
    )
    return engine


def build(card: Card, size: Size, precision: str, cache: EngineCache, scratch: Path) -> None:
    """Put a checked engine into the cache, or into `scratch` if that is impossible. Runs in the child process.

    Raises:
        EngineError: TensorRT is missing or fails, memory runs out, or the engine disagrees with fp32 eager.
        CardError: the weights are damaged.
    """
    require_tensorrt()
    network = load_network(card)
    forms = pooling_forms(card)
    with cache.building(facts_of(card, size, precision, forms[0])):
        if find(card, size, precision, cache) is not None:
            return  # another process built it while this one waited
        best: tuple[float, Entry] | None = None
        failure = EngineError(f"TensorRT cannot build {card.name}: there is no pooling form to build it with")
        for form in forms:
            try:
                blob = convert(deployed(network, card, precision, form).to(DEVICE), size, scratch / "timing.bin")
            except Exception as error:  # Torch-TensorRT raises anything, AssertionError on a CPU build of torch
                failure = as_engine_error(error, f"TensorRT cannot build {card.name} ({form.name})")
                log.info("%s", failure)
                continue
            release_cached()
            entry = Entry(facts_of(card, size, precision, form), {"parity": {"overall": None}}, blob)
            ms = _frame_ms(TensorRTEngine(card, size, entry), size)
            log.info("%s: %.2f ms per frame, %.1f MiB", form.name, ms, len(blob) / (1 << 20))
            if best is None or ms < best[0]:
                best = ms, entry
        if best is None:
            raise failure
        ms, entry = best
        engine = TensorRTEngine(card, size, entry)
        found = parity.measure(engine, card)
        parity.require(found, engine.info, card)
        parity.remember(card, engine.info, found)
        notes = {"parity": asdict(found), "frame_ms": round(ms, 3)}
        if not cache.store(entry.facts, entry.blob, notes) and not EngineCache(scratch).store(
            entry.facts, entry.blob, notes
        ):
            raise EngineError(
                f"the engine is built but neither {cache.folder} nor {scratch} can be written; free some space"
            )


def _frame_ms(engine: TensorRTEngine, size: Size) -> float:
    """Median milliseconds of one frame, host to host; closes the engine."""
    frame = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    times = []
    for _ in range(TIMED_FRAMES):
        start = time.perf_counter()
        engine.segment(frame)
        times.append(time.perf_counter() - start)
    engine.close()
    return float(np.median(times)) * 1e3
