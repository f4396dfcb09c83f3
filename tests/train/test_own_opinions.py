"""A network's own soft labels: what it says at one size, less the balancing, is what the file holds."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch

from segnet_live.card import find_card
from segnet_live.classes import CAMVID
from segnet_live.nets.load import load_network
from train.opinions import Opinions, seen_by_teachers
from train.own_opinions import opinion, write_opinions
from train.seen import Seen, seen_by


def picture() -> np.ndarray:
    rng = np.random.default_rng(0)
    return cv2.resize(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8), (128, 96))


def test_an_opinion_is_the_mean_of_a_pass_and_its_mirror_image() -> None:
    card = find_card("segnet-fast")
    network = load_network(card).eval()
    rgb = picture()
    said = opinion(network, rgb, card.mean, card.std, torch.zeros(11), [(96, 128)], (96, 128))
    np.testing.assert_allclose(said.sum(0), 1, atol=1e-4)
    mirrored = opinion(
        network, np.ascontiguousarray(rgb[:, ::-1]), card.mean, card.std, torch.zeros(11), [(96, 128)], (96, 128)
    )
    np.testing.assert_allclose(said, mirrored[..., ::-1], atol=1e-4)


def test_what_balancing_added_is_taken_off_and_files_are_read_back(tmp_path: Path) -> None:
    card = find_card("segnet-fast")
    assert cv2.imwrite(str(tmp_path / "a.png"), picture())
    never = np.zeros(11)
    never[CAMVID.names.index("Building")] = 50.0
    plain, without = tmp_path / "plain", tmp_path / "without"
    assert write_opinions(card, [("a", tmp_path / "a.png")], plain) == 1
    assert write_opinions(card, [("a", tmp_path / "a.png")], without, never) == 1
    said, less = Opinions([plain], CAMVID).of("a"), Opinions([without], CAMVID).of("a")
    assert said is not None
    assert less is not None
    assert said.shape == (11, 48, 64)
    assert said[1].max() > 0
    assert less[1].max() == 0


def test_the_folder_tells_what_the_network_had_seen(tmp_path: Path) -> None:
    card = find_card("segnet-fast")
    assert cv2.imwrite(str(tmp_path / "a.png"), picture())
    write_opinions(card, [("a", tmp_path / "a.png")], tmp_path / "own")
    assert seen_by_teachers(tmp_path / "own") == seen_by(card.training)
    assert seen_by_teachers(tmp_path / "own").among("camvid", "val", ["0016E5_07959"]) == 1
    assert seen_by_teachers(tmp_path) == Seen()
