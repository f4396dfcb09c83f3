"""Labelled sets: what is wrong is named with its file, and ids mean what the class lists say."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from segnet_live.classes import CAMVID
from segnet_live.errors import DataError
from segnet_live.learning.data import LabelledSet, class_frequencies, consecutive, median_frequency_weights
from tests.support.training import write_pair
from train.sets import SETS, Kitti, SunRgbd


def test_camvid_is_read_in_order_and_as_stored(camvid: Path) -> None:
    samples = LabelledSet().load(camvid, "train")
    assert [s.name for s in samples] == sorted(s.name for s in samples)
    first = cv2.imread(str(camvid / "train" / f"{samples[0].name}.png"))
    assert (samples[0].rgb == first[..., ::-1]).all()
    assert set(np.unique(samples[0].labels)) == {0, 3, 8, 11}


def test_drives_select_by_the_beginning_of_the_name(camvid: Path) -> None:
    samples = LabelledSet().load(camvid, "train", ["0006R0"])
    assert [s.name for s in samples] == ["0006R0_000030", "0006R0_000060"]
    with pytest.raises(DataError, match="no image of 9999"):
        LabelledSet().load(camvid, "train", ["9999"])


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="trainannot"):
        LabelledSet().load(tmp_path, "train")


@pytest.mark.parametrize("folder", ["train", "trainannot"])
def test_a_file_without_partner_is_named(camvid: Path, folder: str) -> None:
    (camvid / folder / "0001TP_000060.png").unlink()
    with pytest.raises(DataError, match=r"0001TP_000060\.png has no partner"):
        LabelledSet().load(camvid, "train")


def test_an_unexpected_id_a_wrong_size_and_colour_labels_name_the_file(camvid: Path) -> None:
    path = camvid / "trainannot" / "0006R0_000030.png"
    cv2.imwrite(str(path), np.full((64, 96), 12, np.uint8))
    with pytest.raises(DataError, match=r"0006R0_000030\.png holds class id 12"):
        LabelledSet().load(camvid, "train")
    cv2.imwrite(str(path), np.zeros((64, 95), np.uint8))
    with pytest.raises(DataError, match=r"0006R0_000030\.png is 95x64"):
        LabelledSet().load(camvid, "train")
    cv2.imwrite(str(path), np.zeros((64, 96, 3), np.uint8))
    with pytest.raises(DataError, match=r"0006R0_000030\.png .*single-channel"):
        LabelledSet().load(camvid, "train")
    path.write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"0006R0_000030\.png is missing or no image"):
        LabelledSet().load(camvid, "train")


def test_frequencies_count_only_images_where_the_class_is(tmp_path: Path) -> None:
    empty, half = np.zeros((32, 32), np.uint8), np.zeros((32, 32), np.uint8)
    half[:16] = 8
    half[:, 30:] = 11  # void counts for nobody
    for name, labels in (("a1", empty), ("a2", half)):
        write_pair(tmp_path, "train", name, np.zeros((32, 32, 3), np.uint8), labels)
    frequencies = class_frequencies(LabelledSet().load(tmp_path, "train"), CAMVID)
    assert frequencies[8] == pytest.approx(0.5)
    assert frequencies[0] == pytest.approx((1024 + 480) / (1024 + 960))
    weights = median_frequency_weights(frequencies)
    median = (frequencies[0] + frequencies[8]) / 2
    assert weights[8] == pytest.approx(median / 0.5)
    assert weights[1] == 0


def test_names_tell_which_frames_follow_each_other() -> None:
    assert consecutive("0016E5_07959", "0016E5_07961")
    assert not consecutive("0016E5_07959", "0016E5_07989")
    assert not consecutive("0001TP_000030", "0016E5_000031")
    assert not consecutive("", "0016E5_07959")


def test_kitti_has_8_classes_from_cityscapes_ids(tmp_path: Path) -> None:
    images, annotations = tmp_path / "training" / "image_2", tmp_path / "training" / "semantic"
    images.mkdir(parents=True)
    annotations.mkdir()
    for i in range(10):
        cv2.imwrite(str(images / f"{i:06d}_10.png"), np.full((8, 10, 3), i, np.uint8))
        cv2.imwrite(str(annotations / f"{i:06d}_10.png"), np.full((8, 10), (7, 22, 28, 24, 12)[i % 5], np.uint8))
    kitti = Kitti()
    train, val = kitti.load(tmp_path, "train"), kitti.load(tmp_path, "val")
    assert (len(kitti.classes), len(train), len(val)) == (8, 8, 2)
    names = [*kitti.classes.names, "void"]
    assert [names[s.labels[0, 0]] for s in train[:4]] == ["Road", "Tree", "Car", "void"]
    assert names[val[0].labels[0, 0]] == "Fence"
    cv2.imwrite(str(annotations / "000000_10.png"), np.full((8, 10), 77, np.uint8))
    with pytest.raises(DataError, match="000000_10"):
        kitti.load(tmp_path, "train")


def test_sunrgbd_has_37_classes_paired_by_number(tmp_path: Path) -> None:
    images, annotations = tmp_path / "image" / "train", tmp_path / "label37" / "train"
    images.mkdir(parents=True)
    annotations.mkdir(parents=True)
    stored = np.zeros((8, 10), np.uint8)
    stored[0, :2] = 1, 37
    cv2.imwrite(str(images / "img-000007.jpg"), np.zeros((8, 10, 3), np.uint8))
    cv2.imwrite(str(annotations / "img37labels-000007.png"), stored)
    sun = SunRgbd()
    (sample,) = sun.load(tmp_path, "train")
    assert len(sun.classes) == 37 == len(set(sun.classes.colours))
    assert [sun.classes.names[i] for i in sample.labels[0, :2]] == ["Wall", "Bag"]
    assert sample.labels[1, 0] == sun.classes.void_id
    cv2.imwrite(str(annotations / "img37labels-000007.png"), np.full((8, 10), 38, np.uint8))
    with pytest.raises(DataError, match="img37labels-000007"):
        sun.load(tmp_path, "train")


def test_every_set_is_listed_under_its_name() -> None:
    assert {name: labelled.name for name, labelled in SETS.items()} == {n: n for n in ("camvid", "kitti", "sunrgbd")}
