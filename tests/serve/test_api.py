"""The API: labels as the library makes them, guests who may not come in, and one clear line for what is refused."""

from __future__ import annotations

import asyncio
import base64
import json
import re
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest

import segnet_live
from segnet_live.card import Card
from segnet_live.cli import main
from segnet_live.serve import app, bodies, connections
from segnet_live.serve.limits import InFlight, Limits, Rate, Refused
from segnet_live.serve.pictures import Line
from segnet_live.serve.sniff import picture_size
from tests.support.serving import TOKEN, Served, picture, serving

SMALL = Limits(picture_bytes=200_000, pixels=500_000, queue=4)


@pytest.fixture(scope="module")
def served(tiny_card: Card) -> Iterator[Served]:
    with serving(tiny_card, SMALL) as running:
        yield running


@pytest.fixture(scope="module")
def locked(tiny_card: Card) -> Iterator[Served]:
    with serving(tiny_card, SMALL, open_to_all=True) as running:
        yield running


def test_labels_are_those_of_the_library(served: Served, tiny_card: Card) -> None:
    data = picture(suffix=".jpg")
    answer = served.ask("POST", "/segment?confidence=1", data)
    assert answer.status == 200
    told = json.loads(answer.body)
    labels = cv2.imdecode(np.frombuffer(base64.b64decode(told["labels"]), np.uint8), cv2.IMREAD_UNCHANGED)
    rgb = cv2.cvtColor(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
    size = tuple(int(side) for side in told["input"].split("x"))
    with segnet_live.Segmenter(tiny_card.folder, size=size, confidence=True) as segmenter:
        expected = segmenter(rgb)
        np.testing.assert_array_equal(labels, expected)
        confidence = base64.b64decode(told["confidence_map"])
        np.testing.assert_array_equal(
            cv2.imdecode(np.frombuffer(confidence, np.uint8), cv2.IMREAD_UNCHANGED), segmenter.confidence
        )
    assert (told["height"], told["width"]) == (90, 160)
    shares = {each["name"]: each["share"] for each in told["classes"]}
    assert shares["Road"] == pytest.approx(float((expected == 3).mean()), abs=1e-4)
    assert told["ms"]["label"] > 0
    as_png = served.ask("POST", "/segment", data, Accept="image/png")
    assert as_png.headers["content-type"] == "image/png"
    np.testing.assert_array_equal(cv2.imdecode(np.frombuffer(as_png.body, np.uint8), cv2.IMREAD_UNCHANGED), expected)
    assert json.loads(as_png.headers["segnet-live"])["model"] == tiny_card.name


def test_models_and_health(served: Served, tiny_card: Card) -> None:
    told = json.loads(served.ask("GET", "/models").body)
    assert told["default"] == tiny_card.name
    assert told["models"][0]["classes"][3] == "Road"
    assert json.loads(served.ask("GET", "/health").body)["status"] == "ok"


def lying(width: int, height: int) -> bytes:
    """A PNG whose header promises more than there is."""
    data = bytearray(picture())
    data[16:24] = width.to_bytes(4) + height.to_bytes(4)
    return bytes(data)


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        (b"", 422, "empty"),
        (b"hello", 415, "JPEG, PNG or WebP"),
        (b"GIF89a" + bytes(50), 415, "JPEG, PNG or WebP"),
        (b"--form\r\nContent-Disposition: form-data", 415, "a form"),
        (b"\0\0\0\x20ftypisom" + bytes(50), 415, "a clip"),
        (b"\x89PNG\r\n\x1a\n", 422, "damaged"),
        (picture(suffix=".jpg")[:200], 422, "damaged"),
        (lying(30_000, 30_000), 413, "million pixels"),
        (lying(8, 8), 422, "16 pixels"),
        (b"\xff\xd8\xff" + b"\xff\xda\0\2" * 101, 422, "scans"),
        (bytes(300_000), 413, "MiB"),
    ],
)
def test_what_is_no_picture_is_refused_in_one_line(served: Served, body: bytes, status: int, says: str) -> None:
    answer = served.ask("POST", "/segment", body)
    assert answer.status == status, answer.body
    line = json.loads(answer.body)["error"]
    assert says in line
    assert "\n" not in line
    assert "content-security-policy" in answer.headers


