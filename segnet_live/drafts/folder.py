"""Keep drafts in a folder: frame, label map, the model's guess, and a record of who made what.

    train/NAME.png        the frame
    trainannot/NAME.png   class ids, what training reads: the guess until a person has corrected it
    guess/NAME.png        the model's guess, never written again
    records/NAME.json     source, time, model, why this frame, and whether a person has corrected it

The first two are CamVid's layout. A pair that has neither guess nor record was labelled elsewhere, by hand. No guess is
ever written over a label map that exists.
"""

from __future__ import annotations

import filecmp
import glob
import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

import cv2
import numpy as np

from segnet_live.classes import ClassSet
from segnet_live.errors import DataError, OutputError, first_line
from segnet_live.frame import RGB, LabelMap
from segnet_live.system.files import read_regular, write_atomically
from segnet_live.video.images import read_rgb
from segnet_live.video.location import is_url
from segnet_live.video.opencv import decode_picture

MadeBy: TypeAlias = Literal["model", "begun", "corrected", "labelled"]
"""Who made a label map: the model alone, a person who has begun to correct it or is done, or somebody elsewhere."""

MOST_RECORD_BYTES = 1 << 20
_LABELS_ARE = "labels are single-channel 8-bit PNGs of class ids"
HARD_FRAMES = "hard-frames"
"""The folder, beside recordings, of the drafts that the window keeps."""
_README = """Drafts of segnet-live: frames that the model found hard, in CamVid's layout.

train/NAME.png       the frame
trainannot/NAME.png  class ids (see below): the model's own guess until a person has corrected it
guess/NAME.png       the model's own guess, kept as it was
records/NAME.json    where the frame is from, which model guessed, and whether the labels were corrected

The labels of a draft are what the model believed, mistakes included: training on uncorrected ones teaches the model its
own errors. Correct them with `segnet-live correct FOLDER`, then `segnet-live adapt FOLDER` learns from those corrected.

"""


@dataclass(frozen=True, slots=True)
class Record:
    """What is known of one draft.

    Attributes:
        source: the file or address that the frame is from.
        time_s: its place there, in seconds.
        model: name of the model that guessed; weights: sha256 of its weights.
        why: the figures that chose the frame, by name; empty where a person did.
        made_by: who made the label map.
        corrected_at: when it was last saved by a person, ISO 8601 in UTC; "" for never.
        changed: share of the pixels that differ from the guess, 0..1.
    """

    source: str = ""
    time_s: float = 0.0
    model: str = ""
    weights: str = ""
    why: Mapping[str, float] = field(default_factory=dict)
    made_by: MadeBy = "model"
    corrected_at: str = ""
    changed: float = 0.0


@dataclass(frozen=True, slots=True)
class Draft:
    """One pair of a drafts folder."""

    name: str
    image: Path
    annotation: Path
    guess: Path
    record: Record

    @property
    def is_corrected(self) -> bool:
        """Whether a person stands behind the whole label map."""
        return self.record.made_by in ("corrected", "labelled")

    def rgb(self) -> RGB:
        """Return the frame, (H, W, 3) uint8.

        Raises:
            DataError: it is missing or damaged.
        """
        rgb = read_rgb(self.image)
        if rgb is None:
            raise DataError(f"{self.image} is missing or no image", "a draft needs its frame; remove its label map too")
        return rgb

    def labels(self) -> LabelMap:
        """Return the label map, (H, W) uint8 class ids.

        Raises:
            DataError: it is missing or damaged.
        """
        return read_labels(self.annotation)

    def guessed(self) -> LabelMap:
        """Return the model's guess; the label map itself where there is none.

        Raises:
            DataError: it is damaged.
        """
        return read_labels(self.guess if self.guess.is_file() else self.annotation)


def read_labels(path: Path) -> LabelMap:
    """Return (H, W) uint8 class ids from a PNG.

    Raises:
        DataError: it is missing, damaged, or not single-channel 8-bit.
    """
    try:
        stored = decode_picture(path, cv2.IMREAD_UNCHANGED)
    except OSError as error:
        raise DataError(f"{path} cannot be read ({first_line(error)})", "every frame needs its label map") from error
    except ValueError as error:
        raise DataError(f"{path} is no label map ({error})", _LABELS_ARE) from error
    if stored.ndim != 2 or stored.dtype != np.uint8:
        raise DataError(f"{path} is no label map", _LABELS_ARE)
    return stored


def png(picture: RGB | LabelMap) -> bytes:
    """Return `picture`, (H, W, 3) uint8 RGB or (H, W) uint8 ids, as a PNG file's content."""
    bgr = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR) if picture.ndim == 3 else picture
    return cv2.imencode(".png", bgr)[1].tobytes()


def draft_name(source: str, time_s: float) -> str:
    """Return the name of a frame's draft: the source's stem, a few digits of its whole path, and the time.

    Two videos of one stem in different folders so keep apart; one frame of one video always has the same name.
    """
    whole = source if is_url(source) else str(Path(source).resolve())
    stem = re.sub(r"[^\w-]+", "-", Path(source.rstrip("/")).stem).strip("-")[:60] or "frame"
    digest = hashlib.sha256(os.fsencode(whole)).hexdigest()[:6]
    return f"{stem}-{digest}_{time_s:09.3f}s".replace(".", "-")


