"""Write and install a model folder: compact weights, and a card that says what they are."""

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
from segnet_live.weights import SCALE_SUFFIX

INT8_FROM = 10_000_000
"""Networks of so many parameters have their kernels stored in 8 bits: SegNet's file is 30 MB then, not 59."""


def stored(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights as a card's file has them.

    Kernels are in float16; those of a network of `INT8_FROM` parameters or more in int8, each with a float32 scale per
    output channel beside it. The few numbers per channel (batch norm, biases) are in float32; counters are dropped.
    """
    kept = {name: tensor for name, tensor in weights.items() if not name.endswith("num_batches_tracked")}
    in_int8 = sum(tensor.numel() for tensor in kept.values()) >= INT8_FROM
    result = {}
    for name, tensor in kept.items():
        if tensor.ndim < 2:
            result[name] = tensor.to(torch.float32)
        elif in_int8:
            result[name], result[name + SCALE_SUFFIX] = _in_int8(tensor.to(torch.float32))
        else:
            result[name] = tensor.to(torch.float16)
    return {name: tensor.contiguous() for name, tensor in result.items()}


def _in_int8(kernel: Tensor) -> tuple[Tensor, Tensor]:
    """Return an (O, ...) kernel as int8, and (O,) scales: the kernel is about their product."""
    flat = kernel.flatten(1)
    scale = flat.abs().amax(1).clamp_min(1e-12) / 127
    return (flat / scale[:, None]).round().to(torch.int8).view_as(kernel), scale


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
