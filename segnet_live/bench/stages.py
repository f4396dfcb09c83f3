"""Count the core time of each stage of a recording, and time what FFmpeg alone does with the same file."""

from __future__ import annotations

import itertools
import queue
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from segnet_live.classes import ClassSet
from segnet_live.config import Encoding
from segnet_live.engine.base import Engine
from segnet_live.engine.resize import picture_at
from segnet_live.engine.smoothing import Smoother
from segnet_live.frame import FrameResult
from segnet_live.pipeline.record.video import compose_recorded
from segnet_live.render.view import ViewSettings
from segnet_live.video.file import FileSource
from segnet_live.video.recorder import DEFAULT, Recorder

TOGETHER = 16
"""Frames that go through a stage before the next begins."""
_IDLE = 0.1
"""Share of a core below which nothing is at work any more."""


@dataclass(frozen=True, slots=True)
class Transcode:
    """What FFmpeg alone does with a file.

    Attributes:
        fps: frames a second.
        core_ms: milliseconds of a core for a frame, all of its threads together.
    """

    fps: float
    core_ms: float


def stages_ms(
    path: str, engine: Engine, classes: ClassSet, encoding: Encoding = DEFAULT, frames: int = 96
) -> dict[str, float]:
    """Return the milliseconds of a core that each stage takes for a frame, over the first `frames` of a video.

    Raises:
        SegnetLiveError: the video cannot be read or the network not run.
    """
    spent: dict[str, float] = {}

    @contextmanager
    def counted(stage: str) -> Iterator[None]:
        began_s = time.process_time()
        yield
        _settle()
        spent[stage] = spent.get(stage, 0.0) + (time.process_time() - began_s) * 1e3

    source, smoother, settings, count = FileSource(path), Smoother(), ViewSettings(), 0
    info, size = source.info, engine.info.input_size
    with (
        tempfile.TemporaryDirectory() as folder,
        Recorder(
            Path(folder) / "stages.mp4",
            info.size,
            time_base=info.time_base,
            rate=info.rate,
            audio_from=info.sound_location,
            cut_audio=True,
            encoding=encoding,
        ) as recorder,
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
            with counted("encode, sound"):
                for picture, frame in zip(pictures, batch, strict=True):
                    recorder.write(picture, frame.pts, frame.duration)
        with counted("encode, sound"):
            recorder.close()
    source.close()
    return {stage: ms / max(1, count) for stage, ms in spent.items()}


def _settle() -> None:
    """Wait until threads of a decoder or encoder have done what they were given: it belongs to their stage."""
    spent_s = -1.0
    while (now_s := time.process_time()) - spent_s > _IDLE * 0.005:
        spent_s = now_s
        time.sleep(0.005)


def transcode(path: str) -> Transcode:
    """Time FFmpeg alone: its decoder and x264 ultrafast, each in a thread of ours and on all cores, without sound.

    The yardstick for a pipeline: what a machine can do with a file at all.
    """
    frames: queue.Queue[VideoFrame | None] = queue.Queue(8)
    with av.open(path) as source, tempfile.TemporaryDirectory() as folder:
        stream = source.streams.video[0]
        stream.thread_type = "AUTO"
        began_s, began_core_s, count = time.perf_counter(), time.process_time(), 0
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
        seconds, core_s = time.perf_counter() - began_s, time.process_time() - began_core_s
        decoder.join()
    return Transcode(count / seconds, core_s / max(1, count) * 1e3)


def _decode(source: av.container.InputContainer, stream: VideoStream, frames: queue.Queue[VideoFrame | None]) -> None:
    try:
        for frame in source.decode(stream):
            frames.put(frame)
    finally:
        frames.put(None)
