"""Network sources over the loopback: files and streams by HTTP, silence, and passwords that are never shown."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path

import cv2
import pytest

from segnet_live.errors import SourceError, SourceLost
from segnet_live.video import container
from segnet_live.video.file import FileSource
from tests.support.clips import number_in, numbered

MakeClip = Callable[..., str]
PICTURES = 8


class Handler(BaseHTTPRequestHandler):
    """Serves one file whole or in ranges, and /live: motion-JPEG that stops after a while."""

    file: Path

    def do_GET(self) -> None:
        if self.path == "/live":
            self.live()
        elif self.path.startswith("/clip"):
            self.ranged(self.file.read_bytes())
        elif self.path.startswith("/cut"):  # hangs up in the middle
            data = self.file.read_bytes()
            self.ranged(data, len(data) * 6 // 10)
        elif self.path.startswith("/half"):  # ends in the middle as if that were all
            self.ranged(self.file.read_bytes()[: self.file.stat().st_size * 6 // 10])
        else:
            self.send_error(404)

    def ranged(self, data: bytes, until: int | None = None) -> None:
        wanted = self.headers.get("Range", "bytes=0-").removeprefix("bytes=").split("-")[0]
        begin = min(int(wanted), len(data))
        self.send_response(206)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(len(data) - begin))
        self.send_header("Content-Range", f"bytes {begin}-{len(data) - 1}/{len(data)}")
        self.end_headers()
        self.wfile.write(data[begin:until])

    def live(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=next")
        self.end_headers()
        for number in range(PICTURES):
            jpeg = cv2.imencode(".jpg", numbered(number, 48, 64))[1].tobytes()
            self.wfile.write(
                b"--next\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(jpeg) + jpeg + b"\r\n"
            )
            time.sleep(0.02)

    def handle(self) -> None:
        try:
            super().handle()
        except ConnectionError:  # players hang up when they seek
            self.close_connection = True

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(clip: MakeClip) -> Iterator[str]:
    """An HTTP server's address."""
    Handler.file = Path(clip(frames=20, options={"g": "5"}, container_options={"movflags": "+faststart"}))
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        thread = threading.Thread(target=http.serve_forever, args=(0.01,))
        thread.start()
        yield f"127.0.0.1:{http.server_port}"
        http.shutdown()
        thread.join()


def test_a_file_by_http_plays_and_seeks_like_a_file(server: str) -> None:
    source = FileSource(f"http://me:secret@{server}/clip.mp4?token=secret")
    assert source.info.title == f"http://me:***@{server}/clip.mp4?token=***"
    assert not source.info.live
    numbers = []
    while (frame := source.read()) is not None:
        numbers.append(number_in(frame.rgb))
    assert numbers == list(range(20))
    source.seek(0.48)
    frame = source.read()
    assert frame is not None
    assert number_in(frame.rgb) == 12
    source.close()


def test_a_stream_is_live_keeps_clock_time_and_is_lost_when_it_stops(server: str) -> None:
    source = FileSource(f"http://{server}/live")
    assert source.info.live
    assert not source.info.seekable
    frames = []

    def play() -> None:
        while (frame := source.read()) is not None:
            frames.append(frame)

    with pytest.raises(SourceLost, match=r"stopped|broke off"):
        play()
    assert [number_in(f.rgb) for f in frames] == list(range(PICTURES))
    assert all(a.pts < b.pts for a, b in pairwise(frames))
    with pytest.raises(SourceError, match="cannot seek"):
        source.seek(0)
    source.close()


@pytest.mark.parametrize("how", ["cut", "half"])
def test_what_stops_on_the_network_before_its_stated_end_is_lost(server: str, clip: MakeClip, how: str) -> None:
    film = clip(name="long.mp4", frames=100, noise=40, options={"g": "5"}, container_options={"movflags": "+faststart"})
    Handler.file = Path(film)
    source = FileSource(f"http://{server}/{how}.mp4")
    assert not source.info.live
    numbers: list[int] = []

    def play() -> None:
        while (frame := source.read()) is not None:
            numbers.append(number_in(frame.rgb))

    with pytest.raises(SourceLost, match=r"stopped .* early|broke off"):
        play()
    assert 20 < len(numbers) < 80
    assert numbers == list(range(len(numbers)))
    source.close()
    assert source.read() is None


def test_a_part_of_a_network_file_that_was_asked_for_ends(server: str) -> None:
    source = FileSource(f"http://{server}/clip.mp4", start_s=0.2, duration_s=0.2)
    assert [f is None for f in (source.read() for _ in range(6))] == [False] * 5 + [True]


def test_addresses_that_answer_wrongly_are_refused_without_the_password(server: str) -> None:
    for url in (f"http://me:secret@{server}/none.mp4", "rtsp://me:secret@127.0.0.1:1/x", "nonsense://me:secret@host/x"):
        with pytest.raises(SourceError, match=r"me:\*\*\*@.*cannot be opened") as caught:
            FileSource(url)
        assert "secret" not in str(caught.value)
        assert caught.value.__cause__ is None


def test_an_address_that_never_answers_times_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(container, "CONNECT_TIMEOUT_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/clip.mp4"
        with pytest.raises(SourceError, match=r"no answer within 0\.2 s"):
            FileSource(url)
