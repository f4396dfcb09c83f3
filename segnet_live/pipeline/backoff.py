"""Choose how long to wait between tries to open a lost source: one policy with and without a window."""

from __future__ import annotations

FIRST_S, LONGEST_S = 0.5, 30.0


class Backoff:
    """A wait that doubles from try to try, up to half a minute, until a frame has come. Used by one thread."""

    def __init__(self) -> None:
        self.wait_s = FIRST_S

    def failed(self) -> None:
        """Lengthen the wait before the next try."""
        self.wait_s = min(LONGEST_S, self.wait_s * 2)

    def succeeded(self) -> None:
        """Reset the wait, because a frame has come."""
        self.wait_s = FIRST_S
