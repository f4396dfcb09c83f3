"""A run's settings: everything that decides its result, with the two recipes as starting points."""

from __future__ import annotations

import argparse
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from segnet_live.errors import UsageError
from segnet_live.nets.segnet import NETWORKS
from train.data import LabelledSet
from train.sets import IMAGENET_MEAN, IMAGENET_STD, SETS

RECIPES = ("paper", "release")


@dataclass(frozen=True, slots=True)
class FitConfig:
    """Saved beside the checkpoints as `config.json` and inside them.

    Attributes:
        set: name of the labelled set; arguments: of the network, besides the number of classes.
        epochs, minutes: how long; with `minutes` the schedule follows the time spent over all calls, else the steps.
        batch: images a step and process.
        crop: (height, width) of the random crops; None trains on whole images without any augmentation.
        warmup: share of the run with a rising learning rate; schedule: "cosine" to zero or "constant".
        ema_decay: of the averaged weights; 0 evaluates the network itself, with batch-norm statistics recomputed over
            the training set.
        weight_power: of median-frequency balancing; 1 is the paper's, 0 none.
        boundary: extra weight of pixels within 2 px of another class; lovasz: weight of the Lovász-softmax loss.
        distil: weight of the teacher's soft labels; teacher: its file name or model name.
        thin: share of the run, from its start, in which 7x7 kernels have every third tap only (`train.dilated_init`).
        zoom: mean scale of the crops' pictures, and the scale that the network runs at; 0.5 shows four times as much
            in a crop.
        appearance: strength of the crops' changes of light, lens and compression; 0 makes none.
        calm: share of the run, at its end, with 0.3 of that strength.
        paste: chance that a class of the next crop is pasted over a crop; rendered: frames of the drive to add.
        unlabelled: share of a batch that is unlabelled pictures, which have the teachers' opinions alone.
        soft, soft_labelled: weights of the loss against these opinions, on unlabelled pictures and on labelled images.
        uniform: chance that a crop is aimed at a pixel of a class drawn evenly among the image's.
        night, snow: chances of a painted night or of painted snow (`train.weather`).
        auxiliary: weight of a second classifier on the deepest features, which is dropped after training.
        opinions, pictures, held_out: names of the folders and of the file they were read from.
        leave_out: train on train + val without this drive, which is evaluated instead.
        train_on_val: for final weights; nothing is left to choose by, so the last ones count.
        init: checkpoint the run starts from; vgg16: file whose VGG16-BN its encoder starts from.
        mean, std: what images are normalised with, of the set, or ImageNet's with `vgg16`.
        select: measure that chooses `best.pt`, "mIoU" or "G"; evaluations: how many over the run.
        precision: "bf16" or "fp32" (autocast).
    """

    model: str
    recipe: str
    set: str = "camvid"
    arguments: dict[str, Any] = field(default_factory=dict)
    epochs: int = 200
    minutes: float = 0.0
    batch: int = 8
    crop: tuple[int, int] | None = (256, 320)
    optimiser: str = "adamw"
    lr: float = 2e-3
    weight_decay: float = 0.02
    schedule: str = "cosine"
    warmup: float = 0.02
    ema_decay: float = 0.998
    weight_power: float = 0.5
    boundary: float = 0.0
    lovasz: float = 0.0
    distil: float = 0.0
    teacher: str = ""
    thin: float = 0.0
    zoom: float = 1.0
    appearance: float = 1.0
    calm: float = 0.0
    paste: float = 0.0
    rendered: int = 0
    unlabelled: float = 0.5
    soft: float = 1.0
    soft_labelled: float = 0.3
    uniform: float = 0.0
    night: float = 0.0
    snow: float = 0.0
    auxiliary: float = 0.0
    opinions: tuple[str, ...] = ()
    pictures: str = ""
    held_out: str = ""
    leave_out: str = ""
    train_on_val: bool = False
    select: str = "mIoU"
    evaluations: int = 20
    precision: str = "bf16"
    init: str = ""
    vgg16: str = ""
    mean: tuple[float, float, float] = LabelledSet.mean
    std: tuple[float, float, float] = LabelledSet.std
    seed: int = 0

    def __post_init__(self) -> None:
        if self.model not in NETWORKS:
            raise UsageError(f"unknown model {self.model!r}; choose from {', '.join(NETWORKS)}")
        drives = SETS[self.set].drives
        if self.leave_out and self.leave_out not in drives:
            raise UsageError(f"{self.set} has no drive {self.leave_out!r}; it has {', '.join(drives) or 'none'}")
        if self.leave_out and self.train_on_val:
            raise UsageError("--leave-out and --train-on-val contradict each other; drop one")
        if bool(self.distil) != bool(self.teacher):
            raise UsageError("--distil needs a --teacher and a teacher needs a weight; pass both or none")
        if self.crop is not None and (self.crop[0] % 32 or self.crop[1] % 32):
            raise UsageError(f"crop {self.crop[0]}x{self.crop[1]} is no multiple of 32; for example --crop 256x320")
        if self.arguments.get("dropout") and self.model == "segnet-fast":
            raise UsageError("segnet-fast has no dropout; drop --dropout")
        if self.vgg16 and self.model != "segnet":
            raise UsageError(f"only segnet has VGG16's encoder, {self.model} has not; drop --vgg16")
        if self.thin and self.model != "segnet-basic":
            raise UsageError(f"only segnet-basic has 7x7 kernels, {self.model} has not; drop --thin")
        if self.pictures and not self.opinions:
            raise UsageError("unlabelled pictures teach nothing without soft labels; pass their folder as --opinions")
        for name in ("thin", "calm", "unlabelled", "uniform", "night", "snow"):
            if not 0 <= getattr(self, name) <= 1:
                raise UsageError(f"{name} is {getattr(self, name)}; it must be from 0 to 1")
        if not 0.25 <= self.zoom <= 4:
            raise UsageError(f"zoom is {self.zoom}; it must be from 0.25 to 4")
        if not 0 <= self.appearance <= 2:
            raise UsageError(f"appearance is {self.appearance}; it must be from 0 to 2")
        if self.rendered and self.set != "camvid":
            raise UsageError(f"rendered frames have CamVid's classes, not {self.set}'s; drop --rendered")
        for name in ("batch", "epochs", "evaluations", "lr"):
            if getattr(self, name) <= 0:
                raise UsageError(f"{name} is {getattr(self, name)}; it must be above 0")

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


