"""Convert between values and the text that people type and settings keep: targets of the governor."""

from __future__ import annotations

from segnet_live.engine.governor import Target
from segnet_live.errors import UsageError


def parse_target(text: str) -> Target:
    """Return what the governor is to hold, from "25 fps", "60 ms", or both with a comma between them.

    Raises:
        UsageError: something else.
    """
    try:
        values = {unit: float(number) for number, unit in (part.split() for part in text.split(","))}
        if not set(values) <= {"fps", "ms"}:
            raise ValueError
    except ValueError:
        raise UsageError(f"target got {text!r}", "give a rate such as 25 fps, or a latency such as 60 ms") from None
    return Target(fps=values.get("fps"), latency_ms=values.get("ms"))


def format_target(target: Target | None) -> str:
    """Return the text that `parse_target` reads; "" for no target."""
    if target is None:
        return ""
    parts = ((target.fps, "fps"), (target.latency_ms, "ms"))
    return ", ".join(f"{value:g} {unit}" for value, unit in parts if value is not None)
