"""Load what a run starts from: its images, its network, its teacher, and the record of what these have seen."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from segnet_live.card import find_card, read_card
from segnet_live.errors import DataError, UsageError, first_line
from segnet_live.learning.data import LabelledSet, Sample
from segnet_live.learning.depth import statistics
from segnet_live.learning.seen import Seen, SplitSeen, ancestor, seen_by
from segnet_live.nets.load import load_network
from segnet_live.nets.networks import NETWORKS
from segnet_live.nets.segnet import Network, VGG16Encoder
from train.checkpoint import read_checkpoint, training_of
from train.config import FitConfig
from train.dilated_init import DilatedConv2d, dilate
from train.opinions import Opinions, seen_by_teachers
from train.pictures import Picture, load_pictures
from train.rendered import rendered_samples


@dataclass(frozen=True, slots=True)
class Images:
    """The images that a run learns from and is evaluated on.

    Attributes:
        about: one clause for the card on what the network was trained on, for people; `seen` says it as data.
    """

    train: list[Sample]
    val: list[Sample]
    about: str
    seen: Seen


def labelled_images(
    labelled: LabelledSet, root: Path, *, leave_out: str = "", train_on_val: bool = False, depth: bool = False
) -> Images:
    """Return the labelled images of a run with these settings (see `FitConfig`).

    Raises:
        DataError: see `LabelledSet.load`.
    """
    splits = {split: labelled.load(root, split, depth=depth) for split in ("train", "val")}
    train, val, about = splits["train"], splits["val"], f"{labelled.name} train"
    used = {"train": train}
    if leave_out:
        used = {split: [s for s in every if not s.name.startswith(leave_out)] for split, every in splits.items()}
        train = [s for every in used.values() for s in every]
        val = [s for every in splits.values() for s in every if s.name.startswith(leave_out)]
        about = f"{labelled.name} train and val without drive {leave_out}"
    elif train_on_val:
        used, train, about = splits, train + val, f"{labelled.name} train and val"
    seen = {
        split: SplitSeen(len(every), frozenset(s.name for s in used.get(split, ()))) for split, every in splits.items()
    }
    return Images(train, val, f"{about} ({len(train)} images)", Seen({labelled.name: seen}))


def split_samples(config: FitConfig, labelled: LabelledSet, root: Path, out: Path) -> Images:
    """Return the images of a run, rendered frames among them; those are kept in `out` for later calls.

    Raises:
        DataError: see `LabelledSet.load`.
    """
    images = labelled_images(
        labelled, root, leave_out=config.leave_out, train_on_val=config.train_on_val, depth=config.depth
    )
    if not config.rendered:
        return images
    return Images(
        images.train + rendered_samples(config.rendered, config.seed, out / "rendered.npz"),
        images.val,
        f"{images.about} and {config.rendered} rendered frames",
        images.seen.joined(Seen(rendered=config.rendered)),
    )


def normalised_for(config: FitConfig, train: Sequence[Sample]) -> FitConfig:
    """Return the settings with what the depth of the training images is normalised by, where the network takes depth.

    Raises:
        DataError: nothing was measured in any of them.
    """
    if not config.depth:
        return config
    mean, std = statistics(train)
    return replace(config, mean=(*config.mean[:3], mean), std=(*config.std[:3], std))


def seen_by_run(
    config: FitConfig, images: Images, init: str, teacher: str, pictures: Sequence[Picture], opinions: Sequence[str]
) -> Seen:
    """Return what a run's weights have seen at its end, also through what it starts and learns from.

    Args:
        init, teacher, opinions: as the options name them; "" for none.

    Raises:
        DataError, CardError, UsageError: `init` or `teacher` cannot be read.
    """
    seen = images.seen
    if init:
        seen = seen.joined(ancestor(training_of(Path(init))))
    if teacher:
        path = Path(teacher)
        seen = seen.joined(seen_by(training_of(path) if path.is_file() else find_card(teacher).training))
    for folder in opinions:
        seen = seen.joined(seen_by_teachers(Path(folder)))
    teachers = tuple(filter(None, [config.teacher, *config.opinions]))
    return Seen(unlabelled={config.pictures: len(pictures)} if pictures else {}, teachers=teachers).joined(seen)


def unlabelled_pictures(
    labelled: LabelledSet, folders: Sequence[str], pictures: str, held_out: str
) -> tuple[list[Picture], Opinions | None]:
    """Return what a run learns beside the labels: pictures with opinions on them, the opinions on labelled images.

    Raises:
        DataError, UsageError: see `Opinions` and `load_pictures`; or the file of held-out names cannot be read.
    """
    if not folders:
        return [], None
    opinions = Opinions([Path(folder) for folder in folders], labelled.classes)
    names: list[str] = []
    if held_out:
        try:
            names = [Path(line).stem for line in Path(held_out).read_text(encoding="utf-8").split()]
        except OSError as error:
            raise DataError(
                f"{held_out} cannot be read ({first_line(error)})", "pass a file of picture names"
            ) from error
    return load_pictures(Path(pictures), opinions, names) if pictures else [], opinions


def starting_network(config: FitConfig, labelled: LabelledSet, init: str, vgg16: str) -> Network:
    """Return a network He-initialised from the seed, or with the weights of a checkpoint, or with VGG16's encoder.

    Raises:
        DataError: a file is missing or no checkpoint. UsageError: its weights do not fit.
    """
    torch.manual_seed(config.seed)
    network = NETWORKS[config.model](len(labelled.classes), **config.arguments)
    if config.dilated_init:
        dilate(network)
    if init:
        _fill(network, Path(init), config)
    if vgg16:
        assert isinstance(network, VGG16Encoder)  # FitConfig sees to it
        try:
            network.load_vgg16_bn(torch.load(vgg16, map_location="cpu", weights_only=True))
        except (OSError, pickle.UnpicklingError, RuntimeError, ValueError) as error:
            raise DataError(
                f"{vgg16} gives no encoder ({first_line(error)})", "pass torchvision's vgg16_bn file"
            ) from error
    if config.frozen_above:
        for parameter in network.parameters():
            parameter.requires_grad_(parameter.ndim <= 1 or parameter.numel() <= config.frozen_above)
    return network


def _fill(network: Network, path: Path, config: FitConfig) -> None:
    if path.is_dir():
        card = read_card(path)
        if card.architecture != config.model or card.mean != tuple(config.mean):
            raise UsageError(f"{path} is a {card.architecture} normalised by {card.mean}", "pass one like this run")
        as_trained = replace(card, class_offsets=())
        network.load_state_dict(load_network(as_trained).state_dict())
        return
    checkpoint = read_checkpoint(path)
    try:
        network.load_state_dict(checkpoint.weights)
    except RuntimeError as error:
        raise UsageError(
            f"{path} does not fit {config.model} with these classes", "pass a checkpoint of the same"
        ) from error
    if any(isinstance(m, DilatedConv2d) and not m.has_dilated_weights() for m in network.modules()):
        raise UsageError(f"{path} has whole 7x7 kernels, of which dilated ones would be a part", "drop --dilated-init")
    mean = checkpoint.config.get("mean")
    if mean is not None and tuple(mean) != tuple(config.mean):
        raise UsageError(
            f"{path} was trained on images less the mean {mean}, this run uses {config.mean}", "they must agree"
        )


def load_teacher(teacher: str, config: FitConfig, labelled: LabelledSet) -> Network:
    """Return the network of a checkpoint, a model folder or an installed model, to learn from.

    Raises:
        UsageError: unknown, or it has other classes or another normalisation. DataError, CardError: it is damaged.
    """
    path = Path(teacher)
    if path.is_file():
        stored = read_checkpoint(path).config
        if stored.get("model") not in NETWORKS:
            raise UsageError(f"{path} does not name its network", "package it and pass the model folder as --teacher")
        network = NETWORKS[stored["model"]](len(labelled.classes), **stored.get("arguments", {}))
        _fill(network, path, config)
        return network
    card = find_card(teacher)
    if card.classes.names != labelled.classes.names or card.mean != tuple(config.mean):
        raise UsageError(
            f"{teacher} has other classes or another normalisation than this run", "pick another --teacher"
        )
    return load_network(card)
