"""Files of a run: written whole, or an error in one line that says why not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from segnet_live.errors import OutputError
from segnet_live.learning.evaluate import write_json, write_picture
from train.checkpoint import load, save
from train.plots import write_curves


def test_a_folder_that_lies_under_a_file_is_an_output_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    out = tmp_path / "file" / "run"
    with pytest.raises(OutputError, match=r"last\.pt cannot be written .*pass another --out"):
        save(out / "last.pt", {"average": {}})
    with pytest.raises(OutputError, match=r"a\.png cannot be written"):
        write_picture(out / "a.png", np.zeros((4, 4, 3), np.uint8))
    with pytest.raises(OutputError, match=r"config\.json cannot be written"):
        write_json(out / "config.json", {})
    with pytest.raises(OutputError, match=r"curves\.csv cannot be written"):
        write_curves(out, [])


def test_settings_and_counters_of_older_checkpoints_come_under_the_names_of_now(tmp_path: Path) -> None:
    old = {"average": {}, "config": {"calm": 0.2, "appearance": 1.0, "thin": 0.5, "lr": 0.1}, "thin": True}
    torch.save(old, tmp_path / "old.pt")
    state = load(tmp_path / "old.pt")
    assert state["config"] == {"augment_decay": 0.2, "photometric": 1.0, "dilated_init": 0.5, "lr": 0.1}
    assert state["dilated"] is True
    assert "thin" not in state
