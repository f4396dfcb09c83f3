"""Say in values that JSON holds what classes were found, in pictures, clips and live sources alike."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from segnet_live.classes import ClassSet


def class_facts(classes: ClassSet, shares: Iterable[float]) -> list[dict[str, Any]]:
    """Return id, name, colour (#rrggbb) and share, 0..1, of each class."""
    return [
        {"id": i, "name": name, "colour": f"#{r:02x}{g:02x}{b:02x}", "share": round(float(share), 5)}
        for i, (name, (r, g, b), share) in enumerate(zip(classes.names, classes.colours, shares, strict=True))
    ]
