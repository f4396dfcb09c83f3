"""Open one engine at a time: compiling takes every core and much memory, and guests must not multiply that."""

from __future__ import annotations

import threading
from typing import Any

from segnet_live.card import Card
from segnet_live.engine import open as engine_open
from segnet_live.engine.base import Engine

OPENING = threading.Lock()
"""Held while an engine is opened, for pictures or for what is watched."""


def open_engine(card: Card, **options: Any) -> Engine:
    """Do what `engine.open.open_engine` does, when no other engine is being opened."""
    with OPENING:
        return engine_open.open_engine(card, **options)
