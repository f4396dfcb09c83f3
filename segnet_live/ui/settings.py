"""Remember the window's settings between runs, in one versioned JSON file that never stands in the way of starting."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from segnet_live.config import QUALITIES, Backend, Encoder, Layer, RunOptions, View, format_size, parse_size
from segnet_live.display_text import mask_password
from segnet_live.engine.governor import Target
from segnet_live.errors import OutputError, UsageError
from segnet_live.frame import Size
from segnet_live.system.files import read_regular, write_atomically
from segnet_live.ui.naming import check_pattern
from segnet_live.ui.parsing import format_target, parse_target

VERSION = 1
MOST_BYTES = 1 << 20
RECENT_KEPT = 10
_KEYS = {"layers": "wiped"}
"""The key of a setting in the file, where that is not its name here."""


@dataclass(slots=True)
class Settings:
    """The remembered settings; each field's default is that of the first start.

    Only what the user chooses in the window is written here; the command line holds for its own run.

    Attributes:
        layers: those left and right of the wiper and side by side.
        folded: titles of the panel's folded sections.
        model: "" for the default.
        size: (height, width) of the network's input; None follows the source.
        confidence: show how sure the network is, in the HUD and along the seek bar.
        fade_unsure: the overlay's colours fade where the network is unsure.
        target: what the governor holds; None for no governor.
        recent: "kind:value" of the sources opened lately, newest first, passwords masked.
        camera_size: (height, width) to ask a camera for; None for its own choice.
        folder: where recordings and snapshots go; "" for the system's folder of videos.
        pattern: of file names, see `naming.check_pattern`.
        encoder, quality: what recordings are encoded with.
        geometry: the window's place and size as Qt saves them, in base64.
    """

    view: View = "overlay"
    layers: tuple[Layer, Layer] = ("original", "overlay")
    opacity: float = 0.5
    colour_blind: bool = False
    hud: bool = True
    panel: bool = True
    folded: tuple[str, ...] = ()
    loop: bool = False
    model: str = ""
    backend: Backend = "auto"
    size: Size | None = None
    smooth: bool = True
    confidence: bool = False
    fade_unsure: bool = False
    target: Target | None = None
    recent: tuple[str, ...] = ()
    camera_size: Size | None = None
    folder: str = ""
    pattern: str = "{source}_{date}_{time}"
    record_labels: bool = False
    burn_hud: bool = False
    encoder: Encoder = "auto"
    quality: int = 20
    geometry: str = ""
    version: int = field(default=VERSION)

    def remember(self, source: str) -> None:
        """Make `source` the newest of the recent ones."""
        self.recent = (source, *(known for known in self.recent if known != source))[:RECENT_KEPT]

    def options(self) -> RunOptions:
        """Return the choices for a run, before the command line's."""
        return RunOptions(
            model=self.model or None,
            backend=self.backend,
            size=self.size,
            smooth=self.smooth,
            target_fps=self.target.fps if self.target is not None else None,
            max_latency_ms=self.target.latency_ms if self.target is not None else None,
            view=self.view,
            opacity=self.opacity,
            layers=self.layers,
            burn_hud=self.burn_hud,
            encoder=self.encoder,
            quality=self.quality,
            with_confidence=self.confidence,
            fade_unsure=self.fade_unsure,
        )


def _from_json(kind: Any, value: Any) -> Any:
    """Return `value`, as JSON has it, as the type `kind`; sizes and targets stand there as text, "" for None.

    Raises:
        ValueError, UsageError: it is none of that type.
    """
    arguments = get_args(kind)
    if kind in (Size | None, Target | None) and isinstance(value, str):
        parse = parse_size if kind == Size | None else parse_target
        return parse(value) if value else None
    if get_origin(kind) is Literal and isinstance(value, str) and value in arguments:
        return value
    if get_origin(kind) is tuple and isinstance(value, list):
        kinds = arguments[:1] * len(value) if arguments[-1] is Ellipsis else arguments
        return tuple(_from_json(item_kind, item) for item_kind, item in zip(kinds, value, strict=True))
    if kind is float and type(value) in (int, float) and 0 <= value <= 1:
        return float(value)
    if kind is str and isinstance(value, str) and b"\0" not in os.fsencode(value):  # else it can be no path
        return value
    if type(value) is kind and kind not in (float, str):
        return value
    raise ValueError(f"{value!r} is not of type {kind}")


def _to_json(kind: Any, value: Any) -> Any:
    if kind == Size | None:
        return format_size(value) if value is not None else ""
    return format_target(value) if kind == Target | None else value


def load_settings(path: Path) -> tuple[Settings, str]:
    """Return the settings in `path`, and a line for the user ("" if all is well). Never raises.

    A file that cannot be used is moved aside; single values that make no sense take their defaults.
    """
    settings = Settings()
    try:
        text = read_regular(path, MOST_BYTES).decode("utf-8")
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
        key = _KEYS.get(name, name)
        if key not in raw:
            continue
        try:
            value = _from_json(kind, raw[key])
            if name == "pattern":
                check_pattern(value)
            if name == "quality" and value not in QUALITIES:
                raise ValueError(f"{value} is no quality")
        except (ValueError, UsageError):
            odd.append(key)
        else:
            setattr(settings, name, value)
    settings.recent = tuple(mask_password(entry) for entry in settings.recent)  # older versions kept passwords
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
    """Write the whole file or leave the old one; return a line for the user if it could not be written, else ""."""
    raw = {
        _KEYS.get(name, name): _to_json(kind, getattr(settings, name))
        for name, kind in get_type_hints(Settings).items()
    }
    try:
        write_atomically(path, json.dumps(raw, indent=1), advice="make the folder writable")
    except OutputError as error:
        return f"settings cannot be saved: {error}"
    return ""
