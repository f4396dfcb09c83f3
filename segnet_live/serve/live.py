"""Show sources to any number of viewers: one live session a source, one JPEG a view and frame, the newest to each.

A viewer who is slow loses pictures, which are counted; the session, its recording and the others never wait for him.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

from segnet_live.config import SourceSpec
from segnet_live.display_text import fit_to_show
from segnet_live.frame import Size, SourceInfo
from segnet_live.pipeline.live.capture import Phase, SourceState
from segnet_live.pipeline.live.engine_switch import EngineChoice, EngineState
from segnet_live.pipeline.live.session import LiveSession, News, Picture
from segnet_live.pipeline.record.video import RecordingState
from segnet_live.render.hud import hud_lines
from segnet_live.render.view import ViewSettings, compose_for_screen, fit_within
from segnet_live.serve.engines import open_engine
from segnet_live.serve.json_values import class_facts
from segnet_live.serve.limits import Refused
from segnet_live.system.usage import UsageMeter
from segnet_live.video.location import display_name
from segnet_live.video.open import open_source
from segnet_live.video.source import VideoSource

log = logging.getLogger(__name__)

LiveView: TypeAlias = Literal["overlay", "side-by-side", "labels", "original"]
LIVE_VIEWS: tuple[LiveView, ...] = get_args(LiveView)
LARGEST: Size = (720, 1280)
"""Pictures of larger sources are made smaller for viewers; the recording has them whole."""
JPEG_QUALITY = 82
LINGER_S = 10.0
"""How long a source stays open without a viewer: a page that is loaded again need not wait for it."""
_STATES = {Phase.OPENING: "opening", Phase.ENDED: "ended", Phase.LOST: "lost", Phase.FAILED: "failed"}


class Viewer:
    """One who watches; the newest picture waits for him. Belongs to the event loop.

    Attributes:
        shown: pictures that he took.
        dropped: pictures that were overwritten before he could.
    """

    def __init__(self, view: LiveView) -> None:
        self.view: LiveView = view
        self.shown = self.dropped = 0
        self._newest: bytes | None = None
        self._news = asyncio.Event()
        self._closed = False

    def offer(self, jpeg: bytes) -> None:
        """Make this picture the newest."""
        self.dropped += self._newest is not None
        self._newest = jpeg
        self._news.set()

    async def next(self) -> bytes | None:
        """Wait for the newest picture and take it; None when there will be no more."""
        await self._news.wait()
        self._news.clear()
        jpeg, self._newest = self._newest, None
        if jpeg is None or self._closed:
            return None
        self.shown += 1
        return jpeg

    def close(self) -> None:
        """Let `next` return None."""
        self._closed = True
        self._news.set()


@dataclass(frozen=True, slots=True)
class Running:
    """What runs while somebody watches a source, or it is recorded."""

    session: LiveSession
    thread: threading.Thread
    usage: UsageMeter
    stop: threading.Event


class Channel:
    """A source that can be watched. Belongs to the event loop, but for what its session's threads call.

    Args:
        choice: the engine; opened with the first viewer.
        record: an mp4 to record into from the start, None for none.
        say: takes a line for the terminal, from any thread.
    """

    def __init__(
        self,
        spec: SourceSpec,
        choice: EngineChoice,
        *,
        record: Path | None = None,
        overwrite: bool = False,
        say: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.spec, self.name = spec, display_name(spec)
        self._choice, self._record, self._overwrite, self._say = choice, record, overwrite, say
        self._viewers: set[Viewer] = set()
        self._running: Running | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ending: asyncio.TimerHandle | None = None
        self._closing: threading.Thread | None = None
        self._source: SourceState | None = None
        self._engine_error = ""
        self._last: Picture | None = None
        self._recorded = ""

    # Viewers

    @property
    def records(self) -> bool:
        """Whether it runs from the start, for its recording."""
        return self._record is not None

    @property
    def viewers(self) -> int:
        """How many watch now."""
        return len(self._viewers)

    def join(self, viewer: Viewer) -> None:
        """Send the viewer every further picture, and begin if he is the first."""
        self._viewers.add(viewer)
        self.start()

    def leave(self, viewer: Viewer) -> None:
        """Send the viewer nothing more, and end a while after the last one left."""
        self._viewers.discard(viewer)
        if not self._viewers and self._record is None and self._running is not None:
            self._stop_waiting()
            self._ending = asyncio.get_running_loop().call_later(LINGER_S, self._end_unwatched)

    def _stop_waiting(self) -> None:
        if self._ending is not None:
            self._ending.cancel()
            self._ending = None

    def _end_unwatched(self) -> None:
        self._ending = None
        if not self._viewers:
            running, self._running = self._running, None
            if running is not None:
                self._close_behind(running)

    def _close_behind(self, running: Running) -> None:
        """Close in a thread, which may take as long as a device does; the next session waits for that."""
        self._closing = threading.Thread(target=_close, args=(running,), name="serve close", daemon=True)
        self._closing.start()

    def _open_source(self, spec: SourceSpec) -> VideoSource:
        """Open the source, in the capture thread: a camera only when the session before has let go of it."""
        closing = self._closing
        if closing is not None:
            closing.join(LINGER_S)
        return open_source(spec)

    def close(self) -> None:
        """End everything, and complete the recording; blocks until then."""
        self._stop_waiting()
        for viewer in self._viewers:
            viewer.close()
        running, self._running = self._running, None
        if running is not None:
            _close(running)

    # The session

    def start(self) -> None:
        """Open source and engine, unless they are open."""
        self._stop_waiting()
        if self._running is not None and not self._has_failed:
            return
        if self._running is not None:  # the next viewer tries again what failed
            self._end_failed()
        self._loop = asyncio.get_running_loop()
        session = LiveSession(self._open_source, open_engine, self._notify, self._choice.card.classes)
        stop = threading.Event()
        thread = threading.Thread(target=self._send, args=(session, stop), name="serve live", daemon=True)
        self._running = Running(session, thread, UsageMeter(), stop)
        session.use(self._choice)
        session.set_screen_size(LARGEST)
        if self._record is not None:
            session.record(self._record, overwrite=self._overwrite)
        session.open(self.spec, loop=self._record is None)
        thread.start()

    @property
    def _has_failed(self) -> bool:
        return self._source is not None and self._source.phase is Phase.FAILED and self._record is None

    def _end_failed(self) -> None:
        running, self._running = self._running, None
        self._source = None
        if running is not None:
            self._close_behind(running)

    def _notify(self, news: News) -> None:
        """Take news from the session's threads."""
        running = self._running
        if isinstance(news, SourceState):
            self._source = news
            if news.info is not None and running is not None:
                running.session.set_screen_size(_screen(news.info))
            if news.phase is Phase.ENDED and self._record is not None and running is not None:
                running.session.stop_recording()
            if news.phase in (Phase.LOST, Phase.FAILED):
                self._say(f"{self.name}: {news.message}")
        elif isinstance(news, EngineState):
            self._engine_error = news.error
            if news.error:
                self._say(f"{self.name}: {news.error}")
        elif isinstance(news, RecordingState) and not news.running:
            files = ", ".join(str(path) for path in news.finished)
            lost = f"; {news.dropped} frames left out, the encoder was behind" if news.dropped else ""
            self._recorded = news.error or f"recorded {files or 'nothing'}{lost}"
            self._say(f"{self.name}: {self._recorded}")

    def _send(self, session: LiveSession, stop: threading.Event) -> None:
        """Run the thread that makes JPEGs of pictures and offers them to viewers."""
        while not stop.is_set():
            picture = session.take_picture(timeout_s=0.1)
            if picture is None:
                continue
            began_s = time.perf_counter()
            self._last = picture
            views = {viewer.view for viewer in tuple(self._viewers)}
            jpegs = {view: jpeg_of(picture, view) for view in views}
            loop = self._loop
            if jpegs and loop is not None and not loop.is_closed():
                loop.call_soon_threadsafe(self._offer, jpegs)
            session.painted(picture, (time.perf_counter() - began_s) * 1e3)

    def _offer(self, jpegs: dict[LiveView, bytes]) -> None:
        for viewer in self._viewers:
            if viewer.view in jpegs:
                viewer.offer(jpegs[viewer.view])

    # What is told of it

    def facts(self) -> dict[str, Any]:
        """Return what everybody may know of the source."""
        return {"name": self.name, "kind": self.spec.kind, "viewers": self.viewers, "records": self._record is not None}

    def figures(self, viewer: Viewer | None) -> dict[str, Any]:
        """Return the figures of this moment, those of the HUD among them, for one viewer."""
        running, picture = self._running, self._last
        told: dict[str, Any] = {"state": self._state(), "viewers": self.viewers}
        if viewer is not None:
            told |= {"shown": viewer.shown, "dropped": viewer.dropped}
        if running is None:
            return told
        session = running.session
        snapshot = session.metrics.snapshot()
        told["hud"] = hud_lines(snapshot, session.engine_info, running.usage.latest, governor=session.governor_status)
        told["history"] = [[round(age_s, 2), round(ms, 1)] for age_s, ms in snapshot.history[-300:]]
        if picture is not None and picture.result.is_segmented:
            result = picture.result
            told["classes"] = class_facts(result.classes, result.class_shares)
        recording = session.recording
        if recording is not None:
            told["recording"] = f"{recording.elapsed_s:.0f} s, {recording.dropped} frames left out"
        elif self._recorded:
            told["recording"] = self._recorded
        return told

    def _state(self) -> str:
        """Return a line for what keeps pictures from coming; "" while they come."""
        source, running = self._source, self._running
        if source is None or running is None:
            return "opening"
        if source.phase in (Phase.LOST, Phase.FAILED):
            return f"{_STATES[source.phase]}: {source.message}"
        if self._engine_error:
            return fit_to_show(self._engine_error)
        if running.session.engine_info is None:
            return "loading the network"
        return _STATES.get(source.phase, "")


