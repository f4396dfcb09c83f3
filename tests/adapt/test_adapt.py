"""Adapting: a model learns corrected drafts only, keeps its batch norm, is whole or absent, and refused when worse."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from segnet_live.adapt import adapt as adapting
from segnet_live.adapt import finetune
from segnet_live.adapt.finetune import Recipe, mixed
from segnet_live.adapt.images import old_roads, split
from segnet_live.card import Card, installed_cards, read_card
from segnet_live.classes import CAMVID
from segnet_live.cli import main
from segnet_live.engine.eager import EagerEngine
from segnet_live.learning.data import Sample
from segnet_live.nets.segnet import Network
from segnet_live.weights import load_weights
from tests.support.drafts import scene, write_drafts
from tests.support.training import write_pair


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Forty steps on small crops, measured with PyTorch at the pictures' size; what is adapted is listed here alone."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    small = partial(Recipe, steps=40, crop=(64, 96), batch=4, photometric=0.0)
    monkeypatch.setattr(finetune, "Recipe", lambda **given: small(**({"lr": 1e-2} | given)))
    monkeypatch.setattr(adapting, "open_engine", lambda card, backend, source_size: EagerEngine(card, source_size))


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """Old roads in CamVid's layout: four to rehearse, two to measure."""
    for i in range(6):
        write_pair(tmp_path / "old", "train" if i < 4 else "val", f"old_{i}", *scene(50 + i))
    return tmp_path / "old"


def test_a_model_learns_what_a_person_corrected(
    tiny_card: Card, old: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    drafts = write_drafts(tmp_path / "drafts", 9, corrected=7)
    out = tmp_path / "models" / "mine"
    command = ["adapt", str(drafts.root), "--model", str(tiny_card.folder), "--old", str(old), "--out", str(out)]
    assert main([*command, "--json"]) == 0
    outcome = json.loads(capsys.readouterr().out)
    assert (outcome["learnt"], outcome["waiting"], outcome["name"]) == (6, 2, "mine")
    assert outcome["held_back"]["after"]["mIoU"] > outcome["held_back"]["before"]["mIoU"] + 0.2
    assert outcome["old_roads"]["after"]["images"] == 2
    card = read_card(out)
    assert card.training["seen"]["labelled"]["drafts drafts"]["corrected"]["images"] == 6
    assert card.training["start"]["sha256"] == tiny_card.sha256
    assert card.metrics["held-back drafts"]["mIoU"] == outcome["held_back"]["after"]["mIoU"]
    before, after = load_weights(tiny_card), load_weights(card)
    norms = [name for name in before if "running_" in name]
    assert norms
    assert all((before[name] == after[name]).all() for name in norms), "batch norm keeps its statistics"
    assert len(list((out / "before-after").glob("*.png"))) == 1
    assert str(out.resolve()) in [str(c.folder.resolve()) for c in installed_cards()], "it appears in the list"
    assert main(command) == 2
    assert "holds a model already" in capsys.readouterr().err


@pytest.mark.parametrize("worse", ["drafts", "old roads"])
def test_what_got_worse_is_refused_and_leaves_nothing(
    worse: str, tiny_card: Card, old: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    drafts = write_drafts(tmp_path / "drafts", 5, corrected=5)
    monkeypatch.setattr(adapting, "finetune", lambda network, *_: (network.state_dict(), 1))
    real, calls = adapting.measured, []

    def measured(*arguments: object) -> object:
        on_held, on_old, engine = real(*arguments)  # type: ignore[arg-type]
        calls.append(1)
        after = {"drafts": (0.4, 0.3), "old roads": (0.6, 0.2)}[worse]
        held, old_miou = (0.5, 0.3) if len(calls) == 1 else after
        return replace(on_held, miou=held), replace(on_old, miou=old_miou), engine  # type: ignore[type-var]

    monkeypatch.setattr(adapting, "measured", measured)
    out = tmp_path / "models" / "mine"
    assert (
        main(["adapt", str(drafts.root), "--model", str(tiny_card.folder), "--old", str(old), "--out", str(out)]) == 2
    )
    error = capsys.readouterr().err
    assert "nothing was written" in error
    assert error.count("\n") == 1
    assert list(out.parent.iterdir()) == []
    assert len(calls) == 1 + len(finetune.Recipe().shares), "less and less of the new weights was tried"


def test_where_much_of_the_new_weights_makes_it_worse_less_is_kept(
    tiny_card: Card, old: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    drafts = write_drafts(tmp_path / "drafts", 5, corrected=5)
    start = load_weights(tiny_card)
    name = next(name for name, tensor in start.items() if tensor.ndim == 4)

    def moved(network: Network, *_: object) -> tuple[dict[str, torch.Tensor], int]:
        weights = {key: tensor.clone() for key, tensor in network.state_dict().items()}
        weights[name] += 1
        return weights, 1

    monkeypatch.setattr(adapting, "finetune", moved)
    real, held = adapting.measured, iter((0.5, 0.4, 0.6))

    def measured(*arguments: object) -> object:
        on_held, _, engine = real(*arguments)  # type: ignore[arg-type]
        return replace(on_held, miou=next(held)), None, engine

    monkeypatch.setattr(adapting, "measured", measured)
    out = tmp_path / "mine"
    command = ["adapt", str(drafts.root), "--model", str(tiny_card.folder), "--old", str(old), "--out", str(out)]
    assert main([*command, "--json"]) == 0
    share = json.loads(capsys.readouterr().out)["share_of_new_weights"]
    assert share == finetune.Recipe().shares[1]
    card = read_card(out)
    assert card.training["share_of_new_weights"] == share
    difference = np.float32(load_weights(card)[name]) - np.float32(start[name])
    assert difference.mean() == pytest.approx(share, abs=0.01)


def test_uncorrected_drafts_are_not_learnt(tiny_card: Card, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    drafts = write_drafts(tmp_path / "drafts", 8, corrected=4)
    assert main(["adapt", str(drafts.root), "--model", str(tiny_card.folder), "--out", str(tmp_path / "mine")]) == 2
    error = capsys.readouterr().err
    assert "4 corrected drafts, 4 wait for correction; at least 5" in error
    assert "segnet-live correct" in error


def test_a_fifth_is_held_back_and_no_frame_is_on_both_sides() -> None:
    samples = [Sample(str(i), *scene(0)) for i in range(20)]
    learn, held = split(samples)
    assert (len(learn), len(held)) == (16, 4)
    assert not {s.name for s in learn} & {s.name for s in held}
    assert len(split(samples[:5])[1]) == 1


def test_the_example_drive_stands_in_for_old_roads() -> None:
    old = old_roads(None, CAMVID)
    assert len(old.learn) >= 10
    assert len(old.measure) >= 10
    assert not {s.name for s in old.learn} & {s.name for s in old.measure}


def test_the_result_lies_between_old_and_new_weights() -> None:
    old, new = {"w": torch.zeros(2), "n": torch.tensor(3)}, {"w": torch.ones(2), "n": torch.tensor(9)}
    assert mixed(old, new, 0.75)["w"].tolist() == [0.75, 0.75]
    assert int(mixed(old, new, 0.75)["n"]) == 3
