"""What class balancing put on the logits is found again, and folded into the classifier."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from segnet_live.card import Card, load_weights, read_card
from segnet_live.engine.load import load_network
from train.__main__ import main
from train.checkpoint import load
from train.data import LabelledSet
from train.rebalance import best_share, log_weights, rebalanced, take_back
from train.sets import SETS

FAST = ["--crop", "64x32", "--batch", "2", "--epochs", "1", "--evaluations", "1", "--precision", "fp32"]


@pytest.fixture
def card(camvid: Path, tmp_path: Path) -> Card:
    assert main(["fit", "--data", str(camvid), "--out", str(tmp_path / "run"), *FAST]) == 0
    assert main(["package", "--checkpoint", str(tmp_path / "run" / "last.pt"), "--out", str(tmp_path / "models")]) == 0
    return read_card(tmp_path / "models" / "segnet-fast")


def test_a_bias_for_every_sub_pixel_is_shifted_class_by_class() -> None:
    shifted = rebalanced(np.zeros(8, np.float32), np.array([0.5, -1.0]))
    assert shifted.tolist() == [-0.5] * 4 + [1.0] * 4


@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
def test_the_share_that_explains_the_labels_best_is_taken_back(camvid: Path, card: Card, share: float) -> None:
    labelled: LabelledSet = SETS["camvid"]
    samples = labelled.load(camvid, "train")
    offsets = 3 * log_weights(labelled, samples, 0.35) + 0.2 * np.arange(11)
    network = load_network(card)
    mean, std = (torch.tensor(v).reshape(1, 3, 1, 1) for v in (card.mean, card.std))

    def truth(rgb: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            logits = network((torch.from_numpy(rgb).permute(2, 0, 1)[None].float() / 255 - mean) / std)[0]
        return (logits.numpy() - share * offsets[:, None, None]).argmax(0).astype(np.uint8)

    relabelled = [replace(s, labels=truth(s.rgb)) for s in samples]
    height, width = samples[0].labels.shape
    assert best_share(replace(card, input_size=(height, width)), relabelled, offsets) == pytest.approx(share, abs=0.1)


def test_the_packaged_network_labels_as_the_shifted_logits_do(camvid: Path, card: Card, tmp_path: Path) -> None:
    samples = SETS["camvid"].load(camvid, "train")
    before = load(tmp_path / "run" / "last.pt")["average"]["classifier.bias"].numpy()
    after = take_back(card, SETS["camvid"], samples, 0.35)
    share = after.training["balancing_taken_back"]
    moved = before - load_weights(after)["classifier.bias"]
    expected = np.repeat(share * log_weights(SETS["camvid"], samples, 0.35), 4)
    assert moved == pytest.approx(expected, abs=1e-5)
