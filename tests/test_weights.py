"""What is read of a model's weights, and what is refused."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from torch import Tensor

from segnet_live.card import Card, read_card
from segnet_live.errors import CardError
from segnet_live.weights import load_weights
from tests.support.cards import write_card


def test_weights_that_are_no_safetensors_are_refused(tmp_path: Path) -> None:
    card = write_card(tmp_path / "m")
    card.weights_path.write_bytes(b"not weights")
    raw = json.loads((card.folder / "card.json").read_text())
    raw["sha256"] = hashlib.sha256(b"not weights").hexdigest()
    (card.folder / "card.json").write_text(json.dumps(raw))
    with pytest.raises(CardError, match="no safetensors file"):
        load_weights(read_card(card.folder))


@pytest.mark.parametrize(
    ("kind", "says"), [("bfloat16", "type BF16;"), ("float64", "type float64;"), ("int32", "type int32;")]
)
def test_weights_of_a_type_that_is_not_read_name_it(tmp_path: Path, kind: str, says: str) -> None:
    import torch

    with pytest.raises(CardError, match=f"{says} float16, float32 and int8 are read"):
        load_weights(rewritten(tmp_path, lambda tensor: tensor.to(getattr(torch, kind))))


def test_a_negative_variance_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CardError, match=r"running_var holds a negative variance"):
        load_weights(rewritten(tmp_path, lambda tensor: tensor - 2))


def write_fields(card: Card, **fields: object) -> Card:
    path = card.folder / "card.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))
    return read_card(card.folder)


def rewritten(tmp_path: Path, change: Callable[[Tensor], Tensor]) -> Card:
    """A card whose tensors were changed, with the sha256 that belongs to them."""
    from safetensors.torch import load, save

    card = write_card(tmp_path / "m")
    data = save({name: change(tensor) for name, tensor in load(card.weights_path.read_bytes()).items()})
    card.weights_path.write_bytes(data)
    return write_fields(card, sha256=hashlib.sha256(data).hexdigest())


def test_missing_weights_are_named(tmp_path: Path) -> None:
    card = write_card(tmp_path / "m")
    card.weights_path.unlink()
    with pytest.raises(CardError, match="cannot be read"):
        load_weights(card)