PACE = ("epochs", "minutes", "evaluations")
"""Settings that a resumed run may change."""


def recipe(name: str, model: str) -> FitConfig:
    """The settings of a recipe for a network.

    "paper" is sections 3.1 and 3.2: SGD, median-frequency balancing, no augmentation, local contrast normalisation for
    SegNet-Basic. "release" is what the shipped weights were made with.
    """
    if name == "paper":
        basic = model == "segnet-basic"
        return FitConfig(
            model,
            name,
            arguments={"local_contrast": True} if basic else {},
            batch=12 if basic else 5,
            crop=None,
            optimiser="sgd",
            lr=0.1 if basic else 1e-3,
            weight_decay=5e-4,
            schedule="constant",
            warmup=0.0,
            ema_decay=0.0,
            weight_power=1.0,
            select="G",
        )
    return FitConfig(
        model, name, lr=2e-3 if model == "segnet-fast" else 1e-3, weight_power=0.35, boundary=1.0, calm=0.2
    )


def add_options(command: argparse.ArgumentParser) -> None:
    """The options of `fit` that change a recipe; each defaults to the recipe's own value."""
    own = argparse.SUPPRESS
    command.add_argument("--model", choices=NETWORKS, default="segnet-fast")
    command.add_argument("--recipe", choices=RECIPES, default="release")
    options: list[tuple[str, Any, str]] = [
        ("--epochs", int, "length of the run"),
        ("--minutes", float, "length of the run in minutes, over all calls, instead of epochs"),
        ("--batch", int, "images a step and process"),
        ("--lr", float, "highest learning rate"),
        ("--weight-decay", float, "of convolution kernels"),
        ("--ema-decay", float, "of the averaged weights, 0 for none"),
        ("--weight-power", float, "of median-frequency balancing: 1 as in the paper, 0 none"),
        ("--boundary", float, "extra weight of pixels near another class"),
        ("--lovasz", float, "weight of the Lovász-softmax loss"),
        ("--distil", float, "weight of the teacher's soft labels"),
        ("--teacher", str, "checkpoint, model folder or installed model to learn from"),
        ("--thin", float, "share of the run with every third tap of 7x7 kernels only (segnet-basic)"),
        ("--zoom", float, "scale of the pictures that the network learns from and runs at"),
        ("--appearance", float, "strength of the crops' changes of light, lens and compression, 0 for none, up to 2"),
        ("--calm", float, "share of the run, at its end, in which those changes are weaker"),
        ("--paste", float, "chance that a class is pasted over from another crop"),
        ("--rendered", int, "rendered frames with exact labels to add to the training images"),
        ("--unlabelled", float, "share of a batch that is unlabelled pictures"),
        ("--soft", float, "weight of the teachers' opinions on unlabelled pictures"),
        ("--soft-labelled", float, "weight of the teachers' opinions on labelled images"),
        ("--uniform", float, "chance that a crop is aimed at a class drawn evenly"),
        ("--night", float, "chance of a painted night"),
        ("--snow", float, "chance of painted snow"),
        ("--auxiliary", float, "weight of a second classifier on the deepest features, dropped after training"),
        ("--pictures", str, "folder of unlabelled pictures to learn from, by --opinions"),
        ("--held-out", str, "file of names of unlabelled pictures to leave out, one a line"),
        ("--leave-out", str, "drive to leave out of train + val and to evaluate on"),
        ("--evaluations", int, "evaluations over the run"),
        ("--init", str, "checkpoint to start from"),
        ("--vgg16", str, "torchvision's vgg16_bn weights on your disk, for segnet's encoder"),
        ("--seed", int, "of everything random"),
    ]
    for flag, kind, text in options:
        command.add_argument(flag, type=kind, default=own, help=text)
    command.add_argument(
        "--opinions", nargs="+", default=own, metavar="DIR", help="folders of soft labels, of images and of pictures"
    )
    command.add_argument("--schedule", choices=("cosine", "constant"), default=own, help="of the learning rate")
    command.add_argument("--precision", choices=("bf16", "fp32"), default=own)
    command.add_argument("--train-on-val", action="store_true", default=own, help="train on train + val: final weights")
    command.add_argument("--dropout", type=float, default=0.0, help="in the deeper layers (segnet, segnet-basic)")


