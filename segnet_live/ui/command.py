"""A command of the window: the shortcuts are made from them, and Help's text."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Command:
    """One wish: what Help calls it ("" leaves it out: a row of keys is named once), its keys, and what it does."""

    group: str
    text: str
    keys: tuple[str, ...]
    run: Callable[[], object]
    repeats: bool = False