def _close(running: Running) -> None:
    running.stop.set()
    running.session.close()
    running.thread.join(5.0)
    running.usage.close()


def _screen(info: SourceInfo) -> Size:
    """Return the size of a source's pictures for viewers: its own, if that is not larger than LARGEST."""
    fitted = fit_within(info.size, LARGEST)
    return fitted if fitted < info.size else info.size


def pixels_of(picture: Picture, view: LiveView) -> NDArray[np.uint8]:
    """Return a view of a frame, (h, w, 4) uint8 BGRX, at the size for viewers."""
    result, pixels = picture.result, picture.screen
    if view == picture.settings.view:
        return pixels
    box = pixels.shape[0], pixels.shape[1] * (2 if view == "side-by-side" else 1)
    return compose_for_screen(result, ViewSettings(view), box)


def jpeg_of(picture: Picture, view: LiveView) -> bytes:
    """Return a view of a frame as JPEG."""
    bgr = cv2.cvtColor(pixels_of(picture, view), cv2.COLOR_BGRA2BGR)
    return cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1].tobytes()


class Watching:
    """The viewers of all channels, each with a name of its own that pictures and figures share. Belongs to the loop."""

    def __init__(self, channels: list[Channel], most: int) -> None:
        self.channels = channels
        self._most = most
        self._named: dict[str, Viewer] = {}
        self._all: set[Viewer] = set()
        self.ended = False

    def channel(self, number: int) -> Channel:
        """Return a channel.

        Raises:
            Refused: with 404, there is none of this number.
        """
        if not 0 <= number < len(self.channels):
            raise Refused(404, f"there is no source {number}; this server has {len(self.channels)}")
        return self.channels[number]

    def enter(self, number: int, view: str, name: str) -> Viewer:
        """Return a new viewer of a channel.

        Raises:
            Refused: there is no such channel or view, or there are too many viewers.
        """
        channel = self.channel(number)
        chosen = next((known for known in LIVE_VIEWS if known == view), None)
        if chosen is None:
            raise Refused(422, f"no view {view[:40]!r}; choose from {', '.join(LIVE_VIEWS)}")
        if sum(each.viewers for each in self.channels) >= self._most or self.ended:
            raise Refused(503, f"{self._most} people watch already; try again later", retry_s=30)
        viewer = Viewer(chosen)
        self._all.add(viewer)
        self._named[name] = viewer
        channel.join(viewer)
        return viewer

    def leave(self, number: int, viewer: Viewer, name: str) -> None:
        self._all.discard(viewer)
        self.channels[number].leave(viewer)
        if self._named.get(name) is viewer:
            del self._named[name]

    def viewer(self, name: str) -> Viewer | None:
        """Return who watches under this name."""
        return self._named.get(name)

    def end(self) -> None:
        """Send nobody anything any more: streams have no end of their own."""
        self.ended = True
        for viewer in self._all:
            viewer.close()
