"""RGB-D: the first SegNet trains on depth, depth stays geometry, and nothing that has no depth takes such a model."""

from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from segnet_live.bench import engines
from segnet_live.card import read_card
from segnet_live.engine.open import open_engine
from segnet_live.errors import CardError, DataError, EngineError, UsageError
from segnet_live.export.network import check
from segnet_live.learning.augment import apply, sample_params
from segnet_live.learning.data import LabelledSet, Sample
from segnet_live.learning.depth import network_input, normalised, statistics
from tests.support.training import write_pair
from train.cli import main
from train.config import FitConfig
from train.sets import SunRgbd

FIT = ["--model", "segnet-2015", "--depth", "--crop", "32x64", "--batch", "2", "--photometric", "0", "--boundary", "0"]


@pytest.fixture
def rgbd(tmp_path: Path) -> Path:
    """A labelled set whose two classes look alike: the car is near, the road far; a corner is not measured."""
    root, rng = tmp_path / "rgbd", np.random.default_rng(0)
    for split, count in (("train", 6), ("val", 3)):
        for i in range(count):
            name = f"{split}_{i:06d}"
            labels = np.full((64, 96), 3, np.uint8)
            left, top = int(rng.integers(0, 48)), int(rng.integers(0, 32))
            labels[top : top + 32, left : left + 48] = 8
            write_pair(root, split, name, rng.normal(120, 10, (64, 96, 3)).clip(0, 255).astype(np.uint8), labels)
            depth = np.where(labels == 8, 2000, 8000).astype(np.uint16)
            depth[:8, :8] = 0
            folder = root / f"{split}depth"
            folder.mkdir(exist_ok=True)
            assert cv2.imwrite(str(folder / f"{name}.png"), depth)
    return root


