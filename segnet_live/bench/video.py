"""Time the whole headless pipeline on a real file: decoding, segmenting, overlay, encoding, sound."""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from segnet_live.bench.memory import peak_rss_mib
from segnet_live.bench.stages import Transcode, stages_ms, transcode
from segnet_live.card import DEFAULT_MODEL, find_card
from segnet_live.config import RunConfig
from segnet_live.engine.base import EngineInfo
from segnet_live.engine.open import open_engine
from segnet_live.metrics import Percentiles
from segnet_live.pipeline.headless.job import prepare, real_time
from segnet_live.pipeline.inference import freeze_libraries
from segnet_live.system.cores import share_cores

POLL_S = 0.05


@dataclass(frozen=True, slots=True)
class VideoRow:
    """One run over a file, from the first frame asked for to the finished recording.

    Attributes:
        fps: frames written per second, opening and the engine's start left out.
        source_fps: the file's own rate; None where it has none.
        real_time: seconds of video done per second, nan where the file has no rate.
        latency_ms: decode start to label map ready, over the run's last two seconds.
        peak_mib: the most memory the whole process had.
        core_ms: milliseconds of a core that a frame of the run took, all threads together.
        stages_ms: of these, what each stage takes, measured one after the other.
        ffmpeg: FFmpeg alone, the better of two runs.
    """

    video: str
    info: EngineInfo
    size: tuple[int, int]
    frames: int
    seconds: float
    fps: float
    source_fps: float | None
    real_time: float
    latency_ms: Percentiles
    peak_mib: float
    core_ms: float
    stages_ms: dict[str, float]
    ffmpeg: Transcode


def run_video(config: RunConfig) -> VideoRow:
    """Annotate `config.source` into a temporary file. Call it in a process of its own, whose memory it measures.

    Raises:
        SegnetLiveError: see `prepare`; or a stage failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        job = prepare(replace(config, record=Path(folder) / "annotated.mp4", headless=True), lambda _: None)
        pipeline = job.pipeline
        try:
            job.engine.segment(np.zeros((*job.source.info.size, 3), np.uint8))  # the first one is slow
            freeze_libraries()
            share_cores()
            began_s, began_core_s = time.perf_counter(), time.process_time()
            pipeline.start()
            snapshot = job.metrics.snapshot()
            while not pipeline.wait(POLL_S):
                snapshot = job.metrics.snapshot()
            seconds, core_s = time.perf_counter() - began_s, time.process_time() - began_core_s
        finally:
            pipeline.close()
        if pipeline.error:
            raise pipeline.error
    info, peak_mib = job.source.info, peak_rss_mib()
    assert config.source is not None
    path, card, chosen = config.source.value, find_card(config.model or DEFAULT_MODEL), job.engine.info
    engine = open_engine(
        card, backend=chosen.backend, size=chosen.input_size, precision=chosen.precision, overlap=True
    )  # on as many threads for a frame as in the run
    try:
        spent_ms = stages_ms(path, engine, card.classes, config.options().encoding)
    finally:
        engine.close()
    return VideoRow(
        video=Path(info.title).name,
        info=chosen,
        size=info.size,
        frames=pipeline.written,
        seconds=seconds,
        fps=pipeline.written / seconds,
        source_fps=float(info.rate) if info.rate else None,
        real_time=real_time(pipeline.written, info.rate, seconds),
        latency_ms=snapshot.latency_ms,
        peak_mib=peak_mib,
        core_ms=core_s / max(1, pipeline.written) * 1e3,
        stages_ms=spent_ms,
        ffmpeg=max((transcode(path) for _ in range(2)), key=lambda run: run.fps),
    )
