"""Locate models, assets, cache and settings: the only module that knows checkouts, wheels and user folders."""

from __future__ import annotations

import contextlib
from pathlib import Path

import platformdirs

_PACKAGE = Path(__file__).resolve().parent.parent
_APP = "segnet-live"


def _shipped(name: str) -> Path:
    """Return the folder `name` beside the package in a checkout (also an editable install), else inside the wheel."""
    checkout = _PACKAGE.parent / name
    if (_PACKAGE.parent / "pyproject.toml").is_file() and checkout.is_dir():
        return checkout
    return _PACKAGE / "_shipped" / name


def models_dir() -> Path:
    """Return the folder of released weights: one `<name>/card.json` each."""
    return _shipped("models")


def user_models_dir() -> Path:
    """Return the folder of the user's own models: one `<name>/card.json` each; it may not exist yet."""
    return Path(platformdirs.user_data_dir(_APP, appauthor=False)) / "models"


def assets_dir() -> Path:
    """Return the folder of palettes, icons and the example drive."""
    return _shipped("assets")


def cache_dir(*parts: str) -> Path:
    """Return the private per-user folder for compiled engines (mode 700 where the system has modes).

    It is made if it is missing and can be made; where the disk is full or cannot be written, whoever writes says so.
    """
    path = Path(platformdirs.user_cache_dir(_APP, appauthor=False)).joinpath(*parts)
    with contextlib.suppress(OSError):
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
    return path


def settings_path() -> Path:
    """Return the settings file of the window; its folder may not exist yet."""
    return Path(platformdirs.user_config_dir(_APP, appauthor=False)) / "settings.json"


def log_dir() -> Path:
    """Return the private per-user folder for reports of crashes, made if it is missing.

    Raises:
        OSError: it cannot be made.
    """
    path = Path(platformdirs.user_log_dir(_APP, appauthor=False))
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    return path


def recordings_dir() -> Path:
    """Return the folder for recordings and snapshots unless the settings name another; it may not exist yet."""
    return Path(platformdirs.user_videos_dir()) / _APP
