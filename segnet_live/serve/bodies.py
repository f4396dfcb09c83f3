"""Receive uploads: as much as is allowed, no slower than is bearable, and never more in memory than there is room."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable
from typing import TypeVar

from starlette.requests import Request

from segnet_live.serve.limits import GRACE_S, MIB, SLOWEST_BYTES_PER_S, InFlight, Refused

T = TypeVar("T")


class Gone(Exception):
    """Raised when the guest has hung up: nobody waits for the answer."""


async def parts(request: Request, most: int, what: str) -> AsyncIterator[bytes]:
    """Yield a request's body as it comes.

    Raises:
        Refused: 413 for more than `most` bytes, 408 if it comes too slowly.
        Gone: the guest hung up.
    """
    too_much = Refused(413, f"more than {most / MIB:.4g} MiB; the most for {what} on this server: send a smaller one")
    stated = request.headers.get("content-length", "")
    if stated.isdecimal() and int(stated) > most:
        if "expect" not in request.headers:
            await _discard(request)
        raise too_much
    began_s, received = time.monotonic(), 0
    while True:
        left_s = began_s + GRACE_S + received / SLOWEST_BYTES_PER_S - time.monotonic()
        try:
            message = await asyncio.wait_for(request.receive(), max(0.0, left_s))
        except TimeoutError:
            line = f"the upload came too slowly: {received} bytes in {time.monotonic() - began_s:.0f} s; try again"
            raise Refused(408, line) from None
        if message["type"] == "http.disconnect":
            raise Gone
        part = message.get("body", b"")
        received += len(part)
        if received > most:
            await _discard(request)
            raise too_much
        if part:
            yield part
        if not message.get("more_body", False):
            return


async def _discard(request: Request) -> None:
    """Let what is left of a body come: a guest who is still sending, and is hung up on, never reads why."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(GRACE_S):
            while (message := await request.receive())["type"] == "http.request" and message.get("more_body", False):
                pass


class Upload:
    """The body of a request in memory, counted among those in flight until the block is left."""

    def __init__(self, request: Request, most: int, in_flight: InFlight, what: str) -> None:
        self._request, self._most, self._in_flight, self._what = request, most, in_flight, what
        self._count = 0

    async def __aenter__(self) -> bytes:
        found = []
        try:
            async for part in parts(self._request, self._most, self._what):
                self._in_flight.add(len(part))
                self._count += len(part)
                found.append(part)
        except BaseException:
            self._in_flight.remove(self._count)
            raise
        return b"".join(found)

    async def __aexit__(self, *_: object) -> None:
        self._in_flight.remove(self._count)


async def unless_gone(request: Request, work: Awaitable[T]) -> T:
    """Return what `work` gives; cancel it when the guest hangs up. The body must have been received.

    Raises:
        Gone: the guest hung up.
    """
    task = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(request.receive())
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise Gone
        return task.result()
    finally:
        for future in (task, gone):
            future.cancel()
