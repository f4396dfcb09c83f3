"""`segnet-live hard`: pairs of real frames and guesses, never twice, and nothing that a person made is touched."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import pytest

from segnet_live.card import Card
from segnet_live.cli import main
from segnet_live.drafts.folder import DraftFolder
from tests.support.cards import write_card
from tests.support.clips import grey_clip


def test_hard_frames_of_two_drives_of_one_name_are_kept_once_and_apart(
    tiny_card: Card, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = write_card(tmp_path / "other", seed=1)
    drives = []
    for day in ("monday", "tuesday"):
        (tmp_path / day).mkdir()
        drives.append(str(grey_clip(tmp_path / day / "drive.mp4")))
    out = tmp_path / "drafts"
    command = ["hard", *drives, "--out", str(out), "--count", "4", "--model", str(tiny_card.folder), "--size", "32x64"]
    assert main([*command, "--backend", "torch", "--against", str(other.folder), "--json"]) == 0
    kept = json.loads(capsys.readouterr().out)["kept"]
    drafts = DraftFolder(out).drafts()
    assert {d.name for d in drafts} == {k["name"] for k in kept}
    assert len(drafts) == 4
    assert {d.record.source for d in drafts} == set(drives)
    for draft in drafts:
        assert draft.rgb().shape[:2] == draft.labels().shape == (64, 96)
        assert not draft.is_corrected
        assert {"flicker", "disagreement"} <= set(draft.record.why)
        picture = cv2.VideoCapture(draft.record.source)
        picture.set(cv2.CAP_PROP_POS_MSEC, draft.record.time_s * 1000)
        assert abs(float(picture.read()[1].mean()) - float(draft.rgb().mean())) < 4, "it is the frame of that time"
    before = {d.name: d.annotation.read_bytes() for d in drafts}
    assert main([*command, "--backend", "torch", "--against", str(other.folder)]) == 0
    assert {d.name: d.annotation.read_bytes() for d in DraftFolder(out).drafts()} == before


@pytest.mark.parametrize(
    ("arguments", "names"),
    [("--count 0", "--count"), ("--against nothing", "nothing"), ("", "no such file")],
)
def test_what_cannot_be_looked_at_is_one_line(
    arguments: str, names: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["hard", str(tmp_path / "a.mp4"), "--out", str(tmp_path / "out"), *arguments.split()]) == 2
    error = capsys.readouterr().err
    assert names in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()
