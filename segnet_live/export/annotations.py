"""Write label maps as annotations that labelling programs and other trainers read: COCO, Cityscapes, CVAT."""

from __future__ import annotations

import json
import unicodedata
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from segnet_live import __version__
from segnet_live.classes import CAMVID_NAMES, ClassSet
from segnet_live.drafts.folder import is_drafts, png, read_labels
from segnet_live.errors import DataError, UsageError
from segnet_live.export.formats import Annotations
from segnet_live.frame import LabelMap
from segnet_live.system.files import write_atomically

_CITYSCAPES: dict[str, tuple[int, int, tuple[int, int, int]]] = {
    "Sky": (23, 10, (70, 130, 180)),
    "Building": (11, 2, (70, 70, 70)),
    "Pole": (17, 5, (153, 153, 153)),
    "Road": (7, 0, (128, 64, 128)),
    "Pavement": (8, 1, (244, 35, 232)),
    "Tree": (21, 8, (107, 142, 35)),
    "SignSymbol": (20, 7, (220, 220, 0)),
    "Fence": (13, 4, (190, 153, 153)),
    "Car": (26, 13, (0, 0, 142)),
    "Pedestrian": (24, 11, (220, 20, 60)),
    "Bicyclist": (25, 12, (255, 0, 0)),
}
"""CamVid's classes as Cityscapes' id, train id and colour: a bicyclist is a rider there."""


@dataclass(frozen=True, slots=True)
class LabelFile:
    """A label map on disk, and what its picture is called."""

    path: Path
    picture: str

    @property
    def name(self) -> str:
        return self.path.stem


def label_files(folder: Path) -> list[LabelFile]:
    """Return the label maps of a run's --masks folder, or of a drafts folder, by name.

    Raises:
        DataError: there are none.
    """
    drafts = is_drafts(folder)
    files = sorted((folder / "trainannot" if drafts else folder).glob("*.png"))
    if not files:
        raise DataError(f"{folder} holds no label maps", "make some: segnet-live --video FILE --masks DIR --headless")
    pictures = {path.stem: path.name for path in (folder / "train").glob("*")} if drafts else {}
    return [LabelFile(path, pictures.get(path.stem, f"{path.stem}.png")) for path in files]


def write_annotations(to: Annotations, files: Sequence[LabelFile], classes: ClassSet, out: Path) -> Iterator[str]:
    """Write the annotations into the folder `out`, and yield each picture's name once it is done.

    Raises:
        UsageError: Cityscapes has not these classes.
        DataError: a label map is damaged, holds an id that is no class, or has a name that XML and JSON cannot hold.
        OutputError: `out` cannot be written.
    """
    for file in files if to != "cityscapes" else ():
        if any(unicodedata.category(c) in ("Cc", "Cs") or c in "\ufffe\uffff" for c in file.picture):
            raise DataError(f"{file.picture} is a name that {to} cannot hold", "rename the picture")
    writers = {"coco": _coco, "cityscapes": _cityscapes, "cvat": _cvat}
    return writers[to](files, classes, out)


def _checked(file: LabelFile, classes: ClassSet) -> LabelMap:
    labels = read_labels(file.path)
    largest = int(labels[labels != classes.void_id].max(initial=0))
    if largest >= len(classes):
        raise DataError(
            f"{file.path} holds class id {largest}; the model has {len(classes)} classes",
            "pass the --model that made the label maps",
        )
    return labels


def runs(mask: NDArray[np.bool_]) -> list[int]:
    """Return the lengths of runs of a flat mask, beginning with the (perhaps empty) run of False."""
    flat = mask.ravel()
    edges = np.flatnonzero(np.diff(flat)) + 1
    lengths = np.diff(np.concatenate(([0], edges, [flat.size]))).tolist()
    return [0, *lengths] if flat.size and flat[0] else lengths


