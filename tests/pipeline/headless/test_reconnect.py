"""Cameras and streams that are lost in a run without a window come back, and go on in numbered files."""

from __future__ import annotations

import csv
import itertools
import signal
import subprocess
import sys
import threading
from pathlib import Path

import av
import pytest

from segnet_live.card import Card
from segnet_live.cli import main, parse
from segnet_live.config import RunConfig, SourceSpec
from segnet_live.errors import SourceError, SourceLost, UsageError
from segnet_live.pipeline import backoff
from segnet_live.pipeline.headless import job as headless_job
from segnet_live.pipeline.headless import reconnect
from segnet_live.video.source import VideoSource
from tests.support.engines import FakeEngine
from tests.support.sources import FakeSource, fail_at

LOST = SourceLost("camera 0: unplugged")
TAKEN = threading.Semaphore(0)
"""Counts the frames that the engine has taken: a camera here gives the next one then, so that none is ever skipped."""


def engine() -> FakeEngine:
    return FakeEngine(before=lambda _: TAKEN.release())


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[VideoSource | Exception]:
    """What opening a source gives, one time after the other."""
    script: list[VideoSource | Exception] = []
    while TAKEN.acquire(blocking=False):
        pass

    def open_source(spec: object) -> VideoSource:
        found = script.pop(0) if script else SourceError("camera 0: still gone")
        if isinstance(found, Exception):
            raise found
        return found

    for module in (headless_job, reconnect):
        monkeypatch.setattr(module, "open_source", open_source)
    monkeypatch.setattr(headless_job, "open_engine", lambda card, **options: engine())
    monkeypatch.setattr(backoff, "FIRST_S", 0.05)
    monkeypatch.setattr(reconnect, "POLL_S", 0.01)
    return script


def live(count: int, *, lost: bool) -> FakeSource:
    """A camera of `count` frames, each given when the one before was taken; then it is lost, or all have been given."""
    fail = fail_at(count, LOST if lost else SourceError("never"))

    def before_read(index: int) -> None:
        if index:
            assert TAKEN.acquire(timeout=240)
        if lost:
            fail(index)

    return FakeSource(count, live=True, before_read=before_read)


def frames(path: Path) -> int:
    with av.open(str(path)) as video:
        return sum(1 for _ in video.decode(video=0))


