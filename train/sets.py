"""Other labelled sets: KITTI's street scenes in 8 classes and SUN RGB-D's rooms in 37, and the table of all sets."""

from __future__ import annotations

import re
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from segnet_live.classes import CAMVID, ClassSet
from segnet_live.errors import DataError
from segnet_live.frame import LabelMap
from segnet_live.learning.data import LabelledSet, files_by_stem, matched

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

_KITTI_NAMES = ("Sky", "Building", "Pole", "Road", "Pavement", "Tree", "Fence", "Car")
_KITTI_IDS = ((23,), (11,), (17,), (7,), (8,), (21, 22), (12, 13, 14), (26, 27, 28))
"""By class, Cityscapes' label ids, which KITTI's files hold: terrain is Tree, walls are Fence, trucks and buses Car."""


class Kitti(LabelledSet):
    """KITTI's semantic benchmark (`data_semantics.zip`): 200 labelled images in 8 classes that they share with CamVid.

    `root/training/image_2/*.png`, `root/training/semantic/*.png`. Only these have labels, so every 5th by name is val.
    """

    name = "kitti"
    classes = ClassSet(
        names=_KITTI_NAMES,
        colours=tuple(CAMVID.colours[CAMVID.names.index(name)] for name in _KITTI_NAMES),
        void_id=len(_KITTI_NAMES),
    )
    licence = "CC BY-NC-SA 3.0"
    mean: ClassVar[tuple[float, float, float]] = IMAGENET_MEAN
    std: ClassVar[tuple[float, float, float]] = IMAGENET_STD
    drives = ()

    _ids = np.full(256, len(_KITTI_NAMES), np.uint8)
    for _class_id, _stored in enumerate(_KITTI_IDS):
        _ids[list(_stored)] = _class_id
    _ids[34:255] = 255  # ids Cityscapes does not define: `read_labels` names them

    def pairs(self, root: Path, split: str) -> list[tuple[str, Path, Path]]:
        images, annotations = root / "training" / "image_2", root / "training" / "semantic"
        if split not in ("train", "val"):
            raise DataError(f"kitti has no labelled split {split!r}", "use train or val")
        for folder in (images, annotations):
            if not folder.is_dir():
                raise DataError(
                    f"{folder} is no folder", "unpack KITTI's data_semantics.zip and pass its folder as --data"
                )
        every = matched(files_by_stem(images, "*.png"), files_by_stem(annotations, "*.png"), images, annotations)
        return [pair for i, pair in enumerate(every) if (i % 5 == 4) == (split == "val")]

    def depths(self, root: Path, split: str) -> dict[str, Path]:
        raise DataError("kitti's labelled images have no depth", "drop --depth")

    def decode(self, labels: LabelMap) -> LabelMap:
        return self._ids[labels]


_SUN_NAMES = (
    "Wall", "Floor", "Cabinet", "Bed", "Chair", "Sofa", "Table", "Door", "Window", "Bookshelf", "Picture", "Counter",
    "Blinds", "Desk", "Shelves", "Curtain", "Dresser", "Pillow", "Mirror", "FloorMat", "Clothes", "Ceiling", "Books",
    "Fridge", "TV", "Paper", "Towel", "ShowerCurtain", "Box", "Whiteboard", "Person", "NightStand", "Toilet", "Sink",
    "Lamp", "Bathtub", "Bag",
)  # fmt: skip


_SUN_FARTHEST_MM = 8000


def _spread_colour(index: int) -> tuple[int, int, int]:
    """Deal the bits of `index` to red, green and blue from the top: neighbours in number are far apart in colour."""
    channels = [0, 0, 0]
    for bit in range(8):
        channels[bit % 3] |= (index >> bit & 1) << (7 - bit // 3)
    return channels[0], channels[1], channels[2]


class SunRgbd(LabelledSet):
    """SUN RGB-D's 37 indoor classes: `root/image/{train,test}/*.jpg`, `root/label37/{train,test}/*.png`.

    Files pair by the number their names end in. The label files hold 0 for unlabelled and 1..37 for the classes. The
    set has no val: every 5th of train is, unless there is `root/image/val`. Depth: `root/depth/{train,test}/*.png`, as
    the set stores it: 16 bits of millimetres, rotated by 3 bits to the left; what is farther than 8 m is at 8 m, as in
    its toolbox.
    """

    name = "sunrgbd"
    classes = ClassSet(
        names=_SUN_NAMES, colours=tuple(_spread_colour(i + 1) for i in range(len(_SUN_NAMES))), void_id=len(_SUN_NAMES)
    )
    licence = "research use"
    mean: ClassVar[tuple[float, float, float]] = IMAGENET_MEAN
    std: ClassVar[tuple[float, float, float]] = IMAGENET_STD
    drives = ()

    def pairs(self, root: Path, split: str) -> list[tuple[str, Path, Path]]:
        own = (root / "image" / "val").is_dir()
        stored = "train" if split == "val" and not own else split
        images, annotations = root / "image" / stored, root / "label37" / stored
        for folder in (images, annotations):
            if not folder.is_dir():
                raise DataError(
                    f"{folder} is no folder", f"sunrgbd has image/{stored}/ and label37/{stored}/ side by side"
                )
        every = matched(_by_number(images, "*.jpg"), _by_number(annotations, "*.png"), images, annotations)
        if own or stored != "train":
            return every
        return [pair for i, pair in enumerate(every) if (i % 5 == 4) == (split == "val")]

    def depths(self, root: Path, split: str) -> dict[str, Path]:
        stored = "train" if split == "val" and not (root / "image" / "val").is_dir() else split
        folder = root / "depth" / stored
        if not folder.is_dir():
            raise DataError(f"{folder} is no folder", f"sunrgbd's depth lies in depth/{stored}/ beside image/")
        return _by_number(folder, "*.png")

    def decode_depth(self, stored: NDArray[np.uint16]) -> NDArray[np.uint16]:
        return np.asarray(np.minimum(stored >> 3 | stored << 13, _SUN_FARTHEST_MM), np.uint16)

    def decode(self, labels: LabelMap) -> LabelMap:
        ids = np.arange(-1, 255).astype(np.uint8)
        ids[0] = self.classes.void_id
        ids[len(_SUN_NAMES) + 1 :] = 255  # undefined: `read_labels` names them
        return ids[labels]


def _by_number(folder: Path, pattern: str) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in files_by_stem(folder, pattern).values():
        number = re.search(r"(\d+)$", path.stem)
        if number is None:
            raise DataError(f"{path} has no number at its name's end", "sunrgbd pairs images and labels by it")
        found[f"{int(number[1]):06d}"] = path
    return found


SETS: dict[str, LabelledSet] = {s.name: s for s in (LabelledSet(), Kitti(), SunRgbd())}
"""Labelled sets as `--set` names them."""
