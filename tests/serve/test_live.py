"""Watching live: one inference for all, the newest picture to each, and figures that count what he lost."""

from __future__ import annotations

import asyncio
import http.client
import json
from collections.abc import Iterator

import cv2
import numpy as np
import pytest
from websockets.sync.client import connect

from segnet_live.card import Card
from segnet_live.serve.limits import Limits
from segnet_live.serve.live import Viewer
from tests.support.serving import Served, serving


@pytest.fixture(scope="module")
def served(tiny_card: Card) -> Iterator[Served]:
    with serving(tiny_card, Limits(viewers=3)) as running:
        yield running


class Stream:
    """A viewer's connection."""

    def __init__(self, served: Served, query: str) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=240)
        self._connection.request("GET", f"/live/0?{query}")
        self.answer = self._connection.getresponse()

    def picture(self) -> np.ndarray:
        """The next picture, (H, W, 3) BGR."""
        length = 0
        while line := self.answer.readline().strip().lower():
            if line.startswith(b"content-length:"):
                length = int(line.split(b":")[1])
            elif line.startswith(b"--"):
                length = 0
        assert length
        found = cv2.imdecode(np.frombuffer(self.answer.read(length), np.uint8), cv2.IMREAD_COLOR)
        assert found is not None
        self.answer.readline()
        return found

    def close(self) -> None:
        self.answer.close()
        self._connection.close()


def test_a_slow_viewer_loses_pictures_and_gets_the_newest() -> None:
    async def watch() -> list[bytes | None]:
        viewer = Viewer("overlay")
        viewer.offer(b"1")
        first = await viewer.next()
        for jpeg in (b"2", b"3", b"4"):
            viewer.offer(jpeg)
        newest = await viewer.next()
        assert (viewer.shown, viewer.dropped) == (2, 2)
        viewer.close()
        return [first, newest, await viewer.next()]

    assert asyncio.run(watch()) == [b"1", b"4", None]


def test_viewers_share_one_session_and_a_stalled_one_holds_up_nobody(served: Served) -> None:
    stalled = Stream(served, "viewer=stalled&view=overlay")  # and is never read from
    one, two = Stream(served, "viewer=one&view=overlay"), Stream(served, "viewer=two&view=side-by-side")
    channel = served.parts.watching.channels[0]
    session = channel._running.session if channel._running else None
    for _ in range(12):
        narrow, wide = one.picture(), two.picture()
    assert narrow.shape[:2] == (360, 640)
    assert wide.shape[:2] == (360, 1280)
    assert channel._running is not None
    assert channel._running.session is session
    assert channel.viewers == 3
    refused = served.ask("GET", "/live/0")
    assert refused.status == 503
    assert "retry-after" in refused.headers
    with connect(f"ws://127.0.0.1:{served.port}/live/0/figures?viewer=one", proxy=None) as figures:
        told = json.loads(figures.recv(timeout=120))
        while not told.get("classes"):
            one.picture()
            two.picture()
            told = json.loads(figures.recv(timeout=120))
    assert told["shown"] >= 12
    assert told["dropped"] >= 0
    assert told["viewers"] == 3
    assert any(line.startswith("latency") for line in told["hud"])
    assert {each["name"] for each in told["classes"]} >= {"Road", "Sky"}
    for stream in (stalled, one, two):
        stream.close()


def test_who_leaves_is_not_counted_any_more(served: Served) -> None:
    watcher = Stream(served, "viewer=short")
    watcher.picture()
    watcher.close()
    with connect(f"ws://127.0.0.1:{served.port}/live/0/figures?viewer=nobody", proxy=None) as figures:
        for _ in range(80):
            if json.loads(figures.recv(timeout=120))["viewers"] == 0:
                return
    pytest.fail("the viewer who left is still counted")
