"""The live session behind the window: capture -> inference -> picture -> window and recorder. No Qt."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from segnet_live.classes import ClassSet
from segnet_live.config import SourceSpec
from segnet_live.engine.base import EngineInfo
from segnet_live.engine.resize import labels_at
from segnet_live.errors import SegnetLiveError
from segnet_live.frame import LabelMap, SegmentedFrame
from segnet_live.metrics import Metrics
from segnet_live.pipeline.handover import Captured, Closed, LatestSlot
from segnet_live.pipeline.live.capture import Capture, OpenSource, Phase, SourceState
from segnet_live.pipeline.live.class_timeline import ShareStrip
from segnet_live.pipeline.live.engine_switch import EngineChoice, EngineState, EngineSwitch, OpenEngine
from segnet_live.pipeline.record.video import LiveRecording, RecordingState
from segnet_live.render.overlay import class_shares
from segnet_live.render.view import Look, compose, for_screen

log = logging.getLogger(__name__)

News: TypeAlias = SourceState | EngineState | RecordingState
T = TypeVar("T")


@dataclass(frozen=True, slots=True, eq=False)
class Inferred:
    """A frame with the label map at network size that was made from it; all void while there is no engine."""

    captured: Captured
    labels: LabelMap
    classes: ClassSet
    segmented: bool
    inference_ms: float


@dataclass(frozen=True, slots=True, eq=False)
class Shown:
    """What the window paints, and what belongs to that very picture.

    Attributes:
        screen: (h, w, 4) uint8 BGRX, scaled for the window.
        picture: (H, W or 2 W, 3) uint8 RGB, the same at source size.
        segmented: the frame and its label map at source size.
        shares: (K,) share of each class, 0..1.
        has_labels: False while no engine runs.
    """

    screen: NDArray[np.uint8]
    picture: NDArray[np.uint8]
    segmented: SegmentedFrame
    captured: Captured
    classes: ClassSet
    look: Look
    shares: NDArray[np.float32]
    has_labels: bool


class LiveSession:
    """Owns the threads, the source, the engine and the recording. The window's thread calls it; nothing here blocks
    except `close`.

    Args:
        classes: the class set until an engine tells its own.
        notify: takes news from any thread; a Qt window turns it into a queued signal.
    """

    def __init__(
        self,
        open_source: OpenSource,
        open_engine: OpenEngine,
        notify: Callable[[News], None],
        classes: ClassSet,
    ) -> None:
        self.metrics = Metrics()
        self.look = Look()
        self.box = (360, 640)
        self.strip: ShareStrip | None = None
        self.recording: LiveRecording | None = None
        self._open_source, self._notify_window = open_source, notify
        self._classes = classes
        self._choice: EngineChoice | None = None
        self._engines = EngineSwitch(open_engine, self._notify)
        self._capture: Capture | None = None
        self._captured: LatestSlot[Captured] = LatestSlot()
        self._inferred: LatestSlot[Inferred] = LatestSlot()
        self._shown: LatestSlot[Shown] = LatestSlot()
        self._newest: Shown | None = None
        self._waiting_again: dict[str, bool] = {}
        self._redraw = threading.Event()
        self._source_size: tuple[int, int] | None = None
        self._last_frame_s = self._latest_ms = 0.0
        self._threads = [
            threading.Thread(target=self._guarded, args=(work,), name=name, daemon=True)
            for name, work in (("inference", self._infer), ("picture", self._draw))
        ]
        for thread in self._threads:
            thread.start()

    def _notify(self, news: News) -> None:
        """News for the window; a file that waits for its first engine plays on when there will be none."""
        if isinstance(news, EngineState) and news.error and self._capture is not None:
            self._capture.release()
        self._notify_window(news)

    # The source

    def open(self, spec: SourceSpec, *, speed: float = 1.0, loop: bool = False) -> None:
        """Open `spec` in the background; the old source is let go first, its last picture stays."""
        old = self._capture
        if old is not None:
            old.stop()
        self.strip = None
        self._last_frame_s = time.perf_counter()
        self._capture = Capture(
            spec,
            self._open_source,
            self._deliver,
            self._notify,
            speed=speed,
            loop=loop,
            after=old,
            hold=not self._engines.is_running,
        )
        self._capture.start()

    @property
    def capture(self) -> Capture | None:
        """The source's own controls: pause, step, seek, speed, loop."""
        return self._capture

    @property
    def silent_s(self) -> float:
        """Seconds since the source last delivered a frame."""
        return time.perf_counter() - self._last_frame_s

    def _deliver(self, captured: Captured) -> None:
        """A frame from the capture thread."""
        frame = captured.frame
        self._last_frame_s = time.perf_counter()
        if not captured.again:
            self.metrics.arrived()
            self.metrics.stage("decode", frame.decode_ms)
        if frame.size != self._source_size:
            self._source_size = frame.size
            self._want()
        with contextlib.suppress(Closed):
            self._hand_over(self._captured, captured, "inference", again=captured.again)

    def _hand_over(self, slot: LatestSlot[T], value: T, stage: str, *, again: bool) -> None:
        """Make `value` the newest for `stage`; a new frame that it overwrites counts as dropped there."""
        before = slot.dropped
        slot.put(value)
        if slot.dropped > before and not self._waiting_again.get(stage):
            self.metrics.dropped(stage)
        self._waiting_again[stage] = again

    # The engine

    @property
    def engine_info(self) -> EngineInfo | None:
        """What runs at this moment."""
        return self._engines.info

    @property
    def governor_status(self) -> str:
        """What the latency governor does, "" without one."""
        return self._engines.governor_status

    def use(self, choice: EngineChoice) -> None:
        """Switch to this engine as soon as it is open; before the first frame, as soon as the frame's size is known."""
        self._choice = choice
        self._want()

    def _want(self) -> None:
        if self._choice is not None and self._source_size is not None:
            self._engines.want(self._choice, self._source_size)

    def _infer(self) -> None:
        """The inference thread: the newest frame through the engine."""
        last: Captured | None = None
        while True:
            captured = self._captured.take(timeout_s=0.1)
            if captured is None:
                if last is None or not self._engines.has_news:
                    continue
                captured = replace(last, again=True)  # a new engine, and the picture stands still: label it anew
            last = captured
            current = self._engines.current()
            inferred: Inferred | None = None
            if current is not None:
                engine, choice = current
                began_s = time.perf_counter()
                try:
                    labels = engine.segment(captured.frame.rgb)
                    ms = (time.perf_counter() - began_s) * 1e3
                    if not captured.again:
                        self.metrics.stage("inference", ms)
                        self._engines.observe(ms, self._latest_ms or ms)
                    self._classes = choice.card.classes
                    inferred = Inferred(captured, labels, self._classes, True, ms)
                except Exception as error:  # third-party backends raise anything; the picture must go on
                    log.exception("inference failed")
                    text = str(error) if isinstance(error, SegnetLiveError) else f"{type(error).__name__}: {error}"
                    self._engines.broke(f"the engine stopped: {text}; choose another backend in the Model section")
            if inferred is None:
                labels = np.full((1, 1), self._classes.void_id, np.uint8)
                inferred = Inferred(captured, labels, self._classes, False, 0.0)
            self._hand_over(self._inferred, inferred, "overlay", again=captured.again)
            if inferred.segmented and self._capture is not None:
                self._capture.release()

    # The picture

    def redraw(self) -> None:
        """The look, or the window's size, changed: compose the picture again, also while the source stands still."""
        self._redraw.set()

    def _draw(self) -> None:
        """The picture thread: label map to source size, class shares, view, recorder, scaling to the screen."""
        last: Inferred | None = None
        while True:
            inferred = self._inferred.take(timeout_s=0.03)
            if inferred is None:
                if last is None or not self._redraw.is_set():
                    continue
                inferred = replace(last, captured=replace(last.captured, again=True))
            last = inferred
            self._redraw.clear()
            shown = self._compose(inferred)
            if not shown.captured.again:
                self._account(shown)
            self._newest = shown
            self._hand_over(self._shown, shown, "display", again=shown.captured.again)

    def _compose(self, inferred: Inferred) -> Shown:
        captured, frame, look = inferred.captured, inferred.captured.frame, self.look
        began_s = time.perf_counter()
        labels = labels_at(inferred.labels, frame.size)
        resized_s = time.perf_counter()
        picture = compose(frame.rgb, labels, inferred.classes, look)
        screen = for_screen(picture, self.box)
        done_s = time.perf_counter()
        resize_ms, overlay_ms = (resized_s - began_s) * 1e3, (done_s - resized_s) * 1e3
        if not captured.again:
            self.metrics.stage("resize", resize_ms)
            self.metrics.stage("overlay", overlay_ms)
        stages = {"decode": frame.decode_ms, "inference": inferred.inference_ms, "resize": resize_ms}
        latency_ms = (resized_s - frame.capture_s) * 1e3
        return Shown(
            screen=screen,
            picture=picture,
            segmented=SegmentedFrame(frame, labels, latency_ms, stages),
            captured=captured,
            classes=inferred.classes,
            look=look,
            shares=class_shares(inferred.labels, len(inferred.classes)),
            has_labels=inferred.segmented,
        )

    def _account(self, shown: Shown) -> None:
        """Strip and recording take every composed frame, painted or not."""
        frame, info = shown.segmented.frame, shown.captured.info
        if self.strip is None and info.duration_s and shown.has_labels:
            self.strip = ShareStrip(len(shown.classes), info.start_s, info.duration_s)
        if self.strip is not None and shown.has_labels:
            before = self._newest
            joined = before is not None and before.captured.stretch == shown.captured.stretch
            self.strip.add(
                frame.pts_s, shown.shares, before.segmented.frame.pts_s if joined and before is not None else None
            )
        recording = self.recording
        if recording is not None:
            recording.offer(shown.picture, shown.segmented, shown.captured)

    def take_shown(self) -> Shown | None:
        """The newest picture, once; None if there is no new one."""
        try:
            return self._shown.take(timeout_s=0)
        except Closed:
            return None

    @property
    def newest(self) -> Shown | None:
        """The picture that was composed last, which the window has or is about to paint."""
        return self._newest

    def painted(self, shown: Shown, paint_ms: float) -> None:
        """The window has just finished painting `shown`: its latency ends now."""
        if not shown.captured.again:
            self.metrics.stage("paint", paint_ms)
            self._latest_ms = (time.perf_counter() - shown.segmented.frame.capture_s) * 1e3
            self.metrics.displayed(self._latest_ms)

    # The end

    def _guarded(self, work: Callable[[], None]) -> None:
        """A thread's body: ends quietly when the session closes, tells the user of a fault of ours."""
        try:
            work()
        except Closed:
            pass
        except Exception as error:
            log.exception("a session thread failed")
            if self._capture is not None:
                message = f"the picture stopped: {type(error).__name__}: {error}; open the source again"
                self._notify(SourceState(Phase.FAILED, self._capture.spec, None, message))

    def close(self, timeout_s: float = 10.0) -> None:
        """Stop everything and finalise the recording; waits for the threads, except for a source that hangs."""
        if self._capture is not None:
            self._capture.stop()
        for slot in (self._captured, self._inferred):
            slot.close()
        for thread in self._threads:
            thread.join(timeout_s)
        if self.recording is not None:
            self.recording.stop()
            self.recording.join()
        self._engines.close()
        if self._capture is not None:
            self._capture.join(2.0)
