"""How long to wait between tries to bring a lost source back: one policy for the window and for runs without one."""

from __future__ import annotations

FIRST_S, LONGEST_S = 0.5, 30.0


class Backoff:
    """Doubles from try to try, up to half a minute, until a frame has come. Used by one thread."""

    def __init__(self) -> None:
        self.wait_s = FIRST_S

    def failed(self) -> None:
        """Wait longer before the next try."""
        self.wait_s = min(LONGEST_S, self.wait_s * 2)

    def succeeded(self) -> None:
        """Begin with a short wait at the next loss: a frame has come."""
        self.wait_s = FIRST_S