def _coco(files: Sequence[LabelFile], classes: ClassSet, out: Path) -> Iterator[str]:
    """Write instances.json: one annotation for each class of a picture, its exact pixels as uncompressed RLE."""
    images: list[dict[str, Any]] = []
    found: list[dict[str, Any]] = []
    for number, file in enumerate(files, start=1):
        labels = _checked(file, classes)
        height, width = labels.shape
        images.append({"id": number, "file_name": file.picture, "width": width, "height": height})
        for class_id in np.unique(labels[labels < len(classes)]).tolist():
            mask = labels == class_id
            left, top, columns, rows = cv2.boundingRect(mask.astype(np.uint8))
            found.append(
                {
                    "id": len(found) + 1,
                    "image_id": number,
                    "category_id": class_id + 1,
                    "iscrowd": 1,  # what COCO calls a region without single things
                    "area": int(mask.sum()),
                    "bbox": [left, top, columns, rows],
                    "segmentation": {"size": [height, width], "counts": runs(mask.T)},  # down the columns
                }
            )
        yield file.name
    content = {
        "info": {"description": "label maps of segnet-live", "version": __version__},
        "licenses": [],
        "images": images,
        "annotations": found,
        "categories": [{"id": i + 1, "name": name, "supercategory": ""} for i, name in enumerate(classes.names)],
    }
    write_atomically(out / "instances.json", json.dumps(content, separators=(",", ":")) + "\n")


def _cityscapes(files: Sequence[LabelFile], classes: ClassSet, out: Path) -> Iterator[str]:
    """Write NAME_gtFine_labelIds.png, _labelTrainIds.png and _color.png with Cityscapes' numbers and colours."""
    if classes.names != CAMVID_NAMES:
        raise UsageError("Cityscapes' ids are known for CamVid's classes only", "use coco or cvat")
    ids, train_ids, colours = np.zeros(256, np.uint8), np.full(256, 255, np.uint8), np.zeros((256, 3), np.uint8)
    for class_id, name in enumerate(classes.names):
        ids[class_id], train_ids[class_id], colours[class_id] = _CITYSCAPES[name]
    for file in files:
        labels = _checked(file, classes)
        for kind, table in (("labelIds", ids), ("labelTrainIds", train_ids), ("color", colours)):
            write_atomically(out / f"{file.name}_gtFine_{kind}.png", png(table[labels]))
        yield file.name


def _cvat(files: Sequence[LabelFile], classes: ClassSet, out: Path) -> Iterator[str]:
    """Write annotations.xml, "CVAT for images 1.1": each connected region a mask, run lengths in its box by rows."""
    root = ElementTree.Element("annotations")
    ElementTree.SubElement(root, "version").text = "1.1"
    task = ElementTree.SubElement(ElementTree.SubElement(root, "meta"), "task")
    ElementTree.SubElement(task, "name").text = "segnet-live"
    ElementTree.SubElement(task, "size").text = str(len(files))
    ElementTree.SubElement(task, "mode").text = "annotation"
    labels_of = ElementTree.SubElement(task, "labels")
    for name, colour in zip(classes.names, classes.colours, strict=True):
        label = ElementTree.SubElement(labels_of, "label")
        ElementTree.SubElement(label, "name").text = name
        ElementTree.SubElement(label, "color").text = "#{:02x}{:02x}{:02x}".format(*colour)
        ElementTree.SubElement(label, "type").text = "mask"
        ElementTree.SubElement(label, "attributes")
    for number, file in enumerate(files):
        labels = _checked(file, classes)
        height, width = labels.shape
        image = ElementTree.SubElement(
            root, "image", id=str(number), name=file.picture, width=str(width), height=str(height)
        )
        for class_id in np.unique(labels[labels < len(classes)]).tolist():
            count, regions, boxes, _ = cv2.connectedComponentsWithStats((labels == class_id).astype(np.uint8))
            for region in range(1, count):
                left, top, columns, rows = (int(v) for v in boxes[region, :4])
                mask = regions[top : top + rows, left : left + columns] == region
                ElementTree.SubElement(
                    image, "mask", label=classes.names[class_id], source="auto", occluded="0",
                    rle=", ".join(map(str, runs(mask))), left=str(left), top=str(top), width=str(columns),
                    height=str(rows), z_order="0",
                )  # fmt: skip
        yield file.name
    ElementTree.indent(root, "  ")
    text = ElementTree.tostring(root, encoding="unicode")
    write_atomically(out / "annotations.xml", f'<?xml version="1.0" encoding="utf-8"?>\n{text}\n')
