"""The routes: the page, the API of three calls, and what the page asks beside them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from segnet_live import __version__
from segnet_live.card import Card
from segnet_live.drives.stills import frames_at, jpeg
from segnet_live.errors import SegnetLiveError
from segnet_live.pipeline.record.sinks import LabelMaps
from segnet_live.serve.bodies import Gone, Upload, unless_gone
from segnet_live.serve.clips import Clips
from segnet_live.serve.gate import error
from segnet_live.serve.limits import MIB, InFlight, Limits, Rate, Refused
from segnet_live.serve.live import LIVE_VIEWS, Watching
from segnet_live.serve.pictures import Labelled, Labeller, Line, png
from segnet_live.system.paths import assets_dir
from segnet_live.video.synthetic import CLIP

PAGE = Path(__file__).parent / "page"
TYPES = {".html": "text/html; charset=utf-8", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
EXAMPLES_S = (0.4, 2.6, 5.0)
"""Source times of the shipped drive whose frames are offered to try."""
FIGURES_S = 0.25
BOUNDARY = b"segnet-live-frame"


@dataclass(frozen=True, slots=True)
class Server:
    """What the routes work with. Belongs to the event loop; `labeller` to the thread of `line`.

    Attributes:
        cards: the models that guests may choose, by name, the default first.
    """

    limits: Limits
    cards: Mapping[str, Card]
    labeller: Labeller
    line: Line
    clips: Clips
    watching: Watching
    rate: Rate
    in_flight: InFlight

    @property
    def default(self) -> str:
        """The name of the model that is taken where none is asked for."""
        return next(iter(self.cards))

    def end(self) -> None:
        """End what has no end of its own: streams, and clips."""
        self.watching.end()
        self.clips.end()

    def model(self, request: Request) -> str:
        """Return the model that a request asks for.

        Raises:
            Refused: there is none of this name.
        """
        name = request.query_params.get("model", self.default)
        if name not in self.cards:
            raise Refused(422, f"no model {name[:60]!r}; choose from {', '.join(self.cards)}")
        return name

    # The API

    async def segment(self, request: Request) -> Response:
        """Label the picture in the body: JSON with the label map in it, or the label map alone, as PNG."""
        self.rate.count(_client(request))
        model = self.model(request)
        as_png = "image/png" in request.headers.get("accept", "")
        with_confidence = request.query_params.get("confidence", "0") not in ("0", "", "false")
        async with Upload(request, self.limits.picture_bytes, self.in_flight, "a picture") as data:
            if data.startswith((b"\0\0\0", b"\x1a\x45\xdf\xa3")):
                raise Refused(415, "got a clip; this call takes pictures, the page takes clips: send a JPEG or PNG")
            work = partial(_answer, self.labeller, model, data, self.limits.pixels, as_png, with_confidence)
            return await unless_gone(request, self.line.run(work))

    async def models(self, _: Request) -> Response:
        """List the models that can be chosen."""
        listed = [
            {
                "name": card.name,
                "architecture": card.architecture,
                "classes": list(card.classes.names),
                "metrics": card.metrics,
                "licence": card.licence,
            }
            for card in self.cards.values()
        ]
        return JSONResponse({"default": self.default, "models": listed})

    async def health(self, _: Request) -> Response:
        """Say that the server answers, and how much waits."""
        busy = {"pictures_waiting": self.line.waiting, "clips": self.clips.under_way}
        return JSONResponse({"status": "ok", "version": __version__} | busy)

    # The page's own

    async def facts(self, _: Request) -> Response:
        """Tell the page what there is to try and to watch, and the limits."""
        return JSONResponse(
            {
                "version": __version__,
                "models": list(self.cards),
                "examples": [f"/examples/{number}" for number in range(len(EXAMPLES_S))],
                "clip": "/examples/clip",
                "sources": [channel.facts() for channel in self.watching.channels],
                "views": list(LIVE_VIEWS),
                "limits": {
                    "picture_mib": self.limits.picture_bytes / MIB,
                    "clip_mib": self.limits.clip_bytes / MIB,
                    "clip_s": self.limits.clip_s,
                    "megapixels": self.limits.pixels / 1e6,
                },
            }
        )

    async def clip(self, request: Request) -> Response:
        """Annotate the clip in the body: lines of JSON about progress, and then the mp4."""
        self.rate.count(_client(request))
        card = self.cards[self.model(request)]
        try:
            opacity = float(request.query_params.get("opacity", "0.5"))
        except ValueError:
            opacity = -1.0
        if not 0 <= opacity <= 1:
            raise Refused(422, "opacity must be a number from 0 to 1")
        answer = self.clips.annotate(request, card.folder, opacity)
        first = await anext(answer)
        return StreamingResponse(_with_errors(first, answer), media_type="application/octet-stream")

    async def live(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send pictures of a source as they come, one JPEG after the other (multipart/x-mixed-replace)."""
        request = Request(scope, receive)
        number, name = request.path_params["number"], request.query_params.get("viewer", "")[:64]
        viewer = self.watching.enter(number, request.query_params.get("view", "overlay"), name)
        headers = [(b"content-type", b"multipart/x-mixed-replace; boundary=" + BOUNDARY)]

        async def pictures() -> None:
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": b"--" + BOUNDARY, "more_body": True})
            while (picture := await viewer.next()) is not None:
                head = b"\r\ncontent-type: image/jpeg\r\ncontent-length: %d\r\n\r\n" % len(picture)
                # The boundary follows at once: browsers show a picture when they see it, not when the next one begins.
                body = head + picture + b"\r\n--" + BOUNDARY
                await send({"type": "http.response.body", "body": body, "more_body": True})
            await send({"type": "http.response.body", "body": b"--\r\n", "more_body": False})

        task = asyncio.ensure_future(pictures())
        gone = asyncio.ensure_future(_until_gone(request))
        try:
            await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self.watching.leave(number, viewer, name)
            for each in (task, gone):
                each.cancel()
            await asyncio.gather(task, gone, return_exceptions=True)

    async def figures(self, socket: WebSocket) -> None:
        """Send the figures of a source and of one of its viewers four times a second."""
        channel = self.watching.channel(socket.path_params["number"])
        name = socket.query_params.get("viewer", "")[:64]
        await socket.accept()
        gone = asyncio.ensure_future(_until_closed(socket))
        try:
            while not gone.done() and not self.watching.ended:
                await socket.send_json(channel.figures(self.watching.viewer(name)))
                await asyncio.wait({gone}, timeout=FIGURES_S)
            if not gone.done():
                await socket.close(1001)
        except (WebSocketDisconnect, RuntimeError):
            pass  # closed between two figures
        finally:
            gone.cancel()


