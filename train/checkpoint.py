"""Read and write checkpoints: whole or not at all, with enough in them to go on or to package."""

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
from segnet_live.errors import DataError, OutputError, first_line
from segnet_live.system.files import replace_atomically
from train.config import renamed

_ADVICE = "pass a checkpoint that `python -m train fit` wrote"


@dataclass(frozen=True, slots=True, eq=False)
class Checkpoint:
    """The part of a checkpoint that `package`, `--init` and `--teacher` need.

    Attributes:
        weights: state dict of the averaged network, on the CPU.
        config: the run's settings, as in `config.json`; empty if unknown.
        run: what else the run wrote down: epoch, step, minutes, command, commit, `data` (a clause on its images),
            `seen` (see `segnet_live.learning.seen`), `class_frequencies` of its training images, `start` (the same of
            the run before). Older checkpoints lack some of them.
    """

    weights: dict[str, Tensor]
    config: dict[str, Any] = field(default_factory=dict)
    run: dict[str, Any] = field(default_factory=dict)


def save(path: Path, state: dict[str, Any]) -> None:
    """Write `state` to `path`; the file before stays whole until the new one is complete and on the disk.

    Raises:
        OutputError: the folder cannot be written or the disk is full.
    """
    kept = f"; the one from before is still whole: {path}" if path.is_file() else ""
    advice = f"free disk space or pass another --out{kept}"
    try:
        with replace_atomically(path, advice=advice) as scratch, open(scratch, "wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
    except RuntimeError as error:  # so torch's zip writer reports a full disk
        raise OutputError(f"{path} cannot be written ({first_line(error)})", advice) from error


def load(path: Path, device: torch.device | str = "cpu") -> dict[str, Any]:
    """Return the whole training state at `path`, settings and counters under the names they have now.

    Raises:
        DataError: the file is missing or no checkpoint.
    """
    try:
        state = torch.load(path, map_location=device, weights_only=True)
    except OSError as error:
        raise DataError(f"{path} cannot be read ({first_line(error)})", _ADVICE) from error
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise DataError(f"{path} is damaged or no checkpoint", _ADVICE) from error
    if not isinstance(state, dict) or "average" not in state:
        raise DataError(f"{path} holds no averaged weights", _ADVICE)
    if state.get("config") is not None:
        state["config"] = renamed(state["config"])
    if "thin" in state:
        state["dilated"] = state.pop("thin")
    return state


def read_checkpoint(path: Path) -> Checkpoint:
    """Return the averaged weights at `path` and what is known of their run, settings also from `config.json` beside it.

    Raises:
        DataError: the file is missing or no checkpoint.
    """
    state = load(path)
    config = state.get("config")
    if config is None and (path.parent / "config.json").is_file():
        config = renamed(json.loads((path.parent / "config.json").read_text(encoding="utf-8")))
    run = {key: state[key] for key in ("epoch", "step") if key in state} | state.get("run", {})
    return Checkpoint(state["average"], config or {}, run)


def training_of(path: Path) -> dict[str, Any]:
    """Return what a checkpoint or the card of a model folder says of the training, in a card's terms.

    Raises:
        DataError, CardError: it is missing or damaged.
    """
    if path.is_dir():
        return read_card(path).training
    checkpoint = read_checkpoint(path)
    return checkpoint.run | {"recipe": checkpoint.config}


def start_of(path: Path) -> dict[str, Any]:
    """Return how the weights at `path` came about, for the card of a run that begins with them.

    Raises:
        DataError, CardError: it is missing or damaged.
    """
    apart = ("seen", "class_frequencies")  # the run's own record has the one joined to it, and the other replaced
    return {key: value for key, value in training_of(path).items() if key not in apart}


def current_commit() -> str:
    """Return the clone's commit, "+" appended if files differ from it; "unknown" outside a clone."""
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
