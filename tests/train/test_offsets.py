"""Class offsets mend what a network finds too often or too seldom, on the card and not in the weights."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from segnet_live.card import read_card
from segnet_live.errors import CardError
from segnet_live.learning.model_folder import read_fields
from segnet_live.learning.seen import Seen, SplitSeen
from segnet_live.nets.load import load_network
from tests.support.cards import write_card
from train.cli import main
from train.offsets import Evidence, fit_offsets, offset_fields


def biased(by: list[float], seed: int = 0, about: str = "val", count: int = 20_000) -> Evidence:
    """Logits that know the truth fairly well, but for each class by this much too high."""
    draw = torch.Generator().manual_seed(seed)
    truth = torch.multinomial(torch.tensor([0.5, 0.3, 0.15, 0.05]), count, replacement=True, generator=draw)
    logits = 3 * torch.nn.functional.one_hot(truth, 4) + torch.randn(count, 4, generator=draw)
    return Evidence(about, logits + torch.tensor(by), truth)


def test_offsets_take_back_what_is_too_high() -> None:
    wrong = biased([0.0, 0.0, -1.0, 0.5])
    offsets = fit_offsets([wrong])
    assert offsets.mean().abs() < 1e-6
    assert offsets[2] > offsets[1]
    assert offsets[3] < offsets[1]
    assert offsets.min() >= -0.5  # no class is lost
    assert wrong.miou(offsets) > wrong.miou(torch.zeros(4)) + 0.05


def test_the_mean_iou_is_that_of_a_confusion_matrix_counted_by_hand() -> None:
    one = Evidence("val", torch.eye(3)[[0, 0, 1, 2, 2]], torch.tensor([0, 1, 1, 2, 0]))
    assert one.miou(torch.zeros(3)) == pytest.approx((1 / 3 + 1 / 2 + 1 / 2) / 3)


def test_several_evidences_are_also_judged_by_the_others_offsets() -> None:
    fields = offset_fields([biased([0, 0, -1, 0.5]), biased([0, 0, -1, 0.5], 1, "drive 0006R0")], 1.0)
    for figure in fields["fitted_on"]:
        assert figure["mIoU with"] > figure["mIoU without"] + 0.05
        assert figure["mIoU by the others'"] > figure["mIoU without"] + 0.05


def test_offsets_are_on_the_card_and_act_when_the_network_is_loaded(tmp_path: Path) -> None:
    card = write_card(tmp_path / "model")
    plain = load_network(card)
    values = [0.5 * k for k in range(len(card.classes))]
    fields = read_fields(card) | {"class_offsets": {"values": values}}
    (card.folder / "card.json").write_text(json.dumps(fields))
    shifted = read_card(card.folder)
    assert shifted.network_id != card.network_id == card.sha256  # so that no engine of the other one is found
    x = torch.rand(1, 3, 64, 96)
    with torch.inference_mode():
        moved = load_network(shifted)(x) - plain(x)
    assert torch.allclose(moved, torch.tensor(values).view(1, -1, 1, 1).expand_as(moved), atol=1e-4)


@pytest.mark.parametrize("values", [[1.0], ["x"] * 11, [1e9] * 11])
def test_offsets_that_do_not_fit_the_classes_are_refused(tmp_path: Path, values: list[object]) -> None:
    card = write_card(tmp_path / "model")
    (card.folder / "card.json").write_text(json.dumps(read_fields(card) | {"class_offsets": {"values": values}}))
    with pytest.raises(CardError, match="damaged"):
        read_card(card.folder)


def test_the_command_writes_offsets_figures_and_temperature(
    camvid: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    all_seen = Seen({"camvid": {"train": SplitSeen(6, unnamed=6), "val": SplitSeen(3, unnamed=3)}})
    before_val = Seen({"camvid": {"train": SplitSeen(6, unnamed=6)}})
    card = write_card(tmp_path / "model", training={"seen": all_seen.as_json(names=False)})
    earlier = write_card(
        tmp_path / "earlier", training={"seen": before_val.as_json(names=False), "command": "python -m train fit"}
    )
    command = ["offsets", "--model", str(card.folder), "--data", str(camvid), "--backend", "torch", "--held-out"]
    assert main([*command, str(card.folder)]) == 2
    assert "was trained on 3 of camvid val" in capsys.readouterr().err
    assert not read_card(card.folder).class_offsets

    assert main([*command, str(earlier.folder)]) == 0
    after, fields = read_card(card.folder), read_fields(card)
    assert len(after.class_offsets) == 11
    assert any(after.class_offsets)
    assert after.sha256 == card.sha256
    fitted = fields["class_offsets"]["fitted_on"]
    assert [figure["images"] for figure in fitted] == ["camvid val"]
    assert fitted[0]["mIoU with"] >= fitted[0]["mIoU without"]
    assert "offsets were fitted on these images" in after.metrics["camvid val, held out"]["caution"]
    assert "trained on these images" in after.metrics["camvid val"]["caution"]
    assert after.calibration["weights_of"] == "python -m train fit"
