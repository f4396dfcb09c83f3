"""Open source, engine and outputs of a headless run, checked before anything is written, and say what they are."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from segnet_live.card import DEFAULT_MODEL, Card, find_card
from segnet_live.classes import CAMVID_NAMES
from segnet_live.config import Backend, IndexPlace, RunConfig, RunOptions
from segnet_live.engine.base import Engine, EngineInfo
from segnet_live.engine.governed import GovernedEngine
from segnet_live.engine.governor import Target
from segnet_live.engine.open import assemble_engine, open_engine
from segnet_live.engine.paired import open_pair, other_engine
from segnet_live.engine.takeover import TakeoverEngine
from segnet_live.errors import SourceLost, UsageError
from segnet_live.frame import FrameResult, Size
from segnet_live.metrics import Metrics
from segnet_live.pipeline.headless.pipeline import Pipeline
from segnet_live.pipeline.headless.reconnect import numbered_on, reconnects
from segnet_live.pipeline.record.hiding_sink import HidingSink
from segnet_live.pipeline.record.part import WHOLE, Part, PartSink
from segnet_live.pipeline.record.preflight import check_outputs
from segnet_live.pipeline.record.sinks import (
    CONFIDENCE_COLUMNS,
    DISAGREEMENT_COLUMN,
    ConfidenceMaps,
    LabelMaps,
    Sink,
    Stats,
    TruthScore,
)
from segnet_live.pipeline.record.video import Recording
from segnet_live.render.hiding import Hiding
from segnet_live.render.hud import Hud
from segnet_live.render.view import ViewSettings
from segnet_live.system import crash
from segnet_live.video.encoders import choose
from segnet_live.video.open import open_source
from segnet_live.video.recorder import USUAL_RATE
from segnet_live.video.source import SourceInfo, VideoSource


@dataclass(frozen=True, slots=True)
class Job:
    """A headless run, open and checked; `pipeline` owns and closes source, engine and sinks.

    Attributes:
        config: what was asked for.
        named: the same with the outputs under the names that this job writes.
        reconnects: whether a lost source is reopened.
        make_pipeline: makes a pipeline and its sinks for a source, around the engine of this job.
        resumed_s: source time that the jobs reached which this one continues.
    """

    config: RunConfig
    named: RunConfig
    pipeline: Pipeline
    source: VideoSource
    engine: Engine
    sinks: tuple[Sink, ...]
    metrics: Metrics
    governor: GovernedEngine | None
    reconnects: bool
    make_pipeline: Callable[[RunConfig, VideoSource], tuple[Pipeline, tuple[Sink, ...]]]
    resumed_s: float | None = None

    def summary(self, elapsed_s: float, before: Sequence[Job] = ()) -> str:
        """Return one line: frames, seconds, frames/s and how that compares with real time, losses, what was written.

        Args:
            before: the jobs that this one continues.
        """
        jobs = (*before, self)
        frames, rate = sum(job.pipeline.written for job in jobs), self.source.info.rate
        parts = [f"{frames} frames in {elapsed_s:.1f} s", f"{frames / max(elapsed_s, 1e-9):.1f} frames/s"]
        if rate and not self.source.info.live:
            parts[1] += f" ({real_time(frames, rate, elapsed_s):.2g}x real time)"
        if self.governor:
            parts.append(f"governor {self.governor.status}")
        parts.append(f"{sum(job.pipeline.skipped for job in jobs)} skipped")
        parts.append(f"{sum(job.source.corrupt for job in jobs)} corrupt")
        return "; ".join([", ".join(parts), *(str(sink) for job in jobs if job.pipeline.written for sink in job.sinks)])

    @property
    def is_lost(self) -> bool:
        """Whether the job ended because the source was lost, which it is then to reopen."""
        return self.reconnects and isinstance(self.pipeline.error, SourceLost)

    @property
    def reached_s(self) -> float | None:
        """The source time of the last frame written, here or in a job that this one continues."""
        return self.resumed_s if self.pipeline.reached_s is None else self.pipeline.reached_s

    def continued(self, source: VideoSource) -> Job:
        """Return a job that goes on with a reopened source: same engine, outputs numbered on."""
        named = numbered_on(self.config) if self.pipeline.written else self.named
        pipeline, sinks = self.make_pipeline(named, source)
        return replace(self, named=named, pipeline=pipeline, source=source, sinks=sinks, resumed_s=self.reached_s)


def real_time(frames: int, rate: Fraction | None, elapsed_s: float) -> float:
    """Return the seconds of source time done per second; nan where the source has no rate."""
    return frames / float(rate) / max(elapsed_s, 1e-9) if rate else math.nan


def prepare(
    config: RunConfig,
    report: Callable[[str], None],
    *,
    more_sinks: Callable[[SourceInfo], Sink] | None = None,
    result_type: type[FrameResult] = FrameResult,
    open_engine: Callable[..., Engine] | None = None,
    part: Part = WHOLE,
) -> Job:
    """Return a job that is checked, open and ready to be started.

    Args:
        report: takes a line each about input and engine.
        more_sinks: makes a further sink for the source, once that is open.
        result_type: what sinks get of each frame.
        open_engine: opens a bare engine, None for `engine.open.open_engine`.
        part: what outputs get of a file; of less than all of it, a recording is silent.

    Raises:
        SegnetLiveError: anything that cannot be carried out; nothing was written.
    """
    if config.source is None:
        raise UsageError("a headless run needs an input: add --video, --camera, --images or --synthetic")
    check_outputs(config)
    options = config.options()
    card = find_card(options.model or DEFAULT_MODEL)
    shown = range(len(card.classes)) if config.classes is None else card.classes.ids(config.classes)
    hidden = frozenset(range(len(card.classes))) - set(shown)
    settings = ViewSettings(
        options.view, options.opacity, hidden, layers=options.layers, fade_unsure=options.fade_unsure
    )
    hiding = None if config.hiding is None else Hiding.of(config.hiding, card.classes)
    with contextlib.ExitStack() as opened:
        source = open_source(config.source)
        opened.callback(source.close)
        reopens = reconnects(config, source.info)
        report(f"input: {_describe_source(source.info, getattr(source, 'device', None))}")
        bonnet = None
        if config.bonnet is not None:
            from segnet_live.drives.bonnet import chosen_bonnet

            bonnet = chosen_bonnet(config.bonnet, config.video_file, report)
        at_source = config.masks is not None
        engine, governor = _engine_for(options, card, source.info, report, open_engine or _opened, at_source)
        opened.callback(engine.close)
        report(f"engine: {_describe_engine(engine.info)}")
        if engine.info.other is not None:
            report(f"beside it: {_describe_engine(engine.info.other)}")
        crash.note(f"engine: {_describe_engine(engine.info)}")
        if config.record is not None:
            report(f"encoder: {_describe_encoder(options, source.info)}")
        metrics = Metrics()

        def within(sink: Sink) -> Sink:
            return sink if part.is_whole else PartSink(sink, part)

        def make_pipeline(config: RunConfig, source: VideoSource) -> tuple[Pipeline, tuple[Sink, ...]]:
            sinks: list[Sink] = []
            if config.record is not None and config.source is not None:
                hud = Hud(metrics, engine, governor) if options.burn_hud else None
                recording = Recording(
                    config.record,
                    config.source,
                    settings,
                    hud=hud,
                    overwrite=config.overwrite,
                    encoding=options.encoding,
                    sound=part.is_whole,
                )
                sinks.append(within(recording) if hiding is None else HidingSink(within(recording), hiding))
            if config.masks is not None:
                sinks.append(within(LabelMaps(config.masks, overwrite=config.overwrite)))
            if config.confidence is not None:
                sinks.append(within(ConfidenceMaps(config.confidence, overwrite=config.overwrite)))
            if config.stats is not None:
                extra = CONFIDENCE_COLUMNS[: 0 if not options.needs_confidence else 3 if options.samples else 2]
                extra += (DISAGREEMENT_COLUMN,) if options.compare is not None else ()
                sinks.append(within(Stats(config.stats, card.classes, extra)))
            place = part.index or config.index
            if place is not None:
                sinks.append(_indexer(config, place, card, options, engine))
            if config.source is not None and config.source.kind == "synthetic" and card.classes.names == CAMVID_NAMES:
                sinks.append(TruthScore(len(card.classes)))
            if more_sinks is not None:
                sinks.append(more_sinks(source.info))
            observe = governor.observe if governor else None
            pipeline = Pipeline(
                source,
                engine,
                sinks,
                metrics,
                card.classes,
                observe=observe,
                result_type=result_type,
                bonnet=bonnet,
            )
            return pipeline, tuple(sinks)

        pipeline, sinks = make_pipeline(config, source)
        opened.pop_all()
    return Job(config, config, pipeline, source, engine, sinks, metrics, governor, reopens, make_pipeline)


def _indexer(config: RunConfig, place: IndexPlace | Path, card: Card, options: RunOptions, engine: Engine) -> Sink:
    """Return the sink that leaves an index of the drive."""
    from segnet_live.drives.index import key_of
    from segnet_live.drives.indexer import Indexer

    video = config.video_file
    assert video is not None
    key = key_of(video, card, size=options.size, smooth=options.smooth, bonnet=config.bonnet)
    return Indexer(video, key, lambda: engine.info, place=place)


def _opened(card: Card, **options: Any) -> Engine:
    """Open a bare engine."""
    return open_engine(card, **options)


def _engine_for(
    options: RunOptions,
    card: Card,
    source: SourceInfo,
    report: Callable[[str], None],
    open_engine: Callable[..., Engine],
    at_source: bool,
) -> tuple[Engine, GovernedEngine | None]:
    """Return the engine as `options` want it, smoothed and governed, and the governor, if any.

    Where nobody waits for the newest frame, the next one begins while the one before is under way.
    """

    governed = options.target_fps is not None or options.max_latency_ms is not None

    def open_first(size: Size | None) -> Engine:
        def open_with(backend: Backend) -> Engine:
            return open_engine(
                card,
                backend=backend,
                size=size,
                source_size=source.size,
                precision=options.precision if backend == options.backend else "auto",
                confidence=options.needs_confidence,
                samples=options.samples,
                overlap=not (source.live or governed or options.compare),
                at_source=at_source and not options.smooth,
                enlarges=at_source and options.smooth,
            )

        return TakeoverEngine(open_with(options.backend), open_with, report)

    def open_at(size: Size | None) -> Engine:
        if other is None:
            return open_first(size)
        opened, fixed = (card, other.card), options.size is not None
        return open_pair(open_first, open_second, opened, source.size, size, fixed=fixed)

    def open_second(size: Size | None) -> Engine:
        assert other is not None
        return open_engine(
            other.card, backend=other.backend, size=size, source_size=source.size, precision=other.precision
        )

    other = None if options.compare is None else other_engine(options.compare, card)
    target = Target(options.target_fps, options.max_latency_ms) if governed else None
    return assemble_engine(open_at, card, source.size, size=options.size, target=target, smooth=options.smooth)


def _describe_source(info: SourceInfo, device: str | None) -> str:
    height, width = info.size
    parts = [f"{info.title}: {width}x{height}"]
    if info.rate is not None:
        parts.append(f"{float(info.rate):.5g} frames/s")
    if info.duration_s is not None:
        parts.append(f"{info.duration_s:.2f} s")
    if info.live:
        parts.append("live: the newest frame counts")
    if device is not None:
        parts.append(f"decoded by {device}")
    return ", ".join(parts)


def _describe_encoder(options: RunOptions, source: SourceInfo) -> str:
    """Say which encoder records, and why not another.

    Raises:
        UsageError: the one that was asked for does not open.
    """
    height, width = source.size
    size = (height, 2 * width) if options.view == "side-by-side" else (height, width)
    encoder = choose(options.encoding, size, source.rate or USUAL_RATE)
    missing = "".join(f"; {name} does not open ({why})" for name, why in encoder.missing)
    return f"{encoder.title}, quality {options.quality}{missing}"


def _describe_engine(info: EngineInfo) -> str:
    height, width = info.input_size
    what = f"{info.model} on {info.backend}, {info.device}, {info.precision}, input {height}x{width} (height x width)"
    what += f", mean of {info.samples} samples" if info.samples else ", with confidence" if info.confidence else ""
    return f"{what}; {info.reason}" if info.reason else what
