"""Folders and patterns of pictures."""

from __future__ import annotations

import struct
from pathlib import Path

import cv2
import numpy as np
import pytest

from segnet_live.errors import SourceError
from segnet_live.video.images import ImageSource
from segnet_live.video.location import IMAGE_SUFFIXES, source_for
from tests.support.clips import corners, quadrants


def save(path: Path, rgb: np.ndarray) -> None:
    assert cv2.imwrite(str(path), np.ascontiguousarray(rgb[..., ::-1] if rgb.ndim == 3 else rgb))


def names(place: str) -> list[str]:
    source = ImageSource(place)
    found = []
    while (frame := source.read()) is not None:
        found.append(frame.name)
    return found


def test_pictures_come_in_natural_order_with_their_stems(tmp_path: Path) -> None:
    for name in ("drive10.png", "drive9.jpg", "Drive1.png", ".hidden.png", "notes.txt", "drive010a.bmp"):
        if name.endswith("txt"):
            (tmp_path / name).write_text("no picture")
        else:
            save(tmp_path / name, quadrants(48, 64))
    assert names(str(tmp_path)) == ["Drive1", "drive9", "drive10", "drive010a"]
    assert names(str(tmp_path / "drive*.png")) == ["drive10"]
    assert names(str(tmp_path / "drive9.jpg")) == ["drive9"]


def test_a_pattern_reaches_folders_within_and_brackets_in_names_are_names(tmp_path: Path) -> None:
    (tmp_path / "a[1]").mkdir()
    save(tmp_path / "a[1]" / "x.png", quadrants(48, 64))
    assert names(str(tmp_path / "**" / "*.png")) == ["x"]
    assert names(str(tmp_path / "a[1]")) == ["x"]


def test_sizes_may_differ(tmp_path: Path) -> None:
    save(tmp_path / "1.png", quadrants(48, 64))
    save(tmp_path / "2.png", quadrants(50, 70))
    source = ImageSource(str(tmp_path))
    assert source.info.size == (48, 64)
    assert [source.read().size, source.read().size] == [(48, 64), (50, 70)]  # type: ignore[union-attr]


def test_equal_stems_are_refused_by_name(tmp_path: Path) -> None:
    save(tmp_path / "a.png", quadrants(48, 64))
    save(tmp_path / "a.jpg", quadrants(48, 64))
    with pytest.raises(SourceError, match=r"a\.jpg and .*a\.png have the same stem"):
        ImageSource(str(tmp_path))


def test_what_cannot_be_read_is_counted_and_leaves_a_gap_in_time(tmp_path: Path) -> None:
    for number in range(4):
        save(tmp_path / f"{number}.png", quadrants(48, 64))
    (tmp_path / "1.png").write_bytes((tmp_path / "0.png").read_bytes()[:60])
    (tmp_path / "2.png").write_bytes(b"")
    source = ImageSource(str(tmp_path))
    frames = [source.read(), source.read(), source.read()]
    assert [f and (f.name, f.pts, f.index) for f in frames] == [("0", 0, 0), ("3", 3, 1), None]
    assert source.corrupt == 2


@pytest.mark.parametrize("kind", ["grey", "16 bit", "transparent", "grey 16 bit"])
def test_every_depth_comes_out_as_8_bit_rgb(tmp_path: Path, kind: str) -> None:
    rgb = quadrants(48, 64)
    picture = rgb.mean(-1).astype(np.uint8) if "grey" in kind else rgb[..., ::-1]
    if "16" in kind:
        picture = picture.astype(np.uint16) * 257
    if kind == "transparent":
        picture = np.dstack([picture, np.full((48, 64), 9, np.uint8)])
    cv2.imwrite(str(tmp_path / "a.png"), np.ascontiguousarray(picture))
    frame = ImageSource(str(tmp_path)).read()
    assert frame is not None
    assert frame.rgb.dtype == np.uint8
    expected = np.repeat(rgb.mean(-1, keepdims=True), 3, 2) if "grey" in kind else rgb
    assert abs(corners(frame.rgb) - corners(expected)).max() <= 1


def test_exif_turns_pictures_upright(tmp_path: Path) -> None:
    upright = quadrants(96, 128)
    save(tmp_path / "a.jpg", np.rot90(upright))  # held so that it must be turned clockwise: orientation 6
    data = (tmp_path / "a.jpg").read_bytes()
    tiff = b"MM\0*" + struct.pack(">IHHHIHHI", 8, 1, 0x112, 3, 1, 6, 0, 0)
    exif = b"Exif\0\0" + tiff
    (tmp_path / "a.jpg").write_bytes(data[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + data[2:])
    frame = ImageSource(str(tmp_path)).read()
    assert frame is not None
    assert frame.size == (96, 128)
    assert abs(corners(frame.rgb) - corners(upright)).max() <= 6


def test_places_without_pictures_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no pictures in this folder"):
        ImageSource(str(tmp_path))
    with pytest.raises(SourceError, match="no such folder"):
        ImageSource(str(tmp_path / "*.png"))
    (tmp_path / "a.png").write_text("text")
    with pytest.raises(SourceError, match="none of 1 files"):
        ImageSource(str(tmp_path))


def test_what_a_folder_takes_for_a_picture_a_dropped_file_is_too(tmp_path: Path) -> None:
    for number, suffix in enumerate(IMAGE_SUFFIXES):
        rgb = quadrants(48, 64)
        save(tmp_path / f"{number}{suffix}", rgb[..., 1] if suffix == ".pgm" else rgb)
        assert source_for(str(tmp_path / f"{number}{suffix.upper()}")).kind == "images"
    assert names(str(tmp_path)) == [str(number) for number in range(len(IMAGE_SUFFIXES))]
