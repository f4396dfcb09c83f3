"""Write and install a model folder: compact weights, and a card that says what they are."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save as safetensors_bytes
from torch import Tensor

from segnet_live.card import RETRAINED, WEIGHTS, Card, read_card
from segnet_live.errors import OutputError, UsageError, first_line
from segnet_live.learning.evaluate import write_json
from segnet_live.nets.load import load_network
from segnet_live.system.files import write_atomically
from segnet_live.weights import SCALE_SUFFIX, load_weights, read_weights

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


def write_model(folder: Path, weights: dict[str, Tensor], card: dict[str, Any], upon: Card | None = None) -> Card:
    """Write the files of a model in `folder`, made if missing, and check them by loading them.

    Args:
        card: what `card.json` is to hold, sums aside.
        upon: a model whose `weights.safetensors` is kept as it is: `retrained.safetensors` has what is new, so that
            most of a large network need not be stored again.

    Raises:
        OutputError: the folder cannot be written.
        CardError: the weights do not fit the card's architecture, or hold NaN; or `upon` is damaged.
        UsageError: `upon` is of another network.
    """
    kept = stored(weights)
    if upon is None:
        files = {WEIGHTS: safetensors_bytes(kept)}
    else:
        new = _retrained(weights, upon)
        changed = {name: tensor for name, tensor in kept.items() if name.removesuffix(SCALE_SUFFIX) in new}
        files = {WEIGHTS: read_weights(upon)[0], RETRAINED: safetensors_bytes(changed)}
    sums = {"sha256": hashlib.sha256(files[WEIGHTS]).hexdigest()}
    if RETRAINED in files:
        sums["retrained_sha256"] = hashlib.sha256(files[RETRAINED]).hexdigest()
    for name, data in files.items():
        write_atomically(folder / name, data, advice="free disk space or pass another --out")
    fields = {name: value for name, value in card.items() if name != "retrained_sha256"}
    write_json(folder / "card.json", fields | sums)
    written = read_card(folder)
    load_network(written)
    return written


def _retrained(weights: dict[str, Tensor], upon: Card) -> set[str]:
    """Return the names of the tensors that differ from those in the `weights.safetensors` of `upon`.

    Raises:
        CardError: that is damaged. UsageError: it is of another network.
    """
    before = load_weights(replace(upon, retrained_sha256=""))
    now = {name: tensor.numpy() for name, tensor in weights.items() if not name.endswith("num_batches_tracked")}
    if {name: tensor.shape for name, tensor in now.items()} != {name: tensor.shape for name, tensor in before.items()}:
        raise UsageError(
            f"the weights in {upon.folder} are of another network", "pass the folder that training began with"
        )
    return {name for name, tensor in now.items() if not np.array_equal(np.float32(tensor), np.float32(before[name]))}


def install(finished: Path, target: Path) -> None:
    """Move a finished model's files to `target`, the card last: a reader between two of them sees the mismatch.

    Raises:
        OutputError: the target cannot be written.
    """
    try:
        target.mkdir(parents=True, exist_ok=True)
        for name in (WEIGHTS, RETRAINED, "card.json"):
            if (finished / name).exists():
                os.replace(finished / name, target / name)
        if not read_card(target).retrained_sha256:
            (target / RETRAINED).unlink(missing_ok=True)
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
