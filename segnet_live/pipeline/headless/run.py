"""A run without a window: checks everything, says what was chosen and why, runs the pipeline, says what came of it."""

from __future__ import annotations

import contextlib
import math
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import FrameType

from segnet_live.card import DEFAULT_MODEL, Card, find_card
from segnet_live.config import RunConfig, RunOptions
from segnet_live.engine.base import Engine, EngineInfo
from segnet_live.engine.governed import GovernedEngine
from segnet_live.engine.governor import Target
from segnet_live.engine.open import assemble, open_engine
from segnet_live.errors import SourceError, UsageError
from segnet_live.frame import FrameResult, Size
from segnet_live.metrics import Metrics
from segnet_live.pipeline.headless.pipeline import Pipeline
from segnet_live.pipeline.headless.progress import FrameProgress
from segnet_live.pipeline.inference import freeze_libraries
from segnet_live.pipeline.record.preflight import check_outputs
from segnet_live.pipeline.record.sinks import Masks, Sink, Stats
from segnet_live.pipeline.record.video import Recording
from segnet_live.render.hud import HudText
from segnet_live.render.view import ViewSettings
from segnet_live.video.open import open_source
from segnet_live.video.source import SourceInfo, VideoSource

POLL_S = 0.1


@dataclass(frozen=True, slots=True)
class Job:
    """Everything a headless run needs, open and checked; `pipeline` owns and closes source, engine and sinks."""

    pipeline: Pipeline
    source: VideoSource
    engine: Engine
    sinks: tuple[Sink, ...]
    metrics: Metrics
    governor: GovernedEngine | None = None

    def summary(self, elapsed_s: float) -> str:
        """One line: frames, seconds, frames/s and how that compares with real time, losses, and what was written."""
        frames, rate = self.pipeline.written, self.source.info.rate
        parts = [f"{frames} frames in {elapsed_s:.1f} s", f"{frames / max(elapsed_s, 1e-9):.1f} frames/s"]
        if rate and not self.source.info.live:
            parts[1] += f" ({self.real_time(elapsed_s):.2g}x real time)"
        if self.governor:
            parts.append(f"governor {self.governor.status}")
        parts += [f"{self.pipeline.skipped} skipped", f"{self.source.corrupt} corrupt"]
        return "; ".join([", ".join(parts), *(str(sink) for sink in self.sinks if frames)])

    def real_time(self, elapsed_s: float) -> float:
        """Seconds of source time done per second; nan where the source has no rate."""
        rate = self.source.info.rate
        return self.pipeline.written / float(rate) / max(elapsed_s, 1e-9) if rate else math.nan


def prepare(
    config: RunConfig,
    say: Callable[[str], None],
    *,
    more_sinks: Callable[[SourceInfo], Sink] | None = None,
    result_type: type[FrameResult] = FrameResult,
) -> Job:
    """Return a job that only needs to be started.

    Args:
        say: takes a line each about input and engine.
        more_sinks: makes a further sink for the source, once that is open.
        result_type: what sinks get of each frame.

    Raises:
        SegnetLiveError: anything that cannot be carried out; nothing was written.
    """
    if config.source is None:
        raise UsageError("a headless run needs an input: add --video, --camera, --images or --synthetic")
    check_outputs(config)
    options = config.options()
    card = find_card(options.model or DEFAULT_MODEL)
    shown = range(len(card.classes)) if config.classes is None else card.classes.ids(config.classes)
    settings = ViewSettings(options.view, options.opacity, hidden=frozenset(range(len(card.classes))) - set(shown))
    with contextlib.ExitStack() as opened:
        source = open_source(config.source)
        opened.callback(source.close)
        say(f"input: {_describe_source(source.info)}")
        engine, governor = _open_engine(options, card, source.info)
        opened.callback(engine.close)
        say(f"engine: {_describe_engine(engine.info)}")
        metrics = Metrics()
        sinks: list[Sink] = []
        if config.record is not None:
            hud = HudText(metrics, engine) if options.burn_hud else None
            sinks.append(Recording(config.record, config.source, settings, hud=hud, overwrite=config.overwrite))
        if config.masks is not None:
            sinks.append(Masks(config.masks))
        if config.stats is not None:
            sinks.append(Stats(config.stats, card.classes))
        if more_sinks is not None:
            sinks.append(more_sinks(source.info))
        observe = governor.observe if governor else None
        pipeline = Pipeline(source, engine, sinks, metrics, card.classes, observe=observe, result_type=result_type)
        opened.pop_all()
    return Job(pipeline, source, engine, tuple(sinks), metrics, governor)


def _open_engine(options: RunOptions, card: Card, source: SourceInfo) -> tuple[Engine, GovernedEngine | None]:
    """Return the engine as `options` want it, smoothed and governed, and the governor, if any."""

    def open_at(size: Size | None) -> Engine:
        return open_engine(
            card, backend=options.backend, size=size, source_size=source.size, precision=options.precision
        )

    governed = options.target_fps is not None or options.max_latency_ms is not None
    target = Target(options.target_fps, options.max_latency_ms) if governed else None
    return assemble(open_at, card, source.size, size=options.size, target=target, smooth=options.smooth)


def run(config: RunConfig) -> int:
    """Everything `config` asks for is done and written. Call it from the main thread: it handles Ctrl-C while it runs.

    Returns:
        0, or 128 plus the signal's number where one ended the run early (130 for Ctrl-C); what was done is kept.

    Raises:
        SegnetLiveError: anything that cannot be carried out; if frames were written before, they are kept and named.
    """
    job = prepare(config, say)
    pipeline, source = job.pipeline, job.source
    if not job.sinks:
        say("nothing will be written: add --record, --masks or --stats")
    told = 0
    freeze_libraries()
    began_s = time.monotonic()
    with signals() as caught, FrameProgress(source.info.frames) as progress:
        try:
            pipeline.start()
            while not pipeline.wait(POLL_S):
                progress.update(pipeline.written, pipeline.skipped)
                if len(caught) > told:
                    told = len(caught)
                    pipeline.stop()
                    say("finishing what is begun; please wait")
        finally:
            pipeline.close()
    say(job.summary(time.monotonic() - began_s))
    if pipeline.error:
        raise pipeline.error
    if caught:
        return 128 + caught[0]
    if not pipeline.written:
        raise SourceError(f"{source.info.title} gave no frame; nothing was written")
    return 0


def say(line: str) -> None:
    """Print a line at once, also into a pipe."""
    print(line, flush=True)


@contextlib.contextmanager
def signals() -> Iterator[list[int]]:
    """Ctrl-C, termination and a closed terminal are collected instead of breaking off whatever is being written."""
    caught: list[int] = []

    def note(number: int, _: FrameType | None) -> None:
        caught.append(number)

    numbers = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK") if hasattr(signal, name)]
    before = {number: signal.signal(number, note) for number in numbers}
    try:
        yield caught
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _describe_source(info: SourceInfo) -> str:
    height, width = info.size
    parts = [f"{info.title}: {width}x{height}"]
    if info.rate is not None:
        parts.append(f"{float(info.rate):.5g} frames/s")
    if info.duration_s is not None:
        parts.append(f"{info.duration_s:.2f} s")
    if info.live:
        parts.append("live: the newest frame counts")
    return ", ".join(parts)


def _describe_engine(info: EngineInfo) -> str:
    height, width = info.input_size
    what = f"{info.model} on {info.backend}, {info.device}, {info.precision}, input {height}x{width} (height x width)"
    return f"{what}; {info.reason}" if info.reason else what
