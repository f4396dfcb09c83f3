"""A run without a window: checks everything, says what was chosen and why, runs the pipeline, says what came of it."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Iterator
from types import FrameType

from segnet_live.card import DEFAULT_MODEL_CPU, find_card
from segnet_live.config import RunConfig
from segnet_live.engine.base import EngineInfo
from segnet_live.engine.choose import open_engine
from segnet_live.errors import SourceError, UsageError
from segnet_live.overlay import Overlay
from segnet_live.pipeline.hud import HudText
from segnet_live.pipeline.metrics import Metrics
from segnet_live.pipeline.outputs import check_outputs
from segnet_live.pipeline.progress import FrameProgress
from segnet_live.pipeline.runner import Pipeline
from segnet_live.pipeline.sinks import Masks, Recording, Sink, Stats
from segnet_live.video.source import SourceInfo, VideoSource, open_source

POLL_S = 0.1


def run(config: RunConfig) -> int:
    """Everything `config` asks for is done and written. Call it from the main thread: it handles Ctrl-C while it runs.

    Returns:
        0, or 128 plus the signal's number where one ended the run early (130 for Ctrl-C); what was done is kept.

    Raises:
        SegnetLiveError: anything that cannot be carried out; if frames were written before, they are kept and named.
    """
    if config.source is None:
        raise UsageError("a headless run needs an input: add --video, --camera, --images or --synthetic")
    check_outputs(config)
    card = find_card(config.model or DEFAULT_MODEL_CPU)
    shown = None if config.classes is None else card.classes.ids(config.classes)
    overlay = Overlay(card.classes, opacity=config.opacity, shown=shown)
    with contextlib.ExitStack() as opened:
        source = open_source(config.source)
        opened.callback(source.close)
        print(f"input: {_describe_source(source.info)}", flush=True)
        engine = open_engine(
            card,
            backend=config.backend,
            size=config.size,
            source_size=source.info.size,
            precision=config.precision,
        )
        opened.callback(engine.close)
        print(f"engine: {_describe_engine(engine.info)}", flush=True)
        metrics = Metrics()
        sinks: list[Sink] = []
        if config.record is not None:
            hud = HudText(metrics, engine.info) if config.burn_hud else None
            sinks.append(
                Recording(
                    config.record,
                    config.source,
                    source.info,
                    overlay,
                    config.view,
                    hud=hud,
                    overwrite=config.overwrite,
                )
            )
        if config.masks is not None:
            sinks.append(Masks(config.masks))
        if config.stats is not None:
            sinks.append(Stats(config.stats, card.classes))
        if not sinks:
            print("nothing will be written: add --record, --masks or --stats", flush=True)
        pipeline = Pipeline(source, engine, sinks, metrics)
        opened.pop_all()
    return _supervise(pipeline, source, sinks)


def _supervise(pipeline: Pipeline, source: VideoSource, sinks: list[Sink]) -> int:
    """The pipeline has run to its end, to an error or to a signal, and the closing line is printed."""
    told = 0
    began_s = time.monotonic()
    with _signals() as caught, FrameProgress(source.info.frames) as progress:
        try:
            pipeline.start()
            while not pipeline.wait(POLL_S):
                progress.update(pipeline.written, pipeline.skipped)
                if len(caught) > told:
                    told = len(caught)
                    pipeline.stop()
                    print("finishing what is begun; please wait", flush=True)
        finally:
            pipeline.close()
    print(_closing_line(pipeline, source, sinks, time.monotonic() - began_s), flush=True)
    if pipeline.error:
        raise pipeline.error
    if caught:
        return 128 + caught[0]
    if not pipeline.written:
        raise SourceError(f"{source.info.title} gave no frame; nothing was written")
    return 0


@contextlib.contextmanager
def _signals() -> Iterator[list[int]]:
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


def _closing_line(pipeline: Pipeline, source: VideoSource, sinks: list[Sink], elapsed_s: float) -> str:
    frames = pipeline.written
    outputs = "; ".join(str(sink) for sink in sinks) if frames else ""
    rate = f"{frames} frames in {elapsed_s:.1f} s, {frames / max(elapsed_s, 1e-9):.1f} frames/s"
    return f"{rate}, {pipeline.skipped} skipped, {source.corrupt} corrupt" + (f"; {outputs}" if outputs else "")
