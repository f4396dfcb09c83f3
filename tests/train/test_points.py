"""Hand-labelled points: read with care, and scored through the app's engine."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from segnet_live.card import find_card
from segnet_live.classes import CAMVID
from segnet_live.errors import DataError
from segnet_live.learning.evaluate import through
from train.cli import main
from train.measure import Through
from train.opinions import Opinions, write_opinion
from train.painted import paint_shots
from train.points import HERE, read_points, read_shots


def test_the_points_that_ship_are_inside_their_pictures_and_cover_every_class() -> None:
    points = read_points(HERE, CAMVID)
    assert len(points) == 26
    every = [p for of_picture in points.values() for p in of_picture]
    assert len(every) == 1047
    assert all(0 <= p.x <= 1 and 0 <= p.y <= 1 for p in every)
    assert {p.class_id for p in every} == set(range(len(CAMVID)))


@pytest.mark.parametrize("row", ["a.jpg,0.5,0.5,Dragon", "a.jpg,half,0.5,Road"])
def test_a_damaged_file_is_named_with_its_line(tmp_path: Path, row: str) -> None:
    path = tmp_path / "p.csv"
    path.write_text(f"picture,x,y,class\na.jpg,0.1,0.1,Sky\n{row}\n")
    with pytest.raises(DataError, match="line 3"):
        read_points(path, CAMVID)


def test_the_share_right_is_what_the_engine_says_at_the_points(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(0)
    lines = ["picture,x,y,class"]
    right = {}
    card = find_card("segnet-fast")
    for name, height, width in (("a", 96, 128), ("b", 128, 96)):
        rgb = cv2.resize(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8), (width, height))
        assert cv2.imwrite(str(tmp_path / f"{name}.png"), rgb[..., ::-1])
        engine = Through("torch", "fp32").opened(card, (height, width))
        labels = through(engine)(rgb)
        engine.close()
        for i in range(8):
            row, column = 10 * i + 3, 9 * i + 2
            true = CAMVID.names[labels[row, column]] if i % 2 else CAMVID.names[(labels[row, column] + 1) % 11]
            lines.append(f"{name}.png,{(column + 0.5) / width:.4f},{(row + 0.5) / height:.4f},{true}")
        right[name] = 0.5
    (tmp_path / "points.csv").write_text("\n".join(lines) + "\n")
    points, figures_path = str(tmp_path / "points.csv"), str(tmp_path / "out.json")
    places = ["--points", points, "--pictures", str(tmp_path), "--json", figures_path]
    command = ["points", "--model", "segnet-fast", "--backend", "torch", "--precision", "fp32", *places]
    assert main(command) == 0
    figures = json.loads((tmp_path / "out.json").read_text())
    assert figures["pictures"] == right
    assert figures["mean"] == 0.5
    assert figures["points"] == 16


def test_painted_tunnels_turn_points_of_the_sky_into_building(tmp_path: Path) -> None:
    rgb = np.full((96, 128, 3), 200, np.uint8)
    assert cv2.imwrite(str(tmp_path / "a.png"), rgb)
    (tmp_path / "points.csv").write_text("picture,x,y,class\na.png,0.1,0.1,Sky\na.png,0.5,0.9,Road\n")
    soft = np.zeros((11, 48, 64), np.float32)
    soft[CAMVID.names.index("Sky"), :20], soft[CAMVID.names.index("Road"), 20:] = 1, 1
    write_opinion(tmp_path / "soft" / "a.png", soft, CAMVID)
    shots = read_shots(tmp_path / "points.csv", tmp_path, CAMVID)
    opinions = Opinions([tmp_path / "soft"], CAMVID)
    tunnels, nights = paint_shots(shots, "tunnel", opinions), paint_shots(shots, "night", opinions)
    assert [[CAMVID.names[p.class_id] for p in shot.points] for shot in tunnels] == [["Building", "Road"]] * 4
    assert [shot.points for shot in nights] == [shots[0].points] * 4
    assert all(shot.rgb.shape == rgb.shape and not np.array_equal(shot.rgb, rgb) for shot in (*tunnels, *nights))


def test_painting_wants_to_know_what_is_where(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["points", "--model", "segnet-fast", "--pictures", ".", "--painted", "night"]) == 2
    assert "--opinions" in capsys.readouterr().err
