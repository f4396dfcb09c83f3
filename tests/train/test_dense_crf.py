"""The dense CRF: labels move to the image's edges, and a missing library is told. Needs pydensecrf2 for the first."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from segnet_live.errors import UsageError
from tests.support.cards import write_card
from train.cli import main
from train.dense_crf import DenseCRFEngine, refine
from train.measure import Through


def test_labels_move_to_the_edge_of_the_image() -> None:
    pytest.importorskip("pydensecrf")
    rgb = np.zeros((40, 60, 3), np.uint8)
    rgb[:, 30:] = (200, 180, 40)
    probabilities = np.full((2, 40, 60), 0.35, np.float32)
    probabilities[0, :, :27] = probabilities[1, :, 27:] = 0.65  # three columns off
    labels = refine(rgb, probabilities)
    assert (labels[:, :30] == 0).all()
    assert (labels[:, 30:] == 1).all()


def test_evaluate_measures_through_it(camvid: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("pydensecrf")
    card = write_card(tmp_path / "m", "bilinear-interpolation")
    assert main(["evaluate", "--data", str(camvid), "--model", str(card.folder), "--dense-crf"]) == 0
    assert "dense CRF" in capsys.readouterr().out


def test_a_missing_library_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pydensecrf.densecrf", None)
    card = write_card(tmp_path / "m", "bilinear-interpolation")
    with pytest.raises(UsageError, match="pip install 'segnet-live\\[crf\\]'"):
        DenseCRFEngine(card, (32, 48))
    with pytest.raises(UsageError, match="has no --backend"):
        Through(backend="openvino", dense_crf=True).opened(card, (32, 48))
