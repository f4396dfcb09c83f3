"""What doctor finds: one line of its report each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from segnet_live.errors import SegnetLiveError

State = Literal["ok", "absent", "failed"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report.

    Attributes:
        what: the thing looked at.
        state: "absent" is no fault: the app works without it, or with something slower.
        found: a version, a name or a figure.
        advice: what to do about it; "" where nothing need be done.
    """

    what: str
    state: State
    found: str
    advice: str = ""


def failure(what: str, error: Exception) -> Finding:
    """An engine that did not run, or did something else, as a finding."""
    if isinstance(error, SegnetLiveError):
        found, _, advice = str(error).partition("; ")
        return Finding(what, "failed", found, advice)
    text = str(error).strip().splitlines()
    return Finding(what, "failed", f"{type(error).__name__}: {text[0] if text else ''}", "report this line")
