"""Make and find engines of TensorRT-RTX, for the GeForce and RTX cards that people own; `tensorrt` runs them.

Its builder needs no GPU and takes a second, so an engine is built on the spot, or ahead on any machine for several
generations of GPUs at once. What is specific to one GPU it compiles when an engine is opened, and we keep that, too.

Never run on a GPU so far; the builder itself runs in the converter contract tests.
"""

from __future__ import annotations

import importlib.util
import json
import logging
import threading
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

from segnet_live.card import Card
from segnet_live.config import Precision, format_size
from segnet_live.engine import parity
from segnet_live.engine.artifacts import ENGINE, Artifact, ArtifactStore, Fields, key
from segnet_live.engine.base import LABELS, RequestedOutputs
from segnet_live.engine.exporting import in_small_steps
from segnet_live.engine.nvidia.device import Missing, OutOfMemory, compile_lock, cuda_problem, gpu
from segnet_live.engine.nvidia.tensorrt import TensorRTEngine
from segnet_live.engine.nvidia.tensorrt_build import PLACE, deployed, network_fields, precision_of
from segnet_live.engine.nvidia.trt_builder import serialised
from segnet_live.errors import EngineError, UsageError, first_line
from segnet_live.frame import Size
from segnet_live.nets.load import load_network, network_class
from segnet_live.nets.pooling import form_for, forms_for

log = logging.getLogger(__name__)

INSTALL = "pip install 'segnet-live[rtx]'"
GENERATIONS = {"sm75": "RTX 20", "sm80": "A100", "sm86": "RTX 30", "sm89": "RTX 40", "sm120": "RTX 50", "sm121": "GB10"}
"""What TensorRT-RTX 1.7 builds for, with a card of each."""
KERNELS = ".kernels"
KERNELS_OF = "kernels of"


def rtx_missing() -> EngineError | None:
    """Return why engines cannot be built here, with what to do about it; None if they can. Needs no GPU."""
    if importlib.util.find_spec("tensorrt_rtx") is None:
        return Missing("TensorRT-RTX is not installed", INSTALL)
    try:
        import tensorrt_rtx  # only importing it tells whether its libraries load

        tensorrt_rtx.__version__  # noqa: B018  # a folder that a half-done removal left can be imported, too
    except Exception as error:  # a vendor package: missing or mismatched libraries raise anything
        return EngineError(f"TensorRT-RTX does not load ({first_line(error)})", f"{INSTALL} again")
    return None


def rtx_problem() -> EngineError | None:
    """Return why engines cannot run here, with what to do about it; None if they can."""
    problem = cuda_problem() or rtx_missing()
    if problem is None and generation() not in GENERATIONS:
        known = ", ".join(GENERATIONS)
        advice = "use --backend tensorrt or inductor"
        return EngineError(f"TensorRT-RTX does not run on this GPU ({generation()}; it knows {known})", advice)
    return problem


def generation() -> str:
    """Return the generation of the GPU in use, such as "sm89".

    Raises:
        EngineError: there is no GPU that CUDA can use.
    """
    return f"sm{gpu().sm.replace('.', '')}"


def parse_generations(text: str) -> tuple[str, ...]:
    """Return the generations in a list such as "sm75,sm89", sorted.

    Raises:
        UsageError: one of them is not known.
    """
    asked = [name.strip().lower() for name in text.split(",") if name.strip()]
    unknown = [name for name in asked if name not in GENERATIONS]
    if unknown or not asked:
        known = ", ".join(f"{name} ({card})" for name, card in GENERATIONS.items())
        raise UsageError(f"--for got {text!r}", f"choose from {known}, with commas between them")
    return tuple(sorted(set(asked), key=list(GENERATIONS).index))


def _fields(card: Card, size: Size, precision: Precision, pooling: str, maps: RequestedOutputs) -> Fields:
    """Return everything that a built engine depends on but the GPUs it is for."""
    import tensorrt_rtx

    return network_fields(card, size, precision, pooling, maps) | {"tensorrt_rtx": tensorrt_rtx.__version__}


def stores(card: Card) -> tuple[ArtifactStore, ...]:
    """Return where engines may lie: this user's cache, and beside the weights, with which they travel."""
    return ArtifactStore.of("tensorrt-rtx"), ArtifactStore(card.folder / "engines")


def find(card: Card, size: Size, precision: Precision, target: str, maps: RequestedOutputs = LABELS) -> Artifact | None:
    """Return a kept engine for this GPU generation whose content is intact; None means: build it.

    Raises:
        CardError: the architecture is unknown.
    """
    form = forms_for(network_class(card).pooling, "tensorrt")[0]
    wanted = _fields(card, size, precision, form.name, maps)
    for store in stores(card):
        others = set()
        for listed in store.entries():
            fields = dict(listed.key_fields)
            targets = fields.pop("targets", [])
            if target in targets and fields == _plain(wanted):
                found = store.load(listed.key_fields)
                if found is not None:
                    return found
            elif target in targets and _but_version(fields) == _but_version(_plain(wanted)):
                others.add(str(fields["tensorrt_rtx"]))
        if others:
            made = " and ".join(sorted(others))
            log.warning("engines of TensorRT-RTX %s are not used: %s is installed", made, wanted["tensorrt_rtx"])
    return None


