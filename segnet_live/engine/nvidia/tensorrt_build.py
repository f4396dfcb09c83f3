"""Build TensorRT engines: find one in the store, or convert, measure and check one (`build_process` has the child).

Never run on a GPU so far. The converter contract tests run `convert` with Torch-TensorRT's real converters and a
recorder in place of TensorRT; the other tests run real child processes with stand-ins for the conversion.
"""

from __future__ import annotations

import importlib.metadata
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from segnet_live.card import Card
from segnet_live.config import Precision
from segnet_live.engine import parity
from segnet_live.engine.artifacts import ENGINE, Artifact, ArtifactStore, Fields
from segnet_live.engine.base import Engine
from segnet_live.engine.nvidia.device import GPU, as_engine_error, gpu, release_cached
from segnet_live.engine.nvidia.tensorrt import TensorRTEngine, require_tensorrt
from segnet_live.errors import EngineError
from segnet_live.frame import RGB, Size
from segnet_live.nets.deploy import GRAPH_REVISION, Deploy
from segnet_live.nets.load import load_network, network_class
from segnet_live.nets.pooling import Pooling, forms_for
from segnet_live.nets.segnet import Network

log = logging.getLogger(__name__)

PRECISIONS: dict[Precision, torch.dtype] = {"fp16": torch.float16, "fp32": torch.float32}
OPTIONS: dict[str, Any] = {
    "optimization_level": 3,
    "require_full_compilation": True,
    "immutable_weights": True,
    "workspace_size": 64 << 20,  # bounds scratch memory; the whole process should stay below 200 MiB
}
"""For Torch-TensorRT, which ignores what it does not know: a contract test checks the names."""


def precision_of(asked: Precision) -> Precision:
    """Return the precision for "auto" or a name.

    Raises:
        EngineError: TensorRT engines are not built in it.
    """
    precision: Precision = "fp16" if asked == "auto" else asked
    if precision not in PRECISIONS:
        raise EngineError(f"backend tensorrt has no precision {asked!r}", f"choose from {', '.join(PRECISIONS)}")
    return precision


def versions() -> dict[str, str]:
    """Return the versions of the software that builds an engine."""
    return {name: importlib.metadata.version(name) for name in ("torch", "torch_tensorrt", "tensorrt")}


@dataclass(frozen=True, slots=True)
class Toolchain:
    """The functions of the machine that a build calls; tests pass others.

    Attributes:
        require: raises EngineError if nothing can be built here.
        gpu: the GPU that is built for.
        versions: what is built with, by name.
        convert: see `convert`.
        run: opens what was built.
        device: torch's name of the GPU.
        frames: for parity; None takes those of the app.
        timed_frames: frames that decide which pooling form is faster.
    """

    require: Callable[[], None]
    gpu: Callable[[], GPU]
    versions: Callable[[], dict[str, str]]
    convert: Callable[[Deploy, Size, Path], bytes]
    run: Callable[[Card, Size, Artifact], Engine]
    device: str = "cuda"
    frames: Sequence[RGB] | None = None
    timed_frames: int = 30


def key_fields(card: Card, size: Size, precision: Precision, pooling: Pooling, tools: Toolchain) -> Fields:
    """Return everything that a built engine depends on."""
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
        **asdict(tools.gpu()),
        **tools.versions(),
    }


def convert(deploy: Deploy, size: Size, timing_cache: Path) -> bytes:
    """Return a serialised engine of the whole graph; an operation without a converter is an error, never a fallback.

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


TENSORRT = Toolchain(require_tensorrt, gpu, versions, convert, TensorRTEngine)


def find(
    card: Card, size: Size, precision: Precision, store: ArtifactStore | None = None, tools: Toolchain = TENSORRT
) -> Artifact | None:
    """Return the kept engine for this card, size, precision, GPU and software; None means: build it.

    Raises:
        CardError: the architecture is unknown.
    """
    store = store or ArtifactStore.of("tensorrt")
    for form in forms_for(network_class(card).pooling, "tensorrt"):
        entry = store.load(key_fields(card, size, precision, form, tools))
        if entry is not None:
            return entry
    return None


def build(
    card: Card, size: Size, precision: Precision, store: ArtifactStore, scratch: Path, tools: Toolchain = TENSORRT
) -> None:
    """Put a checked engine into `store`, or into `scratch` if that is impossible. Runs in the child process.

    Raises:
        EngineError: TensorRT is missing or fails, memory runs out, or no engine agrees with fp32 eager.
        CardError: the weights are damaged.
    """
    tools.require()
    network = load_network(card)
    forms = forms_for(network.pooling, "tensorrt")
    with store.making(key_fields(card, size, precision, forms[0], tools)):
        if find(card, size, precision, store, tools) is not None:
            return  # another process built it while this one waited
        failure: EngineError | None = None
        built: list[tuple[float, Artifact]] = []
        for form in forms:
            try:
                built.append(_built(network, card, size, precision, form, scratch, tools))
            except Exception as error:  # Torch-TensorRT raises anything, AssertionError on a CPU build of torch
                failure = as_engine_error(error, f"TensorRT cannot build {card.name} ({form.name})")
                log.info("%s", failure)
        for ms, entry in sorted(built, key=lambda pair: pair[0]):
            try:
                found = _checked(card, size, entry, tools)
            except EngineError as error:
                failure = error
                log.info("%s", failure)
                continue
            metadata = {"parity": asdict(found), "frame_ms": round(ms, 3)}
            for place in (store, ArtifactStore(scratch)):
                if place.save(entry.key_fields, metadata, entry.files):
                    return
            raise EngineError(
                f"the engine is built but neither {store.folder} nor {scratch} can be written", "free some space"
            )
        assert failure is not None
        raise failure


def _built(
    network: Network, card: Card, size: Size, precision: Precision, form: Pooling, scratch: Path, tools: Toolchain
) -> tuple[float, Artifact]:
    """Convert one form and run it; return the milliseconds of a frame, and the engine."""
    # int32 class ids, because TensorRT has no uint8 output
    deploy = Deploy(network, card.mean, card.std, pooling=form, dtype=PRECISIONS[precision], ids=torch.int32)
    blob = tools.convert(deploy.to(tools.device), size, scratch / "timing.bin")
    del deploy
    release_cached()
    fields = key_fields(card, size, precision, form, tools)
    entry = Artifact(fields, {"parity": {"overall": None}}, {ENGINE: blob})
    engine = tools.run(card, size, entry)
    try:
        ms = _frame_ms(engine, size, tools.timed_frames)
    finally:
        engine.close()
    log.info("%s: %.2f ms per frame, %.1f MiB", form.name, ms, len(blob) / (1 << 20))
    return ms, entry


def _checked(card: Card, size: Size, entry: Artifact, tools: Toolchain) -> parity.Parity:
    """Measure, remember and return the engine's parity.

    Raises:
        EngineError: it disagrees with fp32 eager.
    """
    engine = tools.run(card, size, entry)
    try:
        found = parity.measure(engine, card, tools.frames)
        parity.require(found, engine.info, card)
    finally:
        engine.close()
    parity.remember(card, engine.info, found)
    return found


def _frame_ms(engine: Engine, size: Size, count: int) -> float:
    """Return the median milliseconds of one frame, host to host."""
    frame = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    times = []
    for _ in range(count):
        start = time.perf_counter()
        engine.segment(frame)
        times.append(time.perf_counter() - start)
    return float(np.median(times)) * 1e3