def test_a_camera_that_comes_back_goes_on_in_numbered_files(
    opened: list[VideoSource | Exception], tiny_card: Card, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    opened += [live(6, lost=True), SourceError("not yet"), live(4, lost=True), live(5, lost=False)]
    (tmp_path / "out-2.mp4").write_text("somebody else's")
    outputs = ["--record", "out.mp4", "--masks", "labels", "--stats", "s.csv"]
    outputs = [str(tmp_path / name) if number % 2 else name for number, name in enumerate(outputs)]
    assert main(["--camera", "0", "--model", str(tiny_card.folder), "--headless", *outputs]) == 0
    said = capsys.readouterr().out
    assert (tmp_path / "out-2.mp4").read_text() == "somebody else's"
    for suffix, count in (("", 6), ("-3", 4), ("-4", 5)):
        assert frames(tmp_path / f"out{suffix}.mp4") == count
        assert len(list((tmp_path / f"labels{suffix}").iterdir())) == count
        with open(tmp_path / f"s{suffix}.csv", newline="") as file:
            assert len(list(csv.reader(file))) == 1 + count
    assert said.count("camera 0: unplugged; kept ") == 2
    assert said.count(" is back after ") == 2
    assert f"going on in {tmp_path / 'out-3.mp4'}" in said
    assert "15 frames in" in said.splitlines()[-1]
    assert not list(tmp_path.glob("*.partial*"))


LOST_FOR_EVER = """
import sys
from segnet_live.errors import SourceError
from segnet_live.pipeline import backoff
from segnet_live.pipeline.headless import job, reconnect, run
from tests.pipeline.headless.test_reconnect import engine, live

def still_gone(spec):
    raise SourceError("camera 0: still gone")

job.open_source, reconnect.open_source = lambda spec: live(5, lost=True), still_gone
job.open_engine = lambda card, **options: engine()
backoff.FIRST_S = backoff.LONGEST_S = 60.0
from segnet_live.cli import main
sys.exit(main(sys.argv[1:]))
"""


def test_ctrl_c_ends_the_waiting_and_keeps_what_came(tiny_card: Card, tmp_path: Path) -> None:
    record = tmp_path / "out.mp4"
    given = ["--camera", "0", "--model", str(tiny_card.folder), "--headless", "--record", str(record)]
    child = subprocess.Popen(
        [sys.executable, "-c", LOST_FOR_EVER, *given], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        assert child.stdout is not None
        while "trying again" not in (line := child.stdout.readline()):
            assert line, "the run ended before the camera was lost"
        child.send_signal(signal.SIGINT)
        assert child.wait(30) == 130
    finally:
        child.kill()
        child.communicate()
    assert frames(record) == 5


def test_a_hanging_try_does_not_hold_up_ctrl_c() -> None:
    hang, begun = threading.Event(), threading.Event()

    def open_again() -> VideoSource:
        begun.set()
        hang.wait(30)
        raise SourceError("no answer")

    assert reconnect.reopen(open_again, backoff.Backoff(), begun.is_set) is None
    hang.set()


def test_waits_grow_until_a_frame_has_come() -> None:
    waits = backoff.Backoff()
    seen = []
    for _ in range(8):
        seen.append(waits.wait_s)
        waits.failed()
    assert all(b == min(2 * a, backoff.LONGEST_S) for a, b in itertools.pairwise(seen))
    assert seen[-1] == backoff.LONGEST_S
    waits.succeeded()
    assert waits.wait_s == seen[0]


def test_the_seconds_that_were_asked_for_are_not_asked_for_again(
    opened: list[VideoSource | Exception], tiny_card: Card, tmp_path: Path
) -> None:
    opened.append(live(5, lost=True))
    record = tmp_path / "out.mp4"
    given = [
        "--camera",
        "0",
        "--duration",
        "1",
        "--model",
        str(tiny_card.folder),
        "--headless",
        "--record",
        str(record),
    ]
    assert main(given) == 0
    assert frames(record) == 5


def test_a_network_file_goes_on_where_it_was(
    opened: list[VideoSource | Exception], tiny_card: Card, tmp_path: Path
) -> None:
    class Seekable(FakeSource):
        def seek(self, time_s: float) -> None:
            self.delivered = int(time_s * 25) + 1

    opened += [FakeSource(20, before_read=fail_at(8, SourceLost("broke off"))), Seekable(20)]
    record, stats = tmp_path / "out.mp4", tmp_path / "s.csv"
    given = ["--video", "rtsp://host/film", "--record", str(record), "--stats", str(stats)]
    assert main([*given, "--model", str(tiny_card.folder), "--headless"]) == 0
    times = []
    for name in ("s.csv", "s-2.csv"):
        with open(tmp_path / name, newline="") as file:
            times += [float(row["pts_s"]) for row in csv.DictReader(file)]
    assert times == pytest.approx([n / 25 for n in range(20)], abs=1e-6)
    assert (frames(record), frames(tmp_path / "out-2.mp4")) == (8, 12)


@pytest.mark.parametrize("option", [[], ["--no-reconnect"]])
def test_without_a_recording_or_when_told_so_a_loss_is_the_end(
    opened: list[VideoSource | Exception], tiny_card: Card, tmp_path: Path, option: list[str]
) -> None:
    opened += [live(5, lost=True), live(5, lost=False)]
    output = ["--record", str(tmp_path / "out.mp4")] if option else ["--stats", str(tmp_path / "s.csv")]
    assert main(["--camera", "0", "--model", str(tiny_card.folder), "--headless", *output, *option]) == 2
    assert len(opened) == 1


def test_what_cannot_be_lost_cannot_be_brought_back(
    tiny_card: Card, tmp_path: Path, capsys: pytest.CaptureFixture[str], clip: Path
) -> None:
    given = ["--video", str(clip), "--headless", "--record", str(tmp_path / "o.mp4"), "--model", str(tiny_card.folder)]
    assert main([*given, "--reconnect"]) == 2
    assert "is no camera and not on a network; leave it out" in capsys.readouterr().err
    with pytest.raises(UsageError, match="--no-reconnect is for runs without a window"):
        parse(["--camera", "0", "--no-reconnect"])


def test_outputs_of_one_number_belong_together(tmp_path: Path) -> None:
    (tmp_path / "s-2.csv").touch()
    (tmp_path / "out-3.partial.mp4").touch()
    source = SourceSpec("camera", "0")
    paths = {"record": tmp_path / "out.mp4", "masks": tmp_path / "labels", "stats": tmp_path / "s.csv"}
    config = reconnect.numbered_on(RunConfig(source=source, headless=True, **paths))
    assert [p and p.name for p in (config.record, config.masks, config.stats)] == ["out-4.mp4", "labels-4", "s-4.csv"]
