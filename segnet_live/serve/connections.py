"""The server below the app: connections that hang are closed, and there is a bound on how many there are."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import json
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import h11
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from segnet_live.errors import UsageError, first_line
from segnet_live.serve.limits import GRACE_S

LAST_PORT = 65535
MOST_CONNECTIONS = 512
MOST_OF_ONE_ADDRESS = 64
"""Of one other machine; the programs of this one share an address, and its own proxy may speak for many guests."""
STALLED_S = 30.0
"""After so long without a byte taken, a guest who does not read is hung up on."""
UNSENT_BYTES = 64 * 1024
"""What the kernel keeps beyond what is on its way: a slow viewer should see the newest picture, not a queue of old."""
END_S = 5
"""How long answers that are under way may take when the server ends."""


class Connection(H11Protocol):
    """uvicorn's connection, with deadlines: for the headers of a request, and for a guest who does not read."""

    _deadline: asyncio.TimerHandle | None = None
    _stall: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        same = sum(1 for other in self.connections if getattr(other, "client", None) is not None and self._same(other))
        if len(self.connections) > MOST_CONNECTIONS or (same > MOST_OF_ONE_ADDRESS and not self._is_own_machine()):
            self._say("503 Service Unavailable", "too many connections; try again in a moment")
            return
        connection = transport.get_extra_info("socket")
        if connection is not None and hasattr(socket, "TCP_NOTSENT_LOWAT"):
            with contextlib.suppress(OSError):
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES)
        self._wait_for_request()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        self._watch_reader(None)
        super().connection_lost(exc)

    def handle_events(self) -> None:
        super().handle_events()
        if self.cycle is not None and not self.cycle.response_complete:
            self._stop_waiting()

    def send_400_response(self, msg: str) -> None:
        """Say that what came is no HTTP, unless an answer is under way."""
        if self.cycle is not None and not self.cycle.response_complete:
            self.transport.abort()
        else:
            self._say("400 Bad Request", "this is no HTTP request")

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        self._stop_waiting()
        super().handle_websocket_upgrade(event)

    def on_response_complete(self) -> None:
        self._wait_for_request()
        super().on_response_complete()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch_reader(self.transport.get_write_buffer_size())

    def resume_writing(self) -> None:
        self._watch_reader(None)
        super().resume_writing()

    def _wait_for_request(self) -> None:
        self._stop_waiting()
        self._deadline = self.loop.call_later(GRACE_S, self.transport.abort)

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _watch_reader(self, unsent: int | None) -> None:
        """Look again later whether the guest has taken something of these `unsent` bytes; None stops looking."""
        if self._stall is not None:
            self._stall.cancel()
            self._stall = None
        if unsent is not None:
            self._stall = self.loop.call_later(STALLED_S, self._look, unsent)

    def _look(self, unsent: int) -> None:
        now = self.transport.get_write_buffer_size()
        if now >= unsent:
            self.transport.abort()
        else:
            self._watch_reader(now)

    def _same(self, other: Any) -> bool:
        return self.client is not None and other.client[0] == self.client[0]

    def _is_own_machine(self) -> bool:
        with contextlib.suppress(ValueError):
            return self.client is not None and ipaddress.ip_address(self.client[0]).is_loopback
        return False

    def _say(self, status: str, line: str) -> None:
        """Answer without the app, and close."""
        body = json.dumps({"error": line}).encode() + b"\n"
        head = f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\nretry-after: 2\r\nconnection: close\r\n"
        self.transport.write(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
        self.transport.close()


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens on a host's first address; port 0 takes a free one.

    Raises:
        UsageError: there is no such address here, no such port, or it is taken.
    """
    if not 0 <= port <= LAST_PORT:  # the system would take another, its remainder
        raise UsageError(f"--port got {str(port)[:20]}", f"give a number from 0 (a free one) to {LAST_PORT}")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, kind, protocol)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind(address)
            listening.listen(256)
        except OSError:
            listening.close()
            raise
    except (OSError, ValueError) as error:
        advice = "choose another --port (0 takes a free one), or an address of this machine for --host"
        raise UsageError(f"cannot listen on {host} port {port} ({first_line(error)})", advice) from error
    return listening


class HttpServer(uvicorn.Server):
    """uvicorn, ended by Ctrl-C or a signal, which it does not raise again: what was begun is to be finished.

    Args:
        on_end: called in the event loop as soon as the server is to end; answers without an end must end then.

    Attributes:
        caught: the signals that came.
    """

    def __init__(self, app: ASGIApp, on_end: Callable[[], None]) -> None:
        # No access log: addresses of guests are nobody's business. No proxy headers: anybody could send them.
        config = uvicorn.Config(
            app,
            http=Connection,
            ws="websockets-sansio",
            ws_max_size=4096,
            ws_per_message_deflate=False,
            lifespan="on",
            log_config=None,
            log_level="error",
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_graceful_shutdown=END_S,
        )
        super().__init__(config)
        self._on_end = on_end
        self.caught: list[int] = []

    def end(self) -> None:
        """End the server; from the event loop's thread."""
        self.should_exit = True
        self._on_end()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():  # signals are the main thread's
            yield
            return
        loop = asyncio.get_running_loop()

        def note(number: int, _: object) -> None:
            self.caught.append(number)
            loop.call_soon_threadsafe(self.end)

        names = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")
        numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]
        before = {number: signal.signal(number, note) for number in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
