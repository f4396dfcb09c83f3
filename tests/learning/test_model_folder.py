"""A model's file is compact, and the network that is loaded from it is the one that was stored."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

from segnet_live.card import RETRAINED, Card, read_card
from segnet_live.classes import CAMVID
from segnet_live.errors import CardError, UsageError
from segnet_live.learning import model_folder
from segnet_live.learning.evaluate import write_json
from segnet_live.learning.model_folder import install, read_fields, write_model
from segnet_live.nets.networks import NETWORKS
from segnet_live.weights import SCALE_SUFFIX, load_weights


def fields(architecture: str) -> dict[str, Any]:
    classes = [{"name": n, "colour": list(c)} for n, c in zip(CAMVID.names, CAMVID.colours, strict=True)]
    normalisation = {"mean": [0.4] * 3, "std": [0.3] * 3}
    return {
        "name": "tiny", "architecture": architecture, "classes": classes, "void_id": CAMVID.void_id,
        "input_size": [64, 64], "normalisation": normalisation, "licence": "none",
    }  # fmt: skip


def written(folder: Path, architecture: str) -> tuple[Card, dict[str, torch.Tensor]]:
    torch.manual_seed(0)
    weights = NETWORKS[architecture](len(CAMVID)).state_dict()
    return write_model(folder, weights, fields(architecture)), weights


def test_segnets_kernels_are_stored_in_8_bits_with_a_scale_per_channel(tmp_path: Path) -> None:
    card, weights = written(tmp_path, "segnet")
    assert card.weights_path.stat().st_size < 32e6
    loaded = load_weights(card)
    for name, tensor in weights.items():
        if tensor.ndim > 1:
            kernel = tensor.numpy()
            largest = np.abs(kernel).reshape(len(kernel), -1).max(1)
            error = np.abs(loaded[name] - kernel).reshape(len(kernel), -1).max(1)
            assert loaded[name].dtype == np.float32
            assert (error <= 0.501 * largest / 127).all(), name
    again = write_model(tmp_path, {n: torch.from_numpy(t) for n, t in loaded.items()}, read_fields(card))
    for name, tensor in load_weights(again).items():
        np.testing.assert_allclose(tensor, loaded[name], rtol=1e-6, err_msg=name)


def test_an_8_bit_kernel_without_its_scales_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(model_folder, "INT8_FROM", 0)
    card, _ = written(tmp_path, "segnet-fast")
    tensors = load_file(card.weights_path)
    tensors.pop(next(name for name in tensors if name.endswith(SCALE_SUFFIX)))
    save_file(tensors, card.weights_path)
    write_json(
        tmp_path / "card.json",
        read_fields(card) | {"sha256": hashlib.sha256(card.weights_path.read_bytes()).hexdigest()},
    )
    with pytest.raises(CardError, match="no scale per channel"):
        load_weights(read_card(tmp_path))


@pytest.mark.parametrize("int8_from", [0, 10**9])
def test_what_was_retrained_is_stored_beside_weights_that_stay_as_they_are(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, int8_from: int
) -> None:
    monkeypatch.setattr(model_folder, "INT8_FROM", int8_from)
    before, _ = written(tmp_path / "before", "segnet-fast")
    weights = {name: torch.from_numpy(tensor).float() for name, tensor in load_weights(before).items()}
    kernel = next(name for name, tensor in weights.items() if tensor.ndim == 4)
    changed = weights | {kernel: weights[kernel] * 1.5, "classifier.bias": weights["classifier.bias"] + 1}
    after = write_model(tmp_path / "after", changed, read_fields(before), upon=before)
    assert after.weights_path.read_bytes() == before.weights_path.read_bytes()
    held = {name.removesuffix(SCALE_SUFFIX) for name in load_file(after.folder / RETRAINED)}
    assert held == {kernel, "classifier.bias"}
    for name, tensor in load_weights(after).items():
        np.testing.assert_allclose(tensor, changed[name].numpy(), rtol=1e-3, atol=1e-6, err_msg=name)

    again = write_model(tmp_path / "again", weights, read_fields(after), upon=after)  # back to where it began
    assert load_file(again.folder / RETRAINED) == {}
    install(after.folder, tmp_path / "installed")
    whole = write_model(tmp_path / "whole", changed, read_fields(again))
    install(whole.folder, tmp_path / "installed")
    assert not (tmp_path / "installed" / RETRAINED).exists()
    assert not read_card(tmp_path / "installed").retrained_sha256


def test_nothing_is_retrained_upon_another_network(tmp_path: Path) -> None:
    before, _ = written(tmp_path / "before", "segnet-fast")
    _, weights = written(tmp_path / "other", "segnet-basic")
    with pytest.raises(UsageError, match="are of another network"):
        write_model(tmp_path / "after", weights, fields("segnet-basic"), upon=before)
    assert not (tmp_path / "after").exists()
