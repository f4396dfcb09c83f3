"""Pass frames between threads: `LatestSlot` keeps the newest and counts its drops, `BoundedQueue` drops nothing."""

from __future__ import annotations

import threading
from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")


class Closed(Exception):
    """Raised by a hand-over that is closed: its other side stopped."""


class LatestSlot(Generic[T]):
    """A hand-over with room for one value, or few, of which newer ones overwrite the oldest. Any threads.

    Attributes:
        dropped: values overwritten before anybody took them.
    """

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._values: deque[T] = deque()
        self._closed = False
        self.dropped = 0

    def put(self, value: T, *, room: int = 1) -> list[T]:
        """Make `value` the newest, and return what had to go for it. Never blocks.

        Args:
            room: how many may wait, this one included.

        Raises:
            Closed: after `close`.
        """
        with self._condition:
            if self._closed:
                raise Closed
            overwritten = [self._values.popleft() for _ in range(len(self._values) - room + 1)]
            self.dropped += len(overwritten)
            self._values.append(value)
            self._condition.notify_all()
            return overwritten

    def take(self, timeout_s: float | None = None) -> T | None:
        """Wait for the oldest value and remove it; None after `timeout_s`.

        Raises:
            Closed: it is closed and empty.
        """
        with self._condition:
            self._condition.wait_for(lambda: bool(self._values) or self._closed, timeout_s)
            if self._values:
                return self._values.popleft()
            if self._closed:
                raise Closed
            return None

    @property
    def waiting(self) -> int:
        """How many values wait."""
        with self._condition:
            return len(self._values)

    def close(self) -> None:
        """Refuse further values; those that wait can still be taken."""
        with self._condition:
            self._closed = True
            self._condition.notify_all()


class BoundedQueue(Generic[T]):
    """A hand-over in order of arrival, with at most `size` values waiting. Any threads; both sides block."""

    def __init__(self, size: int) -> None:
        self._condition = threading.Condition()
        self._items: deque[T] = deque()
        self._size = size
        self._closed = False
        self._aborted = False

    def put(self, item: T) -> None:
        """Append, waiting for room.

        Raises:
            Closed: the queue is closed or aborted.
        """
        with self._condition:
            self._condition.wait_for(lambda: len(self._items) < self._size or self._closed)
            if self._closed:
                raise Closed
            self._items.append(item)
            self._condition.notify_all()

    def get(self) -> T:
        """Remove the oldest, waiting for one.

        Raises:
            Closed: the queue is closed and drained, or aborted.
        """
        with self._condition:
            self._condition.wait_for(lambda: bool(self._items) or self._closed)
            if self._aborted or not self._items:
                raise Closed
            item = self._items.popleft()
            self._condition.notify_all()
            return item

    def close(self) -> None:
        """Refuse further items; those that wait can still be taken."""
        with self._condition:
            self._closed = True
            self._condition.notify_all()

    def abort(self) -> None:
        """Stop both sides now and drop what waits."""
        with self._condition:
            self._closed = self._aborted = True
            self._items.clear()
            self._condition.notify_all()

    def __len__(self) -> int:
        with self._condition:
            return len(self._items)
