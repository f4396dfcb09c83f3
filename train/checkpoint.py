"""Training state on disk: written whole or not at all, and enough in it to go on or to package."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from segnet_live.card import read_card
from segnet_live.errors import DataError, OutputError


@dataclass(frozen=True, slots=True, eq=False)
class Checkpoint:
    """What `package`, `--init` and `--teacher` need of a checkpoint.

    Attributes:
        weights: state dict of the averaged network, on the CPU.
        config: the run's settings, as in `config.json`; empty if unknown.
        run: what else the run wrote down (epoch, step, minutes, command, commit, data).
    """

    weights: dict[str, Tensor]
    config: dict[str, Any] = field(default_factory=dict)
    run: dict[str, Any] = field(default_factory=dict)


def save(path: Path, state: dict[str, Any]) -> None:
    """Put `state` at `path`; whatever was there stays whole until the new file is complete.

    Raises:
        OutputError: the folder cannot be written or the disk is full.
    """
    partial = path.with_suffix(".partial")
    try:
        with open(partial, "wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except (OSError, RuntimeError) as error:  # torch reports a full disk as a RuntimeError of its zip writer
        partial.unlink(missing_ok=True)
        kept = f"; the one from before is still whole: {path}" if path.exists() else ""
        reason = error.strerror if isinstance(error, OSError) else str(error).splitlines()[0]
        raise OutputError(
            f"{path} could not be written ({reason}); free disk space or pass another --out{kept}"
        ) from error


def load(path: Path, device: torch.device | str = "cpu") -> dict[str, Any]:
    """The whole training state at `path`.

    Raises:
        DataError: the file is missing or no checkpoint.
    """
    try:
        state = torch.load(path, map_location=device, weights_only=True)
    except OSError as error:
        raise DataError(
            f"{path} cannot be read ({error.strerror}); pass a checkpoint that `python -m train fit` wrote"
        ) from error
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise DataError(f"{path} is damaged or no checkpoint; pass one that `python -m train fit` wrote") from error
    if not isinstance(state, dict) or "average" not in state:
        raise DataError(f"{path} holds no averaged weights; pass a checkpoint that `python -m train fit` wrote")
    return state


def read_checkpoint(path: Path) -> Checkpoint:
    """The averaged weights at `path` and what is known of their run; the settings also from `config.json` beside it.

    Raises:
        DataError: the file is missing or no checkpoint.
    """
    state = load(path)
    config = state.get("config")
    if config is None and (path.parent / "config.json").is_file():
        config = json.loads((path.parent / "config.json").read_text())
    run = {key: state[key] for key in ("epoch", "step") if key in state} | state.get("run", {})
    return Checkpoint(state["average"], config or {}, run)


def start_of(path: Path) -> dict[str, Any]:
    """How the weights at `path` came about, for the card of a run that begins with them.

    Raises:
        DataError: the file is missing or no checkpoint.
    """
    if path.is_dir():
        return read_card(path).training
    checkpoint = read_checkpoint(path)
    return checkpoint.run | {"recipe": checkpoint.config}


def current_commit() -> str:
    """The clone's commit, "+" appended if files differ from it; "unknown" outside a clone."""
    root = Path(__file__).resolve().parent.parent
    try:
        git = ["git", "-C", str(root)]
        commit = subprocess.run([*git, "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True, check=True)
        changed = subprocess.run(
            [*git, "status", "--porcelain", "--untracked-files=no"], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return commit.stdout.strip() + ("+" if changed.stdout.strip() else "")
