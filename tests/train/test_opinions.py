"""Soft labels and unlabelled pictures: what is stored is what is learnt from, and what is held out is never seen."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from segnet_live.classes import CAMVID
from segnet_live.errors import DataError, UsageError
from segnet_live.learning.data import LabelledSet
from segnet_live.learning.losses import soft_cross_entropy
from train.batches import BatchSampler
from train.cli import main
from train.config import FitConfig
from train.opinions import Opinions, write_opinion
from train.pictures import load_pictures, source_chances

ID = {name: i for i, name in enumerate(CAMVID.names)}


def write_stored(path: Path, first: np.ndarray, second: np.ndarray, probability: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), np.stack([probability, second, first], -1).astype(np.uint8))


def shares_of(first: int, second: int, probability: int, tmp_path: Path) -> dict[str, float]:
    write_stored(tmp_path / "soft" / "a.png", *(np.full((4, 6), v) for v in (first, second, probability)))
    found = Opinions([tmp_path / "soft"], CAMVID).of("a")
    assert found is not None
    return {name: round(float(found[i, 0, 0]) / 255, 2) for name, i in ID.items() if found[i, 0, 0]}


@pytest.mark.parametrize(
    ("first", "second", "probability", "wanted"),
    [
        (0, 1, 248, {"Road": 1.0}),  # the highest that is stored is certainty
        (8, 9, 128, {"Tree": 1.0}),  # vegetation and terrain are one class here
        (13, 15, 160, {"Car": 1.0}),
        (12, 11, 191, {"Bicyclist": 0.75, "Pedestrian": 0.25}),
        (3, 3, 200, {"Building": 0.9, "Fence": 0.1}),  # a wall
        (18, 0, 200, {}),  # a bicycle that nobody rides is void
    ],
)
def test_cityscapes_ids_become_our_classes(
    first: int, second: int, probability: int, wanted: dict[str, float], tmp_path: Path
) -> None:
    assert shares_of(first, second, probability, tmp_path) == pytest.approx(wanted, abs=0.01)


def test_a_bicycle_beside_its_rider_is_bicyclist(tmp_path: Path) -> None:
    first = np.full((20, 60), 18)
    first[:, :10] = 12
    write_stored(tmp_path / "soft" / "a.png", first, np.zeros_like(first), np.full_like(first, 248))
    found = Opinions([tmp_path / "soft"], CAMVID).of("a")
    assert found is not None
    assert found[ID["Bicyclist"], 10, 15] == 255
    assert not found[:, 10, 50].any()


def test_several_opinions_are_averaged_and_own_ones_come_back_as_written(tmp_path: Path) -> None:
    own = np.zeros((len(CAMVID), 8, 12), np.float32)
    own[ID["Sky"]], own[ID["Tree"]] = 0.8, 0.2
    write_opinion(tmp_path / "own" / "a.png", own, CAMVID)
    write_stored(tmp_path / "soft" / "a.png", *(np.full((4, 6), v) for v in (10, 10, 248)))
    alone, both = Opinions([tmp_path / "own"], CAMVID).of("a"), Opinions([tmp_path / "own", tmp_path / "soft"], CAMVID)
    assert alone is not None
    np.testing.assert_allclose(alone / 255, own, atol=0.005)
    mean = both.of("a")
    assert mean is not None
    assert mean.shape == (len(CAMVID), 8, 12)
    assert mean[ID["Sky"], 0, 0] / 255 == pytest.approx(0.9, abs=0.01)
    assert both.of("unknown") is None


def test_opinions_in_other_classes_and_empty_folders_are_refused(tmp_path: Path) -> None:
    write_opinion(tmp_path / "own" / "a.png", np.ones((len(CAMVID), 4, 4), np.float32), CAMVID)
    (tmp_path / "own" / "classes.json").write_text(json.dumps({"classes": ["Wall"]}))
    with pytest.raises(UsageError, match="Wall"):
        Opinions([tmp_path / "own"], CAMVID)
    with pytest.raises(DataError, match="holds no PNG"):
        Opinions([tmp_path], CAMVID)


def test_the_soft_loss_is_cross_entropy_where_teachers_are_certain_and_silent_where_they_are_not() -> None:
    torch.manual_seed(0)
    logits = torch.randn(1, 3, 4, 4)
    soft = torch.zeros(1, 3, 2, 2)
    soft[0, 1] = 1.0
    halved = F.avg_pool2d(logits, 2)
    loss = soft_cross_entropy(logits, soft, torch.ones(3))
    torch.testing.assert_close(loss, F.cross_entropy(halved, torch.ones(1, 2, 2, dtype=torch.long)))
    soft[0, :, 0, 0] = torch.tensor([0.4, 0.3, 0.3])  # nobody knows: as if the pixel were not there
    without = soft.clone()
    without[0, :, 0, 0] = 0
    torch.testing.assert_close(
        soft_cross_entropy(logits, soft, torch.ones(3)), soft_cross_entropy(logits, without, torch.ones(3))
    )


@pytest.fixture
def roads(tmp_path: Path) -> Path:
    """Four pictures of one source and one of another, sky above road, with opinions that say so."""
    root = tmp_path / "roads"
    for number, name in enumerate(("east_1", "east_2", "east_3", "east_4", "west_1")):
        rgb = np.full((60 + 8 * number, 100, 3), 90, np.uint8)
        rgb[:30] = 200
        (root / "images").mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(root / "images" / f"{name}.png"), rgb)
        first = np.zeros((rgb.shape[0] // 2, 50), np.uint8)
        first[:15] = 10
        write_stored(root / "soft" / f"{name}.png", first, first, np.full_like(first, 248))
    return root


def test_held_out_pictures_are_left_out_and_small_sources_are_drawn_more_often(roads: Path) -> None:
    opinions = Opinions([roads / "soft"], CAMVID)
    pictures = load_pictures(roads / "images", opinions, ["east_2"])
    assert [p.name for p in pictures] == ["east_1", "east_3", "east_4", "west_1"]
    chances = source_chances(pictures)
    assert chances.sum() == pytest.approx(1)
    assert chances[3] == pytest.approx(3**0.5 * chances[0])


def test_half_a_batch_is_pictures_whose_opinions_lie_on_their_pixels(
    camvid: Path, roads: Path, quick: FitConfig
) -> None:
    opinions = Opinions([roads / "soft"], CAMVID)
    pictures = load_pictures(roads / "images", opinions)
    config = replace(quick, batch=4, crop=(64, 96), photometric=0.0)
    samples = LabelledSet().load(camvid, "train")
    sampler = BatchSampler(samples, LabelledSet(), config, torch.device("cpu"), pictures=pictures, opinions=opinions)
    batch = sampler.batch(0)
    assert batch.labelled == 2
    assert batch.soft is not None
    assert not batch.soft[:2].any()  # nobody has an opinion on these labelled images
    assert (batch.labels[2:] == CAMVID.void_id).all()
    light = F.avg_pool2d(batch.rgb[2:].mean(1, keepdim=True), 2)[:, 0]
    said = batch.soft[2:].sum(1) > 0.9
    assert said.float().mean() > 0.3
    sky = batch.soft[2:, ID["Sky"]] > 0.9
    assert ((light > 0.57) == sky)[said].float().mean() > 0.97
    assert torch.equal(batch.rgb, sampler.batch(0).rgb)  # a step is the same whenever it is made


def test_fit_learns_from_pictures_and_goes_on_after_a_stop_as_if_there_had_been_none(
    camvid: Path, roads: Path, tmp_path: Path
) -> None:
    def fit(out: str, *more: str) -> int:
        return main(
            ["fit", "--data", str(camvid), "--crop", "32x64", "--batch", "2", "--evaluations", "1", "--epochs", "1",
             "--precision", "fp32", "--opinions", str(roads / "soft"), "--pictures", str(roads / "images"),
             "--night", "0.5", "--snow", "0.5", "--uniform", "1", "--auxiliary", "0.4", "--out", str(tmp_path / out),
             *more]
        )  # fmt: skip

    assert fit("whole") == 0
    assert fit("parts", "--stop-after", "0.0001") == 0
    assert fit("parts") == 0
    whole, parts = (torch.load(tmp_path / out / "last.pt", weights_only=True) for out in ("whole", "parts"))
    assert whole["step"] == parts["step"] == 6
    for name, tensor in whole["average"].items():
        assert torch.equal(tensor, parts["average"][name]), name
    assert whole["config"]["pictures"] == "images"


def test_pictures_without_opinions_are_refused(camvid: Path, roads: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fit", "--data", str(camvid), "--pictures", str(roads / "images")]) == 2
    assert "--opinions" in capsys.readouterr().err
