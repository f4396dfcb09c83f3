"""Run the live session behind the window: capture -> inference -> picture -> window and recorder. No Qt."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from segnet_live.classes import ClassSet
from segnet_live.config import Encoding, HideSpec, SourceSpec
from segnet_live.display_text import fit_to_show
from segnet_live.engine.base import EngineInfo
from segnet_live.errors import SegnetLiveError, UsageError
from segnet_live.frame import RGB, Frame, FrameResult, Size, SourceInfo
from segnet_live.metrics import Metrics
from segnet_live.pipeline.handover import Closed, LatestSlot
from segnet_live.pipeline.inference import GarbageCollector, Inference
from segnet_live.pipeline.live.capture import Capture, OpenSource, Phase, SourceState
from segnet_live.pipeline.live.class_timeline import ClassTimeline
from segnet_live.pipeline.live.engine_switch import EngineChoice, EngineState, EngineSwitch, OpenEngine
from segnet_live.pipeline.record.video import LiveRecording, RecordingState
from segnet_live.render.view import ViewSettings, compose_for_screen, compose_result, view_size
from segnet_live.system import crash
from segnet_live.video.recorder import DEFAULT

if TYPE_CHECKING:
    from segnet_live.drives.bonnet import Bonnet

log = logging.getLogger(__name__)

News: TypeAlias = SourceState | EngineState | RecordingState
T = TypeVar("T")

SILENT_ENGINE_S = 30.0
"""How long an engine that has answered before may take for a frame until another one takes over."""
WAITING_FRAMES = 4
"""Frames of a file that may wait for a stage: with a stride, one in so many takes longer than the others."""
PAINT_COUNTS_S = 1.0
"""How long the delay of a painted frame stands for those after it: a window that is minimised paints none."""


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """The picture that the window paints of one frame, and everything that belongs to it.

    Attributes:
        result: the frame and its labels.
        settings: how it was composed.
        screen: (h, w, 4) uint8 BGRX, the composed view at the window's size.
        began_s, composed_s: `time.perf_counter()` when composing it began, and when it was ready.
    """

    result: FrameResult
    settings: ViewSettings
    screen: NDArray[np.uint8]
    began_s: float
    composed_s: float

    @property
    def size(self) -> Size:
        """(height, width) of the view at source size."""
        return view_size(self.result.frame, self.settings)

    @property
    def rgb(self) -> RGB:
        """The view at source size, (H, W or 2 W, 3) uint8 RGB; composed each time it is asked for."""
        return compose_result(self.result, self.settings)


class LiveSession:
    """The threads, source, engine and recording behind the window.

    Methods and properties belong to the window's thread and do not block, but for `close`; where another thread may
    call one, its docstring says so.

    Args:
        notify: takes news from any thread; a Qt window turns it into a queued signal.
        classes: the class set until an engine tells its own.
    """

    def __init__(
        self,
        open_source: OpenSource,
        open_engine: OpenEngine,
        notify: Callable[[News], None],
        classes: ClassSet,
    ) -> None:
        self.metrics = Metrics()
        self._view_settings = ViewSettings()
        self._screen_size: Size = (360, 640)
        self._timeline: ClassTimeline | None = None
        self._confidence_line: ClassTimeline | None = None
        self._recording: LiveRecording | None = None
        self._open_source, self._notify_window = open_source, notify
        self._classes = classes
        self._choice: EngineChoice | None = None
        self._engines = EngineSwitch(open_engine, self._notify)
        self._inference = Inference(self.metrics, self._engines.observe)
        self._garbage = GarbageCollector()
        self._capture: Capture | None = None
        self._captured: LatestSlot[FrameResult] = LatestSlot()
        self._labelled: LatestSlot[FrameResult] = LatestSlot()
        self._pictures: LatestSlot[Picture] = LatestSlot()
        self._newest: Picture | None = None
        self._redraw = threading.Event()
        self._source_size: Size | None = None
        self._source_rate: Fraction | None = None
        self._last_frame_s = 0.0
        self._painted: tuple[float, float] = (0.0, 0.0)
        self._busy_since_s: float | None = None
        self._answered: object = None
        self._threads = [
            threading.Thread(target=self._guarded, args=(work,), name=name, daemon=True)
            for name, work in (("inference", self._infer), ("picture", self._draw))
        ]
        for thread in self._threads:
            thread.start()

    def _notify(self, news: News) -> None:
        """Act on news, from any thread, and pass it on to the window."""
        if isinstance(news, EngineState) and news.error and self._capture is not None:
            self._capture.start_playing()  # a file that waits for its first engine plays on when there will be none
        self._notify_window(news)

    # The source

    def open(self, spec: SourceSpec, *, speed: float = 1.0, loop: bool = False) -> None:
        """Close the source, whose last picture stays, and open `spec` in the background."""
        old = self._capture
        if old is not None:
            old.stop()
        self._last_frame_s = time.perf_counter()
        self._capture = Capture(
            spec,
            self._open_source,
            self._deliver,
            self._notify,
            speed=speed,
            loop=loop,
            after=old,
            wait_for_engine=not self._engines.is_running,
        )
        self._capture.start()

    @property
    def capture(self) -> Capture | None:
        """The capture of the source that is open, with its controls: pause, step, seek, speed, loop."""
        return self._capture

    @property
    def silent_s(self) -> float:
        """The seconds since the source last delivered a frame."""
        return time.perf_counter() - self._last_frame_s

    def _deliver(self, frame: Frame, source: SourceInfo, segment_id: int, *, repeat: bool) -> None:
        """Take a frame in the capture thread."""
        self._last_frame_s = time.perf_counter()
        if not repeat:
            self.metrics.arrived()
        if (frame.size, source.rate) != (self._source_size, self._source_rate):
            self._source_size, self._source_rate = frame.size, source.rate
            self._want()
        captured = FrameResult.unlabelled(frame, source, self._classes, segment_id=segment_id, repeat=repeat)
        with contextlib.suppress(Closed):
            # A camera's newest frame counts. Those of a file are all due, and a late one is made up for.
            self._hand_over(self._captured, captured, "inference", room=1 if source.live else WAITING_FRAMES)

    def _hand_over(self, slot: LatestSlot[T], value: T, stage: str, *, room: int = 1) -> None:
        """Make `value` the newest for `stage`; new frames that it overwrites count as dropped there."""
        for overwritten in slot.put(value, room=room):
            result = overwritten.result if isinstance(overwritten, Picture) else overwritten
            if isinstance(result, FrameResult) and not result.repeat:
                self.metrics.dropped(stage)

    # The engine

    @property
    def engine_info(self) -> EngineInfo | None:
        """The engine that runs at this moment."""
        return self._engines.info

    @property
    def governor_status(self) -> str:
        """The governor's status line, "" without one."""
        return self._engines.governor_status

    def use(self, choice: EngineChoice) -> None:
        """Open the engine in the background (before the first frame, once its size is known), and switch to it then."""
        self._choice = choice
        self._want()

    def _want(self) -> None:
        if self._choice is not None and self._source_size is not None:
            self._engines.request(self._choice, self._source_size, self._source_rate)

    def _infer(self) -> None:
        """Run the inference thread: the newest frame through the engine, always."""
        last: FrameResult | None = None
        while threading.current_thread() is self._threads[0]:
            result = self._captured.take(timeout_s=0.1)
            if result is None:
                if last is None or not self._engines.has_pending:
                    continue
                result = last.as_repeat()  # a new engine, and the picture stands still: label it anew
            last = result
            current = self._engines.current()
            if current is not None:
                engine, choice = current
                self._classes = choice.card.classes
                if self._captured.waiting and not result.source.live:
                    self._engines.hurry()  # a governor needs a second to see that it must
                try:
                    self._busy_since_s = time.perf_counter() if self._answered is engine else None
                    result = self._inference.segment(result, engine, self._classes)
                    self._answered = engine
                except Exception as error:  # third-party backends raise anything; the picture must go on
                    log.exception("inference failed")
                    known = isinstance(error, SegnetLiveError)
                    text = str(error) if known else fit_to_show(f"{type(error).__name__}: {error}")
                    if threading.current_thread() is self._threads[0]:
                        self._engines.take_over(f"the engine stopped: {text}", result.frame.size)
                if threading.current_thread() is not self._threads[0]:
                    return  # it hung, and another thread has taken over
                self._busy_since_s = None
            self._hand_over(self._labelled, result, "overlay", room=1 if result.source.live else WAITING_FRAMES)
            if result.is_segmented and self._capture is not None:
                self._capture.start_playing()

    def _watch_engine(self) -> None:
        """Leave an engine behind that hangs in a frame, with its thread; called from the picture thread."""
        since_s, size = self._busy_since_s, self._source_size
        if since_s is None or size is None or time.perf_counter() - since_s < SILENT_ENGINE_S:
            return
        self._busy_since_s = None
        thread = threading.Thread(target=self._guarded, args=(self._infer,), name="inference", daemon=True)
        self._threads[0] = thread
        self._engines.take_over(f"the engine has not answered for {SILENT_ENGINE_S:g} s", size)
        thread.start()

    def leave_out(self, bonnet: Bonnet | None) -> None:
        """Leave this part of all further pictures out of their label maps, None for nothing; any thread."""
        self._inference.bonnet = bonnet

    # The picture

    @property
    def view_settings(self) -> ViewSettings:
        """The settings by which pictures are composed."""
        return self._view_settings

    def set_view_settings(self, settings: ViewSettings) -> None:
        """Compose all further pictures by these settings, and the last one anew; any thread."""
        self._view_settings = settings
        self._redraw.set()

    def set_screen_size(self, size: Size) -> None:
        """Scale all further pictures into (height, width) device pixels, and the last one anew; any thread."""
        self._screen_size = size
        self._redraw.set()

    def _draw(self) -> None:
        """Run the picture thread: labels to source size, view, timeline, recorder, scaling to the screen."""
        last: FrameResult | None = None
        while True:
            result = self._labelled.take(timeout_s=0.03)
            if result is None:
                self._watch_engine()
                if last is None or not self._redraw.is_set():
                    continue
                result = last.as_repeat()
            self._redraw.clear()
            picture = self._compose(result)
            if not result.repeat:
                self._account(picture, last)
            last = result
            self._newest = picture
            # What the window is late with for a moment, it paints a moment later.
            self._hand_over(self._pictures, picture, "display", room=1 if result.source.live else 2)

    def _compose(self, result: FrameResult) -> Picture:
        settings = self._view_settings
        began_s = time.perf_counter()
        screen = compose_for_screen(result, settings, self._screen_size)
        composed_s = time.perf_counter()
        self._inference.finish(result)
        if not result.repeat:
            self.metrics.stage("overlay", (composed_s - began_s) * 1e3)
        return Picture(result, settings, screen, began_s, composed_s)

    def _account(self, picture: Picture, before: FrameResult | None) -> None:
        """Give a composed frame, painted or not, to timeline, recording and governor."""
        result, capture, recording = picture.result, self._capture, self._recording
        if result.is_segmented and capture is not None and result.source is capture.info:
            self._add_to_timeline(result, before)
        if recording is not None:
            recording.offer(result, picture.settings)
        display_ms, painted_s = self._painted
        if picture.composed_s - painted_s > PAINT_COUNTS_S:
            display_ms = 0.0
        latency_ms = (picture.composed_s - result.frame.capture_s) * 1e3 + display_ms
        overlay_ms = (picture.composed_s - picture.began_s) * 1e3
        self._inference.report(result, overlay_ms, latency_ms)

    def _add_to_timeline(self, result: FrameResult, before: FrameResult | None) -> None:
        timeline = self._timeline
        if timeline is None or timeline.source is not result.source:
            if not result.source.duration_s:
                return
            timeline = self._timeline = ClassTimeline(len(result.classes), result.source)
            self._confidence_line = ClassTimeline(1, result.source)
        joined = before is not None and before.segment_id == result.segment_id
        since_s = before.pts_s if joined and before is not None else None
        timeline.add(result.pts_s, result.class_shares, since_s)
        sure, line = result.mean_confidence, self._confidence_line
        if sure is not None and line is not None:
            line.add(result.pts_s, np.array([sure], np.float32), since_s)

    @property
    def timeline(self) -> ClassTimeline | None:
        """The class shares seen so far of the open file; None for other sources, and before its first labels."""
        timeline, capture = self._timeline, self._capture
        return timeline if timeline is not None and capture is not None and timeline.source is capture.info else None

    @property
    def confidence_line(self) -> ClassTimeline | None:
        """The mean confidence seen so far of the open file, a timeline of one value; None as for `timeline`."""
        return self._confidence_line if self.timeline is not None else None

    def take_picture(self, timeout_s: float = 0) -> Picture | None:
        """Return the newest picture, once; None if there is no new one after `timeout_s`."""
        try:
            picture = self._pictures.take(timeout_s)
        except Closed:
            return None
        if picture is not None:
            self._garbage.count_frame()
        return picture

    @property
    def newest(self) -> Picture | None:
        """The picture that was composed last, which the window has painted or is about to paint."""
        return self._newest

    def painted(self, picture: Picture, paint_ms: float) -> None:
        """Account for `picture`, which the window has just painted: its latency ends now."""
        if not picture.result.repeat:
            now_s = time.perf_counter()
            self._painted = (now_s - picture.composed_s) * 1e3, now_s
            self.metrics.stage("paint", paint_ms)
            self.metrics.displayed((now_s - picture.result.frame.capture_s) * 1e3)

    # The recording

    @property
    def recording(self) -> LiveRecording | None:
        """The recording that goes on or is being finished; None once `notify` has reported its end."""
        return self._recording

    def record(
        self,
        path: Path,
        *,
        notify: Callable[[RecordingState], None] | None = None,
        label_maps: bool = False,
        overwrite: bool = False,
        encoding: Encoding = DEFAULT,
        hide: HideSpec | None = None,
    ) -> None:
        """Record what is shown, from the next labelled frame on (see `LiveRecording`).

        Args:
            notify: takes the recording's news from its own thread; None sends them where the session's go.
            hide: what to hide in it; the engine should be asked for confidence, too.

        Raises:
            UsageError: the recording before is not complete yet.
        """
        if self._recording is not None:
            raise UsageError("the recording before is still being finished", "try again in a moment")

        def ended(state: RecordingState) -> None:
            self._recording = None
            (notify or self._notify_window)(state)

        self._recording = LiveRecording(
            path, ended, label_maps=label_maps, overwrite=overwrite, encoding=encoding, hide=hide
        )

    def stop_recording(self) -> None:
        """End the recording and complete its file in the background; `notify` reports when that is done."""
        if self._recording is not None:
            self._recording.stop()

    # The end

    def _guarded(self, work: Callable[[], None]) -> None:
        """Run a thread's body: end quietly when the session closes, report a fault of ours to the user."""
        try:
            work()
        except Closed:
            pass
        except Exception as error:
            log.exception("a session thread failed")
            if self._capture is not None:
                message = f"the picture stopped, open the source again: {crash.report(error)}"
                self._notify(SourceState(Phase.FAILED, self._capture.spec, None, message))

    def close(self, timeout_s: float = 10.0) -> None:
        """Stop everything and finalise the recording; waits for the threads, except for a source that hangs."""
        if self._capture is not None:
            self._capture.stop()
        for slot in (self._captured, self._labelled):
            slot.close()
        for thread in self._threads:
            thread.join(timeout_s)
        recording = self._recording
        if recording is not None:
            recording.stop()
            recording.join()
        self._engines.close()
        if self._capture is not None:
            self._capture.join(2.0)
