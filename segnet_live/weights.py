"""Load the weights that a card describes, with every check; safetensors, no torch."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load as load_safetensors

from segnet_live.card import RETRAINED, WEIGHTS, Card, own_file
from segnet_live.errors import CardError, first_line
from segnet_live.system.files import read_regular

MOST_BYTES = 1 << 31
"""Twice the weights of the largest network, DeconvNet in 32 bits."""
SCALE_SUFFIX = ".scale"
"""Of the tensor that holds the scale of each output channel of an int8 kernel."""
_TYPES = (np.float16, np.float32, np.int8)


def read_weights(card: Card) -> tuple[bytes, ...]:
    """Return the content of the card's weights files, each one's sha256 checked.

    Returns:
        That of `weights.safetensors`, then that of `retrained.safetensors` where the card has one.

    Raises:
        CardError: a file is missing, or its sha256 is not the card's.
    """
    read = [_read(card.folder, WEIGHTS, card.sha256)]
    if card.retrained_sha256:
        read.append(_read(card.folder, RETRAINED, card.retrained_sha256))
    return tuple(read)


def _read(folder: Path, name: str, sha256: str) -> bytes:
    path = own_file(folder, name)
    try:
        data = read_regular(path, MOST_BYTES)
    except OSError as error:
        raise CardError(f"{path} cannot be read ({first_line(error)})", "reinstall, or pass another --model") from error
    found = hashlib.sha256(data).hexdigest()
    if found != sha256:
        raise CardError(
            f"{path} has sha256 {found[:12]}..., its card says {sha256[:12]}...",
            "the file is damaged or belongs to another card: copy the model folder again",
        )
    return data


def load_weights(card: Card) -> dict[str, NDArray[Any]]:
    """Return the card's tensors by name, as stored (float16 or float32), checked; int8 kernels as float32.

    Raises:
        CardError: as `read_weights`, and where a file is no safetensors file, a value is NaN or infinite, a variance is
            negative, a type is another one, an int8 kernel has no scale per output channel, or a retrained tensor
            replaces none.
    """
    first, *retrained = read_weights(card)
    tensors = _tensors(card.folder / WEIGHTS, first)
    for data in retrained:
        path = card.folder / RETRAINED
        replacing = _tensors(path, data)
        for name in replacing:
            if name not in tensors:
                raise CardError(f"{path} holds {name}, which {WEIGHTS} has not", "copy the model folder again")
        tensors |= replacing
    return tensors


def _tensors(path: Path, data: bytes) -> dict[str, NDArray[Any]]:
    """Return the tensors of the safetensors file `path`, whose content is `data`; see `load_weights`."""
    try:
        tensors = load_safetensors(data)
    except KeyError as error:  # a type that numpy has not, such as BF16
        raise _unknown_type(path, str(error).strip("'")) from error
    except (SafetensorError, ValueError, TypeError, OverflowError) as error:
        raise CardError(
            f"{path} is no safetensors file ({first_line(error)})", "copy the model folder again"
        ) from error
    for name, tensor in tensors.items():
        if tensor.dtype not in _TYPES and not name.endswith("num_batches_tracked"):
            raise _unknown_type(path, str(tensor.dtype))
        if name.endswith("running_var") and (tensor < 0).any():
            raise CardError(f"{path}: tensor {name} holds a negative variance", "train or package it again")
        if tensor.dtype.kind == "f" and not np.isfinite(tensor).all():
            raise CardError(f"{path}: tensor {name} holds NaN or infinity", "train or package it again")
    for name in [name for name, tensor in tensors.items() if tensor.dtype == np.int8]:
        kernel, scale = tensors[name], tensors.pop(name + SCALE_SUFFIX, None)
        if scale is None or scale.shape != kernel.shape[:1]:
            raise CardError(f"{path}: int8 tensor {name} has no scale per channel", "package it again")
        tensors[name] = kernel * scale.reshape(-1, *[1] * (kernel.ndim - 1)).astype(np.float32)
    return tensors


def _unknown_type(path: Path, name: str) -> CardError:
    return CardError(f"{path} holds numbers of type {name}; float16, float32 and int8 are read", "package it again")
