"""Adapt a model to corrected drafts: measure, train, measure again, and refuse what got worse."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from segnet_live import __version__
from segnet_live.adapt.finetune import Progress, Recipe, finetune, mixed
from segnet_live.adapt.images import OldRoads, corrected, old_roads, split
from segnet_live.card import Card, read_card
from segnet_live.engine.base import Engine
from segnet_live.engine.open import fixed_backend, open_engine
from segnet_live.errors import OutputError, SegnetLiveError, UsageError
from segnet_live.frame import RGB, LabelMap, Size
from segnet_live.labels import labels_at
from segnet_live.learning.data import Sample
from segnet_live.learning.evaluate import Evaluation, Segment, evaluate, on_samples, write_json
from segnet_live.learning.int8_ranges import input_maxima
from segnet_live.learning.model_folder import install, read_fields, scratch_folder, write_model
from segnet_live.learning.seen import Seen, SplitSeen, seen_by
from segnet_live.nets.load import load_network

MAY_FALL = 0.01
"""mIoU by which old roads may fall: less is within what another seed gives."""


class GotWorse(SegnetLiveError):
    """Raised when the adapted model is worse than the one before; nothing was written."""


@dataclass(frozen=True, slots=True)
class Job:
    """What to adapt, to what, and where the new model goes.

    Attributes:
        card: the model to begin with.
        drafts: the drafts folder.
        out: the new model's folder; its last part is the model's name.
        old: folder in CamVid's layout of roads that the model knew; None for the example drive.
        overwrite: `out` may hold a model already.
    """

    card: Card
    drafts: Path
    out: Path
    old: Path | None = None
    overwrite: bool = False
    recipe: Recipe = field(default_factory=Recipe)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an adaptation gave.

    Attributes:
        card: of the new model.
        held: the drafts held back, on which `before` and `after` were measured.
        old_before, old_after: on old roads; None where there are none to measure.
        learnt, waiting: drafts learnt from, and drafts without correction, which were left out.
        about_old: where old roads are from.
        share: of the new weights in the result, the old ones have the rest.
        engine: what the figures were measured through.
    """

    card: Card
    held: Sequence[Sample]
    before: Evaluation
    after: Evaluation
    old_before: Evaluation | None
    old_after: Evaluation | None
    learnt: int
    waiting: int
    about_old: str
    steps: int
    share: float
    seconds: float
    engine: str

    def as_json(self) -> dict[str, Any]:
        def pair(before: Evaluation | None, after: Evaluation | None) -> dict[str, Any] | None:
            return None if before is None or after is None else {"before": before.as_json(), "after": after.as_json()}

        return {
            "model": str(self.card.folder),
            "name": self.card.name,
            "learnt": self.learnt,
            "waiting": self.waiting,
            "steps": self.steps,
            "share_of_new_weights": self.share,
            "seconds": round(self.seconds, 1),
            "measured_with": self.engine,
            "held_back": pair(self.before, self.after),
            "old_roads": {"about": self.about_old, **(pair(self.old_before, self.old_after) or {})},
        }


def adapt(job: Job, say: Callable[[str], None], progress: Progress) -> Outcome:
    """Write a model fitted to the corrected drafts at `job.out`, whole or not at all.

    Args:
        say: takes a line on what happens.
        progress: takes the share of the training that is done.

    Raises:
        GotWorse: the held-back drafts or old roads got worse.
        UsageError: too few corrected drafts, or `out` exists.
        DataError: the drafts or the old roads are damaged. OutputError: `out` cannot be written.
    """
    began_s = time.monotonic()
    check_out(job)
    card = job.card
    samples, waiting = corrected(job.drafts, card.classes)
    learn, held = split(samples)
    old = old_roads(job.old, card.classes)
    say(
        f"{len(learn)} corrected drafts to learn from, {len(held)} held back, {waiting} not corrected and left out; "
        f"old roads: {old.about} ({len(old.learn)} to rehearse, {len(old.measure)} to measure)"
    )
    with scratch_folder(job.out.parent) as scratch:
        say(f"measuring {card.name} as it is")
        before, old_before, engine = measured(card, held, old)
        network = load_network(card)
        known = {name: tensor.clone() for name, tensor in network.state_dict().items()}
        weights, steps = finetune(network, card.mean, card.std, card.classes, learn, old.learn, job.recipe, progress)
        worse: GotWorse | None = None
        for share in job.recipe.shares:
            say(f"measuring {share:.0%} of the new weights, {1 - share:.0%} of the old")
            new = _written(job, Path(scratch) / f"{share}", mixed(known, weights, share), learn, old, steps, share)
            after, old_after, _ = measured(new, held, old)
            worse = what_got_worse(before, after, old_before, old_after, old.about)
            if worse is None:
                break
            say(worse.problem)
        else:
            assert worse is not None
            raise GotWorse(f"{worse.problem}: nothing was written", worse.advice)
        metrics = {"held-back drafts": after.as_json() | {"measured_with": engine}}
        if old_after is not None:
            metrics[f"old roads: {old.about}"] = old_after.as_json() | {"measured_with": engine}
        write_json(new.folder / "card.json", read_fields(new) | {"metrics": metrics})
        install(new.folder, job.out)
    return Outcome(
        read_card(job.out), held, before, after, old_before, old_after, len(learn), waiting, old.about, steps,
        share, time.monotonic() - began_s, engine,
    )  # fmt: skip


