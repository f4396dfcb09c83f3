"""Name recordings, snapshots and hard frames by the pattern in the settings."""

from __future__ import annotations

import re
import string
import time
from pathlib import Path

from segnet_live.errors import UsageError

FIELDS = ("source", "date", "time", "model", "view")
_FORBIDDEN = re.compile(r'[<>:"/\\|?*\x00-\x1f]+')


def check_pattern(pattern: str) -> None:
    """Check that the pattern names files that every system accepts.

    Raises:
        UsageError: it is empty, has an unknown field, or characters that file names may not have.
    """
    known = ", ".join(f"{{{field}}}" for field in FIELDS)
    try:
        parts = list(string.Formatter().parse(pattern))
    except ValueError as error:
        raise UsageError(f"file name pattern {pattern!r}: {error}; use plain text and {known}") from error
    unknown = [
        field
        for _, field, spec, conversion in parts
        if field is not None and (field not in FIELDS or spec or conversion)
    ]
    if unknown:
        raise UsageError(f"file name pattern has {{{unknown[0]}}}; known fields are {known}")
    if not pattern.strip() or any(_FORBIDDEN.search(text) for text, *_ in parts):
        raise UsageError(
            f'file name pattern {pattern!r} is empty or has one of < > : " / \\ | ? *; use text and {known}'
        )


def file_stem(pattern: str, *, source: str, model: str, view: str) -> str:
    """Return the pattern filled in, safe as a file name on every system.

    Raises:
        UsageError: see `check_pattern`.
    """
    check_pattern(pattern)
    now = time.localtime()
    filled = pattern.format(
        source=short_title(source),
        date=time.strftime("%Y-%m-%d", now),
        time=time.strftime("%H-%M-%S", now),
        model=model,
        view=view,
    )
    return _FORBIDDEN.sub("-", filled).strip(" .")[:150] or "recording"


def short_title(title: str) -> str:
    """Return a source's title as one short word or two: a file's stem, a URL's host and path."""
    if "://" in title:
        return _FORBIDDEN.sub("-", title.split("://", 1)[1].rsplit("@", 1)[-1]).strip("-")
    return Path(title).stem if "/" in title or "\\" in title or "." in title else title
