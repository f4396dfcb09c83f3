"""Record what weights have learnt from: which images of which split, also through weights and teachers before them.

A checkpoint keeps the images' names, a card their numbers. `package` decides from this whether a figure is of images
that the weights have seen.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class SplitSeen:
    """The images of one split that were seen.

    Attributes:
        of: images in the split; 0 where unknown.
        names: those seen that are known by name.
        unnamed: how many were seen of which a card tells the number alone; they may be among `names`.
    """

    of: int
    names: frozenset[str] = frozenset()
    unnamed: int = 0

    @property
    def images(self) -> int:
        """Return how many were seen, at most."""
        count = len(self.names) + self.unnamed
        return min(count, self.of) if self.of else count

    def among(self, names: Iterable[str]) -> int:
        """Return how many of these images were seen, at most."""
        wanted = set(names)
        return min(len(wanted), len(self.names & wanted) + self.unnamed)

    def joined(self, other: SplitSeen) -> SplitSeen:
        of, unnamed = max(self.of, other.of), self.unnamed + other.unnamed
        return SplitSeen(of, self.names | other.names, min(unnamed, of or max(self.unnamed, other.unnamed)))


@dataclass(frozen=True, slots=True)
class Seen:
    """The record of everything that weights have learnt from.

    Attributes:
        labelled: by name of the labelled set, then by split.
        rendered: frames of the rendered drive.
        unlabelled: pictures by name of their folder; None where the number was not written down.
        ancestors: commands of the runs that `--init` weights came from, the latest first.
        teachers: names of the networks and folders of soft labels that were learnt from.
    """

    labelled: Mapping[str, Mapping[str, SplitSeen]] = field(default_factory=dict)
    rendered: int = 0
    unlabelled: Mapping[str, int | None] = field(default_factory=dict)
    ancestors: tuple[str, ...] = ()
    teachers: tuple[str, ...] = ()

    def among(self, set_name: str, split: str, names: Iterable[str]) -> int:
        """Return how many of these images of a split were seen, at most."""
        found = self.labelled.get(set_name, {}).get(split)
        return 0 if found is None else found.among(names)

    def joined(self, other: Seen) -> Seen:
        """Return what both have seen together."""
        labelled = {name: dict(splits) for name, splits in self.labelled.items()}
        for name, splits in other.labelled.items():
            mine = labelled.setdefault(name, {})
            for split, seen in splits.items():
                mine[split] = mine[split].joined(seen) if split in mine else seen
        unlabelled = dict(self.unlabelled)
        for folder, count in other.unlabelled.items():
            known = [n for n in (unlabelled.get(folder), count) if n is not None]
            unlabelled[folder] = max(known, default=None)
        return Seen(
            labelled,
            self.rendered + other.rendered,
            unlabelled,
            tuple(dict.fromkeys(self.ancestors + other.ancestors)),
            tuple(dict.fromkeys(self.teachers + other.teachers)),
        )

    def as_json(self, *, names: bool) -> dict[str, Any]:
        """Return the record of a checkpoint, with the images' names, or that of a card, with numbers alone."""

        def split(seen: SplitSeen) -> dict[str, Any]:
            if not names:
                return {"images": seen.images, "of": seen.of}
            return {"names": sorted(seen.names), "unnamed": seen.unnamed, "of": seen.of}

        return {
            "labelled": {
                name: {s: split(seen) for s, seen in splits.items()} for name, splits in self.labelled.items()
            },
            "rendered": self.rendered,
            "unlabelled": dict(self.unlabelled),
            "ancestors": list(self.ancestors),
            "teachers": list(self.teachers),
        }


def read_seen(record: Mapping[str, Any]) -> Seen:
    """Return what a checkpoint's or a card's record says (see `Seen.as_json`)."""
    return Seen(
        {
            name: {
                split: SplitSeen(s["of"], frozenset(s.get("names", ())), s.get("unnamed", s.get("images", 0)))
                for split, s in splits.items()
            }
            for name, splits in record["labelled"].items()
        },
        record["rendered"],
        dict(record["unlabelled"]),
        tuple(record["ancestors"]),
        tuple(record["teachers"]),
    )


def seen_by(training: Mapping[str, Any]) -> Seen:
    """Return what the weights have seen of which a card's `training` or a checkpoint's run and recipe are given."""
    return read_seen(training["seen"]) if "seen" in training else seen_from_sentence(training)


CAMVID_IMAGES = {"train": {"0001TP": 62, "0006R0": 101, "0016E5": 204}, "val": {"0016E5": 101}}
"""Labelled images by split and drive, for records from when a sentence gave their sum only."""
_SENTENCE = re.compile(
    r"(?P<set>\S+) train(?P<val> and val)?(?: without drive (?P<drive>\S+))?(?: \((?P<images>\d+) images\))?"
    r"(?: and (?P<rendered>\d+) rendered frames)?"
)


def seen_from_sentence(training: Mapping[str, Any]) -> Seen:
    """Return what weights have seen that were made before there was a record: a sentence said it.

    Teachers are known by name; what those had seen is not, and does not count.

    Args:
        training: a card's, or a checkpoint's run and recipe: `data` is the sentence, `start` the same of the weights
            that the run began with.
    """
    recipe = training.get("recipe", {})
    start = training.get("start")
    match = _SENTENCE.match(training.get("data", ""))
    labelled: dict[str, dict[str, SplitSeen]] = {}
    if match is not None:
        count, drive = int(match["images"] or 0), match["drive"]
        counts = {
            split: (sum(n for name, n in drives.items() if name != drive), sum(drives.values()))
            for split, drives in CAMVID_IMAGES.items()
            if split == "train" or match["val"]
        }
        if match["set"] != "camvid" or sum(seen for seen, _ in counts.values()) != count:
            counts = dict.fromkeys(counts, (count, 0))  # of which split each one was is not known
        labelled[match["set"]] = {s: SplitSeen(of, unnamed=seen) for s, (seen, of) in counts.items() if seen or of}
    pictures = recipe.get("pictures", "")
    own = Seen(
        labelled,
        int((match and match["rendered"]) or 0),
        {pictures: None} if pictures else {},
        (),
        tuple(filter(None, [recipe.get("teacher", ""), *recipe.get("opinions", ())])),
    )
    return own if start is None else own.joined(ancestor(start))


def ancestor(training: Mapping[str, Any]) -> Seen:
    """Return what a run has seen that starts from the weights of which `training` tells."""
    command = training.get("command")
    return Seen(ancestors=(command,) if command else ()).joined(seen_by(training))
