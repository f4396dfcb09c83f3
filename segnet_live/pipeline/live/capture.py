"""Read a source in the capture thread: pace files by the playback clock, open lost cameras and streams anew."""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum
from typing import Protocol

from segnet_live.config import SourceSpec
from segnet_live.errors import SegnetLiveError, SourceError, SourceLost
from segnet_live.frame import Frame, SourceInfo
from segnet_live.pipeline.backoff import Backoff
from segnet_live.pipeline.live.playback import MAX_LATE_S, PlaybackClock
from segnet_live.system import crash
from segnet_live.video.location import display_name
from segnet_live.video.source import VideoSource

log = logging.getLogger(__name__)

OpenSource = Callable[[SourceSpec], VideoSource]
_segment_ids = itertools.count()


class Deliver(Protocol):
    """A function that takes each frame, in the capture thread."""

    def __call__(self, frame: Frame, source: SourceInfo, segment_id: int, *, repeat: bool) -> None:
        """Take one frame; see `FrameResult` for what `segment_id` and `repeat` mean."""
        ...


class Phase(Enum):
    """The phases of a source."""

    OPENING = "opening"
    PLAYING = "playing"
    PAUSED = "paused"
    ENDED = "ended"
    LOST = "lost"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class SourceState:
    """News of a source, for the window.

    Attributes:
        message: why it is LOST or FAILED; "" otherwise.
        retry_s: seconds until the next try to bring it back (LOST).
    """

    phase: Phase
    spec: SourceSpec
    info: SourceInfo | None = None
    message: str = ""
    retry_s: float = 0.0


