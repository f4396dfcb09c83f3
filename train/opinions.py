"""Read soft labels from small PNG files: what other networks think of a picture, brought to our classes.

A folder of opinions holds one RGB PNG per picture, named as the picture: R is the likeliest class, G the second, B the
probability of the first times 255; the second one's is taken as the rest. The ids are Cityscapes' 19 train ids, or
those of the labelled set where the folder has a file `classes.json` that says so (and what the network had seen).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from segnet_live.classes import CAMVID, ClassSet
from segnet_live.errors import DataError, UsageError
from segnet_live.learning.pool import resized
from segnet_live.learning.seen import Seen, read_seen
from segnet_live.system.files import write_atomically

_CITYSCAPES: tuple[dict[str, float], ...] = (
    {"Road": 1}, {"Pavement": 1}, {"Building": 1}, {"Building": 0.9, "Fence": 0.1}, {"Fence": 1}, {"Pole": 1},
    {"SignSymbol": 1}, {"SignSymbol": 1}, {"Tree": 1}, {"Tree": 1}, {"Sky": 1}, {"Pedestrian": 1}, {"Bicyclist": 1},
    {"Car": 1}, {"Car": 1}, {"Car": 1}, {"Car": 1}, {"Bicyclist": 1}, {"Bicyclist": 1},
)  # fmt: skip
"""By Cityscapes train id, the shares of CamVid's classes: a wall is Building on 77 % of its pixels, Fence on 8 %."""
_RIDER, _BICYCLE = 12, 18
CLASSES_FILE = "classes.json"


class Opinions:
    """Folders of soft labels; of a picture that several know, the mean counts.

    Args:
        folders: each with one PNG per picture.
        classes: those to express the opinions in; Cityscapes' ids need CamVid's.

    Attributes:
        classes: the same.

    Raises:
        DataError: a folder is missing or holds no PNG. UsageError: its classes are not `classes`.
    """

    def __init__(self, folders: Sequence[Path], classes: ClassSet) -> None:
        self.classes = classes
        self._folders = []
        for folder in folders:
            if not any(folder.glob("*.png")):
                raise DataError(f"{folder} holds no PNG", "pass folders of soft labels, one RGB PNG per picture")
            self._folders.append((folder, *_table(folder, classes)))

    def of(self, name: str) -> NDArray[np.uint8] | None:
        """Return (K, h, w) uint8 probabilities times 255 on the picture `name`, 0 throughout where teachers mean void.

        None if no folder knows the picture. The size is that of the stored file, of the largest where several differ.

        Raises:
            DataError: a file is damaged.
        """
        found = [
            read_opinion(folder / f"{name}.png", table, bicycles_need_riders=cityscapes)
            for folder, table, cityscapes in self._folders
            if (folder / f"{name}.png").is_file()
        ]
        if not found:
            return None
        height, width = max((f.shape[1:] for f in found), key=lambda size: size[0] * size[1])
        mean = sum(resized(f, height, width) for f in found) / np.float32(len(found))
        return np.round(np.asarray(mean) * 255).astype(np.uint8)


def _table(folder: Path, classes: ClassSet) -> tuple[NDArray[np.float32], bool]:
    """Return (256, K) shares of our classes that a stored id stands for, and whether the ids are Cityscapes'."""
    table = np.zeros((256, len(classes)), np.float32)
    described = folder / CLASSES_FILE
    if described.is_file():
        names = tuple(json.loads(described.read_text(encoding="utf-8"))["classes"])
        if names != classes.names:
            raise UsageError(
                f"{folder} has opinions on the classes {', '.join(names)}", "pass a folder of the set's own"
            )
        table[: len(classes)] = np.eye(len(classes))
        return table, False
    if classes.names != CAMVID.names:
        raise UsageError(f"{folder} has Cityscapes' ids, which are known in CamVid's classes only")
    for stored, shares in enumerate(_CITYSCAPES):
        for name, share in shares.items():
            table[stored, classes.names.index(name)] = share
    return table, True


def read_opinion(path: Path, table: NDArray[np.float32], *, bicycles_need_riders: bool) -> NDArray[np.float32]:
    """Return (K, h, w) float32 probabilities from one file.

    Args:
        table: (256, K) shares of our classes that each stored id stands for.
        bicycles_need_riders: a bicycle without a rider nearby is void, as in CamVid.

    Raises:
        DataError: the file is no 8-bit RGB PNG.
    """
    stored = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if stored is None or stored.ndim != 3 or stored.dtype != np.uint8:
        raise DataError(f"{path} is no 8-bit RGB PNG", "soft labels hold class, second class and probability")
    first, second = stored[..., 2], stored[..., 1]
    probability = stored[..., 0, None].astype(np.float32) / 255
    probability = np.where(probability > 0.97, 1.0, probability)  # stored in steps of 8: 248 is the highest
    mixed = table[first] * probability + table[second] * (1 - probability)
    if bicycles_need_riders:
        mixed[(first == _BICYCLE) & ~_near(first == _RIDER)] = 0
    return np.ascontiguousarray(mixed.transpose(2, 0, 1), np.float32)


def _near(mask: NDArray[np.bool_], reach: int = 12) -> NDArray[np.bool_]:
    """Return where `mask` is true within `reach` pixels."""
    grown: NDArray[np.bool_] = cv2.dilate(mask.astype(np.uint8), np.ones((2 * reach + 1,) * 2, np.uint8)) > 0
    return grown


def write_opinion(path: Path, probabilities: NDArray[np.float32], classes: ClassSet, seen: Seen | None = None) -> None:
    """Store (K, h, w) probabilities at `path`, and beside it the file on their classes and what their network saw.

    Raises:
        OutputError: the file cannot be written.
    """
    order = np.argsort(-probabilities, axis=0)[:2]
    highest = np.take_along_axis(probabilities, order[:1], 0)[0]
    rgb = np.stack([order[0], order[1], np.round(highest * 255)], -1).astype(np.uint8)
    described = path.parent / CLASSES_FILE
    if not described.is_file():
        record = {} if seen is None else {"seen": seen.as_json(names=False)}
        write_atomically(described, json.dumps({"classes": classes.names} | record) + "\n")
    write_atomically(path, cv2.imencode(".png", rgb[..., ::-1])[1].tobytes())


def seen_by_teachers(folder: Path) -> Seen:
    """Return what the network saw that wrote a folder of soft labels; nothing where the folder has no record."""
    described = folder / CLASSES_FILE
    written = json.loads(described.read_text(encoding="utf-8")) if described.is_file() else {}
    return read_seen(written["seen"]) if "seen" in written else Seen()
