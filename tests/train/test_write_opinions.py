"""A network's own soft labels: what it says at one size, less the balancing, is what the file holds."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from segnet_live.card import find_card
from segnet_live.classes import CAMVID
from segnet_live.learning.data import LabelledSet, read_rgb
from segnet_live.nets.load import load_network
from segnet_live.nets.networks import NETWORKS
from train.checkpoint import load
from train.cli import main
from train.logit_adjustment import log_weights
from train.opinions import Opinions
from train.write_opinions import opinion


def picture() -> np.ndarray:
    rng = np.random.default_rng(0)
    return cv2.resize(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8), (128, 96))


def test_an_opinion_is_the_mean_of_a_pass_and_its_mirror_image() -> None:
    card = find_card("segnet-fast")
    network = load_network(card).eval()
    rgb = picture()
    said = opinion(network, rgb, card.mean, card.std, [(96, 128)], (96, 128))
    np.testing.assert_allclose(said.sum(0), 1, atol=1e-4)
    mirrored = opinion(network, np.ascontiguousarray(rgb[:, ::-1]), card.mean, card.std, [(96, 128)], (96, 128))
    np.testing.assert_allclose(said, mirrored[..., ::-1], atol=1e-4)


def test_a_checkpoint_s_opinions_are_read_back_without_what_balancing_added(
    camvid: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = ["--crop", "32x64", "--batch", "2", "--epochs", "1", "--evaluations", "1", "--precision", "fp32"]
    assert main(["fit", "--data", str(camvid), *run, "--weight-power", "1", "--out", str(tmp_path / "run")]) == 0
    checkpoint = tmp_path / "run" / "last.pt"
    folders = [str(camvid / "train"), str(camvid / "val")]
    command = ["opinions", "--checkpoint", str(checkpoint), "--pictures", *folders, "--out", str(tmp_path / "own")]
    assert main(command) == 0
    assert "9 opinions" in capsys.readouterr().out
    name = next((camvid / "train").glob("*.png")).stem
    said = Opinions([tmp_path / "own"], CAMVID).of(name)
    assert said is not None
    assert said.shape == (11, 32, 48)
    # removing the prior of a class that balancing favours makes it rarer than the raw network says
    state = load(checkpoint)
    weights = log_weights(np.array(state["run"]["class_frequencies"]), 1.0)
    network = NETWORKS["segnet-fast"](11).eval()
    network.load_state_dict(state["average"])
    rgb = read_rgb(camvid / "train" / f"{name}.png")
    raw = opinion(network, rgb, LabelledSet.mean, LabelledSet.std, [(64, 96)], (32, 48))
    favoured = int(np.argmax(weights))
    assert said[favoured].mean() / 255 < raw[favoured].mean()
