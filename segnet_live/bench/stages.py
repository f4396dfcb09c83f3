"""Count the core time of each stage of a recording, and time what FFmpeg alone does with the same file."""

from __future__ import annotations

import itertools
import queue
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from segnet_live.classes import ClassSet
from segnet_live.engine.base import Engine
from segnet_live.engine.resize import picture_at
from segnet_live.engine.smoothing import Smoother
from segnet_live.frame import FrameResult
from segnet_live.pipeline.record.video import compose_recorded
from segnet_live.render.view import ViewSettings
from segnet_live.video.file import FileSource
from segnet_live.video.recorder import Recorder

TOGETHER = 16
"""Frames that go through a stage before the next begins: threads of a decoder or encoder finish one or two later."""


def stages_ms(path: str, engine: Engine, classes: ClassSet, frames: int = 96) -> dict[str, float]:
    """Return the milliseconds of a core that each stage takes for a frame, over the first `frames` of a video.

    Raises:
        SegnetLiveError: the video cannot be read or the network not run.
    """
    spent: dict[str, float] = {}

    @contextmanager
    def counted(stage: str) -> Iterator[None]:
        began_s = time.process_time()
        yield
        spent[stage] = spent.get(stage, 0.0) + (time.process_time() - began_s) * 1e3

    source, smoother, settings, count = FileSource(path), Smoother(), ViewSettings(), 0
    info, size = source.info, engine.info.input_size
    with (
        tempfile.TemporaryDirectory() as folder,
        Recorder(Path(folder) / "stages.mp4", info.size, time_base=info.time_base, rate=info.rate) as recorder,
    ):
        while count < frames:
            with counted("decode"):
                batch = list(itertools.islice(iter(source.read, None), TOGETHER))
            if not batch:
                break
            count += len(batch)
            with counted("to network"):
                inputs = [picture_at(frame, size) for frame in batch]
            with counted("inference"):
                labels = [engine.segment(fitted) for fitted in inputs]
            with counted("smoothing"):
                labels = [smoother(fitted, each) for fitted, each in zip(inputs, labels, strict=True)]
            results = [FrameResult.unlabelled(frame, info, classes) for frame in batch]
            results = [r.with_labels(each, classes, 0.0) for r, each in zip(results, labels, strict=True)]
            with counted("labels, blend"):
                pictures = [compose_recorded(result, settings) for result in results]
            with counted("encode"):
                for picture, frame in zip(pictures, batch, strict=True):
                    recorder.write(picture, frame.pts, frame.duration)
        with counted("encode"):
            recorder.close()
    source.close()
    return {stage: ms / max(1, count) for stage, ms in spent.items()}


def transcode_fps(path: str) -> float:
    """Return frames a second of FFmpeg alone: its decoder and x264 ultrafast, each in a thread of ours and all cores.

    The yardstick for a pipeline: what a machine can do with a file at all.
    """
    frames: queue.Queue[VideoFrame | None] = queue.Queue(8)
    with av.open(path) as source, tempfile.TemporaryDirectory() as folder:
        stream = source.streams.video[0]
        stream.thread_type = "AUTO"
        began_s, count = time.perf_counter(), 0
        decoder = threading.Thread(target=_decode, args=(source, stream, frames), daemon=True)
        decoder.start()
        with av.open(str(Path(folder) / "transcoded.mp4"), "w") as output:
            video = output.add_stream("libx264", stream.average_rate or Fraction(30))
            video.width, video.height, video.pix_fmt = stream.width, stream.height, "yuv420p"
            video.codec_context.options, video.codec_context.thread_type = {"preset": "ultrafast"}, "FRAME"
            while (frame := frames.get()) is not None:
                frame.pict_type = 0  # else the source's own key frames are kept
                output.mux(video.encode(frame))
                count += 1
            output.mux(video.encode(None))
        seconds = time.perf_counter() - began_s
        decoder.join()
    return count / seconds


def _decode(source: av.container.InputContainer, stream: VideoStream, frames: queue.Queue[VideoFrame | None]) -> None:
    try:
        for frame in source.decode(stream):
            frames.put(frame)
    finally:
        frames.put(None)
