"""Exports: files that others run give the same labels, annotations hold the same pixels, and errors leave nothing."""

from __future__ import annotations

import itertools
import json
import os
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from segnet_live.card import Card
from segnet_live.classes import CAMVID
from segnet_live.cli import main
from segnet_live.export.annotations import runs

SKY, ROAD, CAR = 0, 3, 8


@pytest.mark.parametrize(("to", "suffix"), [("pt2", ".pt2"), ("openvino", ".xml"), ("onnx", ".onnx")])
def test_an_exported_file_runs_and_agrees(
    to: str, suffix: str, tiny_card: Card, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if to == "onnx":
        pytest.importorskip("onnx")
        pytest.importorskip("onnxscript")
        pytest.importorskip("onnxruntime")
    out = tmp_path / f"net{suffix}"
    command = ["export", "--to", to, "--model", str(tiny_card.folder), "--size", "32x64", "--out", str(out)]
    assert main([*command, "--json"]) == 0
    done = json.loads(capsys.readouterr().out)
    assert done["agreement"] > 0.999
    assert done["size"] == [32, 64]
    assert all(Path(path).stat().st_size > 1000 for path in done["files"])
    if to == "openvino":
        from segnet_live.engine.openvino import core

        model = core().read_model(out)
        assert json.loads(model.get_rt_info(["segnet-live", "classes"]).value)[ROAD] == "Road"
        assert model.get_rt_info(["segnet-live", "licence"]).value == tiny_card.licence
    assert main(command) == 2
    assert "exists" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        ("--to pt2 --out net.onnx", ".pt2"),
        ("--to pt2 --precision int8", "int8"),
        ("--to pt2 --size 33x64", "multiples of 8"),
        ("--annotations coco", "--labels"),
        ("--to pt2 --annotations coco", "not allowed"),
        ("", "--to"),
    ],
)
def test_what_cannot_be_exported_is_one_line(
    arguments: str, names: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["export", *arguments.split()]) == 2
    error = capsys.readouterr().err
    assert names in error
    assert error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def label_maps(tmp_path: Path) -> Path:
    """One label map: road, two cars, some sky, an unlabelled row."""
    labels = np.full((12, 16), ROAD, np.uint8)
    labels[:3] = SKY
    labels[5:7, 2:5] = labels[8:10, 9:14] = CAR
    labels[11] = CAMVID.void_id
    (tmp_path / "labels").mkdir()
    cv2.imwrite(str(tmp_path / "labels" / "a.png"), labels)
    return tmp_path / "labels"


def mask_of(counts: Sequence[int], size: tuple[int, int], *, columns: bool) -> NDArray[np.bool_]:
    """The (height, width) mask that run lengths describe, along columns (COCO) or rows (CVAT)."""
    values = np.repeat(np.fromiter(itertools.cycle((False, True)), np.bool_, len(counts)), counts)
    return values.reshape(size[::-1]).T if columns else values.reshape(size)


def test_coco_has_every_class_pixel_for_pixel(label_maps: Path, tmp_path: Path) -> None:
    assert main(["export", "--annotations", "coco", "--labels", str(label_maps), "--out", str(tmp_path / "coco")]) == 0
    content = json.loads((tmp_path / "coco" / "instances.json").read_text(encoding="utf-8"))
    truth = cv2.imread(str(label_maps / "a.png"), cv2.IMREAD_UNCHANGED)
    found = np.full_like(truth, CAMVID.void_id)
    for annotation in content["annotations"]:
        mask = mask_of(annotation["segmentation"]["counts"], tuple(annotation["segmentation"]["size"]), columns=True)
        found[mask] = annotation["category_id"] - 1
        assert annotation["area"] == mask.sum()
    assert np.array_equal(found, truth)
    assert [c["name"] for c in content["categories"]] == list(CAMVID.names)
    assert content["images"] == [{"id": 1, "file_name": "a.png", "width": 16, "height": 12}]


def test_cvat_has_every_region_as_a_mask(label_maps: Path, tmp_path: Path) -> None:
    assert main(["export", "--annotations", "cvat", "--labels", str(label_maps), "--out", str(tmp_path / "cvat")]) == 0
    root = ElementTree.parse(tmp_path / "cvat" / "annotations.xml").getroot()
    truth = cv2.imread(str(label_maps / "a.png"), cv2.IMREAD_UNCHANGED)
    found = np.full_like(truth, CAMVID.void_id)
    masks = root.findall("image/mask")
    assert sum(mask.get("label") == "Car" for mask in masks) == 2
    for mask in masks:
        left, top, width, height = (int(mask.get(name, "")) for name in ("left", "top", "width", "height"))
        shape = mask_of([int(n) for n in mask.get("rle", "").split(",")], (height, width), columns=False)
        found[top : top + height, left : left + width][shape] = CAMVID.ids([mask.get("label", "")])[0]
    assert np.array_equal(found, truth)


def test_cityscapes_has_its_own_ids(label_maps: Path, tmp_path: Path) -> None:
    out = tmp_path / "cityscapes"
    assert main(["export", "--annotations", "cityscapes", "--labels", str(label_maps), "--out", str(out)]) == 0
    ids = cv2.imread(str(out / "a_gtFine_labelIds.png"), cv2.IMREAD_UNCHANGED)
    train = cv2.imread(str(out / "a_gtFine_labelTrainIds.png"), cv2.IMREAD_UNCHANGED)
    assert (ids[0, 0], ids[4, 0], ids[5, 2], ids[11, 0]) == (23, 7, 26, 0)
    assert (train[0, 0], train[4, 0], train[5, 2], train[11, 0]) == (10, 0, 13, 255)


def test_runs_begin_with_what_is_not_there() -> None:
    assert runs(np.array([True, True, False])) == [0, 2, 1]
    assert runs(np.array([False, True])) == [1, 1]
    assert runs(np.array([False])) == [1]


def test_a_damaged_label_map_is_named(label_maps: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cv2.imwrite(str(label_maps / "b.png"), np.full((4, 4), 77, np.uint8))
    out = tmp_path / "out"
    assert main(["export", "--annotations", "coco", "--labels", str(label_maps), "--out", str(out)]) == 2
    assert "b.png holds class id 77" in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.skipif(os.name == "nt" or sys.platform == "darwin", reason="needs names of any bytes")
@pytest.mark.parametrize("name", [b"caf\xe9", b"a\x01", b"a\xef\xbf\xbf"])
@pytest.mark.parametrize("to", ["coco", "cvat"])
def test_a_picture_whose_name_annotations_cannot_hold_is_named(
    tmp_path: Path, name: bytes, to: str, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = tmp_path / "labels"
    labels.mkdir()
    (labels / os.fsdecode(name + b".png")).write_bytes(cv2.imencode(".png", np.zeros((8, 8), np.uint8))[1].tobytes())
    assert main(["export", "--annotations", to, "--labels", str(labels), "--out", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert "rename the picture" in said
    assert said.count("\n") == 1
    assert not list(tmp_path.rglob("*.xml")) + list(tmp_path.rglob("*.json"))