def is_drafts(folder: Path) -> bool:
    """Return whether `folder` is laid out as a drafts folder."""
    return (folder / "train").is_dir() and (folder / "trainannot").is_dir()


class DraftFolder:
    """A folder of drafts; nothing is read or written before a method is called.

    Args:
        advice: what to do where the folder cannot be written.
    """

    def __init__(self, root: Path, *, advice: str = "choose another folder") -> None:
        self.root = root
        self._advice = advice

    def _draft(self, name: str, record: Record) -> Draft:
        root = self.root
        image = next(iter(sorted((root / "train").glob(f"{glob.escape(name)}.*"))), root / "train" / f"{name}.png")
        file = f"{name}.png"
        return Draft(name, image, root / "trainannot" / file, root / "guess" / file, record)

    def _record_path(self, name: str) -> Path:
        return self.root / "records" / f"{name}.json"

    def has(self, name: str) -> bool:
        """Return whether the folder has a draft of this name, corrected or not."""
        draft = self._draft(name, Record())
        return draft.annotation.exists() or draft.guess.exists()

    def add(self, name: str, rgb: RGB, guess: LabelMap, classes: ClassSet, record: Record) -> Draft:
        """Keep a frame with the model's guess.

        Args:
            rgb: (H, W, 3) uint8. guess: (H, W) uint8 class ids of `classes`.

        Raises:
            OutputError: the folder cannot be written, or it has this frame already: a person may have corrected it.
        """
        draft = self._draft(name, replace(record, made_by="model"))
        if self.has(name):
            raise OutputError(
                f"{draft.annotation} is kept already, and may have been corrected", "move it away to draw it anew"
            )
        write_atomically(draft.image, png(rgb), advice=self._advice)
        write_atomically(draft.guess, png(guess), advice=self._advice)
        self._write_record(name, draft.record)
        write_atomically(draft.annotation, png(guess), advice=self._advice)  # last: the pair is whole now
        readme = self.root / "README.txt"
        if not readme.exists():
            ids = [*enumerate(classes.names), (classes.void_id, "unlabelled")]
            write_atomically(readme, _README + "".join(f"{i:3d} {name}\n" for i, name in ids), advice=self._advice)
        return draft

    def drafts(self) -> list[Draft]:
        """Return all pairs by name.

        Raises:
            DataError: the folder is no drafts folder, or a record is damaged.
        """
        annotations = sorted((self.root / "trainannot").glob("*.png"))
        if not is_drafts(self.root) or not annotations:
            raise DataError(
                f"{self.root} holds no drafts",
                "a drafts folder has train/ and trainannot/: `segnet-live hard VIDEO --out FOLDER` makes one",
            )
        return [self._draft(path.stem, self._read_record(path.stem)) for path in annotations]

    def save(self, draft: Draft, labels: LabelMap, *, done: bool) -> Draft:
        """Write a person's label map over the one before, and record whose it is; each file whole.

        Args:
            labels: (H, W) uint8 class ids of the frame's size.
            done: the person stands behind all of it; what was corrected before stays so.

        Raises:
            OutputError: it cannot be written; the label map from before is still whole.
        """
        changed = float((draft.guessed() != labels).mean()) if draft.guess.is_file() else draft.record.changed
        made_by: MadeBy = "corrected" if done or draft.is_corrected else "begun"
        now = datetime.now(UTC).isoformat(timespec="seconds")
        record = replace(draft.record, made_by=made_by, corrected_at=now, changed=round(changed, 5))
        if record.made_by == "corrected" and not draft.is_corrected:  # in between, nobody stands behind it
            self._write_record(draft.name, replace(record, made_by="begun"))
        elif record.made_by == "begun":
            self._write_record(draft.name, record)
        write_atomically(draft.annotation, png(labels), advice=self._advice, durable=True)
        if record.made_by == "corrected":
            self._write_record(draft.name, record)
        return replace(draft, record=record)

    def _read_record(self, name: str) -> Record:
        path, guess = self._record_path(name), self.root / "guess" / f"{name}.png"
        if not path.is_file():
            return Record(made_by="model" if guess.is_file() else "labelled")
        try:
            raw: dict[str, Any] = json.loads(read_regular(path, MOST_RECORD_BYTES).decode("utf-8"))
            known = {key: raw[key] for key in Record.__dataclass_fields__ if key in raw}
            record = Record(**known)
            if record.made_by not in get_args(MadeBy):
                raise ValueError(f"made_by is {record.made_by!r}")
        except (OSError, ValueError, TypeError, RecursionError) as error:
            raise DataError(f"{path} is damaged ({first_line(error)})", "delete it: the label map stays") from error
        annotation = self.root / "trainannot" / f"{name}.png"
        if record.made_by == "model" and guess.is_file() and not filecmp.cmp(annotation, guess, shallow=False):
            return replace(record, made_by="corrected")  # by another program, or cut off before its record was written
        return record

    def _write_record(self, name: str, record: Record) -> None:
        write_atomically(self._record_path(name), json.dumps(asdict(record), indent=1) + "\n", advice=self._advice)
