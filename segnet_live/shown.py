"""Make text that came from outside fit to be shown: passwords masked, nothing that a terminal obeys."""

from __future__ import annotations

import re
import unicodedata

_USER = re.compile(r"(://[^/:@\s]*):\S*@")
_QUERY = re.compile(r"(?i)([?&;][\w.-]*(?:pass|pwd|token|key|secret|auth|sig|credential)[\w.-]*)=[^&#\s]*")


def mask_password(text: str) -> str:
    """Return `text` with the passwords, tokens and keys of the URLs in it replaced by ***."""
    return _QUERY.sub(r"\1=***", _USER.sub(r"\1:***@", text)) if "://" in text else text


def starred(text: str) -> str:
    """Return `text` with the same secrets replaced by as many stars, so that it keeps its length."""
    for pattern, separator in ((_USER, ":"), (_QUERY, "=")):
        text = pattern.sub(lambda found, separator=separator: _stars(found, separator), text)  # type: ignore[misc]
    return text


def _stars(found: re.Match[str], separator: str) -> str:
    secret = found[0][len(found[1]) + 1 :]
    at = "@" if separator == ":" else ""
    return f"{found[1]}{separator}{'*' * (len(secret) - len(at))}{at}"


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
