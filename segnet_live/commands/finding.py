"""The findings of doctor: one line of its report each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from segnet_live.errors import SegnetLiveError, first_line

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


def failure(what: str, error: Exception, advice: str = "report this line") -> Finding:
    """Return the finding for something that did not work.

    Args:
        advice: what to do about an error that brings no advice of its own.
    """
    if isinstance(error, SegnetLiveError):
        return Finding(what, "failed", error.problem, error.advice or advice)
    return Finding(what, "failed", f"{type(error).__name__}: {first_line(error)}", advice)
