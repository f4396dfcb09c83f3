"""What a run starts from: its images, its network, its teacher."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from pathlib import Path

import torch

from segnet_live.card import find_card, read_card
from segnet_live.errors import DataError, UsageError
from segnet_live.nets.load import load_network
from segnet_live.nets.segnet import NETWORKS, Network, SegNet
from train.checkpoint import read_checkpoint
from train.config import FitConfig
from train.data import LabelledSet, Sample
from train.dilated_init import ThinConv2d, thin
from train.opinions import Opinions
from train.pictures import Picture, load_pictures
from train.rendered import rendered_samples


def split_samples(
    config: FitConfig, labelled: LabelledSet, root: Path, out: Path
) -> tuple[list[Sample], list[Sample], str]:
    """Training images, evaluation images, and one clause for the card on what the network was trained on.

    Rendered frames are kept in `out` for later calls.

    Raises:
        DataError: see `LabelledSet.load`.
    """
    train, val = labelled.load(root, "train"), labelled.load(root, "val")
    about = f"{labelled.name} train"
    if config.leave_out:
        everything = train + val
        train = [s for s in everything if not s.name.startswith(config.leave_out)]
        val = [s for s in everything if s.name.startswith(config.leave_out)]
        about = f"{labelled.name} train and val without drive {config.leave_out}"
    elif config.train_on_val:
        train = train + val
        about = f"{labelled.name} train and val"
    about += f" ({len(train)} images)"
    if config.rendered:
        train = train + rendered_samples(config.rendered, config.seed, out / "rendered.npz")
        about += f" and {config.rendered} rendered frames"
    return train, val, about


def unlabelled_pictures(
    config: FitConfig, labelled: LabelledSet, folders: Sequence[str], pictures: str, held_out: str
) -> tuple[list[Picture], Opinions | None]:
    """What a run learns beside the labels: pictures with opinions on them, and the opinions on labelled images.

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
            raise DataError(f"{held_out} cannot be read ({error.strerror}); pass a file of picture names") from error
    return load_pictures(Path(pictures), opinions, names) if pictures else [], opinions


def starting_network(config: FitConfig, labelled: LabelledSet, init: str, vgg16: str) -> Network:
    """He-initialised from the seed, or with the weights of a checkpoint, or with VGG16's encoder.

    Raises:
        DataError: a file is missing or no checkpoint. UsageError: its weights do not fit.
    """
    torch.manual_seed(config.seed)
    network = NETWORKS[config.model](len(labelled.classes), **config.arguments)
    if config.thin:
        thin(network)
    if init:
        _fill(network, Path(init), config)
    if vgg16:
        assert isinstance(network, SegNet)  # FitConfig sees to it
        try:
            network.load_vgg16_bn(torch.load(vgg16, map_location="cpu", weights_only=True))
        except (OSError, pickle.UnpicklingError, RuntimeError, ValueError) as error:
            raise DataError(
                f"{vgg16} gives no encoder ({str(error).splitlines()[0]}); pass torchvision's vgg16_bn file"
            ) from error
    return network


def _fill(network: Network, path: Path, config: FitConfig) -> None:
    if path.is_dir():
        card = read_card(path)
        if card.architecture != config.model or card.mean != tuple(config.mean):
            raise UsageError(f"{path} is a {card.architecture} normalised by {card.mean}; pass one like this run")
        network.load_state_dict(load_network(card).state_dict())
        return
    checkpoint = read_checkpoint(path)
    try:
        network.load_state_dict(checkpoint.weights)
    except RuntimeError as error:
        raise UsageError(
            f"{path} does not fit {config.model} with these classes; pass a checkpoint of the same"
        ) from error
    if any(isinstance(m, ThinConv2d) and not m.fits() for m in network.modules()):
        raise UsageError(f"{path} has whole 7x7 kernels, of which thin ones would be a part; drop --thin")
    mean = checkpoint.config.get("mean")
    if mean is not None and tuple(mean) != tuple(config.mean):
        raise UsageError(
            f"{path} was trained on images less the mean {mean}, this run uses {config.mean}; they must agree"
        )


def load_teacher(teacher: str, config: FitConfig, labelled: LabelledSet) -> Network:
    """The network of a checkpoint, a model folder or an installed model, to learn from.

    Raises:
        UsageError: unknown, or it has other classes or another normalisation. DataError, CardError: it is damaged.
    """
    path = Path(teacher)
    if path.is_file():
        stored = read_checkpoint(path).config
        if stored.get("model") not in NETWORKS:
            raise UsageError(f"{path} does not name its network; package it and pass the model folder as --teacher")
        network = NETWORKS[stored["model"]](len(labelled.classes), **stored.get("arguments", {}))
        _fill(network, path, config)
        return network
    card = find_card(teacher)
    if card.classes.names != labelled.classes.names or card.mean != tuple(config.mean):
        raise UsageError(f"{teacher} has other classes or another normalisation than this run; pick another --teacher")
    return load_network(card)