def _answer(
    labeller: Labeller, model: str, data: bytes, most_pixels: int, as_png: bool, with_confidence: bool
) -> Response:
    """Label a picture and write the answer, in the thread of pictures."""
    try:
        labelled: Labelled = labeller.label(model, data, most_pixels)
    except SegnetLiveError as failure:
        raise Refused(503, str(failure), retry_s=60) from failure
    if as_png:
        facts = json.dumps(labelled.facts, separators=(",", ":"))
        return Response(png(labelled.labels, LabelMaps.options), media_type="image/png", headers={"segnet-live": facts})
    return Response(labelled.as_json(with_confidence=with_confidence), media_type="application/json")


async def _with_errors(first: bytes, answer: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Yield an answer that has begun; what goes wrong now can only be a line in it."""
    try:
        yield first
        async for part in answer:
            yield part
    except Refused as refused:
        yield json.dumps({"error": str(refused)}).encode() + b"\n"
    finally:
        await answer.aclose()  # type: ignore[attr-defined]  # a generator: it ends the child and deletes the folder


async def _until_gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _until_closed(socket: WebSocket) -> None:
    with contextlib.suppress(WebSocketDisconnect, RuntimeError):
        while (await socket.receive())["type"] != "websocket.disconnect":
            pass


def _client(request: Request) -> str:
    return request.client.host if request.client is not None else ""


class _Live:
    """`Server.live` as an app of its own: a route around a function would want a whole answer."""

    def __init__(self, server: Server) -> None:
        self._server = server

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._server.live(scope, receive, send)


def _files() -> dict[str, tuple[bytes, str]]:
    """Return the page's files by name, with their types."""
    paths = [path for path in PAGE.iterdir() if path.suffix in TYPES] + [assets_dir() / "icons" / "app.svg"]
    return {path.name: (path.read_bytes(), TYPES[path.suffix]) for path in paths}


def make_app(server: Server) -> Starlette:
    """Return the app, without the gate in front of it."""
    files = _files()
    examples: dict[str, bytes] = {}
    filling = threading.Lock()

    def example(number: str) -> bytes:
        with filling:  # a page asks for all of them at once
            if not examples:
                for i, frame in enumerate(frames_at(CLIP, EXAMPLES_S)):
                    examples[str(i)] = jpeg(frame.rgb)
                examples["clip"] = CLIP.read_bytes()
        if number not in examples:
            raise Refused(404, "there is no such example")
        return examples[number]

    async def page(request: Request) -> Response:
        name = request.path_params.get("name", "index.html")
        if name not in files:
            raise Refused(404, "there is no such page")
        body, kind = files[name]
        return Response(body, media_type=kind)

    async def example_file(request: Request) -> Response:
        number = request.path_params["number"]
        body = await asyncio.to_thread(example, number)
        return Response(body, media_type="video/mp4" if number == "clip" else "image/jpeg")

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        for channel in server.watching.channels:
            if channel.records:
                channel.start()
        warming = asyncio.ensure_future(_warm(server))
        yield
        warming.cancel()
        server.end()
        for channel in server.watching.channels:
            await asyncio.to_thread(channel.close)
        await asyncio.to_thread(server.line.close)
        server.labeller.close()

    routes: list[Any] = [
        Route("/", page),
        Route("/page/{name}", page),
        Route("/examples/{number}", example_file),
        Route("/facts", server.facts),
        Route("/health", server.health),
        Route("/models", server.models),
        Route("/segment", server.segment, methods=["POST"]),
        Route("/clip", server.clip, methods=["POST"]),
        Route("/live/{number:int}", _Live(server), methods=["GET"]),
        WebSocketRoute("/live/{number:int}/figures", server.figures),
    ]
    return Starlette(routes=routes, lifespan=lifespan, exception_handlers=ANSWERS)


async def _warm(server: Server) -> None:
    with contextlib.suppress(Refused, SegnetLiveError):  # the first guest is told
        await server.line.run(partial(server.labeller.warm_up, server.default))


async def _refused(_: Request, failure: Exception) -> Response:
    assert isinstance(failure, Refused)
    return error(failure)


async def _gone(_: Request, __: Exception) -> Response:
    return Response(status_code=499)  # to nobody


async def _failed(_: Request, __: Exception) -> Response:
    """Answer where a fault of ours was met; the gate logs it."""
    return error(Refused(500, "unexpected error; the terminal of segnet-live serve says more"))


async def _http_error(request: Request, failure: Exception) -> Response:
    """Say what Starlette refuses (no such path, no such method) as everything else is said."""
    assert isinstance(failure, HTTPException)
    line = f"{request.method} {request.url.path[:80]}: {failure.detail.lower()}; GET / shows what there is"
    answer = error(Refused(failure.status_code, line))
    answer.headers.update(failure.headers or {})
    return answer


ANSWERS: dict[Any, Any] = {Refused: _refused, Gone: _gone, HTTPException: _http_error, Exception: _failed}
