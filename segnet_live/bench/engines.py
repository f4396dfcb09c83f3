"""Time every model on every engine that this machine has, in turns in one run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np

from segnet_live.bench.machine import Noise, NoiseMeter
from segnet_live.bench.measure import Timing, interleaved, timed_ms
from segnet_live.bench.memory import EngineMemory, engine_memory, in_own_process
from segnet_live.card import Card, require_rgb
from segnet_live.config import Backend, Precision
from segnet_live.engine import parity
from segnet_live.engine.base import Engine, EngineInfo
from segnet_live.engine.open import open_engine
from segnet_live.engine.resize import fit_input
from segnet_live.errors import EngineError, first_line
from segnet_live.frame import RGB, Size
from segnet_live.labels import labels_at
from segnet_live.render.overlay import Overlay

STAGE_CALLS = 50
GPU_WARM_S = 0.3


@dataclass(frozen=True, slots=True)
class Plan:
    """The plan of a benchmark: what to measure.

    Attributes:
        engines: (backend, precision) pairs; those this machine has not are left out and named.
        size: network input (height, width); None takes each card's own.
        n: counted calls; seconds: where a slow contender stops.
        against: MODULE:FACTORY of other networks.
        memory: measure each engine's memory in a process of its own.
        confidence: time each engine with its confidence map, too, in turns with the one without.
    """

    cards: tuple[Card, ...]
    engines: tuple[tuple[Backend, Precision], ...]
    size: Size | None = None
    n: int = 200
    seconds: float = 20.0
    against: tuple[str, ...] = ()
    memory: bool = True
    confidence: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """One model on one engine.

    Attributes:
        inference: uint8 RGB at network size in, uint8 label map at network size out, on the host.
        stages_ms: p50 of the host steps around it, for frames of `Report.frame_size`.
        agreement: share of pixels, 0..1, labelled as by the same network in fp32 eager; None for peers.
        memory: None where it was not measured.
        parameters, gflop: of the network at this input size (a multiply-add is two operations).
        peer: timed from outside with --against.
    """

    info: EngineInfo
    inference: Timing
    stages_ms: dict[str, float]
    agreement: float | None
    memory: EngineMemory | None
    parameters: int
    gflop: float
    model_mib: float
    peer: bool = False

    @property
    def name(self) -> str:
        return f"{self.info.model} {self.info.backend} {self.info.precision}" + ", confidence" * self.info.confidence


@dataclass(frozen=True, slots=True)
class Report:
    """All rows of a run, how quiet it was, and what could not be measured, as (what, why)."""

    rows: tuple[Row, ...]
    noise: Noise
    frame_size: Size
    missing: tuple[tuple[str, str], ...]

    def fastest(self, model: str) -> EngineInfo | None:
        """Return what ran this model in the least time; None if nothing did."""
        own = [r for r in self.rows if not r.peer and r.info.model == model and not r.info.confidence]
        return min(own, key=lambda row: row.inference.p50).info if own else None

    def ratio(self, row: Row) -> float | None:
        """Return this peer's p50 over that of our fastest model at the same backend, size and precision; None for ours.

        A peer in bf16 meets our int8, too.
        """
        same = [
            r.inference.p50
            for r in self.rows
            if not r.peer
            and not r.info.confidence
            and (r.info.backend, _peers_precision(r.info), r.info.input_size)
            == (row.info.backend, row.info.precision, row.info.input_size)
        ]
        return row.inference.p50 / min(same) if row.peer and same else None


@dataclass(frozen=True, slots=True)
class _Contender:
    engine: Engine
    card: Card | None
    parameters: int
    gflop: float
    model_mib: float


def measure(plan: Plan, frames: Sequence[RGB]) -> Report:
    """Open everything, compare with eager, time in turns, close everything.

    Raises:
        UsageError: an --against network is missing or does not fit.
        CardError: damaged weights.
        EngineError: no engine at all could be opened.
    """
    missing: list[tuple[str, str]] = []
    with ExitStack() as opened:
        contenders = [c for card in plan.cards for c in _ours(card, plan, opened, missing)]
        if not contenders:
            raise EngineError(f"nothing to measure: {'; '.join(f'{what}: {why}' for what, why in missing)}")
        for spec in plan.against:
            contenders += _peers(spec, [c for c in contenders if c.card], opened, missing)
        fitted = [np.ascontiguousarray(fit_input(frames[0], c.engine.info.input_size)) for c in contenders]
        calls = {
            str(i): lambda c=c, rgb=rgb: c.engine.segment(rgb)
            for i, (c, rgb) in enumerate(zip(contenders, fitted, strict=True))
        }
        on_gpu = [is_on_gpu(c.engine.info) for c in contenders]
        meter = NoiseMeter(on_gpu=any(on_gpu))
        timings = interleaved(
            calls,
            n=plan.n,
            seconds=plan.seconds,
            between=meter.sample,
            warm_s=lambda name: GPU_WARM_S if on_gpu[int(name)] else 0.0,
        )
        noise = meter.read()
        rows = [_row(c, timings[str(i)], plan, frames, missing) for i, c in enumerate(contenders)]
    return Report(tuple(rows), noise, frames[0].shape[:2], tuple(missing))


def _ours(card: Card, plan: Plan, opened: ExitStack, missing: list[tuple[str, str]]) -> Iterator[_Contender]:
    from segnet_live.bench.network import gflop, parameters
    from segnet_live.nets.load import load_network

    try:
        require_rgb(card)
    except EngineError as error:
        missing.append((card.name, str(error)))
        return
    size = plan.size or card.input_size
    network = load_network(card)
    count, operations = parameters(network), gflop(network, size)
    seen = set()
    for backend, precision in plan.engines:
        for confidence in (False, True) if plan.confidence else (False,):
            try:
                engine = open_engine(card, backend=backend, size=size, precision=precision, confidence=confidence)
            except EngineError as error:
                what = f"{card.name} on {backend} {precision}" + ", confidence" * confidence
                missing.append((what, str(error)))
                continue
            opened.callback(engine.close)
            kind = engine.info.backend, engine.info.precision, confidence
            if kind not in seen:
                seen.add(kind)
                yield _Contender(engine, card, count, operations, card.weights_mib)


def _peers_precision(ours: EngineInfo) -> Precision:
    """Return what a peer runs in beside ours: bf16 beside int8, for which it has no ranges."""
    return "bf16" if ours.precision == "int8" else ours.precision


def _peers(
    spec: str, ours: Sequence[_Contender], opened: ExitStack, missing: list[tuple[str, str]]
) -> Iterator[_Contender]:
    """Yield the peer once for every backend, precision and size that our own networks run at."""
    from segnet_live.bench.network import gflop, parameters
    from segnet_live.bench.peers import load_peer, open_peer

    beside = next(c.card for c in ours if c.card is not None)
    network = load_peer(spec, len(beside.classes))
    runs = {(c.engine.info.backend, _peers_precision(c.engine.info), c.engine.info.input_size): 0 for c in ours}
    for backend, precision, size in runs:
        try:
            engine = open_peer(spec, network, beside, backend, size, precision)
        except EngineError as error:
            missing.append((f"{spec} on {backend} {precision}", str(error)))
            continue
        opened.callback(engine.close)
        count = parameters(network)
        yield _Contender(engine, None, count, gflop(network, size, "cpu"), 4 * count / 2**20)


def is_on_gpu(info: EngineInfo) -> bool:
    """Return whether an engine runs on a GPU."""
    return info.backend in ("tensorrt", "tensorrt-rtx") or (
        info.backend in ("torch", "inductor") and not info.device.startswith("CPU")
    )


def _row(
    contender: _Contender, timing: Timing, plan: Plan, frames: Sequence[RGB], missing: list[tuple[str, str]]
) -> Row:
    info, card = contender.engine.info, contender.card
    memory = None
    if plan.memory and card is not None and not info.confidence:
        try:
            memory = in_own_process(engine_memory, card, info.backend, info.input_size, info.precision)
        except Exception as error:  # the GPU is full of all contenders, say; their times are good
            missing.append((f"memory of {card.name} on {info.backend} {info.precision}", first_line(error)))
    return Row(
        info=info,
        inference=timing,
        stages_ms={} if card is None else _stages(contender.engine, card, frames[0]),
        agreement=None if card is None else parity.measure(contender.engine, card, frames).overall,
        memory=memory,
        parameters=contender.parameters,
        gflop=contender.gflop,
        model_mib=contender.model_mib,
        peer=card is None,
    )


def _stages(engine: Engine, card: Card, frame: RGB) -> dict[str, float]:
    """Return the p50 of the host steps: the frame to network size, the labels to frame size, the blend."""
    labels = engine.segment(frame)
    size = (frame.shape[0], frame.shape[1])
    overlay = Overlay(card.classes)
    large = labels_at(labels, size)
    steps = {
        "fit_input": lambda: fit_input(frame, engine.info.input_size),
        "labels_at": lambda: labels_at(labels, size),
        "overlay": lambda: overlay.blend(frame, large),
    }
    return {name: Timing.of([timed_ms(step) for _ in range(STAGE_CALLS)][5:]).p50 for name, step in steps.items()}
