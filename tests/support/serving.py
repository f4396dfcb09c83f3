"""A server of `segnet-live serve` in this process, on a free port."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from starlette.routing import BaseRoute

from segnet_live.card import Card
from segnet_live.config import SourceSpec
from segnet_live.pipeline.live.engine_switch import EngineChoice
from segnet_live.serve.app import Server, make_app
from segnet_live.serve.clips import Clips
from segnet_live.serve.connections import HttpServer, listen
from segnet_live.serve.gate import Gate
from segnet_live.serve.limits import InFlight, Limits, Rate
from segnet_live.serve.live import Channel, Watching
from segnet_live.serve.pictures import Labeller, Line

TOKEN = "a-token-for-tests"


@dataclass
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass
class Served:
    """A server that runs, and its parts."""

    port: int
    parts: Server

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Answer:
        """One request on a connection of its own; header names with _ for -."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=240)
        with contextlib.closing(connection):
            connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
            answer = connection.getresponse()
            return Answer(answer.status, dict(answer.getheaders()), answer.read())


@contextlib.contextmanager
def serving(
    card: Card,
    limits: Limits | None = None,
    *,
    open_to_all: bool = False,
    channel: Channel | None = None,
    routes: Sequence[BaseRoute] = (),
) -> Iterator[Served]:
    """Serve one source (the example drive) and one model during the body; `routes` come before those of the app."""
    limits = limits or Limits()
    listening = listen("127.0.0.1", 0)
    port = listening.getsockname()[1]
    channel = channel or Channel(SourceSpec("synthetic"), EngineChoice(card))
    parts = Server(
        limits=limits,
        cards={card.name: card},
        labeller=Labeller({card.name: card}, "auto", "auto"),
        line=Line(limits.queue + 1, usual_s=0.1),
        clips=Clips(limits, "auto", "auto"),
        watching=Watching([channel], limits.viewers),
        rate=Rate(limits.rate),
        in_flight=InFlight(limits.in_flight_bytes),
    )
    inner = make_app(parts)
    inner.routes[:0] = routes
    app = Gate(inner, token=TOKEN, port=port, open_to_all=open_to_all)
    server = HttpServer(app, parts.end)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=lambda: loop.run_until_complete(server.serve([listening])), name="serving")
    thread.start()
    try:
        yield Served(port, parts)
    finally:
        loop.call_soon_threadsafe(server.end)
        thread.join(30)
        loop.close()
    assert not thread.is_alive()


def picture(height: int = 90, width: int = 160, suffix: str = ".png") -> bytes:
    """A picture with some shapes in it, encoded."""
    ramp = np.linspace(0, 255, width, dtype=np.uint8)
    rgb = np.repeat(np.repeat(ramp[None, :, None], height, 0), 3, 2)
    rgb[height // 2 :] //= 3
    return cv2.imencode(suffix, rgb)[1].tobytes()
