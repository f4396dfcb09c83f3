"""What people type, and settings keep, as text: input sizes and the governor's targets."""

from __future__ import annotations

from segnet_live.engine.governor import Target
from segnet_live.errors import UsageError


def parse_size(text: str) -> tuple[int, int]:
    """(height, width) from "HxW".

    Raises:
        UsageError: not two numbers from 32 to 4096.
    """
    parts = text.lower().replace("×", "x").split("x")
    try:
        height, width = (int(part) for part in parts)
    except ValueError:
        raise UsageError(f"size got {text!r}; give height x width in pixels, such as 360x480") from None
    if not (32 <= height <= 4096 and 32 <= width <= 4096):
        raise UsageError(f"size got {text!r}; both sides must be 32 to 4096 pixels")
    return height, width


def parse_target(text: str) -> Target:
    """What the governor is to hold, from "25 fps" or "60 ms".

    Raises:
        UsageError: something else.
    """
    number, _, unit = text.partition(" ")
    try:
        value = float(number)
        return Target(fps=value) if unit == "fps" else Target(latency_ms={"ms": value}[unit])
    except (ValueError, KeyError):
        raise UsageError(f"target got {text!r}; give a rate such as 25 fps, or a latency such as 60 ms") from None
