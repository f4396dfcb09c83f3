"""Class balancing beyond what new drives want leaves with the packaging, folded into the classifier."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from segnet_live.card import Card, read_card
from segnet_live.learning.data import class_frequencies, median_frequency_weights
from segnet_live.nets.load import load_network
from train.cli import main
from train.logit_adjustment import rebalanced
from train.sets import SETS

FAST = ["--crop", "64x32", "--batch", "2", "--epochs", "1", "--evaluations", "1", "--precision", "fp32"]


def packaged(camvid: Path, folder: Path, fit: list[str], package: list[str]) -> tuple[Card, Card]:
    """What a run with the options `fit` gives: as the checkpoint has it, and with data and the options `package`."""
    assert main(["fit", "--data", str(camvid), "--out", str(folder / "run"), *FAST, *fit]) == 0
    command = ["package", "--checkpoint", str(folder / "run" / "last.pt"), "--out"]
    assert main([*command, str(folder / "before")]) == 0
    measured = ["--data", str(camvid), "--backend", "torch", "--precision", "fp32"]
    assert main([*command, str(folder / "after"), *measured, *package]) == 0
    return read_card(folder / "before" / "segnet-fast"), read_card(folder / "after" / "segnet-fast")


def logits(card: Card, rgb: np.ndarray) -> np.ndarray:
    mean, std = (torch.tensor(v).reshape(1, 3, 1, 1) for v in (card.mean, card.std))
    with torch.inference_mode():
        x = torch.from_numpy(rgb).permute(2, 0, 1)[None].float() / 255
        result: np.ndarray = load_network(card)((x - mean) / std)[0].numpy()
    return result


def test_a_bias_for_every_sub_pixel_is_shifted_class_by_class() -> None:
    shifted = rebalanced(np.zeros(8, np.float32), np.array([0.5, -1.0]))
    assert shifted.tolist() == [-0.5] * 4 + [1.0] * 4


@pytest.mark.parametrize(("package", "kept"), [([], 0.35), (["--balancing", "0.6"], 0.6)])
def test_balancing_beyond_what_is_kept_is_taken_back(
    camvid: Path, tmp_path: Path, package: list[str], kept: float
) -> None:
    before, after = packaged(camvid, tmp_path, ["--weight-power", "0.85"], package)
    labelled = SETS["camvid"]
    samples = labelled.load(camvid, "train")
    beyond = median_frequency_weights(class_frequencies(samples, labelled.classes), 0.85 - kept)
    rgb = samples[0].rgb
    wanted = logits(before, rgb) - np.log(np.where(beyond > 0, beyond, 1.0))[:, None, None]
    assert logits(after, rgb) == pytest.approx(wanted, abs=1e-4)
    assert after.training["balancing_kept"] == kept


@pytest.mark.parametrize("fit", [["--weight-power", "0.2"], ["--recipe", "paper", "--model", "segnet-fast"]])
def test_less_balancing_and_the_paper_s_stay_as_trained(camvid: Path, tmp_path: Path, fit: list[str]) -> None:
    before, after = packaged(camvid, tmp_path, fit, [])
    rgb = SETS["camvid"].load(camvid, "train")[0].rgb
    assert np.array_equal(logits(after, rgb), logits(before, rgb))
