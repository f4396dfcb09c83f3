"""A temperature makes probabilities true, and confidence means something: both on cases whose answer is known."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from segnet_live.card import read_card
from segnet_live.learning.calibration import _fitted, expected_calibration_error
from segnet_live.learning.seen import Seen, SplitSeen
from tests.support.cards import write_card
from train.cli import main
from train.deciles import ByConfidence

ENGINE = ["--backend", "torch", "--size", "96x64"]


def overconfident(by: float, count: int = 40_000) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits whose labels are drawn from their soft-max, then multiplied: the right temperature is `by`."""
    draw = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(count, 11, generator=draw)
    truth = torch.multinomial(logits.softmax(1), 1, generator=draw)[:, 0]
    return logits * by, truth


@pytest.mark.parametrize("by", [0.3, 1.0, 2.5])
def test_the_temperature_that_made_probabilities_false_is_found_and_mends_them(by: float) -> None:
    logits, truth = overconfident(by)
    temperature = _fitted(logits, truth)
    assert temperature == pytest.approx(by, rel=0.03)
    assert expected_calibration_error(logits, truth, temperature) < 0.01
    if by != 1.0:
        assert expected_calibration_error(logits, truth, 1.0) > 0.1


def test_labels_that_are_always_right_end_at_the_limit_and_not_in_infinity() -> None:
    logits = torch.eye(11).repeat(50, 1)
    assert 0.05 <= _fitted(logits, logits.argmax(1)) < 0.06


def test_calibrate_writes_the_card_and_says_what_the_weights_had_seen(
    camvid: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seen = Seen({"camvid": {"val": SplitSeen(3, unnamed=3)}}).as_json(names=False)
    card = write_card(tmp_path / "model", training={"seen": seen}, int8={"maxima": []})
    calibrate = ["calibrate", "--model", str(card.folder), "--data", str(camvid)]
    assert main(calibrate) == 0
    told = capsys.readouterr().out
    after = read_card(card.folder)
    fields = after.calibration
    assert after.temperature != 1.0
    assert fields["ece_after"] <= fields["ece_before"]
    assert fields["fitted_on"] == "camvid val"
    assert fields["images"] == 3
    assert "trained on these images" in fields["caution"]
    assert "caution" in told
    assert f"{after.temperature:.3f}" in told
    assert str(tmp_path) not in fields["command"]
    assert main(calibrate) == 0
    assert read_card(card.folder).calibration == fields, "the same every time"

    figures = tmp_path / "figures.json"
    evaluate = ["evaluate", "--model", str(card.folder), "--data", str(camvid), "--json", str(figures), *ENGINE]
    assert main([*evaluate, "--confidence"]) == 0
    assert "least sure 10 %" in capsys.readouterr().out
    written = json.loads(figures.read_text())
    assert len(written["confidence"]["accuracy_by_decile"]) == 10
    assert np.mean(written["confidence"]["accuracy_by_decile"]) == pytest.approx(written["G"], abs=1e-3)
    assert main([*evaluate, "--confidence", "--dense-crf"]) == 2


def test_deciles_sort_by_confidence_and_ties_share_their_errors() -> None:
    count = ByConfidence(11)
    truth = np.zeros((10, 100), np.uint8)
    truth[:, 0] = 11  # void: counts for nothing
    confidence = np.tile(np.arange(100, dtype=np.uint8), (10, 1))
    labels = np.where(confidence < 50, 1, 0).astype(np.uint8)  # wrong wherever the confidence is below 50
    count.add(truth, labels, confidence)
    deciles = count.deciles()
    assert [round(row.accuracy, 2) for row in deciles] == [0, 0, 0, 0, pytest.approx(0.05, abs=0.02), 1, 1, 1, 1, 1]
    assert sum(row.errors for row in deciles) == pytest.approx(1)
    assert deciles[0].errors == pytest.approx(9.9 / 49)
    assert (deciles[0].low, deciles[-1].high) == (1, 99)

    tied = ByConfidence(11)
    half = np.zeros((10, 10), np.uint8)
    half[:5] = 1
    tied.add(np.zeros((10, 10), np.uint8), half, np.full((10, 10), 255, np.uint8))
    assert {round(row.accuracy, 6) for row in tied.deciles()} == {0.5}, "equal confidence is in no order"
    assert {(row.low, row.high) for row in tied.deciles()} == {(255, 255)}
