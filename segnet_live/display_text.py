"""Make text that came from outside fit to be shown, and print it: no passwords, nothing that a terminal obeys."""

from __future__ import annotations

import re
import unicodedata
from typing import TextIO

_SECRETS = (
    # Up to the last @: user names may be addresses, and passwords hold anything.
    # One slash is left where somebody took an address for a path. All lengths have a bound: text comes from strangers.
    re.compile(r"(:/{1,3}[^/:\s]{0,2000}:)(\S{0,2000}|[^/\n]{0,2000})(?=@)"),
    # As typed without a scheme.
    re.compile(r"((?:^|[\s'\"(])[^\s/:@'\"(]{1,200}:)([^\s/@]{1,2000})(?=@[\w\[])"),
    # Alone before @ stands a name, or a token if it is long.
    re.compile(r"(:/{1,3})([^/:@\s]{16,2000})(?=@)"),
    re.compile(
        r"(?i)([?&;#][\w.-]*(?:pas|pwd|pw|psk|jwt|token|key|secret|auth|sig|cred|session|ticket|code\b)[\w.-]*=)([^&#\s]*)"
    ),
)
"""What stays and what is hidden, of a URL."""


def mask_password(text: str) -> str:
    """Return `text` with the passwords, tokens and keys of the URLs in it replaced by ***."""
    if ":" in text:
        for pattern in _SECRETS:
            text = pattern.sub(r"\1***", text)
    return text


def starred(text: str) -> str:
    """Return `text` with the same secrets replaced by as many stars, so that it keeps its length."""
    for pattern in _SECRETS:
        text = pattern.sub(lambda found: found[1] + "*" * len(found[2]), text)
    return text


def plain(text: str) -> str:
    """Return `text` on one line, with what is no letter, sign or space escaped: \\x1b, \\n, \\u202e, \\udcff.

    File names, cards and metadata come from strangers: an escape sequence would recolour or retitle a terminal, a
    character that turns the reading direction would hide a suffix, and half a character cannot be printed at all.
    """
    if text.isprintable():
        return text
    return "".join(
        c if c.isprintable() or unicodedata.category(c) == "Zs" else c.encode("unicode_escape").decode() for c in text
    )


def fit_to_show(text: str) -> str:
    """Return `text` as errors, logs and the window show it: `plain`, and its passwords masked."""
    return plain(mask_password(text))


def print_line(line: str, file: TextIO | None = None) -> None:
    """Print a line at once, also into a pipe, as `fit_to_show` makes it; to standard output unless `file` is given."""
    print(fit_to_show(line), file=file, flush=True)
