"""What files and addresses from strangers may make libavformat open: nothing that nobody named."""

from __future__ import annotations

import os
import socketserver
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from segnet_live.errors import SourceError
from segnet_live.video import container
from segnet_live.video.container import open_container
from segnet_live.video.location import URL_SCHEMES
from tests.support.clips import Clip, make


class Quiet(SimpleHTTPRequestHandler):
    asked: list[str] = []  # noqa: RUF012  # of all requests of one test

    def do_GET(self) -> None:
        self.asked.append(self.path)
        super().do_GET()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def served(tmp_path: Path) -> Iterator[str]:
    """A folder on the loopback: its address."""
    Quiet.asked.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def hls(*segments: str) -> str:
    return "#EXTM3U\n#EXT-X-TARGETDURATION:1\n" + "".join(f"#EXTINF:1,\n{s}\n" for s in segments) + "#EXT-X-ENDLIST\n"


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(container, "CONNECT_TIMEOUT_S", 3.0)
    monkeypatch.setattr(container, "READ_TIMEOUT_S", 3.0)


@pytest.mark.parametrize("scheme", ["concat", "subfile", "data", "pipe", "unix", "fd", "gopher", "ftp", "cache", "tee"])
def test_an_address_of_another_kind_is_refused_in_one_line(scheme: str) -> None:
    assert scheme not in URL_SCHEMES
    with pytest.raises(SourceError, match="no such kind of address"):
        open_container(f"{scheme}:///etc/passwd")


@pytest.mark.parametrize("name", ["concat:a|b", "subfile,,start,0,end,9,,:/etc/passwd", "http,proxy,x:y", "data:,x"])
def test_the_options_of_a_protocol_are_a_files_name(name: str) -> None:
    with pytest.raises(SourceError, match="no such file"):
        open_container(name)


def test_a_remote_playlist_cannot_name_a_local_file(served: str, tmp_path: Path) -> None:
    clip = make(tmp_path, Clip(name="mine.ts", codec="mpeg2video"))
    for number, segment in enumerate((clip, f"file://{clip}", f"file:{clip}", f"concat:{clip}", f"subfile:{clip}")):
        (tmp_path / f"list{number}.m3u8").write_text(hls(segment))
        with pytest.raises(SourceError), open_container(f"{served}/list{number}.m3u8") as opened:
            raise AssertionError(f"{segment} was opened: {opened.streams}")
    (tmp_path / "good.m3u8").write_text(hls("mine.ts"))
    Quiet.asked.clear()
    with open_container(f"{served}/good.m3u8") as opened:  # and the same playlist with its own files plays
        assert opened.streams.video
    assert "/mine.ts" in Quiet.asked


def test_a_local_playlist_sends_no_request(served: str, tmp_path: Path) -> None:
    make(tmp_path, Clip(name="mine.ts", codec="mpeg2video"))
    for name, text in (
        ("a.m3u8", hls(f"{served}/mine.ts")),
        ("b.ffconcat", f"ffconcat version 1.0\nfile {served}/mine.ts\n"),
    ):
        (tmp_path / name).write_text(text)
        with pytest.raises(SourceError):
            open_container(str(tmp_path / name))
    assert Quiet.asked == []


def test_a_session_description_opens_no_port(tmp_path: Path) -> None:
    with socketserver.UDPServer(("127.0.0.1", 0), socketserver.BaseRequestHandler) as other:
        port = other.server_address[1]
    (tmp_path / "cam.sdp").write_text(
        f"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video {port} RTP/AVP 96\n"
        "a=rtpmap:96 H264/90000\n"
    )
    with pytest.raises(SourceError):
        open_container(str(tmp_path / "cam.sdp"))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes with names")
def test_a_playlist_on_disk_that_never_ends_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(container, "LIST_TIMEOUT_S", 0.5)
    clip = Path(make(tmp_path, Clip(name="mine.ts", codec="mpeg2video")))
    os.mkfifo(tmp_path / "pipe.ts")
    for name, text, said in (
        ("a.m3u8", "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\na.m3u8\n", "names itself"),
        ("b.m3u8", "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nc.m3u8\n", "names itself"),
        ("c.m3u8", '#EXTM3U\n#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="a",URI="b.m3u8"\n', "names itself"),
        ("d.m3u8", hls("pipe.ts"), "a pipe or a device"),
        ("e.ffconcat", "ffconcat version 1.0\nfile 'pipe.ts'\n", "a pipe or a device"),
        ("f.ffconcat", "ffconcat version 1.0\nfile e.ffconcat\n", "a pipe or a device"),
        ("g.m3u8", hls("none.ts").replace("#EXT-X-ENDLIST\n", ""), "not a video"),
        ("pipe.ts", None, "a pipe or a device"),
    ):
        if text is not None:
            (tmp_path / name).write_text(text)
        if name != "b.m3u8":  # whose other half comes next
            with pytest.raises(SourceError, match=said):
                open_container(str(tmp_path / name))
    (tmp_path / "good.m3u8").write_text(hls(clip.name, clip.name))
    with open_container(str(tmp_path / "good.m3u8")) as opened:
        assert opened.streams.video
