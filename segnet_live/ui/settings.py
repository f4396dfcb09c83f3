"""What the window remembers between runs: one versioned JSON file that never stands in the way of starting."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args, get_type_hints

from segnet_live.config import BACKENDS, LAYERS, VIEWS
from segnet_live.errors import UsageError
from segnet_live.ui.naming import check_pattern
from segnet_live.ui.parsing import parse_size, parse_target

VERSION = 1
RECENT_KEPT = 10


@dataclass(slots=True)
class Settings:
    """Everything remembered; each field's default is the first start's."""

    view: str = "overlay"
    wiped: tuple[str, ...] = ("original", "overlay")
    opacity: float = 0.5
    colour_blind: bool = False
    hud: bool = True
    panel: bool = True
    folded: tuple[str, ...] = ()
    loop: bool = False
    model: str = ""
    backend: str = "auto"
    size: str = ""
    smooth: bool = True
    target: str = ""
    recent: tuple[str, ...] = ()
    camera_size: str = ""
    folder: str = ""
    pattern: str = "{source}_{date}_{time}"
    record_labels: bool = False
    burn_hud: bool = False
    geometry: str = ""
    version: int = field(default=VERSION)

    def remember(self, source: str) -> None:
        """`source` is the newest of the recent ones."""
        self.recent = (source, *(known for known in self.recent if known != source))[:RECENT_KEPT]


_CHOICES = {"view": VIEWS, "backend": BACKENDS}

_CHECKS: dict[str, Callable[[str], object]] = {
    "size": parse_size,
    "camera_size": parse_size,
    "target": parse_target,
    "pattern": check_pattern,
}


def _valid(name: str, value: Any, kind: Any) -> bool:
    if get_args(kind):  # tuple[str, ...]
        return isinstance(value, list) and all(isinstance(item, str) for item in value)
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1
    if type(value) is not kind or (name in _CHOICES and value not in _CHOICES[name]):
        return False
    try:
        if value and name in _CHECKS:
            _CHECKS[name](value)
    except UsageError:
        return False
    return True


def load_settings(path: Path) -> tuple[Settings, str]:
    """The settings in `path`, and a line for the user ("" if all is well). Never raises.

    A file that cannot be used is moved aside; single values that make no sense take their defaults.
    """
    settings = Settings()
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return settings, ""
    except (OSError, UnicodeDecodeError) as error:
        return settings, _set_aside(path, str(error))
    try:
        raw = json.loads(text)
        if not isinstance(raw, dict):
            raise ValueError(f"it holds a {type(raw).__name__}, not settings")
        version = raw.get("version")
        if version != VERSION:
            raise ValueError(f"it has version {version}, this program writes {VERSION}")
    except (ValueError, RecursionError) as error:
        return settings, _set_aside(path, str(error))
    odd = []
    for name, kind in get_type_hints(Settings).items():
        if name not in raw:
            continue
        if not _valid(name, raw[name], kind):
            odd.append(name)
            continue
        value = raw[name]
        setattr(settings, name, tuple(value) if isinstance(value, list) else kind(value))
    if len(settings.wiped) != 2 or not set(settings.wiped) <= set(LAYERS):
        settings.wiped = Settings().wiped
    return settings, f"settings {', '.join(odd)} made no sense; their defaults are used" if odd else ""


def _set_aside(path: Path, why: str) -> str:
    aside = path.with_suffix(".unused.json")
    try:
        os.replace(path, aside)
        where = f"moved to {aside.name}"
    except OSError:
        where = f"left at {path}"
    return f"the settings file could not be used ({why}) and was {where}; the window starts with defaults"


def save_settings(settings: Settings, path: Path) -> str:
    """Write the whole file or leave the old one; the line for the user if it could not be written, else ""."""
    partial = path.with_suffix(".partial.json")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(json.dumps(dataclasses.asdict(settings), indent=1), encoding="utf-8")
        os.replace(partial, path)
    except OSError as error:
        return f"settings cannot be saved to {path} ({error.strerror}); make the folder writable"
    return ""
