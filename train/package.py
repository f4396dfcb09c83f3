"""Package a checkpoint as a model: weights, int8 ranges, a temperature, and a card with its figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segnet_live.card import HELD_OUT, Card, read_card
from segnet_live.config import format_size
from segnet_live.errors import UsageError
from segnet_live.learning.data import LabelledSet, class_frequencies
from segnet_live.learning.evaluate import write_json
from segnet_live.learning.int8_ranges import input_maxima
from segnet_live.learning.model_folder import install, read_fields, scratch_folder, write_model
from segnet_live.learning.seen import seen_by
from segnet_live.nets.networks import NETWORKS
from train.calibrate import calibration_fields, print_calibration, put_on_card
from train.card_fields import card_fields, shown_command
from train.checkpoint import Checkpoint, read_checkpoint
from train.initialise import Images, labelled_images
from train.logit_adjustment import remove_prior
from train.measure import Through, measured
from train.sets import SETS


@dataclass(frozen=True, slots=True)
class Figures:
    """The data and the engine to measure the card's figures with.

    Attributes:
        data: folder of the labelled set.
        splits: of it, each measured.
        balancing: power of the class balancing that the release recipe's logits keep.
        held_out: a checkpoint from before the splits joined the training, measured as well.
        earlier: a model folder that the training began with, where the checkpoint of its held-out figures is gone: its
            card's figures, temperature and class offsets are kept, and say whose they are.
    """

    data: Path
    splits: Sequence[str]
    via: Through
    balancing: float
    held_out: Path | None = None
    earlier: Path | None = None


def as_model(
    checkpoint: Checkpoint,
    labelled: LabelledSet,
    folder: Path,
    model: str = "",
    name: str = "",
    upon: Card | None = None,
) -> Card:
    """Write a checkpoint's averaged weights as they are, as a model in `folder`.

    Args:
        model: its network, if the checkpoint does not say.
        name: of the model; its network's if empty.
        upon: see `write_model`.

    Raises:
        UsageError: neither says which network it is, or `upon` is of another one.
    """
    model = model or checkpoint.config.get("model", "")
    if model not in NETWORKS:
        known = ", ".join(NETWORKS)
        raise UsageError(f"the checkpoint is for {model or 'an unnamed network'}", f"name one of {known}")
    return write_model(folder, checkpoint.weights, card_fields(checkpoint, labelled, model, name or model), upon)


def package(
    path: Path, out: Path, figures: Figures | None, model: str = "", name: str = "", upon: Path | None = None
) -> Path:
    """Make the model of the checkpoint at `path` in a folder in `out`, which is complete or not touched; returns it.

    Args:
        figures: without them the card has none, logits stay as trained, and there are no ranges for int8.
        model, name: see `as_model`.
        upon: a model folder whose `weights.safetensors` is kept; what training changed goes beside it.

    Raises:
        UsageError: see `as_model`; or the held-out checkpoint is of another network, or has seen a split; or the
            training did not begin with the earlier model, or its card has nothing held out.
        DataError: a file is missing or damaged. OutputError: `out` cannot be written.
    """
    checkpoint = read_checkpoint(path)
    labelled = SETS[checkpoint.config.get("set", "camvid")]
    with scratch_folder(out) as scratch:
        base = None if upon is None else read_card(upon)
        card = as_model(checkpoint, labelled, Path(scratch), model, name, base)
        if figures is not None:
            card = _finished(card, checkpoint, labelled, figures)
            if figures.earlier is not None:
                fields = _keep_figures(card, read_card(figures.earlier), labelled, figures)
            else:
                fields = _measure(card, path, labelled, figures, Path(scratch) / "held-out")
            print_calibration(put_on_card(read_card(card.folder), fields), fields)
        install(card.folder, out / card.name)
    return out / card.name


def _measure(card: Card, path: Path, labelled: LabelledSet, figures: Figures, folder: Path) -> dict[str, Any]:
    """Write the figures of `card`, made of the checkpoint at `path`, and return what to say of its calibration.

    Args:
        folder: where the held-out checkpoint can be written as a model.
    """
    before: Card | None = None
    metrics = split_metrics(card, labelled, figures)
    if figures.held_out is not None:
        earlier = read_checkpoint(figures.held_out)
        before = as_model(earlier, labelled, folder, earlier.config.get("model", card.architecture), card.name)
        _require_same(before, card, figures.held_out, path)
        before = _finished(before, earlier, labelled, figures)
        metrics |= held_out_metrics(split_metrics(before, labelled, figures), before, figures.held_out)
    write_json(card.folder / "card.json", read_fields(card) | {"metrics": metrics})
    return calibration_fields(card, labelled, figures.data, figures.splits, held_out=before, size=figures.via.size)


def _keep_figures(card: Card, earlier: Card, labelled: LabelledSet, figures: Figures) -> dict[str, Any]:
    """Write the figures of `card` beside those that `earlier` had held out; return what that said of its calibration.

    Class offsets are kept, too, and `card` is measured with them.
    """
    kept = kept_from(earlier, card)
    calibration: dict[str, Any] = kept.pop("calibration")
    held_out = kept.pop("metrics")
    write_json(card.folder / "card.json", read_fields(card) | kept)
    card = read_card(card.folder)
    metrics = split_metrics(card, labelled, figures) | held_out
    write_json(card.folder / "card.json", read_fields(card) | {"metrics": metrics})
    return calibration


def _require_same(before: Card, card: Card, held_out: Path, path: Path) -> None:
    if before.architecture != card.architecture:
        raise UsageError(
            f"{held_out} is a {before.architecture}, {path} a {card.architecture}",
            "--held-out takes an earlier checkpoint of the same training",
        )


def kept_from(earlier: Card, card: Card) -> dict[str, Any]:
    """Return what a card's `earlier` one says of images that its weights, or those before, had not seen.

    Returns:
        `metrics` (those held out), `calibration`, and `class_offsets` where it has any.

    Raises:
        UsageError: the training of `card` did not begin with `earlier`, or there is nothing held out on its card.
    """
    _require_same(earlier, card, earlier.folder, card.folder)
    if earlier.training.get("command") not in seen_by(card.training).ancestors:
        raise UsageError(f"the training did not begin with {earlier.folder}", "pass the model folder of its --init")
    fields = read_fields(earlier)
    metrics = {where: dict(found) for where, found in earlier.metrics.items() if where.endswith(HELD_OUT)}
    if not metrics or "weights_of" not in fields.get("calibration", {}):
        raise UsageError(f"the card in {earlier.folder} has no figures held out", "drop --earlier")
    for found in metrics.values():
        cautions = ("the weights before these were measured", found.get("caution", ""))
        found["caution"] = "; ".join(filter(None, cautions))
    kept = {"metrics": metrics, "calibration": fields["calibration"]}
    if "class_offsets" in fields:
        kept["class_offsets"] = fields["class_offsets"]
    return kept


def as_held_out(path: Path, card: Card, labelled: LabelledSet, data: Path, splits: Sequence[str], folder: Path) -> Card:
    """Return earlier weights of the training of `card`: a model folder, or a checkpoint written as one in `folder`.

    A checkpoint is as balanced then as `card` is, a model folder as it was packaged.

    Raises:
        UsageError: they are of another network, or have seen images of the splits.
    """
    if path.is_dir():
        before = read_card(path)
    else:
        checkpoint = read_checkpoint(path)
        before = as_model(checkpoint, labelled, folder, checkpoint.config.get("model", card.architecture), card.name)
        power = checkpoint.config.get("weight_power", 0.0) if checkpoint.config.get("recipe") == "release" else 0.0
        if power:
            kept = card.training.get("balancing_kept", power)
            before = remove_prior(before, balancing_frequencies(checkpoint, labelled, data), power, kept)
    _require_same(before, card, path, card.folder)
    seen = seen_by(before.training)
    for split in splits:
        if seen.among(labelled.name, split, (s.name for s in labelled.load(data, split))):
            raise UsageError(f"{path} was trained on {labelled.name} {split} too", "pass one from before as --held-out")
    return before


def _finished(card: Card, checkpoint: Checkpoint, labelled: LabelledSet, figures: Figures) -> Card:
    """Remove balancing from `card` and give it ranges for int8, as the run's own training images want both."""
    config, images = checkpoint.config, _training_images(checkpoint, labelled, figures.data)
    if config.get("recipe") == "release" and config.get("weight_power"):
        frequencies = balancing_frequencies(checkpoint, labelled, figures.data)
        card = remove_prior(card, frequencies, config["weight_power"], figures.balancing)
    if card.channels == 3:  # else no engine takes it
        int8 = {"maxima": input_maxima(card, images.train), "data": images.about}
        write_json(card.folder / "card.json", read_fields(card) | {"int8": int8})
    return read_card(card.folder)