class Capture:
    """One source and the thread that reads it. Its methods may be called from any thread and never block.

    Args:
        deliver: takes each frame, in the capture thread.
        notify: takes every change of phase, in the capture thread.
        after: an earlier capture that must have let go of its device before this one opens.
        wait_for_engine: a file shows its first frame and plays on when `start_playing` is called, so that none is
            missed while an engine opens. Cameras and streams do not wait for anybody.
    """

    def __init__(
        self,
        spec: SourceSpec,
        open_source: OpenSource,
        deliver: Deliver,
        notify: Callable[[SourceState], None],
        *,
        speed: float = 1.0,
        loop: bool = False,
        after: Capture | None = None,
        wait_for_engine: bool = False,
    ) -> None:
        self.spec = spec
        self._open_source, self._deliver, self._notify, self._after = open_source, deliver, notify, after
        self._wake = threading.Condition()
        self._stopped = self._paused = self._ended = False
        self._seek_to: float | None = None
        self._steps = 0
        self._speed, self._loop, self._wait_for_engine = speed, loop, wait_for_engine
        self._backoff = Backoff()
        self._segment_id = 0
        self._last: Frame | None = None
        self._info: SourceInfo | None = None
        self._thread = threading.Thread(target=self._run, name="capture", daemon=True)

    @property
    def info(self) -> SourceInfo | None:
        """The source that frames come from now, the very object they are delivered with; None before it is open."""
        return self._info

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Deliver and notify nothing any more; the thread ends when the source lets it."""
        with self._wake:
            self._stopped = True
            self._wake.notify_all()

    def join(self, timeout_s: float) -> bool:
        """Wait for the thread; False if it still hangs in a device or a network after `timeout_s`."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def start_playing(self) -> None:
        """Start playing a file that waits at its first frame."""
        if self._wait_for_engine:
            with self._wake:
                self._wait_for_engine = False
                self._wake.notify_all()

    def pause(self, paused: bool) -> None:
        """Pause, or go on; at the end, start over."""
        with self._wake:
            self._paused = paused
            if self._ended and not paused:
                self._seek_to = 0.0
            self._wake.notify_all()

    def step(self) -> None:
        """Show one more frame while paused."""
        with self._wake:
            self._steps += 1
            self._wake.notify_all()

    def seek(self, time_s: float) -> None:
        """Show the first frame at or after `time_s`; of several requests only the newest counts."""
        with self._wake:
            self._seek_to = max(0.0, time_s)
            self._steps = 0
            self._wake.notify_all()

    def play_at(self, speed: float) -> None:
        with self._wake:
            self._speed = speed
            self._wake.notify_all()

    def loop(self, loop: bool) -> None:
        with self._wake:
            self._loop = loop

    def _notify_phase(self, phase: Phase, message: str = "", retry_s: float = 0.0) -> None:
        if not self._stopped:
            self._notify(SourceState(phase, self.spec, self._info, message, retry_s))

    def _run(self) -> None:
        try:
            if self._after is not None and not self._after.join(10.0):
                log.warning("%s has not let go of its device; trying all the same", display_name(self._after.spec))
            self._after = None
            self._stay_connected()
        except SegnetLiveError as error:
            self._notify_phase(Phase.FAILED, str(error))
        except Exception as error:  # a fault of ours must end the source, not the window
            log.exception("the capture thread failed")
            self._notify_phase(Phase.FAILED, f"reading stopped: {crash.report(error)}")

    def _stay_connected(self) -> None:
        """Play until stopped; after a loss open the source anew, waiting longer each time.

        What can be seeked goes on where it was lost, and a camera or stream with the newest picture.
        """
        self._notify_phase(Phase.OPENING)
        lost = False
        while not self._stopped:
            try:
                source = self._open_source(self.spec)
                try:
                    self._info = source.info
                    self._play_live(source) if self._info.live else self._play_file(source)
                finally:
                    source.close()
                self._stay_at_end()
                lost = False
            except SegnetLiveError as error:
                lost = lost or isinstance(error, SourceLost) or (self._info is not None and self._info.live)
                if not lost:
                    raise
                self._notify_phase(Phase.LOST, str(error), self._backoff.wait_s)
                with self._wake:
                    if self._info is not None and not self._info.live and self._last is not None:
                        self._seek_to = self._last.pts_s + 1e-3 if self._seek_to is None else self._seek_to
                    self._wake.wait_for(lambda: self._stopped, self._backoff.wait_s)
                self._backoff.failed()

    def _hand_on(self, frame: Frame, due_s: float | None = None, *, repeat: bool = False) -> None:
        """Deliver `frame`; its capture time becomes `due_s` where one is given."""
        assert self._info is not None
        if self._stopped:
            return
        self._backoff.succeeded()
        self._last = frame
        if due_s is not None:
            frame = replace(frame, capture_s=due_s)
        self._deliver(frame, self._info, self._segment_id, repeat=repeat)

    def _play_live(self, source: VideoSource) -> None:
        """Deliver a camera's or stream's frames as they come; a pause reads on and shows none, so that none is old.

        Returns when stopped and at the end of the duration that was asked for.
        """
        self._segment_id = next(_segment_ids)
        shown: Phase | None = None
        while not self._stopped:
            frame = source.read()
            if frame is None:
                return
            with self._wake:
                paused, step = self._paused, self._steps > 0
                self._steps = 0
            phase = Phase.PAUSED if paused else Phase.PLAYING
            if phase is not shown:
                self._notify_phase(phase)
                shown = phase
            if paused:
                self._segment_id = next(_segment_ids)
            if not paused or step:
                self._hand_on(frame)

    def _stay_at_end(self) -> None:
        """Wait, after a camera or stream gave the seconds that were asked for, until stopped or started over."""
        with self._wake:
            self._ended = True
        self._notify_phase(Phase.ENDED)
        with self._wake:
            self._wake.wait_for(lambda: self._stopped or self._seek_to is not None)
            self._ended, self._seek_to = False, None

    def _play_file(self, source: VideoSource) -> None:
        """Deliver a file's frames when they are due, until stopped."""
        self._segment_id = next(_segment_ids)
        clock = PlaybackClock(self._speed)
        waiting: Frame | None = None
        anchored, phase = False, Phase.OPENING
        while True:
            phase = self._notify_change(phase)
            with self._wake:
                self._wake.wait_for(self._may_go_on)
                if self._stopped:
                    return
                seek, self._seek_to = self._seek_to, None
                step = self._paused and self._steps > 0
                self._steps = max(0, self._steps - 1)
            if seek is not None:
                source.seek(seek)
                self._segment_id = next(_segment_ids)
                waiting, self._ended = None, False
            waiting = waiting or source.read()
            if waiting is None:
                self._at_end(source, clock)
            elif self._wait_for_engine:
                self._hand_on(waiting, time.perf_counter(), repeat=True)
                self._wait_at_first_frame()
            elif seek is not None or step:
                now_s = time.perf_counter()
                clock.anchor(waiting.pts_s, now_s)
                self._hand_on(waiting, now_s)
                waiting, anchored = None, not step
            else:
                now_s = time.perf_counter()
                if not anchored or now_s - clock.due(waiting.pts_s) > MAX_LATE_S:
                    clock.anchor(waiting.pts_s, now_s)
                due_s = self._wait_until_due(clock, waiting.pts_s)
                anchored = due_s is not None or not self._paused
                if due_s is not None:
                    self._hand_on(waiting, due_s)
                    waiting = None

    def _notify_change(self, last: Phase) -> Phase:
        """Return the file's phase, after notifying of it if it is another than `last`."""
        with self._wake:
            phase = Phase.ENDED if self._ended else Phase.PAUSED if self._paused else Phase.PLAYING
        if phase is not last:
            self._notify_phase(phase)
        return phase

    def _may_go_on(self) -> bool:
        held = self._ended or (self._paused and not self._steps)
        return self._stopped or self._seek_to is not None or not held

    def _wait_at_first_frame(self) -> None:
        with self._wake:
            self._wake.wait_for(lambda: self._stopped or not self._wait_for_engine or self._seek_to is not None)

    def _at_end(self, source: VideoSource, clock: PlaybackClock) -> None:
        """Start over or stay at the end, once the last frame has been shown for its time."""
        if self._last is None:
            raise SourceError(f"{source.info.title} holds no picture; choose another file")
        interval_s = 1 / float(source.info.rate or 25)
        self._wait_until_due(clock, self._last.pts_s + interval_s)
        with self._wake:
            if self._loop and self._seek_to is None and not self._paused:
                self._seek_to = source.info.start_s
            elif not self._loop:
                self._ended = True

    def _wait_until_due(self, clock: PlaybackClock, pts_s: float) -> float | None:
        """Sleep until source time `pts_s` is due and return when that was; None if a command came first."""
        with self._wake:
            while not (self._stopped or self._paused or self._seek_to is not None):
                now_s = time.perf_counter()
                clock.change_speed(self._speed, now_s)
                due_s = clock.due(pts_s)
                if due_s <= now_s:
                    return due_s
                self._wake.wait(due_s - now_s)
        return None
