"""What is read of a model's weights, and what is refused."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from torch import Tensor

from segnet_live.card import RETRAINED, Card, read_card
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


def retrained(tmp_path: Path, tensors: dict[str, Tensor]) -> Card:
    """A card with `tensors` in `retrained.safetensors`, and the sha256 that belongs to them."""
    from safetensors.torch import save

    card = write_card(tmp_path / "m")
    data = save(tensors)
    (card.folder / RETRAINED).write_bytes(data)
    return write_fields(card, retrained_sha256=hashlib.sha256(data).hexdigest())


def test_retrained_tensors_replace_those_of_the_same_name_and_make_another_network(tmp_path: Path) -> None:
    import torch

    before = write_card(tmp_path / "m")
    was = load_weights(before)
    card = retrained(tmp_path, {"classifier.bias": torch.full(was["classifier.bias"].shape, 7.0)})
    now = load_weights(card)
    assert (now.pop("classifier.bias") == 7).all()
    was.pop("classifier.bias")
    assert {name: tensor.tobytes() for name, tensor in now.items()} == {n: t.tobytes() for n, t in was.items()}
    assert card.sha256 == before.sha256
    assert len({card.network_id, card.weights_id, before.network_id}) == 2
    assert card.weights_mib > before.weights_mib


def test_a_retrained_tensor_that_replaces_none_is_refused(tmp_path: Path) -> None:
    import torch

    with pytest.raises(CardError, match=f"{RETRAINED} holds stranger, which weights.safetensors has not"):
        load_weights(retrained(tmp_path, {"stranger": torch.zeros(3)}))


def test_retrained_tensors_are_checked_as_the_others(tmp_path: Path) -> None:
    import torch

    card = retrained(tmp_path, {"classifier.bias": torch.full((44,), float("nan"))})
    with pytest.raises(CardError, match=f"{RETRAINED}: tensor classifier.bias holds NaN"):
        load_weights(card)
    (card.folder / RETRAINED).write_bytes(b"cut off")
    with pytest.raises(CardError, match=f"{RETRAINED} has sha256"):
        load_weights(card)
    (card.folder / RETRAINED).unlink()
    with pytest.raises(CardError, match=f"{RETRAINED} cannot be read"):
        load_weights(card)
