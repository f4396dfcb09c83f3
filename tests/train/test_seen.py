"""What weights have seen is a record, passed on by whatever learns from them, and decides what a card may claim."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from segnet_live.card import installed_cards, read_card
from segnet_live.learning.data import LabelledSet, class_frequencies
from segnet_live.learning.model_folder import read_fields
from segnet_live.learning.seen import Seen, SplitSeen, read_seen, seen_by, seen_from_sentence
from train.checkpoint import load, read_checkpoint
from train.cli import main
from train.initialise import labelled_images

FAST = ["--crop", "64x32", "--batch", "2", "--epochs", "1", "--evaluations", "1", "--precision", "fp32"]
ENGINE = ["--backend", "torch", "--size", "96x64"]


def fit(camvid: Path, out: Path, *more: str) -> Path:
    assert main(["fit", "--data", str(camvid), "--out", str(out), *FAST, *more]) == 0
    return out / "last.pt"


def package(camvid: Path, checkpoint: Path, models: Path, *more: str) -> int:
    command = ["package", "--checkpoint", str(checkpoint), "--out", str(models), "--data", str(camvid)]
    return main([*command, *ENGINE, *more])


def test_weights_that_started_from_ones_that_saw_val_carry_the_caution(
    camvid: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    saw_val = fit(camvid, tmp_path / "first", "--train-on-val")
    started = fit(camvid, tmp_path / "second", "--init", str(saw_val))
    assert package(camvid, started, tmp_path / "models") == 0
    card = read_card(tmp_path / "models" / "segnet-fast")
    assert card.training["data"] == "camvid train (6 images)"
    assert card.training["seen"]["labelled"] == {
        "camvid": {"train": {"images": 6, "of": 6}, "val": {"images": 3, "of": 3}}
    }
    assert len(card.training["seen"]["ancestors"]) == 1
    assert "caution" in card.metrics["camvid val"]
    assert package(camvid, started, tmp_path / "models", "--held-out", str(started)) == 2
    assert "was trained on camvid val too" in capsys.readouterr().err
    taught = fit(camvid, tmp_path / "third", "--teacher", str(card.folder), "--distil", "1")
    seen = seen_by(read_checkpoint(taught).run)
    assert seen.among("camvid", "val", ["0016E5_000101"]) == 1
    assert seen.teachers == ("segnet-fast",)
    assert seen.ancestors == seen_by(card.training).ancestors


def test_figures_held_out_go_on_to_weights_that_went_on_from_a_packaged_model(
    camvid: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    models = tmp_path / "models"
    before_val = fit(camvid, tmp_path / "before", "--weight-power", "0")
    first = fit(camvid, tmp_path / "first", "--init", str(before_val), "--train-on-val", "--weight-power", "0")
    assert package(camvid, first, models, "--held-out", str(before_val)) == 0
    earlier = read_card(models / "segnet-fast")
    offsets = {"values": [0.5] + 10 * [-0.05]}
    (earlier.folder / "card.json").write_text(json.dumps(read_fields(earlier) | {"class_offsets": offsets}))
    on = fit(camvid, tmp_path / "on", "--init", str(earlier.folder), "--train-on-val", "--weight-power", "0")

    assert package(camvid, on, tmp_path / "newer", "--earlier", str(earlier.folder)) == 0
    card = read_card(tmp_path / "newer" / "segnet-fast")
    held_out = card.metrics["camvid val, held out"]
    assert "the weights before these" in held_out.pop("caution")
    assert held_out == earlier.metrics["camvid val, held out"]
    assert "the weights were trained on these" in card.metrics["camvid val"]["caution"]
    assert card.temperature == earlier.temperature
    assert card.class_offsets == tuple(offsets["values"])

    capsys.readouterr()
    assert package(camvid, before_val, tmp_path / "newer", "--earlier", str(earlier.folder)) == 2
    assert "the training did not begin with" in capsys.readouterr().err
    (card.folder / "card.json").write_text(json.dumps(read_fields(card) | {"metrics": {}}))
    again = fit(camvid, tmp_path / "again", "--init", str(card.folder))
    assert package(camvid, again, models, "--earlier", str(card.folder)) == 2
    assert "no figures held out" in capsys.readouterr().err


def test_a_drive_left_out_is_held_out_where_val_is_that_drive(camvid: Path, tmp_path: Path) -> None:
    final = fit(camvid, tmp_path / "final", "--train-on-val")
    without = fit(camvid, tmp_path / "without", "--leave-out", "0016E5")
    assert "train and val without" in read_checkpoint(without).run["data"]
    assert package(camvid, final, tmp_path / "models", "--held-out", str(without)) == 0
    metrics = read_card(tmp_path / "models" / "segnet-fast").metrics
    assert "caution" in metrics["camvid val"]
    assert "caution" not in metrics["camvid val, held out"]


def test_balancing_is_removed_as_the_run_s_own_images_had_it(
    camvid: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    used = []
    monkeypatch.setattr("train.package.remove_prior", lambda card, frequencies, *rest: used.append(frequencies) or card)
    checkpoint = fit(camvid, tmp_path / "run", "--leave-out", "0001TP")
    images = labelled_images(LabelledSet(), camvid, leave_out="0001TP")
    state = load(checkpoint)
    for known in (True, False):  # a checkpoint from before the frequencies were kept
        if not known:
            del state["run"]["class_frequencies"]
            torch.save(state, checkpoint)
        assert package(camvid, checkpoint, tmp_path / "models") == 0
    for frequencies in used:
        assert frequencies == pytest.approx(class_frequencies(images.train, LabelledSet().classes))


def test_a_record_comes_back_as_written_and_two_are_one() -> None:
    seen = Seen({"camvid": {"train": SplitSeen(3, frozenset("ab"))}}, 8, {"roads": 5}, ("fit --out a",), ("t",))
    assert read_seen(seen.as_json(names=True)) == seen
    card = read_seen(seen.as_json(names=False))
    assert card.labelled["camvid"]["train"] == SplitSeen(3, unnamed=2)
    both = seen.joined(card).joined(Seen({"camvid": {"val": SplitSeen(2, frozenset("x"))}}, 0, {"roads": None}))
    assert both.labelled["camvid"]["train"].images == 3  # at most: the card's two may be others
    assert both.among("camvid", "val", "xyz") == 1
    assert both.among("kitti", "val", "xyz") == 0
    assert (both.unlabelled, both.ancestors, both.teachers) == ({"roads": 5}, ("fit --out a",), ("t",))


@pytest.mark.parametrize(
    ("sentence", "train", "val", "rendered"),
    [
        ("camvid train (367 images)", (367, 367), (0, 0), 0),
        ("camvid train and val (468 images) and 48 rendered frames", (367, 367), (101, 101), 48),
        ("camvid train and val without drive 0016E5 (163 images)", (163, 367), (0, 101), 0),
        ("camvid train and val without drive 0001TP (406 images)", (305, 367), (101, 101), 0),
        ("camvid train and val (9 images)", (9, 0), (9, 0), 0),
    ],
)
def test_a_sentence_from_before_the_record_is_read(
    sentence: str, train: tuple[int, int], val: tuple[int, int], rendered: int
) -> None:
    seen = seen_from_sentence({"data": sentence, "recipe": {"pictures": "images", "teacher": "best.pt"}})
    splits = {name: (s.images, s.of) for name, s in seen.labelled["camvid"].items()}
    assert (splits["train"], splits.get("val", (0, 0)), seen.rendered) == (train, val, rendered)
    assert (seen.unlabelled, seen.teachers) == ({"images": None}, ("best.pt",))


def test_sentences_of_earlier_runs_count_too() -> None:
    start = {"data": "camvid train and val (468 images)", "command": "fit --out first"}
    seen = seen_from_sentence({"data": "camvid train (367 images)", "start": start})
    assert seen.among("camvid", "val", ["0016E5_07959"]) == 1
    assert seen.labelled["camvid"]["train"].images == 367
    assert seen.ancestors == ("fit --out first",)


def test_a_checkpoint_from_before_the_record_is_packaged_with_one(camvid: Path, tmp_path: Path) -> None:
    checkpoint = fit(camvid, tmp_path / "run")
    state = load(checkpoint)
    names = {"photometric": "appearance", "augment_decay": "calm", "dilated_init": "thin"}
    state["config"] = {names.get(name, name): value for name, value in state["config"].items()}
    state["run"] = {
        "data": "camvid train (367 images)", "start": {"data": "camvid train and val (468 images)"},
        "command": "python -m train fit", "commit": "483583d", "minutes": 1.0,
    }  # fmt: skip
    state["thin"] = state.pop("dilated")
    torch.save(state, checkpoint)
    assert package(camvid, checkpoint, tmp_path / "models") == 0
    card = read_card(tmp_path / "models" / "segnet-fast")
    assert card.training["seen"]["labelled"]["camvid"]["val"] == {"images": 101, "of": 101}
    assert card.training["recipe"]["photometric"] == 1.0
    assert "caution" in card.metrics["camvid val"]
    assert load(checkpoint)["dilated"] is False


def test_shipped_cards_have_the_record() -> None:
    for card in installed_cards():
        for where, figures in card.metrics.items():
            name, split = where.partition(",")[0].split()
            seen = read_seen(card.training["seen"]).labelled[name].get(split)
            if "held out" not in where:
                assert (seen is not None and seen.images > 0) == ("caution" in figures)
            assert figures["measured_with"]["network_size"] == list(card.input_size)