def test_other_refusals_are_lines_of_json_too(served: Served) -> None:
    for method, path, status in (
        ("POST", "/segment?model=../tiny", 422),
        ("GET", "/segment", 405),
        ("GET", "/etc/passwd", 404),
        ("GET", "/page/..%2fapp.py", 404),
        ("GET", "/live/7", 404),
        ("GET", "/live/0?view=tidy", 422),
        ("GET", "/examples/nine", 404),
    ):
        answer = served.ask(method, path, picture() if method == "POST" else None)
        assert answer.status == status, path
        assert json.loads(answer.body)["error"]


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp"])
def test_sizes_are_read_before_anything_is_decoded(suffix: str) -> None:
    assert picture_size(picture(48, 100, suffix), 10_000) == (48, 100)
    with pytest.raises(Refused) as refused:
        picture_size(picture(48, 100, suffix), 4_799)
    assert refused.value.status == 413


def test_a_page_of_another_site_reaches_nothing(served: Served) -> None:
    assert served.ask("GET", "/", Host=f"evil.example:{served.port}").status == 403
    assert served.ask("POST", "/segment", picture(), Origin="http://evil.example").status == 403
    assert served.ask("POST", "/segment", picture(), Origin="null").status == 403
    own = f"localhost:{served.port}"
    assert served.ask("POST", "/segment", picture(), Host=own, Origin=f"http://{own}").status == 200
    upgrade = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"}
    key = base64.b64encode(bytes(16)).decode()
    socket_of_theirs = served.ask(
        "GET", "/live/0/figures", Sec_WebSocket_Key=key, Origin="http://evil.example", **upgrade
    )
    assert socket_of_theirs.status == 403


def test_open_to_other_machines_the_token_is_required(locked: Served) -> None:
    assert locked.ask("GET", "/health").status == 200
    assert locked.ask("GET", "/", Accept="text/html").status == 401
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Cookie": f"segnet_live_{locked.port}=wrong"}):
        for path in ("/", "/models", "/facts", "/live/0", "/?token=wrong"):
            assert locked.ask("GET", path, **headers).status == 401, (path, headers)
        assert locked.ask("POST", "/segment", picture(), **headers).status == 401
    assert locked.ask("POST", "/segment", picture(), Authorization=f"Bearer {TOKEN}").status == 200
    way_in = locked.ask("GET", f"/?token={TOKEN}")
    assert (way_in.status, way_in.headers["location"]) == (303, "/")
    cookie = way_in.headers["set-cookie"]
    assert "httponly" in cookie.lower()
    assert "samesite=lax" in cookie.lower()
    assert locked.ask("GET", "/facts", Cookie=cookie.partition(";")[0]).status == 200


def test_the_page_needs_nothing_inline_and_nothing_from_elsewhere(served: Served) -> None:
    answer = served.ask("GET", "/")
    text = answer.body.decode()
    policy = answer.headers["content-security-policy"]
    assert "unsafe" not in policy
    assert policy.startswith("default-src 'none'")
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=|https?://", text)
    for name in set(re.findall(r'(?:src|href)="(/[^"]+)"', text)):
        assert served.ask("GET", name).status == 200, name
    for path in app.PAGE.glob("*.js"):
        code = path.read_text(encoding="utf-8")
        assert not re.search(r"https?://|innerHTML|eval\(|document\.write", code), path
        assert all((app.PAGE / name).is_file() for name in re.findall(r'from "\./([^"]+)"', code)), path


def test_the_rate_of_one_address_is_bounded() -> None:
    now = [0.0]
    rate = Rate(60, lambda: now[0])
    for _ in range(15):
        rate.count("a")
    with pytest.raises(Refused) as refused:
        rate.count("a")
    assert (refused.value.status, refused.value.retry_s) == (429, 1)
    rate.count("b")
    now[0] = 1.0
    rate.count("a")
    for _ in range(1000):
        Rate(0).count("a")