def balancing_frequencies(checkpoint: Checkpoint, labelled: LabelledSet, data: Path | None) -> NDArray[np.float64]:
    """Return (K,) the class frequencies that a run's balancing was made for.

    Args:
        data: folder of the labelled set, for older checkpoints, which do not tell: without rendered frames, then.

    Raises:
        UsageError: the checkpoint does not tell, and there is no `data`.
    """
    stored = checkpoint.run.get("class_frequencies")
    if stored is not None:
        return np.array(stored)
    if data is None:
        raise UsageError("the checkpoint does not tell its class frequencies", "pass the labelled set as --data")
    return class_frequencies(_training_images(checkpoint, labelled, data).train, labelled.classes)


def _training_images(checkpoint: Checkpoint, labelled: LabelledSet, data: Path) -> Images:
    config = checkpoint.config
    return labelled_images(
        labelled, data, leave_out=config.get("leave_out", ""), train_on_val=config.get("train_on_val", False)
    )


def split_metrics(card: Card, labelled: LabelledSet, figures: Figures) -> dict[str, Any]:
    """Return the figures on each split, with the command that measures them again."""
    metrics, seen = {}, seen_by(card.training)
    for split in figures.splits:
        samples = labelled.load(figures.data, split, depth=card.channels == 4)
        found = measured(card, samples, figures.via)
        count = seen.among(labelled.name, split, (s.name for s in samples))
        if count:
            which = "these images" if count == len(samples) else f"{count} of these images"
            found["caution"] = f"the weights were trained on {which}"
        found["command"] = _command_of(found["measured_with"], card.name, labelled.name, split, figures)
        metrics[f"{labelled.name} {split}"] = found
    return metrics


def held_out_metrics(metrics: dict[str, Any], card: Card, path: Path) -> dict[str, Any]:
    """Return `metrics` of an earlier checkpoint under names of their own, without commands: they measure other weights.

    Raises:
        UsageError: it has seen some of the images.
    """
    for where, found in metrics.items():
        if "caution" in found:
            raise UsageError(f"{path} was trained on {where} too", "pass one from before as --held-out")
        del found["command"]
        found["weights_of"] = card.training["command"]
    return {f"{where}{HELD_OUT}": found for where, found in metrics.items()}


def _command_of(measured_with: dict[str, Any], model: str, set_name: str, split: str, figures: Figures) -> str:
    engine = ["--backend", measured_with["backend"], "--precision", measured_with["precision"]]
    parts = ["evaluate", "--model", model, "--set", set_name, "--data", str(figures.data), "--split", split, *engine]
    if figures.via.size is not None:
        parts += ["--size", format_size(figures.via.size)]
    return shown_command(parts)
