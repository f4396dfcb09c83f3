"""`segnet-live find` on drives whose index is known: what it prints, what it writes, what it refuses."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from segnet_live.card import Card
from segnet_live.cli import main
from segnet_live.drives.index import key_of, save_index
from tests.support.clips import Clip, make, number_in
from tests.support.drives import drive_index

PEOPLE = [0.0] * 30 + [0.05] * 10 + [0.0] * 40 + [0.09] * 20


@pytest.fixture
def drive(tmp_path: Path, tiny_card: Card) -> Path:
    """4 s at 25 frames/s, a key frame each second; people from 1.2 s to 1.6 s and from 3.2 s on."""
    return known_drive(tmp_path / "drive.mp4", tiny_card, PEOPLE)


def known_drive(path: Path, card: Card, people: Sequence[float]) -> Path:
    path.parent.mkdir(exist_ok=True)
    clip = Clip(name=path.name, frames=len(people), options={"g": "25", "sc_threshold": "0"})
    make(path.parent, clip)
    index = drive_index({"Pedestrian": people}, rate=25, title=path.name)
    save_index(replace(index, key=key_of(path, card, size=None, smooth=False)), path, "cache")
    return path


def test_times_are_printed_and_stills_and_clips_written(
    drive: Path, tiny_card: Card, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    arguments = ["find", str(drive), "Pedestrian > 2% for 0.2s", "--model", str(tiny_card.folder)]
    arguments += ["--stills", str(out), "--cut", str(out), "--around", "0"]
    assert main(arguments) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == f"{drive}: 0:01.2 to 0:01.6 (0.4 s); at 0:01.2 Pedestrian 5.0%"
    assert printed[1].startswith(f"{drive}: 0:03.2 to 0:04.0 (0.8 s)")
    stills, clips = sorted(out.glob("*.jpg")), sorted(out.glob("*.mp4"))
    assert [path.stem for path in stills] == [path.stem for path in clips] == ["drive_000001.20s", "drive_000003.20s"]
    import cv2

    assert number_in(cv2.imread(str(stills[0]))) == 30
    assert main(arguments) == 2
    assert "exists already" in capsys.readouterr().err
    assert main([*arguments, "--overwrite"]) == 0


def test_videos_of_one_stem_have_stills_of_their_own(
    tiny_card: Card, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a.mp4", "a.mkv"):
        known_drive(tmp_path / "drives" / name, tiny_card, PEOPLE)
    out = tmp_path / "out"
    given = [
        "find",
        str(tmp_path / "drives"),
        "Pedestrian > 2%",
        "--model",
        str(tiny_card.folder),
        "--stills",
        str(out),
    ]
    assert main([*given, "--json"]) == 0
    named = [Path(entry["still"]) for entry in json.loads(capsys.readouterr().out)]
    assert len(named) == 4
    assert sorted(named) == sorted(out.iterdir())


def test_json_is_all_that_standard_output_holds(
    drive: Path, tiny_card: Card, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cut = ["--cut", str(tmp_path / "clips")]
    assert main(["find", str(drive), "Pedestrian>2%", "--model", str(tiny_card.folder), "--json", *cut]) == 0
    first, second = json.loads(capsys.readouterr().out)
    assert (first["start_s"], first["end_s"], first["best_s"]) == (1.2, 1.6, 1.2)
    assert second["figures"] == {"Pedestrian": 0.09}
    assert first["clip"]["start_s"] == 0.0
    assert Path(first["clip"]["file"]).is_file()


def test_a_folder_is_searched_and_a_broken_video_stops_no_other(
    tiny_card: Card, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "drives"
    known_drive(folder / "a.mp4", tiny_card, PEOPLE)
    (folder / "b.mp4").write_bytes(b"no video")
    known_drive(folder / "c.mp4", tiny_card, [0.0] * 30)
    assert main(["find", str(folder), "Pedestrian > 2%", "--model", str(tiny_card.folder)]) == 2
    printed = capsys.readouterr()
    assert f"{folder / 'c.mp4'}: nothing found" in printed.out
    assert "2 moments, 0:01 in all, in 3 videos; 1 failed" in printed.out
    assert f"{folder / 'b.mp4'} failed" in printed.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere.mp4", "Car > 1%"], "no such file"),
        (["DRIVE", "Car > many"], "a share such as 2%"),
        (["DRIVE", "Car > 1%", "--around", "-1"], "--around"),
        (["DRIVE", "Car > 1%", "--cut", "DRIVE"], "is a file"),
    ],
)
def test_what_cannot_be_carried_out_is_one_line(
    arguments: list[str], said: str, drive: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["find", *(str(drive) if a == "DRIVE" else a for a in arguments)]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
