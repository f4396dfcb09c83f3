"""Gather what an adaptation learns from and is measured on: corrected drafts, and the roads that the model knew."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from segnet_live.classes import CAMVID_NAMES, ClassSet
from segnet_live.drafts.folder import DraftFolder
from segnet_live.errors import DataError, UsageError
from segnet_live.learning.data import LabelledSet, Sample
from segnet_live.video.synthetic import SyntheticSource

FEWEST = 5
"""Corrected drafts that an adaptation needs: four to learn from, one to measure on."""
STAND_IN_EVERY = 9
"""Of the example drive, every so manieth frame stands in for old roads, in turn to learn from and to measure on."""


@dataclass(frozen=True, slots=True)
class OldRoads:
    """Labelled images of roads that the model knew before.

    Attributes:
        about: where they are from, in a few words.
        learn: to rehearse while it adapts.
        measure: to tell whether it forgot.
    """

    about: str
    learn: Sequence[Sample]
    measure: Sequence[Sample]


def reader(classes: ClassSet) -> LabelledSet:
    """Return a reader of pairs in CamVid's layout whose ids are those of `classes`."""
    found: LabelledSet = type("Pairs", (LabelledSet,), {"classes": classes})()
    return found


def corrected(folder: Path, classes: ClassSet) -> tuple[list[Sample], int]:
    """Return the drafts that a person stands behind, by name, and how many wait for correction.

    Raises:
        UsageError: there are fewer than `FEWEST`.
        DataError: the folder is no drafts folder, or a pair is damaged or incomplete.
    """
    pairs, samples, waiting = reader(classes), [], 0
    for draft in DraftFolder(folder).drafts():
        if not draft.is_corrected:
            waiting += 1
            continue
        rgb, labels = draft.rgb(), pairs.read_labels(draft.annotation)
        if rgb.shape[:2] != labels.shape:
            raise DataError(
                f"{draft.annotation} is {labels.shape[1]}x{labels.shape[0]} but its frame is "
                f"{rgb.shape[1]}x{rgb.shape[0]}",
                "sizes must agree",
            )
        samples.append(Sample(draft.name, rgb, labels))
    if len(samples) < FEWEST:
        waits = f", {waiting} wait for correction" if waiting else ""
        raise UsageError(
            f"{folder} has {len(samples)} corrected drafts{waits}; at least {FEWEST} are needed",
            f"correct some: segnet-live correct {folder}",
        )
    return samples, waiting


def split(samples: Sequence[Sample]) -> tuple[list[Sample], list[Sample]]:
    """Return what to learn from, and the fifth to hold back: the middle one of every five by name."""
    held = set(range(2, len(samples), 5))
    return [s for i, s in enumerate(samples) if i not in held], [samples[i] for i in sorted(held)]


def old_roads(folder: Path | None, classes: ClassSet) -> OldRoads:
    """Return the images of `folder` (train/ to rehearse, val/ to measure), or of the example drive without one.

    Without val/, every fifth image of train/ is measured instead of rehearsed.

    Raises:
        DataError: the folder is not laid out so, or a pair is damaged.
    """
    if folder is not None:
        pairs = reader(classes)
        learn = pairs.load(folder, "train")
        if (folder / "val").is_dir():
            return OldRoads(folder.name, learn, pairs.load(folder, "val"))
        return OldRoads(folder.name, *split(learn))
    if classes.names != CAMVID_NAMES:
        return OldRoads("none: the example drive has CamVid's classes", [], [])
    frames = []
    with closing(SyntheticSource()) as source:
        while (frame := source.read()) is not None:
            if frame.index % STAND_IN_EVERY == 0 and frame.truth is not None:
                frames.append(Sample(f"example-{frame.index:05d}", frame.rgb, frame.truth))
    return OldRoads("the example drive", frames[0::2], frames[1::2])
