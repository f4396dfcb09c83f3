"""Load the weights that a card describes, with every check; safetensors, no torch."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load as load_safetensors

from segnet_live.card import Card, own_file
from segnet_live.errors import CardError, first_line
from segnet_live.system.files import read_regular

MOST_BYTES = 1 << 31
"""Twice the weights of the largest network, DeconvNet in 32 bits."""
SCALE_SUFFIX = ".scale"
"""Of the tensor that holds the scale of each output channel of an int8 kernel."""
_TYPES = (np.float16, np.float32, np.int8)


def read_weights(card: Card) -> bytes:
    """Return the content of the card's weights file, its sha256 checked.

    Raises:
        CardError: the file is missing, or its sha256 is not the card's.
    """
    path = own_file(card.folder, "weights.safetensors")
    try:
        data = read_regular(path, MOST_BYTES)
    except OSError as error:
        raise CardError(
            f"{card.weights_path} cannot be read ({first_line(error)})", "reinstall, or pass another --model"
        ) from error
    found = hashlib.sha256(data).hexdigest()
    if found != card.sha256:
        raise CardError(
            f"{card.weights_path} has sha256 {found[:12]}..., its card says {card.sha256[:12]}...",
            "the file is damaged or belongs to another card: copy the model folder again",
        )
    return data


def load_weights(card: Card) -> dict[str, NDArray[Any]]:
    """Return the card's tensors by name, as stored (float16 or float32), checked; int8 kernels as float32.

    Raises:
        CardError: as `read_weights`, and where it is no safetensors file, a value is NaN or infinite, a variance is
            negative, a type is another one, or an int8 kernel has no scale per output channel.
    """
    data = read_weights(card)
    try:
        tensors = load_safetensors(data)
    except KeyError as error:  # a type that numpy has not, such as BF16
        raise _unknown_type(card, str(error).strip("'")) from error
    except (SafetensorError, ValueError, TypeError, OverflowError) as error:
        raise CardError(
            f"{card.weights_path} is no safetensors file ({first_line(error)})", "copy the model folder again"
        ) from error
    for name, tensor in tensors.items():
        if tensor.dtype not in _TYPES and not name.endswith("num_batches_tracked"):
            raise _unknown_type(card, str(tensor.dtype))
        if name.endswith("running_var") and (tensor < 0).any():
            raise CardError(
                f"{card.weights_path}: tensor {name} holds a negative variance", "train or package it again"
            )
        if tensor.dtype.kind == "f" and not np.isfinite(tensor).all():
            raise CardError(f"{card.weights_path}: tensor {name} holds NaN or infinity", "train or package it again")
    for name in [name for name, tensor in tensors.items() if tensor.dtype == np.int8]:
        kernel, scale = tensors[name], tensors.pop(name + SCALE_SUFFIX, None)
        if scale is None or scale.shape != kernel.shape[:1]:
            raise CardError(f"{card.weights_path}: int8 tensor {name} has no scale per channel", "package it again")
        tensors[name] = kernel * scale.reshape(-1, *[1] * (kernel.ndim - 1)).astype(np.float32)
    return tensors


def _unknown_type(card: Card, name: str) -> CardError:
    return CardError(
        f"{card.weights_path} holds numbers of type {name}; float16, float32 and int8 are read", "package it again"
    )
