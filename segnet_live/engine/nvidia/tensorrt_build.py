"""Build TensorRT engines: find one in the store, or convert, measure and check one (`build_process` has the child).

Never run on a GPU so far. The converter contract tests hand what is built here to a recorder in place of TensorRT, and
to TensorRT-RTX's real builder; the other tests run real child processes with stand-ins for the conversion.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch

from segnet_live.card import Card
from segnet_live.config import Precision
from segnet_live.engine import parity
from segnet_live.engine.artifacts import ENGINE, Artifact, ArtifactStore, Fields
from segnet_live.engine.base import LABELS, Engine, RequestedOutputs
from segnet_live.engine.eager import deployed_as_asked
from segnet_live.engine.nvidia.device import GPU, as_engine_error, gpu, release_cached
from segnet_live.engine.nvidia.tensorrt import TensorRTEngine, require_tensorrt
from segnet_live.engine.nvidia.trt_builder import OPTIONS, serialised
from segnet_live.errors import EngineError
from segnet_live.frame import RGB, Size
from segnet_live.nets.deploy import GRAPH_REVISION, Deployed
from segnet_live.nets.load import load_network, network_class
from segnet_live.nets.pooling import Pooling, forms_for
from segnet_live.nets.quantised import quantise
from segnet_live.nets.segnet import Network

log = logging.getLogger(__name__)

PRECISIONS: dict[Precision, torch.dtype] = {"fp16": torch.float16, "fp32": torch.float32, "int8": torch.float16}
"""What the network computes in; with int8, what its convolutions do not."""


def precision_of(asked: Precision) -> Precision:
    """Return the precision for "auto" or a name.

    Raises:
        EngineError: TensorRT engines are not built in it.
    """
    precision: Precision = "fp16" if asked == "auto" else asked
    if precision not in PRECISIONS:
        raise EngineError(f"backend tensorrt has no precision {asked!r}", f"choose from {', '.join(PRECISIONS)}")
    return precision


PLACE = ("model", "architecture", "size", "precision", "temperature", "samples", "name")
"""Fields in which an engine is like the one that it replaces: for other weights, or of other software."""


def versions() -> dict[str, str]:
    """Return the versions of the software that builds an engine."""
    import tensorrt

    return {"torch": torch.__version__, "tensorrt": tensorrt.__version__}  # its metadata has another name per CUDA


@dataclass(frozen=True, slots=True)
class Toolchain:
    """The functions of the machine that a build calls; tests pass others.

    Attributes:
        require: raises EngineError if nothing can be built here.
        gpu: the GPU that is built for.
        versions: what is built with, by name.
        convert: see `convert`.
        run: opens what was built: card, size, engine, and as `maps` what it gives beside labels.
        frames: for parity; None takes those of the app.
        timed_frames: frames of each that decide which pooling form is faster.
        warm_s: seconds of work before them.
    """

    require: Callable[[], None]
    gpu: Callable[[], GPU]
    versions: Callable[[], dict[str, str]]
    convert: Callable[[Deployed, Size, Path], bytes]
    run: Callable[..., Engine]
    frames: Sequence[RGB] | None = None
    timed_frames: int = 100
    warm_s: float = 0.2


def network_fields(
    card: Card, size: Size, precision: Precision, pooling: str, maps: RequestedOutputs = LABELS
) -> Fields:
    """Return what a built engine depends on, whatever builds it and for which GPU."""
    fields: Fields = {
        "model": card.name,
        "weights": card.network_id,
        "architecture": card.architecture,
        "arguments": card.arguments,
        "classes": len(card.classes),
        "mean": card.mean,
        "std": card.std,
        "graph": GRAPH_REVISION,
        "pooling": pooling,
        "size": size,
        "precision": precision,
        "ranges": card.int8_maxima if precision == "int8" else (),
        "options": OPTIONS,
    }
    if maps.samples:
        return fields | {"samples": maps.samples}
    return fields | ({"temperature": card.temperature} if maps.confidence else {})


def key_fields(
    card: Card, size: Size, precision: Precision, pooling: Pooling, tools: Toolchain, maps: RequestedOutputs = LABELS
) -> Fields:
    """Return everything that a built engine depends on."""
    gpu = asdict(tools.gpu())
    del gpu["driver"]  # an engine outlives a driver: TensorRT itself says if it does not, and it is built again
    return network_fields(card, size, precision, pooling.name, maps) | gpu | tools.versions()


def deployed(
    card: Card, network: Network, precision: Precision, form: Pooling, maps: RequestedOutputs = LABELS
) -> Deployed:
    """Return the graph that is built, on the CPU.

    Raises:
        EngineError: int8 is asked for and the card has no ranges for it; there is no dropout to sample.
        CardError: its ranges are not this network's.
    """
    # int32 class ids, because TensorRT has no uint8 output
    deploy = deployed_as_asked(card, network, maps, pooling=form, dtype=PRECISIONS[precision], ids=torch.int32)
    if precision != "int8":
        return deploy
    if not card.int8_maxima:
        raise EngineError(f"{card.name} has no int8 ranges on its card", "use --precision fp16 or fp32")
    return quantise(deploy, card.int8_maxima)


def convert(deploy: Deployed, size: Size, timing_cache: Path) -> bytes:
    """Return a serialised engine of the whole graph; an operation without a converter is an error, never a fallback."""
    import tensorrt

    return serialised(deploy, size, tensorrt, timing_cache=timing_cache)


TENSORRT = Toolchain(require_tensorrt, gpu, versions, convert, TensorRTEngine)


def find(
    card: Card,
    size: Size,
    precision: Precision,
    store: ArtifactStore | None = None,
    tools: Toolchain = TENSORRT,
    maps: RequestedOutputs = LABELS,
) -> Artifact | None:
    """Return the kept engine for this card, size, precision, GPU and software; None means: build it.

    Raises:
        CardError: the architecture is unknown.
    """
    store = store or ArtifactStore.of("tensorrt")
    for form in forms_for(network_class(card).pooling, "tensorrt"):
        entry = store.load(key_fields(card, size, precision, form, tools, maps))
        if entry is not None:
            return entry
    return None


def build(
    card: Card,
    size: Size,
    precision: Precision,
    store: ArtifactStore,
    scratch: Path,
    tools: Toolchain = TENSORRT,
    maps: RequestedOutputs = LABELS,
) -> None:
    """Put a checked engine into `store`, or into `scratch` if that is impossible. Runs in the child process.

    Raises:
        EngineError: TensorRT is missing or fails, memory runs out, or no engine agrees with fp32 eager.
        CardError: the weights are damaged.
    """
    tools.require()
    network = load_network(card)
    forms = forms_for(network.pooling, "tensorrt")
    run: Callable[..., Engine] = tools.run if maps == LABELS else partial(tools.run, maps=maps)
    with store.making(key_fields(card, size, precision, forms[0], tools, maps)):
        if find(card, size, precision, store, tools, maps) is not None:
            return  # another process built it while this one waited
        failure: EngineError | None = None
        built: list[Artifact] = []
        for form in forms:
            try:
                blob = tools.convert(deployed(card, network, precision, form, maps), size, scratch / "timing.bin")
                release_cached()
                made_of = key_fields(card, size, precision, form, tools, maps)
                entry = Artifact(made_of, {"parity": {"overall": None}}, {ENGINE: blob})
                run(card, size, entry).close()
                built.append(entry)
            except Exception as error:  # TensorRT raises anything
                failure = as_engine_error(error, f"TensorRT cannot build {card.name} ({form.name})")
                log.info("%s", failure)
        for ms, entry in sorted(_timed(built, card, size, run, tools), key=lambda pair: pair[0]):
            try:
                engine = run(card, size, entry)
                found = parity.checked(engine, card, tools.frames)
                engine.close()
            except EngineError as error:
                failure = error
                log.info("%s", failure)
                continue
            metadata = {"parity": asdict(found) if found else {"overall": None}, "frame_ms": round(ms, 3)}
            for place in (store, ArtifactStore(scratch)):
                if place.save(entry.key_fields, metadata, entry.files):
                    place.drop_like(entry.key_fields, PLACE)
                    return
            raise EngineError(
                f"the engine is built but neither {store.folder} nor {scratch} can be written", "free some space"
            )
        assert failure is not None
        raise failure


def _timed(
    built: Sequence[Artifact], card: Card, size: Size, run: Callable[..., Engine], tools: Toolchain
) -> list[tuple[float, Artifact]]:
    """Return each engine with the milliseconds of its frame; one alone needs no time."""
    if len(built) < 2:
        return [(0.0, entry) for entry in built]
    with contextlib.ExitStack() as opened:
        engines = []
        for entry in built:
            engines.append(run(card, size, entry))
            opened.callback(engines[-1].close)
        times = _frame_ms(engines, size, tools.timed_frames, tools.warm_s)
    for ms, entry in zip(times, built, strict=True):
        mib = len(entry.files[ENGINE]) / (1 << 20)
        log.info("%s: %.2f ms per frame, %.1f MiB", entry.key_fields["pooling"], ms, mib)
    return list(zip(times, built, strict=True))


def _frame_ms(engines: Sequence[Engine], size: Size, count: int, warm_s: float) -> list[float]:
    """Return the median milliseconds of a frame of each engine, host to host, measured in turns on a GPU at speed."""
    frame = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    times: list[list[float]] = [[] for _ in engines]
    began_s = time.perf_counter()
    while time.perf_counter() - began_s < warm_s:  # a GPU that idled has lowered its clock
        for engine in engines:
            engine.segment(frame)
    for _ in range(count):
        for engine, own in zip(engines, times, strict=True):
            start_s = time.perf_counter()
            engine.segment(frame)
            own.append((time.perf_counter() - start_s) * 1e3)
    return [float(np.median(own)) for own in times]
