"""Real RTSP servers: GStreamer's, from Debian's packages (see tests/support/rtsp_server.py); skipped without them."""

from __future__ import annotations

import csv
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import pytest

from segnet_live.card import Card
from segnet_live.cli import main
from segnet_live.config import SourceSpec
from segnet_live.errors import SourceError, SourceLost
from segnet_live.pipeline.headless import job as headless_job
from segnet_live.pipeline.live.capture import Capture, Phase, SourceState
from segnet_live.video.file import FileSource
from segnet_live.video.open import open_source
from tests.support.clips import Clip, make, number_in
from tests.support.engines import FakeEngine
from tests.support.rtsp import Server

pytestmark = pytest.mark.stream

FRAMES, RATE = 125, 25


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five seconds, each frame with its number."""
    folder = tmp_path_factory.mktemp("film")
    return Path(make(folder, Clip(name="film.mp4", frames=FRAMES, options={"g": "5", "bf": "0"})))


@pytest.fixture
def server(film: Path) -> Iterator[Server]:
    server = Server(film)
    server.start()
    yield server
    server.die()


def numbers_in(recording: Path) -> list[int]:
    with av.open(str(recording)) as video:
        return [number_in(frame.to_ndarray(format="rgb24")) for frame in video.decode(video=0)]


def test_a_stream_with_a_stated_length_plays_to_its_end(server: Server) -> None:
    source = open_source(SourceSpec("video", server.url("film")))
    assert source.info.duration_s == pytest.approx(FRAMES / RATE, abs=0.1)
    assert not source.info.live
    frames = []
    began_s = time.monotonic()
    while (frame := source.read()) is not None:
        frames.append((number_in(frame.rgb), frame.pts_s))
    played_s = time.monotonic() - began_s
    assert frames == [(n, pytest.approx(n / RATE, abs=1e-3)) for n in range(FRAMES)]
    began_s = time.monotonic()
    for seek_s, number in ((2.721, 69), (4.0, 100), (1.0, 25)):
        source.seek(seek_s)
        frame = source.read()
        assert frame is not None
        assert (number_in(frame.rgb), frame.pts_s) == (number, pytest.approx(number / RATE, abs=1e-3))
    assert time.monotonic() - began_s < 0.6 * played_s, "it jumps, and does not play up to there"
    source.close()


def test_a_live_stream_is_live_and_lost_when_its_server_dies(server: Server) -> None:
    source = FileSource(server.url("live"))
    assert source.info.live
    assert source.info.duration_s is None
    times = [frame.pts_s for frame in (source.read() for _ in range(30)) if frame is not None]
    assert len(times) == 30
    assert times == sorted(set(times))
    server.die()

    def play() -> None:
        while source.read() is not None:
            pass

    with pytest.raises(SourceLost, match=r"stopped|broke off"):
        play()
    source.close()


def test_a_password_opens_the_stream_and_is_shown_nowhere(server: Server) -> None:
    server.die()
    server.start("--user", "me", "--password", "hush-hush")
    source = FileSource(server.url("film", "me:hush-hush@"))
    assert source.info.title == server.url("film", "me:***@")
    assert source.read() is not None
    server.die()

    def play() -> None:
        while source.read() is not None:
            pass

    with pytest.raises(SourceLost) as lost:
        play()
    with pytest.raises(SourceError) as refused:
        FileSource(server.url("film", "me:hush-hush@"))
    server.start("--user", "me", "--password", "hush-hush")
    with pytest.raises(SourceError) as wrong:
        FileSource(server.url("film", "me:hush-wrong@"))
    for error in (lost, refused, wrong):
        assert "hush" not in str(error.value)
        assert "me:***@" in str(error.value)


def test_in_the_window_a_stream_that_dies_before_its_stated_end_is_lost_and_comes_back(server: Server) -> None:
    seen: list[int] = []
    news: list[SourceState] = []
    ended = threading.Event()

    def notify(state: SourceState) -> None:
        news.append(state)
        if state.phase in (Phase.ENDED, Phase.FAILED):
            ended.set()

    capture = Capture(
        SourceSpec("video", server.url("film")),
        open_source,
        lambda frame, source, segment_id, *, repeat: seen.append(number_in(frame.rgb)),
        notify,
    )
    capture.start()
    until(lambda: len(seen) > 20)
    server.die()
    until(lambda: any(state.phase is Phase.LOST for state in news))
    server.start()
    assert ended.wait(40)
    capture.stop()
    assert news[-1].phase is Phase.ENDED
    assert "early" in next(state.message for state in news if state.phase is Phase.LOST)
    assert seen == list(range(FRAMES))


@pytest.fixture
def quick_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine that is there at once: the server does not wait for one."""
    monkeypatch.setattr(headless_job, "open_engine", lambda card, **options: FakeEngine())


@pytest.mark.usefixtures("quick_engine")
def test_without_a_window_nothing_is_lost_of_what_came(
    server: Server, tiny_card: Card, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record, stats, rows = tmp_path / "out.mp4", tmp_path / "s.csv", tmp_path / "s.partial.csv"

    def fail_and_come_back() -> None:
        until(lambda: rows.exists() and rows.read_text().count("\n") > 20)
        server.die()
        until(stats.exists)
        server.start()

    trouble = threading.Thread(target=fail_and_come_back)
    trouble.start()
    command = ["--video", server.url("film"), "--headless", "--record", str(record), "--stats", str(stats)]
    assert main([*command, "--view", "original", "--model", str(tiny_card.folder)]) == 0
    trouble.join()
    said = capsys.readouterr().out
    assert "s early; kept" in said
    assert "is back after" in said
    first, second = numbers_in(record), numbers_in(tmp_path / "out-2.mp4")
    assert first + second == list(range(FRAMES))
    for name, numbers in (("s.csv", first), ("s-2.csv", second)):
        with open(tmp_path / name, newline="") as file:
            times = [float(row["pts_s"]) for row in csv.DictReader(file)]
        assert times == pytest.approx([n / RATE for n in numbers], abs=1e-3)


@pytest.mark.usefixtures("quick_engine")
def test_told_not_to_a_run_ends_with_its_recording_complete(
    server: Server, tiny_card: Card, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record, stats, rows = tmp_path / "out.mp4", tmp_path / "s.csv", tmp_path / "s.partial.csv"

    def fail() -> None:
        until(lambda: rows.exists() and rows.read_text().count("\n") > 20)
        server.die()

    trouble = threading.Thread(target=fail)
    trouble.start()
    command = ["--video", server.url("live"), "--headless", "--record", str(record), "--stats", str(stats)]
    assert main([*command, "--no-reconnect", "--model", str(tiny_card.folder)]) == 2
    trouble.join()
    complained = capsys.readouterr().err
    assert complained.count("\n") == 1
    assert server.url("live") in complained
    assert len(numbers_in(record)) >= 20
    assert not rows.exists()


def until(true: Callable[[], bool], timeout_s: float = 120.0) -> None:
    end_s = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < end_s, f"waited {timeout_s} s in vain"
        time.sleep(0.02)
