"""What guests may ask for, and how they are told that it is too much: one line, a status, and when to come again."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

MIB = 1 << 20
GRACE_S = 10.0
"""How long a guest may take to begin: the headers of a request, and the first part of its body."""
SLOWEST_BYTES_PER_S = 32 * 1024
"""What comes slower than this, after the grace, is hung up on: it holds memory that others need."""
_MOST_CLIENTS = 4096


@dataclass(frozen=True, slots=True)
class Limits:
    """The bounds of one server.

    Attributes:
        picture_bytes, clip_bytes: of an upload.
        pixels: of a picture, and of a frame of a clip.
        clip_s: seconds of a clip.
        rate: pictures and clips a minute from one address; 0 for any number.
        queue: pictures that may wait for the engine; clips, of which a quarter as many may wait, take minutes.
        viewers: people who watch live at the same time.
        in_flight_bytes: of all uploads together that are being received or wait in memory.
    """

    picture_bytes: int = 20 * MIB
    clip_bytes: int = 100 * MIB
    pixels: int = 50_000_000
    clip_s: float = 30.0
    rate: float = 0.0
    queue: int = 32
    viewers: int = 32
    in_flight_bytes: int = 256 * MIB

    @property
    def clips_waiting(self) -> int:
        """How many clips may be uploaded, wait or run at the same time."""
        return 1 + max(1, self.queue // 8)


class Refused(Exception):
    """A request that is not carried out.

    Attributes:
        status: of HTTP, 4xx or 503.
        retry_s: when to try again, None where the same request will never do.
    """

    def __init__(self, status: int, line: str, *, retry_s: float | None = None) -> None:
        super().__init__(line)
        self.status = status
        self.retry_s = None if retry_s is None else max(1, math.ceil(retry_s))


class Rate:
    """A bucket of tokens for each client: `per_minute` on average, a quarter of a minute's worth at once. One thread.

    Args:
        per_minute: requests a minute; 0 for any number.
        clock: seconds; tests pass their own.
    """

    def __init__(self, per_minute: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_s = per_minute / 60
        self._burst = max(1.0, per_minute / 4)
        self._clock = clock
        self._clients: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def count(self, client: str) -> None:
        """Count a request of `client`.

        Raises:
            Refused: with 429, it is one too many.
        """
        if not self._per_s:
            return
        now_s = self._clock()
        tokens, at_s = self._clients.pop(client, (self._burst, now_s))
        tokens = min(self._burst, tokens + (now_s - at_s) * self._per_s)
        allowed = tokens >= 1
        self._clients[client] = (tokens - allowed, now_s)
        if len(self._clients) > _MOST_CLIENTS:
            self._clients.popitem(last=False)
        if not allowed:
            line = f"more than {self._per_s * 60:g} requests a minute from this address; wait, then try again"
            raise Refused(429, line, retry_s=(1 - tokens) / self._per_s)


class InFlight:
    """The bytes of uploads that are in memory now. One thread."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.now = 0

    def add(self, count: int) -> None:
        """Count bytes that came.

        Raises:
            Refused: with 503, there are too many already.
        """
        if self.now + count > self._most:
            raise Refused(503, "too many uploads at the same time; try again in a moment", retry_s=2)
        self.now += count

    def remove(self, count: int) -> None:
        self.now -= count
