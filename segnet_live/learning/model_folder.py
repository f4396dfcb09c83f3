"""Write and install a model folder: float16 weights, and a card that says what they are."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save as safetensors_bytes
from torch import Tensor

from segnet_live.card import Card, read_card
from segnet_live.errors import OutputError, first_line
from segnet_live.learning.evaluate import write_json
from segnet_live.nets.load import load_network
from segnet_live.system.files import write_atomically


def stored(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights as a card's file has them.

    Kernels are in float16, the few numbers per channel (batch norm, biases) in float32; counters are dropped.
    """
    return {
        name: tensor.to(torch.float16 if tensor.ndim > 1 else torch.float32).contiguous()
        for name, tensor in weights.items()
        if not name.endswith("num_batches_tracked")
    }


def read_fields(card: Card) -> dict[str, Any]:
    """Return the card's JSON as written, to be completed and written again."""
    fields: dict[str, Any] = json.loads((card.folder / "card.json").read_text(encoding="utf-8"))
    return fields


def write_model(folder: Path, weights: dict[str, Tensor], card: dict[str, Any]) -> Card:
    """Write `card.json` and `weights.safetensors` in `folder`, made if missing, and check them by loading them.

    Raises:
        OutputError: the folder cannot be written.
        CardError: the weights do not fit the card's architecture, or hold NaN.
    """
    data = safetensors_bytes(stored(weights))
    card = card | {"sha256": hashlib.sha256(data).hexdigest()}
    write_atomically(folder / "weights.safetensors", data, advice="free disk space or pass another --out")
    write_json(folder / "card.json", card)
    written = read_card(folder)
    load_network(written)
    return written


def install(finished: Path, target: Path) -> None:
    """Move a finished model's two files to `target`, the weights first: a reader between the two sees the mismatch.

    Raises:
        OutputError: the target cannot be written.
    """
    try:
        target.mkdir(parents=True, exist_ok=True)
        for name in ("weights.safetensors", "card.json"):
            os.replace(finished / name, target / name)
    except OSError as error:
        raise OutputError(f"{target} cannot be written ({first_line(error)})", "pass another --out") from error


def scratch_folder(beside: Path) -> tempfile.TemporaryDirectory[str]:
    """Make a folder on the same disk as `beside`, gone when its context ends.

    Raises:
        OutputError: it cannot be made.
    """
    try:
        beside.mkdir(parents=True, exist_ok=True)
        return tempfile.TemporaryDirectory(dir=beside, prefix=".package-")
    except OSError as error:
        raise OutputError(f"{beside} cannot be written ({first_line(error)})", "pass another --out") from error
