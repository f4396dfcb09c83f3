"""Fit one number for each class that is added to its logit, so that the mean IoU of what the app shows is best.

The arg max of a balanced loss is not the labelling with the best mean IoU: classes that a network finds too often, or
too seldom, are so on a drive that training left out as well. The numbers are fitted on images that the weights have not
seen, and only a part of what those want is taken, since other drives want less. They are on the card, and
`segnet_live.nets.load` adds them to the classifier's bias: they cost nothing when the network runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from segnet_live.card import HELD_OUT, Card, read_card
from segnet_live.errors import UsageError
from segnet_live.learning.calibration import drawn_logits
from segnet_live.learning.data import LabelledSet, Sample
from segnet_live.learning.evaluate import write_json
from segnet_live.learning.model_folder import read_fields
from segnet_live.learning.seen import Seen, seen_by
from train.calibrate import calibration_fields
from train.checkpoint import read_checkpoint
from train.initialise import labelled_images
from train.package import Figures, as_held_out, held_out_metrics, split_metrics

STEPS = (0.8, 0.4, 0.2, 0.2)
"""Each class's number is moved by these in turn, up and down, where that helps."""
LEAST = -0.5
"""No class is made rarer than by this: of people, whom the best mean IoU would have fewer found, most are to be."""
RESTRAINT = 0.003
"""What the mean square of the numbers costs, in mean IoU: a class that is hardly there gets none."""


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """Logits (n, K) of weights on labelled pixels (n,) that they have not seen."""

    about: str
    logits: Tensor
    truth: Tensor

    def miou(self, offsets: Tensor) -> float:
        """Return the mean IoU over the classes, with `offsets` (K,) added to the logits."""
        count = self.logits.shape[1]
        found = (self.logits + offsets).argmax(1)
        confusion = torch.bincount(self.truth * count + found, minlength=count**2).view(count, count)
        right = confusion.diag()
        union = confusion.sum(0) + confusion.sum(1) - right
        return float((right / union.clamp(min=1)).double().mean())


def gather(path: Path, card: Card, labelled: LabelledSet, data: Path, scratch: Path) -> tuple[Card, Evidence]:
    """Return earlier weights of the network of `card`, and what they say on the images that their run left out.

    Args:
        path: a checkpoint, or a model folder: of a run with a drive left out, or else of one without val.

    Raises:
        UsageError: they are of another network, or have seen those images.
    """
    checkpoint = None if path.is_dir() else read_checkpoint(path)
    leave_out = checkpoint.config.get("leave_out", "") if checkpoint else ""
    before = replace(as_held_out(path, card, labelled, data, (), scratch), class_offsets=())
    images = labelled_images(labelled, data, leave_out=leave_out).val
    seen = seen_by(checkpoint.run if checkpoint else before.training)  # a card counts images, a checkpoint names them
    _require_unseen(seen, images, labelled, data, path)
    about = f"drive {leave_out}" if leave_out else f"{labelled.name} val"
    return before, Evidence(about, *drawn_logits(before, images, None))


def _require_unseen(seen: Seen, images: Sequence[Sample], labelled: LabelledSet, data: Path, path: Path) -> None:
    names = {sample.name for sample in images}
    for split in ("train", "val"):
        left_out = [s.name for s in labelled.load(data, split) if s.name in names]
        if count := seen.among(labelled.name, split, left_out):
            raise UsageError(f"{path} was trained on {count} of {labelled.name} {split}", "pass weights from before")


def fit_offsets(evidence: Sequence[Evidence]) -> Tensor:
    """Return (K,) the numbers with the best mean IoU, as the mean over `evidence`; their mean is 0."""

    def worth(offsets: Tensor) -> float:
        cost = RESTRAINT * float(offsets.square().mean())
        return float(np.mean([one.miou(offsets) for one in evidence])) - cost

    best = torch.zeros(evidence[0].logits.shape[1])
    most = worth(best)
    for step in STEPS:
        for class_id in range(len(best)):
            for change in (step, -step):
                tried = best.clone()
                tried[class_id] += change
                tried -= tried.mean()
                if tried.min() >= LEAST and (found := worth(tried)) > most:
                    best, most = tried, found
    return best


def offset_fields(evidence: Sequence[Evidence], share: float) -> dict[str, Any]:
    """Return what a card says of its class offsets: `share` of what fits, and what they give on each evidence.

    Where there are several, `with_others` is the mean IoU by offsets that were fitted without it.
    """
    offsets = share * fit_offsets(evidence)
    figures = []
    for one in evidence:
        figure = {
            "images": one.about,
            "mIoU without": round(one.miou(torch.zeros_like(offsets)), 4),
            "mIoU with": round(one.miou(offsets), 4),
        }
        if others := [other for other in evidence if other.about != one.about]:
            figure["mIoU by the others'"] = round(one.miou(share * fit_offsets(others)), 4)
        figures.append(figure)
    return {"values": [round(float(v), 3) for v in offsets], "share": share, "fitted_on": figures}


def put_offsets(
    card: Card, fields: dict[str, Any], earlier: tuple[Path, Card], labelled: LabelledSet, figures: Figures
) -> Card:
    """Write the offsets on the card in its folder, and what changes with them: its figures and its temperature.

    Everything is measured first, and written at once.

    Args:
        earlier: weights of the same training that have not seen the splits of `figures`, and where they are: theirs are
            the honest figures, and the temperature.

    Raises:
        OutputError: the card cannot be written.
    """
    path, before = earlier
    offsets = tuple(fields["values"])
    shifted, before = replace(card, class_offsets=offsets), replace(before, class_offsets=offsets)
    honest = held_out_metrics(split_metrics(before, labelled, figures), before, path)
    fitted = {figure["images"]: figure["mIoU without"] for figure in fields["fitted_on"]}
    for where, found in honest.items():
        if (images := where.removesuffix(HELD_OUT)) in fitted:
            without = f"mIoU {fitted[images]} without, on drawn pixels"
            found["caution"] = f"the class offsets were fitted on these images; {without}"
    metrics = card.metrics | split_metrics(shifted, labelled, figures) | honest
    calibration = calibration_fields(
        shifted, labelled, figures.data, figures.splits, held_out=before, size=figures.via.size
    )
    written = read_fields(card)
    last = {"calibration": calibration, "metrics": metrics} | {"int8": written.pop("int8", {})}
    rest = {name: value for name, value in written.items() if name not in last}
    write_json(card.folder / "card.json", rest | {"class_offsets": fields} | last)
    return read_card(card.folder)
