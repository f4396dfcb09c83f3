"""Describe a command of the window: the shortcuts are made from these, and Help's text."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Command:
    """A command of the window, with its keys and its line in Help.

    Attributes:
        group, text: where and how Help shows it; no text leaves it out: a row of keys is named once.
        keys: as QKeySequence reads them; each does the same.
        repeats: it goes on while the key is held down.
    """

    group: str
    text: str
    keys: tuple[str, ...]
    run: Callable[[], object]
    repeats: bool = False