def check_out(job: Job) -> None:
    """Check that the new model may be written where it is wanted.

    Raises:
        UsageError: a model is there already. OutputError: the folder cannot be written.
    """
    if job.out.resolve() == job.card.folder.resolve():
        raise UsageError(f"{job.out} is the model to begin with", "pass another --out")
    if (job.out / "card.json").exists() and not job.overwrite:
        raise UsageError(f"{job.out} holds a model already", "pass another --out, or --overwrite")
    parent = next(p for p in (job.out, *job.out.resolve().parents) if p.exists())
    if not parent.is_dir() or not os.access(parent, os.W_OK):
        raise OutputError(f"{job.out} cannot be written", "pass another --out")


def what_got_worse(
    before: Evaluation, after: Evaluation, old_before: Evaluation | None, old_after: Evaluation | None, about: str
) -> GotWorse | None:
    """Return why the new weights are not worth keeping, with both figures; None if they are."""
    if after.miou <= before.miou:
        return GotWorse(
            f"the held-back drafts fell from mIoU {before.miou:.3f} to {after.miou:.3f}",
            "correct more drafts, or look for wrong labels among them",
        )
    if old_before is not None and old_after is not None and old_after.miou < old_before.miou - MAY_FALL:
        return GotWorse(
            f"{about} fell from mIoU {old_before.miou:.3f} to {old_after.miou:.3f}, more than {MAY_FALL:g}",
            "pass roads to rehearse as --old, or a smaller --rate",
        )
    return None


@contextmanager
def through_app(card: Card) -> Iterator[tuple[Segment, Callable[[], str]]]:
    """Open engines for `card` as users have them; give a function from pictures to label maps of their size.

    Yields:
        The function, and one that names the engine, once a picture was segmented.
    """
    engines: dict[Size, Engine] = {}
    with ExitStack() as opened:

        def segment(rgb: RGB) -> LabelMap:
            size = (rgb.shape[0], rgb.shape[1])
            if size not in engines:
                engines[size] = open_engine(card, backend=fixed_backend("auto"), source_size=size)
                opened.callback(engines[size].close)
            return labels_at(engines[size].segment(rgb), size)

        def name() -> str:
            info = next(iter(engines.values())).info
            return f"{info.backend} {info.precision}"

        yield segment, name


def measured(card: Card, held: Sequence[Sample], old: OldRoads) -> tuple[Evaluation, Evaluation | None, str]:
    """Return the figures on the held-back drafts and on old roads, and the engine that gave them."""
    with through_app(card) as (segment, engine):
        on_held = evaluate(on_samples(segment), held, card.classes, bf=False)
        on_old = evaluate(on_samples(segment), old.measure, card.classes, bf=False) if old.measure else None
        return on_held, on_old, engine()


def _written(
    job: Job,
    folder: Path,
    weights: dict[str, torch.Tensor],
    learn: Sequence[Sample],
    old: OldRoads,
    steps: int,
    share: float,
) -> Card:
    """Write the new model in `folder`, with ranges for int8 on what it learnt from."""
    card = job.card
    seen = Seen(labelled={f"drafts {job.drafts.name}": {"corrected": SplitSeen(len(learn), unnamed=len(learn))}})
    if job.old is not None:
        seen = seen.joined(Seen(labelled={job.old.name: {"train": SplitSeen(0, unnamed=len(old.learn))}}))
    elif old.learn:
        seen = seen.joined(Seen(rendered=len(old.learn)))
    training = {
        "data": f"{len(learn)} corrected drafts of {job.drafts.name}, from {card.name}",
        "seen": seen_by(card.training).joined(seen).as_json(names=False),
        "data_licence": card.training.get("data_licence", ""),
        "recipe": {name: getattr(job.recipe, name) for name in Recipe.__dataclass_fields__},
        "steps": steps,
        "share_of_new_weights": share,
        "command": f"segnet-live adapt {job.drafts.name} --model {card.name}",
        "version": __version__,
        "start": {"model": card.name, "sha256": card.weights_id},
    }
    fields = read_fields(card) | {"name": job.out.name, "training": training, "metrics": {}}
    for of_the_old_weights in ("int8", "calibration", "class_offsets"):
        fields.pop(of_the_old_weights, None)
    new = write_model(folder, weights, fields)
    if card.int8_maxima:
        images = [*learn, *old.learn]
        int8 = {"maxima": input_maxima(new, images), "data": training["data"]}
        write_json(folder / "card.json", read_fields(new) | {"int8": int8})
    return read_card(folder)