@pytest.mark.timeout(120)
def test_a_network_that_sees_depth_tells_what_looks_alike_and_says_that_it_needs_depth(
    rgbd: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, models = tmp_path / "run", tmp_path / "models"
    pace = ["--epochs", "12", "--evaluations", "1", "--lr", "0.001"]
    data = ["--data", str(rgbd), "--size", "64x96"]
    assert main(["fit", "--data", str(rgbd), *FIT, "--out", str(out), *pace]) == 0
    assert main(["package", "--checkpoint", str(out / "last.pt"), "--out", str(models), *data]) == 0
    card = read_card(models / "segnet-2015")
    assert (card.channels, card.arguments) == (4, {"inputs": 4})
    assert card.mean[3] == pytest.approx(6.5, abs=0.3)
    assert card.int8_maxima == ()
    figures = tmp_path / "figures.json"
    assert main(["evaluate", "--model", str(card.folder), *data, "--json", str(figures)]) == 0
    measured = json.loads(figures.read_text())
    assert measured["G"] > 0.85, "the colours of the two classes are the same: only depth tells them apart"
    assert measured["G"] == card.metrics["camvid val"]["G"]
    capsys.readouterr()
    for refused in (["--smooth"], ["--confidence"], ["--backend", "openvino"], ["--precision", "int8"]):
        assert main(["evaluate", "--model", str(card.folder), *data, *refused]) == 2
        assert "takes depth" in capsys.readouterr().err
    with pytest.raises(
        EngineError, match="takes 4 channels, RGB and depth, and there is no depth here; choose a model"
    ):
        open_engine(card)
    with pytest.raises(EngineError, match="there is no depth here"):
        check(card, "openvino", "fp32", tmp_path / "network.xml")
    missing: list[tuple[str, str]] = []
    with ExitStack() as opened:
        assert list(engines._ours(card, engines.Plan((card,), (("torch", "fp32"),)), opened, missing)) == []
    assert [name for name, _ in missing] == ["segnet-2015"], "a benchmark of all models goes on without it"


def test_layerwise_training_takes_depth_too(rgbd: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    options = ["--steps", "1", "--iterations", "1", "--batch", "2", "--crop", "32x32", "--depth"]
    assert main(["layerwise", "--data", str(rgbd), *options, "--out", str(out)]) == 0
    assert main(["evaluate", "--checkpoint", str(out / "last.pt"), "--data", str(rgbd), "--size", "64x96"]) == 0


def test_depth_moves_with_the_picture_and_keeps_its_values() -> None:
    """Depth that equals the picture's own brightness equals it in every crop, whatever happens to the colours."""
    blocks = np.random.default_rng(0).integers(1, 200, (4, 1, 8, 12)).repeat(8, 2).repeat(8, 3)
    rgb = torch.from_numpy(blocks).to(torch.uint8).repeat(1, 3, 1, 1)
    depth = torch.from_numpy(blocks).half()
    params = [sample_params(np.random.default_rng(i), (64, 96), (32, 48), 11, photometric=2.0) for i in range(4)]
    labels = torch.from_numpy(blocks[:, 0] % 7).to(torch.uint8)
    x, y, _ = apply(rgb, labels, params, (32, 48), 11, 0, None, depth)
    assert x.shape == (4, 4, 32, 48)
    inside = y != 11
    assert set(x[:, 3][inside].unique().tolist()) <= set(depth.unique().tolist()), "no distance that was not there"
    assert torch.equal((x[:, 3].long() % 7)[inside], y[inside]), "it lies where the labels lie"
    assert not x[:, 3][~inside].any()
    plain, _, _ = apply(rgb, labels, params, (32, 48), 11, 0)
    assert torch.equal(plain, x[:, :3]), "and the picture does not know of it"


def test_what_was_not_measured_is_the_mean_to_the_network() -> None:
    depth = np.array([[0, 1000], [2000, 3000]], np.uint16)
    sample = Sample("", np.full((2, 2, 3), 128, np.uint8), np.zeros((2, 2), np.uint8), depth)
    assert statistics([sample]) == (2.0, 0.816)
    mean, std = torch.tensor([0.5, 0.5, 0.5, 2.0]).view(1, 4, 1, 1), torch.ones(1, 4, 1, 1)
    assert network_input(sample, (2, 2), mean, std)[0, 3].tolist() == [[0.0, -1.0], [0.0, 1.0]]
    assert normalised(torch.zeros(1, 3, 2, 2), mean[:, :3], std[:, :3]).shape == (1, 3, 2, 2)


def test_depth_that_is_missing_or_of_another_kind_is_named(rgbd: Path, camvid: Path) -> None:
    with pytest.raises(
        DataError, match=r"traindepth is no folder; depth lies in traindepth/ .* CamVid itself has none"
    ):
        LabelledSet().load(camvid, "train", depth=True)
    picture = rgbd / "valdepth" / "val_000001.png"
    depth = cv2.imread(str(picture), cv2.IMREAD_UNCHANGED)
    for written, said in (
        (depth[:32], "96x32 but its image is 96x64; depth must be registered"),
        (depth.astype(np.uint8), r"is uint8 of shape \(64, 96\); depth is a single-channel 16-bit PNG"),
    ):
        assert cv2.imwrite(str(picture), written)
        with pytest.raises(DataError, match=said):
            LabelledSet().load(rgbd, "val", depth=True)
    picture.unlink()
    with pytest.raises(DataError, match=r"val_000001\.png has no depth picture"):
        LabelledSet().load(rgbd, "val", depth=True)


def test_depth_is_for_the_network_that_takes_it() -> None:
    with pytest.raises(UsageError, match="segnet-basic takes RGB alone; --depth is for --model segnet-2015"):
        FitConfig("segnet-basic", "release", arguments={"inputs": 4})
    with pytest.raises(UsageError, match="--depth and --rendered do not go together"):
        FitConfig("segnet-2015", "release", arguments={"inputs": 4}, rendered=8)


def test_a_card_whose_normalisation_lacks_depth_is_damaged(tmp_path: Path) -> None:
    from tests.support.cards import write_card

    normalisation = {"mean": [0.4] * 4, "std": [0.3] * 4}
    with pytest.raises(CardError, match="takes 3 channels, the normalisation is for 4"):
        write_card(tmp_path / "m", "segnet-2015", normalisation=normalisation)


def test_sunrgbd_has_depth_and_takes_every_fifth_picture_for_val(tmp_path: Path) -> None:
    for folder, suffix in (("image", "jpg"), ("label37", "png"), ("depth", "png")):
        (tmp_path / folder / "train").mkdir(parents=True)
        for i in range(5):
            stored = {"image": np.zeros((4, 4, 3), np.uint8), "label37": np.ones((4, 4), np.uint8)}
            stored["depth"] = np.full((4, 4), 1234 << 3, np.uint16) | np.uint16(0)
            stored["depth"][0] = (9000 << 3 | 9000 >> 13) & 0xFFFF
            stored["depth"][1] = 0
            assert cv2.imwrite(str(tmp_path / folder / "train" / f"img-{i:06d}.{suffix}"), stored[folder])
    train, val = (SunRgbd().load(tmp_path, split, depth=True) for split in ("train", "val"))
    assert ([s.name for s in val], len(train)) == (["000004"], 4)
    assert val[0].depth is not None
    assert val[0].depth[:, 0].tolist() == [8000, 0, 1234, 1234]
