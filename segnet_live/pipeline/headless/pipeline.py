"""Run a source through an engine into sinks: three threads that overlap capture, inference and writing.

There is one way to stop, one error, and outputs are always closed.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from segnet_live.classes import ClassSet
from segnet_live.engine.base import Engine, Overlapping, overlaps
from segnet_live.errors import EngineError
from segnet_live.frame import FrameResult
from segnet_live.metrics import Metrics
from segnet_live.pipeline.handover import BoundedQueue, Closed, LatestSlot
from segnet_live.pipeline.inference import GarbageCollector, Inference
from segnet_live.pipeline.record.sinks import Sink
from segnet_live.video.source import VideoSource

if TYPE_CHECKING:
    from segnet_live.drives.bonnet import Bonnet

WAITING_FRAMES = 2
"""Frames that may wait before a stage: enough for stages to overlap, few enough that 4K frames stay under 150 MiB."""

CAPTURE_GRACE_S = 2.0
"""How long a capture thread that hangs in a dead camera or stream is waited for before it is left behind."""


log = logging.getLogger(__name__)

SILENT_ENGINE_S = 120.0
"""How long an engine that has answered before may take for a frame until the run ends without it."""


class Pipeline:
    """A source, an engine and sinks, with the threads between them. Its methods belong to the thread that made it.

    A file or image source is offline: every frame is processed, and stages wait for each other. A live source is never
    waited for: inference takes its newest frame, and those it never saw are counted in `skipped`.

    A stage that fails stores its exception in `error`; what comes before it stops at once, what comes after it finishes
    what it has, and the sinks are closed.

    Args:
        source, engine: owned from now on; `close` closes them.
        classes: what the engine's ids stand for.
        observe: a governor's, called from the inference thread (see `Inference`).
        result_type: what sinks get of each frame.
        bonnet: the part of the picture to leave out.
        sinks: called in this order from the writer thread, and closed once, whatever happens.

    Attributes:
        written: frames that reached every sink.
        reached_s: source time of the last of them, None before the first.
        error: the first exception of any stage.
    """

    def __init__(
        self,
        source: VideoSource,
        engine: Engine,
        sinks: Sequence[Sink],
        metrics: Metrics,
        classes: ClassSet,
        *,
        observe: Callable[[float, float], object] | None = None,
        result_type: type[FrameResult] = FrameResult,
        bonnet: Bonnet | None = None,
    ) -> None:
        self._source = source
        self._engine = engine
        self._sinks = sinks
        self._metrics = metrics
        self._classes = classes
        self._result_type = result_type
        self._inference = Inference(metrics, observe)
        self._inference.bonnet = bonnet
        self._garbage = GarbageCollector()
        self._stopping = threading.Event()
        self._latest: LatestSlot[FrameResult] | None = LatestSlot() if source.info.live else None
        self._captured: BoundedQueue[FrameResult] = BoundedQueue(WAITING_FRAMES)
        self._labelled: BoundedQueue[FrameResult] = BoundedQueue(WAITING_FRAMES)
        self._lock = threading.Lock()
        self._source_ended = False
        self._asked_s: float | None = None
        self._is_stuck = False
        self.written = 0
        self.reached_s: float | None = None
        self.error: BaseException | None = None
        # Daemons: a capture thread that hangs in a driver must not keep the process alive.
        self._threads = [
            threading.Thread(target=self._guard, args=(body,), name=f"segnet-live {body.__name__[1:]}", daemon=True)
            for body in (self._capture, self._infer, self._write)
        ]

    @property
    def skipped(self) -> int:
        """The number of frames of a live source that were left out because inference was busy."""
        return self._latest.dropped if self._latest else 0

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Take no more frames; those already captured are finished. May be called again, and in any state."""
        self._stopping.set()
        self._end_capture()

    def wait(self, timeout_s: float) -> bool:
        """Return whether every frame is through and the sinks are closed, after `timeout_s` at most."""
        deadline = time.monotonic() + timeout_s
        for thread in self._awaited():
            thread.join(max(0.0, deadline - time.monotonic()))
        asked_s = self._asked_s
        if asked_s is not None and time.monotonic() - asked_s > SILENT_ENGINE_S:
            self._leave_engine()
        return not any(thread.is_alive() for thread in self._awaited())

    def _awaited(self) -> list[threading.Thread]:
        """The threads that end: inference, unless it hangs, and writing."""
        return self._threads[2:] if self._is_stuck else self._threads[1:]

    def _leave_engine(self) -> None:
        """Go on without the engine, which hangs in a frame with its thread: what is labelled is written."""
        self._asked_s, self._is_stuck = None, True
        self._fail(EngineError(f"the engine has not answered for {SILENT_ENGINE_S:g} s", "take another --backend"))
        self._end_capture()
        self._captured.abort()
        self._labelled.close()

    def close(self) -> None:
        """Stop, wait for the sinks, and close engine and source (not a source that its thread hangs in)."""
        self.finish()
        if self._is_stuck:
            return
        try:
            self._engine.close()
        except Exception:  # third-party backends raise anything, and everything is written
            log.exception("closing the engine failed")

    def finish(self) -> None:
        """Do what `close` does, but leave the engine open for another pipeline."""
        self.stop()
        while not self.wait(1.0):
            pass
        self._threads[0].join(CAPTURE_GRACE_S)
        if not self._threads[0].is_alive():
            self._source.close()

    def _guard(self, body: Callable[[], None]) -> None:
        try:
            body()
        except Closed:
            pass
        except BaseException as error:
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        with self._lock:
            self.error = self.error or error
        self._stopping.set()

    def _end_capture(self) -> None:
        """Close the hand-over: inference gets what waits, then Closed."""
        if self._latest:
            self._latest.close()
        self._captured.close()

    def _capture(self) -> None:
        put = self._latest.put if self._latest else self._captured.put
        info = self._source.info
        try:
            while not self._stopping.is_set():
                frame = self._source.read()
                if frame is None:
                    self._source_ended = True
                    return
                self._metrics.arrived()
                put(self._result_type.unlabelled(frame, info, self._classes))
        finally:
            self._end_capture()

    def _infer(self) -> None:
        take = self._latest.take if self._latest else self._captured.get
        try:
            while True:
                result = take()
                if result is not None:
                    self._segment(result)
        except Closed:
            self._finish_under_way(0)
            raise
        finally:
            self._stopping.set()
            self._end_capture()
            self._captured.abort()
            self._labelled.close()

    def _segment(self, result: FrameResult) -> None:
        """Hand the result on with its labels; while an offline source's frame is on a GPU, take the next one there."""
        if self._latest is None and overlaps(self._engine):
            assert isinstance(self._engine, Overlapping)
            self._ask()
            self._inference.submit(result, self._engine)
            self._asked_s = None
            self._finish_under_way(1)
        else:
            self._finish_under_way(0)
            self._ask()
            self._hand_on(self._inference.segment(result, self._engine, self._classes))

    def _finish_under_way(self, but: int) -> None:
        """Wait for all frames on the GPU but the newest `but`, and hand them on."""
        while self._inference.under_way > but:
            assert isinstance(self._engine, Overlapping)
            self._ask()
            self._hand_on(self._inference.wait(self._engine, self._classes))

    def _ask(self) -> None:
        """Note that the engine is at work; its first frame may take as long as it likes."""
        self._asked_s = time.monotonic() if self.written else None

    def _hand_on(self, labelled: FrameResult) -> None:
        self._asked_s = None
        self._labelled.put(labelled)

    def _write(self) -> None:
        self._guard(self._drain)
        self._stopping.set()
        self._end_capture()
        self._labelled.abort()
        whole = self._source_ended and self.error is None
        for sink in self._sinks:
            self._guard(partial(sink.close, whole=whole))

    def _drain(self) -> None:
        while True:
            result = self._labelled.get()
            began_s = time.perf_counter()
            for sink in self._sinks:
                sink.write(result)
            write_ms = (time.perf_counter() - began_s) * 1e3
            self._inference.finish(result)
            self.written += 1
            self._garbage.count_frame()
            self.reached_s = result.frame.pts_s
            self._metrics.stage("write", write_ms)
            self._metrics.displayed(result.latency_ms)
            self._inference.report(result, write_ms, result.latency_ms)