def from_options(args: argparse.Namespace, crop: tuple[int, int] | None) -> FitConfig:
    """The recipe that the options name, with their changes.

    Raises:
        UsageError: the options contradict each other.
    """
    base = recipe(args.recipe, args.model)
    names = {f.name for f in fields(FitConfig)} - {"model", "recipe", "crop", "arguments"}
    changes: dict[str, Any] = {name: value for name, value in vars(args).items() if name in names}
    changes["opinions"] = tuple(Path(folder).name for folder in changes.get("opinions", ()))
    for name in (
        "init",
        "teacher",
        "vgg16",
        "pictures",
        "held_out",
    ):  # a config names files without the folders of the machine they lay on
        if changes.get(name):
            changes[name] = Path(changes[name]).name
    labelled = SETS[args.set]
    changes["mean"] = IMAGENET_MEAN if changes.get("vgg16") else labelled.mean
    changes["std"] = IMAGENET_STD if changes.get("vgg16") else labelled.std
    if crop is not None:
        changes["crop"] = crop
    if args.dropout:
        changes["arguments"] = base.arguments | {"dropout": args.dropout}
    return replace(base, **changes)


def require_same(stored: dict[str, Any] | None, wanted: FitConfig, path: Path) -> None:
    """Nothing happens if a run with settings `stored` can go on as `wanted`.

    Raises:
        UsageError: it cannot; names the first setting that differs.
    """
    if stored is None:
        raise UsageError(f"{path} does not say how it was trained; pass another --out, and this one as --init")
    for name, value in wanted.as_json().items():
        before = stored.get(name)
        if name not in PACE and before != (
            list(value) if isinstance(value, tuple) and isinstance(before, list) else value
        ):
            raise UsageError(f"{path} was trained with {name} = {before}, not {value}; pass the same, or another --out")