def test_beyond_the_queue_guests_are_told_when_to_come_again(served: Served) -> None:
    served.parts.line.waiting += SMALL.queue + 1
    try:
        answer = served.ask("POST", "/segment", picture())
    finally:
        served.parts.line.waiting -= SMALL.queue + 1
    assert answer.status == 503
    assert int(answer.headers["retry-after"]) >= 1
    assert "wait already" in json.loads(answer.body)["error"]
    assert served.ask("POST", "/segment", picture()).status == 200


def test_one_picture_after_the_other_and_what_fails_leaves_its_place() -> None:
    async def work() -> None:
        line, done = Line(3, usual_s=0.1), []
        await asyncio.gather(*(line.run(lambda i=i: done.append(i)) for i in range(3)))  # type: ignore[misc]
        with pytest.raises(ZeroDivisionError):
            await line.run(lambda: 1 / 0)
        assert (done, line.waiting) == ([0, 1, 2], 0)
        line.close()

    asyncio.run(work())


def test_uploads_share_a_bound_on_memory() -> None:
    uploads = InFlight(100)
    uploads.add(60)
    with pytest.raises(Refused) as refused:
        uploads.add(50)
    assert refused.value.status == 503
    uploads.remove(60)
    uploads.add(100)


def test_who_is_too_slow_is_hung_up_on(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "GRACE_S", 0.2)
    with socket.create_connection(("127.0.0.1", served.port), timeout=20) as silent:
        silent.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n")  # and no end of the headers
        assert silent.recv(1000) == b""
    monkeypatch.undo()
    monkeypatch.setattr(bodies, "GRACE_S", 0.2)
    with socket.create_connection(("127.0.0.1", served.port), timeout=20) as slow:
        slow.sendall(b"POST /segment HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9000\r\n\r\nabc")
        answer = b""
        while b"}" not in answer:  # headers and body come as they like
            answer += slow.recv(10_000)
    assert answer.startswith(b"HTTP/1.1 408")
    assert b"too slowly" in answer
    with socket.create_connection(("127.0.0.1", served.port), timeout=20) as noise:
        noise.sendall(b"\x16\x03\x01 this is no HTTP at all\r\n\r\n")
        assert noise.recv(1000).startswith(b"HTTP/1.1 400")
    assert served.parts.in_flight.now == 0
    assert served.ask("GET", "/health").status == 200


def test_a_fault_of_ours_is_answered_and_its_traceback_is_kept(
    served: Served, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("a fault to be found")

    monkeypatch.setattr(served.parts.labeller, "label", broken)
    answer = served.ask("POST", "/segment", picture())
    monkeypatch.undo()
    assert answer.status == 500
    assert "the terminal" in json.loads(answer.body)["error"]
    while "\n" not in (told := capsys.readouterr().err):  # the answer comes first
        pass
    assert "'/segment' failed: ZeroDivisionError: a fault to be found; please send" in told
    report = Path(told.partition("the report ")[2].partition(" (--debug")[0]).read_text()
    assert "in broken" in report
    assert served.ask("POST", "/segment", picture()).status == 200


def test_the_examples_are_there_for_a_page_that_asks_for_all_at_once(tiny_card: Card) -> None:
    with serving(tiny_card) as fresh, ThreadPoolExecutor(4) as pool:
        names = ["0", "2", "clip", "1"]
        answers = list(pool.map(lambda name: fresh.ask("GET", f"/examples/{name}"), names))
    assert [answer.status for answer in answers] == [200] * 4


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        ("--host nonsense..host --port 0", "cannot listen on nonsense..host"),
        ("--port 99999", "--port got 99999"),
        ("--port -1", "--port got -1"),
        ("--max-picture 1e308", "--max-picture got 1e+308"),
        ("--max-pixels inf", "--max-pixels got inf"),
        ("--max-seconds nan", "--max-seconds got nan"),
        (f"--queue {'9' * 400}", "--queue got 999"),
    ],
)
def test_what_cannot_be_served_is_one_line(
    arguments: str, names: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(connections.HttpServer, "serve", lambda *_: pytest.fail("it serves"))
    assert main(["serve", *arguments.split()]) == 2
    error = capsys.readouterr().err
    assert names in error
    assert error.count("\n") == 1


def test_the_page_is_plain_files_in_one_folder() -> None:
    names = {path.name for path in Path(app.PAGE).iterdir()}
    assert {"index.html", "style.css", "page.js"} <= names