def _plain(fields: Fields) -> Fields:
    """Return the fields as JSON gives them back."""
    return dict(json.loads(json.dumps(fields)))


def _but_version(fields: Fields) -> Fields:
    return {name: value for name, value in fields.items() if name != "tensorrt_rtx"}


def build(
    card: Card,
    size: Size,
    precision: Precision,
    targets: Sequence[str],
    store: ArtifactStore | None = None,
    maps: RequestedOutputs = LABELS,
) -> Artifact:
    """Build an engine for these GPU generations and keep it. Needs no GPU; takes a second or so.

    Args:
        store: None takes this user's cache.

    Raises:
        EngineError: TensorRT-RTX is missing, or refuses the network.
        CardError: the weights are damaged.
    """
    problem = rtx_missing()
    if problem is not None:
        raise EngineError(f"backend tensorrt-rtx: {problem.problem}", problem.advice)
    import tensorrt_rtx

    precision = precision_of(precision)
    network = load_network(card)
    form = form_for(network, "tensorrt")
    asked = [target.upper() for target in targets]
    blob = serialised(deployed(card, network, precision, form, maps), size, tensorrt_rtx, targets=asked)
    fields = _fields(card, size, precision, form.name, maps) | {"targets": list(targets)}
    entry = Artifact(fields, {"parity": {"overall": None}}, {ENGINE: blob})
    kept_in = store or ArtifactStore.of("tensorrt-rtx")
    if kept_in.save(fields, entry.metadata, entry.files):
        for gone in kept_in.drop_like(fields, (*PLACE, "targets")):
            ArtifactStore.of("tensorrt-rtx").drop_like({KERNELS_OF: gone}, (KERNELS_OF,))
    return entry


@dataclass(frozen=True, slots=True)
class _Kernels:
    """What TensorRT-RTX compiled for one engine on this GPU, in this user's cache."""

    key_fields: Fields

    def load(self) -> bytes | None:
        found = ArtifactStore.of("tensorrt-rtx").load(self.key_fields)
        return found.files[KERNELS] if found is not None else None

    def save(self, content: bytes) -> None:
        if content != self.load():
            store = ArtifactStore.of("tensorrt-rtx")
            if store.save(self.key_fields, {}, {KERNELS: content}):
                store.drop_like(self.key_fields, (KERNELS_OF, "name"))  # those of older drivers


def kernels_of(entry: Artifact) -> _Kernels:
    """Return where the compiled kernels of an engine are kept for the GPU in use."""
    return _Kernels({KERNELS_OF: key(entry.key_fields), **asdict(gpu())})


def _candidates(
    card: Card, size: Size, precision: Precision, target: str, cancel: threading.Event | None, maps: RequestedOutputs
) -> Iterator[Artifact]:
    """Yield the kept engine, if there is one, then one that is built now, when nothing else is.

    Raises:
        Cancelled: `cancel` was set before it was its turn.
    """
    found = find(card, size, precision, target, maps)
    if found is not None:
        yield found
    log.info("building a TensorRT-RTX engine for %s at %s", card.name, format_size(size))
    with compile_lock(cancel), in_small_steps():
        built = build(card, size, precision, (target,), maps=maps)
    yield built


def open_rtx(
    card: Card,
    size: Size,
    precision: Precision,
    reason: str,
    cancel: threading.Event | None = None,
    maps: RequestedOutputs = LABELS,
) -> TensorRTEngine:
    """Open a kept engine, or build one on the spot; one that is refused is built anew.

    Raises:
        EngineError: it cannot run here, or it disagrees with fp32 eager.
        CardError: the weights are damaged.
        Cancelled: `cancel` was set.
    """
    precision = precision_of(precision)
    problem = rtx_problem()
    if problem is not None:
        raise EngineError(f"backend tensorrt-rtx: {problem.problem}", problem.advice)
    import tensorrt_rtx

    last: EngineError | None = None
    for entry in _candidates(card, size, precision, generation(), cancel, maps):
        kernels = kernels_of(entry)
        seen = kernels.load() is not None  # opened and checked on this very GPU before
        with compile_lock(cancel):
            try:
                engine = TensorRTEngine(
                    card, size, entry, reason=reason, runtime=tensorrt_rtx, cache=kernels, maps=maps
                )
            except OutOfMemory:  # another one would need as much
                raise
            except EngineError as error:
                log.warning("a TensorRT-RTX engine is not used: %s", error)
                last = error
                continue
            engine.agrees(parity.checked(engine, card, kept=seen))
        return engine
    assert last is not None
    raise last
