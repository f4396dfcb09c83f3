"""The live session without a window: sources that stall, die, change size and come back; commands while playing."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from segnet_live.card import Card
from segnet_live.classes import CAMVID
from segnet_live.config import SourceSpec
from segnet_live.engine.base import Engine, EngineInfo
from segnet_live.errors import SourceError, SourceLost
from segnet_live.frame import Frame, LabelMap, Size
from segnet_live.pipeline import backoff, inference
from segnet_live.pipeline.live import session as session_module
from segnet_live.pipeline.live.capture import Phase, SourceState
from segnet_live.pipeline.live.class_timeline import BINS, ClassTimeline
from segnet_live.pipeline.live.engine_switch import EngineChoice, EngineSwitch
from segnet_live.pipeline.live.playback import PlaybackClock
from segnet_live.pipeline.live.session import LiveSession, News, Picture
from segnet_live.pipeline.record.video import ContinuousTime
from segnet_live.video.source import SourceInfo, VideoSource

CAMERA = SourceSpec("camera", "0")
FILE = SourceSpec("video", "drive.mp4")


class ScriptedSource:
    """Frames of one size, 100 a second if live; after `count` of them it does what `end` does."""

    def __init__(
        self,
        size: Size = (48, 64),
        *,
        live: bool = True,
        count: int = 10**9,
        end: Callable[[], None] = lambda: None,
        first: int = 0,
    ) -> None:
        self.info = SourceInfo(
            title="camera 0" if live else "drive.mp4",
            size=size,
            rate=None if live else Fraction(50),
            time_base=Fraction(1, 50),
            duration_s=None if live else count / 50,
            frames=None if live else count,
            live=live,
            seekable=not live,
            audio=False,
        )
        self.corrupt = 0
        self.closed = 0
        self._count, self._end, self._at = count, end, first

    def read(self) -> Frame | None:
        if self._at >= self._count:
            self._end()
            return None
        if self.info.live:
            time.sleep(0.01)
        self._at += 1
        rgb = np.full((*self.info.size, 3), (self._at - 1) % 256, np.uint8)
        return Frame(rgb, self._at - 1, self._at - 1, self.info.time_base, capture_s=time.perf_counter())

    def seek(self, time_s: float) -> None:
        self._at = int(np.ceil(time_s * 50 - 1e-6))

    def close(self) -> None:
        self.closed += 1


class ShadeEngine:
    """Labels a frame with its shade modulo 11, so that a label map tells which frame it was made from."""

    info = EngineInfo("fake", "a test", "fp32", "none", (24, 32), "a test")

    def segment(self, rgb: NDArray[np.uint8]) -> LabelMap:
        return np.full((24, 32), rgb[0, 0, 0] % 11, np.uint8)

    def close(self) -> None:
        pass


def open_shade_engine(
    card: Card,
    *,
    backend: str = "auto",
    size: Size | None = None,
    source_size: Size | None = None,
    precision: str = "auto",
    confidence: bool = False,
    samples: int = 0,
) -> Engine:
    return ShadeEngine()


class Watcher:
    """A window that paints at once: everything that was shown, and all news."""

    def __init__(self, sources: list[VideoSource | Exception], card: Card) -> None:
        self.sources = sources
        self.news: list[News] = []
        self.shown: list[Picture] = []
        open_engine = lambda card, **options: open_shade_engine(card, **options)  # noqa: E731  # looked up when opened
        self.session = LiveSession(self._open, open_engine, self.news.append, CAMVID)
        self._card = card

    def _open(self, spec: SourceSpec) -> VideoSource:
        source = self.sources.pop(0)
        if isinstance(source, Exception):
            raise source
        return source

    def open(self, spec: SourceSpec, **options: float) -> None:
        self.session.open(spec, **options)  # type: ignore[arg-type]
        self.session.use(EngineChoice(self._card))

    def phases(self) -> list[Phase]:
        return [news.phase for news in self.news if isinstance(news, SourceState)]

    def until(self, true: Callable[[], bool], timeout_s: float = 120.0) -> None:
        end_s = time.perf_counter() + timeout_s
        while not true():
            assert time.perf_counter() < end_s, f"waited {timeout_s} s in vain; phases: {self.phases()}"
            picture = self.session.take_picture()
            if picture is not None:
                self.session.painted(picture, 0.0)
                self.shown.append(picture)
            time.sleep(0.001)

    def until_shown(self, count: int) -> None:
        goal = len(self.shown) + count
        self.until(lambda: len(self.shown) >= goal)


@pytest.fixture
def watch(tiny_card: Card, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Watcher]]:
    monkeypatch.setattr(backoff, "FIRST_S", 0.02)
    watchers: list[Watcher] = []

    def begin(*sources: VideoSource | Exception) -> Watcher:
        watchers.append(Watcher(list(sources), tiny_card))
        return watchers[-1]

    yield begin
    for watcher in watchers:
        watcher.session.close()


def lose() -> None:
    raise SourceLost("camera 0 was unplugged")


def test_a_lost_camera_comes_back_at_another_size(watch: Callable[..., Watcher]) -> None:
    first, second = ScriptedSource(count=30, end=lose), ScriptedSource((96, 64))
    watcher = watch(first, SourceError("no camera 0"), SourceError("no camera 0"), second)
    watcher.open(CAMERA)
    watcher.until(lambda: bool(watcher.shown) and watcher.shown[-1].result.frame.size == (96, 64))
    phases = watcher.phases()
    assert phases[:3] == [Phase.OPENING, Phase.PLAYING, Phase.LOST]
    assert phases.count(Phase.LOST) == 3
    assert phases[-1] is Phase.PLAYING
    lost = [news for news in watcher.news if isinstance(news, SourceState) and news.phase is Phase.LOST]
    assert "unplugged" in lost[0].message
    assert [b.retry_s > a.retry_s for a, b in pairwise(lost)] == [True, True], "each wait is longer than the last"
    assert first.closed == 1
    segments = [s.result.segment_id for s in watcher.shown if not s.result.repeat]
    assert len(set(segments)) == 2


def test_a_camera_that_gave_what_was_asked_for_has_ended_and_can_be_started_again(
    watch: Callable[..., Watcher],
) -> None:
    cameras = [ScriptedSource(count=5), ScriptedSource(count=5)]
    watcher = watch(*cameras)
    watcher.open(SourceSpec("camera", "0", duration_s=0.05))
    watcher.until(lambda: watcher.phases()[-1:] == [Phase.ENDED])
    assert cameras[0].closed
    time.sleep(0.2)
    assert watcher.phases() == [Phase.OPENING, Phase.PLAYING, Phase.ENDED]
    assert len(watcher.sources) == 1, "nobody opened it again"
    source = watcher.session.capture
    assert source is not None
    source.pause(False)
    watcher.until(lambda: watcher.phases().count(Phase.ENDED) == 2)
    assert Phase.LOST not in watcher.phases()


def test_a_network_file_that_is_lost_goes_on_where_it_was(watch: Callable[..., Watcher]) -> None:
    class Dropped(ScriptedSource):
        def read(self) -> Frame | None:
            if self._at == 12:
                raise SourceLost("the stream stopped")
            return super().read()

    watcher = watch(Dropped(live=False, count=20), SourceError("not yet there"), ScriptedSource(live=False, count=20))
    watcher.open(SourceSpec("video", "rtsp://camera/1"))
    watcher.until(lambda: watcher.phases()[-1] is Phase.ENDED and watcher.shown[-1].result.frame.index == 19)
    assert watcher.phases().count(Phase.LOST) == 2
    shown = [s.result.frame.index for s in watcher.shown if not s.result.repeat]
    assert shown == sorted(shown), "nothing is played twice"


def test_a_camera_that_was_never_there_is_an_error_not_a_wait(watch: Callable[..., Watcher]) -> None:
    watcher = watch(SourceError("there is no camera 0; choose another one"))
    watcher.open(CAMERA)
    watcher.until(lambda: Phase.FAILED in watcher.phases())
    assert Phase.LOST not in watcher.phases()


def test_a_stalled_camera_is_noticed_and_another_source_can_be_opened(watch: Callable[..., Watcher]) -> None:
    stuck = threading.Event()
    camera = ScriptedSource(count=5, end=lambda: stuck.wait(20) and None)
    other = SourceSpec("video", "other.mp4")
    watcher = watch(camera, ScriptedSource(live=False, count=20))
    watcher.open(CAMERA)
    watcher.until_shown(1)
    watcher.until(lambda: watcher.session.silent_s > 0.3)
    watcher.open(other)
    stuck.set()
    watcher.until(lambda: Phase.ENDED in watcher.phases())
    assert camera.closed == 1


def test_label_maps_travel_with_their_own_frames(watch: Callable[..., Watcher]) -> None:
    watcher = watch(ScriptedSource())
    watcher.open(CAMERA)
    watcher.until(lambda: len([s for s in watcher.shown if s.result.is_segmented]) > 30)
    for shown in watcher.shown:
        if shown.result.is_segmented:
            assert shown.result.labels[0, 0] == shown.result.frame.rgb[0, 0, 0] % 11


def test_a_paused_camera_shows_nothing_and_goes_on_with_the_newest_picture(watch: Callable[..., Watcher]) -> None:
    watcher = watch(ScriptedSource())
    watcher.open(CAMERA)
    watcher.until_shown(3)
    source = watcher.session.capture
    assert source is not None
    source.pause(True)
    watcher.until(lambda: watcher.phases()[-1] is Phase.PAUSED)
    time.sleep(0.2)
    source.pause(False)
    watcher.until(lambda: watcher.phases()[-1] is Phase.PLAYING)
    watcher.until_shown(3)
    indices = [s.result.frame.index for s in watcher.shown]
    assert max(b - a for a, b in pairwise(indices)) > 8
    segments = [s.result.segment_id for s in watcher.shown]
    assert segments[-1] != segments[0]


def test_a_file_loops_and_seeks_to_the_newest_wish(watch: Callable[..., Watcher]) -> None:
    watcher = watch(ScriptedSource(live=False, count=40))
    watcher.open(FILE, loop=True)
    watcher.until(lambda: any(b.result.frame.index < a.result.frame.index for a, b in pairwise(watcher.shown)))
    source = watcher.session.capture
    assert source is not None
    source.pause(True)
    watcher.until(lambda: watcher.phases()[-1] is Phase.PAUSED)
    for place in (0.1, 0.5, 0.3):
        source.seek(place)
    watcher.until(lambda: watcher.shown[-1].result.frame.index == 15)
    source.step()
    watcher.until(lambda: watcher.shown[-1].result.frame.index == 16)


def test_metrics_count_what_was_shown_and_what_was_dropped(watch: Callable[..., Watcher]) -> None:
    watcher = watch(ScriptedSource(live=False, count=100))
    watcher.open(FILE, speed=4.0)
    watcher.until(lambda: Phase.ENDED in watcher.phases() and watcher.shown[-1].result.frame.index == 99)
    measured = [s for s in watcher.shown if not s.result.repeat]
    snapshot = watcher.session.metrics.snapshot()
    assert len(measured) + sum(snapshot.dropped.values()) == 100
    assert set(snapshot.stages_ms) == {"decode", "inference", "overlay", "paint"}
    assert snapshot.latency_ms.p50 > 0


class HeldEngine(ShadeEngine):
    """Waits in `segment` while `go` is not set."""

    def __init__(self) -> None:
        self.go, self.inside = threading.Event(), threading.Event()
        self.go.set()

    def segment(self, rgb: NDArray[np.uint8]) -> LabelMap:
        self.inside.set()
        self.go.wait(20)
        return super().segment(rgb)


def test_the_timeline_of_a_file_holds_nothing_of_the_one_before(
    watch: Callable[..., Watcher], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = HeldEngine()
    monkeypatch.setattr("tests.pipeline.live.test_session.open_shade_engine", lambda card, **options: engine)
    watcher = watch(ScriptedSource(live=False, count=400), ScriptedSource(live=False, count=200))
    watcher.open(FILE)
    watcher.until(lambda: watcher.session.timeline is not None)
    engine.go.clear()
    engine.inside.clear()
    assert engine.inside.wait(10)
    watcher.open(replace(FILE, value="other.mp4"))  # a frame of the first file is still being segmented
    assert watcher.session.timeline is None
    engine.go.set()
    watcher.until(lambda: watcher.session.timeline is not None)
    timeline = watcher.session.timeline
    assert timeline is not None
    assert timeline.source.duration_s == 4.0
    watcher.until(lambda: watcher.shown[-1].result.source.duration_s == 4.0 and watcher.shown[-1].result.pts_s > 0.2)
    assert watcher.session.timeline is timeline
    seen = np.flatnonzero(~np.isnan(timeline.means()[:, 0]))
    assert seen[0] == 0
    assert seen[-1] / BINS < 0.9


def test_a_governor_is_told_of_this_moments_latency_though_nothing_is_painted(
    watch: Callable[..., Watcher], monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[float] = []
    threads: set[str] = set()

    def observe(switch: object, busy_ms: float, latency_ms: float) -> None:
        told.append(latency_ms)
        threads.add(threading.current_thread().name)

    monkeypatch.setattr(EngineSwitch, "observe", observe)
    monkeypatch.setattr(session_module, "PAINT_COUNTS_S", 60.0)
    watcher = watch(ScriptedSource())
    watcher.open(CAMERA)

    def next_latencies() -> list[float]:
        """What the governor is told of frames from now on; nothing is painted meanwhile."""
        begin = len(told) + 2
        while len(told) < begin + 5:
            time.sleep(0.005)
        return told[begin:]

    next_latencies()
    picture = watcher.session.newest
    assert picture is not None
    time.sleep(0.5)
    watcher.session.painted(replace(picture, result=replace(picture.result, repeat=False)), 0.0)
    assert max(next_latencies()) > 500, "a slow screen counts"
    monkeypatch.setattr(session_module, "PAINT_COUNTS_S", 0.0)
    assert min(next_latencies()) < 400, "but not for ever"
    assert threads == {"inference"}


def test_garbage_is_collected_in_the_windows_thread_alone(
    watch: Callable[..., Watcher], monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[threading.Thread] = []
    monkeypatch.setattr(inference, "COLLECT_EVERY", 5)
    monkeypatch.setattr(inference.gc, "collect", lambda: threads.append(threading.current_thread()))
    watcher = watch(ScriptedSource(live=False, count=10**6))
    watcher.open(FILE)
    watcher.until(lambda: len(threads) >= 2)
    assert set(threads) == {threading.main_thread()}


def test_memory_threads_and_hand_overs_stay_flat(watch: Callable[..., Watcher]) -> None:
    import psutil

    watcher = watch(ScriptedSource(live=False, count=10**6))
    watcher.open(FILE, speed=16.0)
    watcher.until_shown(200)
    before, threads = psutil.Process().memory_info().rss, threading.active_count()
    watcher.shown.clear()
    frames = 0
    while frames < 1000:
        watcher.until_shown(1)
        watcher.shown.clear()
        frames += 1
    assert psutil.Process().memory_info().rss - before < 20 << 20
    assert threading.active_count() == threads


def test_the_playback_clock_changes_speed_without_a_jump() -> None:
    clock = PlaybackClock()
    clock.anchor(10.0, 100.0)
    assert clock.due(11.0) == 101.0
    clock.change_speed(2.0, 100.5)
    assert clock.due(10.5) == 100.5
    assert clock.due(12.5) == 101.5


def test_recorded_time_is_the_sources_within_a_segment_and_gapless_between_them() -> None:
    def frame(pts: int, base: Fraction = Fraction(1, 100)) -> Frame:
        return Frame(np.zeros((2, 2, 3), np.uint8), 0, pts, base)

    clock = ContinuousTime()
    rate = Fraction(25)
    played = [(50, 1), (54, 1), (62, 1), (10, 2), (14, 2), (14, 2), (12, 2), (300, 3)]
    out = [clock.restamp(frame(pts), segment_id, rate) for pts, segment_id in played]
    assert [f.pts if f else None for f in out] == [0, 4, 12, 16, 20, None, None, 24]
    other = clock.restamp(frame(9, Fraction(1, 10)), 4, Fraction(10))
    assert other is not None
    assert (other.pts, other.time_base) == (34, Fraction(1, 100))


def test_the_class_timeline_fills_in_as_frames_are_seen() -> None:
    info = replace(ScriptedSource(live=False).info, start_s=10.0, duration_s=float(BINS))
    timeline = ClassTimeline(2, info)
    assert np.isnan(timeline.means()).all()
    timeline.add(12.5, np.array([1, 0], np.float32))
    timeline.add(15.5, np.array([0, 1], np.float32), since_s=12.5)
    timeline.add(15.7, np.array([1, 0], np.float32), since_s=15.5)
    timeline.add(9.0, np.array([1, 0], np.float32))
    means = timeline.means()
    assert means[2].tolist() == [1, 0]
    assert means[3].tolist() == means[4].tolist() == [0, 1]
    assert means[5].tolist() == [0.5, 0.5]
    assert np.isnan(means[6:]).all()
    assert np.isnan(means[:2]).all()
