"""A run's settings: everything that decides its result, with the two recipes as starting points.

Each field of `FitConfig` says once what it is: its default, its option of `python -m train fit`, the option's help,
and what values it takes.
"""

from __future__ import annotations

import argparse
import inspect
from collections.abc import Collection
from dataclasses import Field, asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

from segnet_live.config import format_size
from segnet_live.errors import UsageError
from segnet_live.learning.data import LabelledSet
from segnet_live.nets.networks import NETWORKS, TABLE_1
from segnet_live.nets.segnet import VGG16Encoder
from train.sets import IMAGENET_MEAN, IMAGENET_STD, SETS

Recipe: TypeAlias = Literal["paper", "release"]
RECIPES: tuple[Recipe, ...] = get_args(Recipe)
Balancing: TypeAlias = Literal["median", "natural"]
BALANCINGS: tuple[Balancing, ...] = get_args(Balancing)
SHARE = (0.0, 1.0)


def option(default: Any, about: str = "", *, limits: tuple[float, float] | None = None, **settings: Any) -> Any:
    """Return a dataclass field whose metadata make an option of `fit`.

    Args:
        about: the option's help; without it the field is no option.
        limits: the lowest and the highest value.
        settings: `group` (a heading of --help), `old` (the option's former name, kept for the commands on cards),
            `file` (a config names it without the folders of the machine it lay on), else what `add_argument` takes.
    """
    return field(default=default, metadata={"help": about, "limits": limits} | settings)


@dataclass(frozen=True, slots=True)
class FitConfig:
    """The settings of a run, saved beside its checkpoints as `config.json` and inside them.

    Raises:
        UsageError: a value out of its limits, or settings that contradict each other.
    """

    model: str
    recipe: Recipe
    set: str = "camvid"
    arguments: dict[str, Any] = field(default_factory=dict)  # of the network, besides the number of classes

    epochs: int = option(200, "length of the run", group="length")
    minutes: float = option(
        0.0, "length of the run in minutes over all calls, which the schedule follows then", group="length"
    )
    evaluations: int = option(20, "evaluations over the run", group="length")
    train_on_val: bool = option(
        False, "train on train + val, for final weights: nothing is left to choose by", group="images"
    )
    leave_out: str = option("", "drive to leave out of train + val and to evaluate on", metavar="DRIVE", group="images")
    rendered: int = option(0, "rendered frames with exact labels to add to the training images", group="images")
    opinions: tuple[str, ...] = option(
        (), "folders of soft labels, of images and of pictures", nargs="+", metavar="DIR", file=True, group="images"
    )
    pictures: str = option(
        "", "folder of unlabelled pictures to learn from, by --opinions", metavar="DIR", file=True, group="images"
    )
    held_out: str = option(
        "", "names of unlabelled pictures to leave out, one a line", metavar="FILE", file=True, group="images"
    )
    unlabelled: float = option(0.5, "share of a batch that is unlabelled pictures", limits=SHARE, group="images")

    batch: int = option(8, "images a step and process", group="crops")
    crop: tuple[int, int] | None = (256, 320)  # (height, width); None trains on whole images without any augmentation
    zoom: float = option(
        1.0, "mean scale of the pictures; the network later runs at it, too", limits=(0.25, 4), group="crops"
    )
    photometric: float = option(
        1.0, "strength of the changes of light, lens and compression, 0 for none, up to 2",
        limits=(0, 2), old="--appearance", group="crops",
    )  # fmt: skip
    augment_decay: float = option(
        0.0, "share of the run, at its end, in which these changes have 0.3 of their strength",
        limits=SHARE, old="--calm", group="crops",
    )  # fmt: skip
    paste: float = option(0.0, "chance that a class is pasted over from the batch's next crop", group="crops")
    uniform: float = option(0.0, "chance that a crop is aimed at a class drawn evenly", limits=SHARE, group="crops")
    night: float = option(0.0, "chance of a painted night", limits=SHARE, group="crops")
    snow: float = option(0.0, "chance of painted snow", limits=SHARE, group="crops")
    tunnel: float = option(0.0, "chance of a painted tunnel", limits=SHARE, group="crops")

    weight_power: float = option(0.5, "of median-frequency balancing: 1 as in the paper, 0 none", group="loss")
    boundary: float = option(0.0, "extra weight of pixels within 2 px of another class", group="loss")
    lovasz: float = option(0.0, "weight of the Lovász-softmax loss", group="loss")
    distil: float = option(0.0, "weight of the teacher's soft labels", group="loss")
    teacher: str = option(
        "", "checkpoint, model folder or installed model to learn from", metavar="MODEL", file=True, group="loss"
    )
    soft: float = option(1.0, "weight of the soft labels on unlabelled pictures", group="loss")
    soft_labelled: float = option(0.3, "weight of the soft labels on labelled images", group="loss")
    auxiliary: float = option(
        0.0, "weight of a second classifier on the deepest features, dropped after training", group="loss"
    )

    optimiser: Literal["adamw", "sgd"] = "adamw"
    lr: float = option(2e-3, "highest learning rate", group="optimiser")
    weight_decay: float = option(0.02, "of convolution kernels", group="optimiser")
    schedule: Literal["cosine", "constant"] = option(
        "cosine", "of the learning rate", choices=("cosine", "constant"), group="optimiser"
    )
    warmup: float = 0.02  # share of the run with a rising learning rate
    ema_decay: float = option(
        0.998, "of the averaged weights; 0 for none, and batch-norm statistics recomputed over the training set",
        group="optimiser",
    )  # fmt: skip
    dilated_init: float = option(
        0.0, "share of the run, from its start, with every third tap of 7x7 kernels only (segnet-basic)",
        limits=SHARE, old="--thin", group="optimiser",
    )  # fmt: skip
    frozen_above: int = option(0, "keep kernels of more than N numbers as they are; 0 trains all", group="optimiser")
    select: Literal["mIoU", "G"] = "mIoU"  # the measure that chooses `best.pt`
    precision: Literal["bf16", "fp32"] = option(
        "bf16", "of the network's pass (autocast)", choices=("bf16", "fp32"), group="optimiser"
    )

    init: str = option("", "checkpoint or model folder to start from", metavar="FILE", file=True, group="start")
    vgg16: str = option(
        "", "torchvision's vgg16_bn weights on your disk, for the encoders that are VGG16's", metavar="FILE", file=True,
        group="start",
    )  # fmt: skip
    seed: int = option(0, "of everything random", group="start")
    mean: tuple[float, ...] = LabelledSet.mean  # what images are normalised with: the set's,
    std: tuple[float, ...] = LabelledSet.std  # or ImageNet's with `vgg16`; with depth a fourth number each, in metres

    def __post_init__(self) -> None:
        if self.model not in NETWORKS:
            raise UsageError(f"unknown model {self.model!r}", f"choose from {', '.join(NETWORKS)}")
        drives = SETS[self.set].drives
        if self.leave_out and self.leave_out not in drives:
            raise UsageError(f"{self.set} has no drive {self.leave_out!r}", f"it has {', '.join(drives) or 'none'}")
        if self.leave_out and self.train_on_val:
            raise UsageError("--leave-out and --train-on-val contradict each other", "drop one")
        if bool(self.distil) != bool(self.teacher):
            raise UsageError("--distil needs a --teacher and a teacher needs a weight", "pass both or none")
        if self.crop is not None and (self.crop[0] % 32 or self.crop[1] % 32):
            raise UsageError(f"crop {format_size(self.crop)} is no multiple of 32", "for example --crop 256x320")
        if self.arguments.get("dropout") and "dropout" not in inspect.signature(NETWORKS[self.model]).parameters:
            raise UsageError(f"{self.model} has no dropout", "drop --dropout")
        if self.depth and "inputs" not in inspect.signature(NETWORKS[self.model]).parameters:
            raise UsageError(f"{self.model} takes RGB alone", "--depth is for --model segnet-2015")
        for name in ("rendered", "opinions", "teacher"):
            if self.depth and getattr(self, name):
                raise UsageError(f"--depth and --{name} do not go together: those have no depth", f"drop --{name}")
        if self.vgg16 and not issubclass(NETWORKS[self.model], VGG16Encoder):
            raise UsageError(f"{self.model} has not VGG16's encoder", "drop --vgg16")
        if self.dilated_init and self.model != "segnet-basic":
            raise UsageError(f"only segnet-basic has 7x7 kernels, {self.model} has not", "drop --dilated-init")
        if self.frozen_above and not self.init:
            raise UsageError("--frozen-above would keep kernels as they are drawn at random", "pass --init")
        if self.pictures and not self.opinions:
            raise UsageError("unlabelled pictures teach nothing without soft labels", "pass their folder as --opinions")
        if self.rendered and self.set != "camvid":
            raise UsageError(f"rendered frames have CamVid's classes, not {self.set}'s", "drop --rendered")
        painted = [name for name in ("night", "snow", "tunnel") if getattr(self, name)]
        if painted and self.set != "camvid":
            raise UsageError(
                f"what {painted[0]} paints is told by CamVid's classes, not {self.set}'s", f"drop --{painted[0]}"
            )
        for setting in fields(self):
            value, limits = getattr(self, setting.name), setting.metadata.get("limits")
            if limits is not None and not limits[0] <= value <= limits[1]:
                raise UsageError(f"{_flag(setting)} is {value:g}", f"it must be from {limits[0]:g} to {limits[1]:g}")
        for name in ("batch", "epochs", "evaluations", "lr"):
            if getattr(self, name) <= 0:
                raise UsageError(f"{name} is {getattr(self, name)}", "it must be above 0")

    @property
    def depth(self) -> bool:
        """Return whether the network takes depth beside RGB."""
        return bool(self.arguments.get("inputs", 3) == 4)

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


PACE = ("epochs", "minutes", "evaluations")
"""Settings that a resumed run may change."""
RENAMED = {"appearance": "photometric", "calm": "augment_decay", "thin": "dilated_init"}
"""Settings' names in older checkpoints -> names now."""


def renamed(stored: dict[str, Any]) -> dict[str, Any]:
    """Return the settings of a checkpoint of any age under the names they have now."""
    return {RENAMED.get(name, name): value for name, value in stored.items()}


def recipe(name: Recipe, model: str) -> FitConfig:
    """Return the settings of a recipe for a network.

    "paper" is sections 3.1 and 3.2: SGD, median-frequency balancing, no augmentation, local contrast normalisation for
    SegNet-Basic and its variants. "release" is what the shipped weights were made with.
    """
    if name == "paper":
        basic = model in TABLE_1
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
        model, name, lr=2e-3 if model == "segnet-fast" else 1e-3, weight_power=0.35, boundary=1.0, augment_decay=0.2
    )


def add_options(command: argparse.ArgumentParser, only: Collection[str] | None = None) -> None:
    """Add the options of `fit` that change a recipe; each defaults to the recipe's own value.

    Args:
        only: names of the settings to offer; None offers all, `--dropout` and `--depth` among them.
    """
    command.add_argument("--recipe", choices=RECIPES, default="release", help="where the settings below start from")
    groups: dict[str, argparse._ArgumentGroup] = {}
    for setting in fields(FitConfig):
        about = dict(setting.metadata)
        if not about.get("help") or (only is not None and setting.name not in only):
            continue
        group, names = about.pop("group"), [_flag(setting), *filter(None, [about.pop("old", "")])]
        for unused in ("limits", "file"):
            about.pop(unused, None)
        if group not in groups:
            groups[group] = command.add_argument_group(group)
        if setting.default is False:
            about["action"] = "store_true"
        else:
            kind = str if setting.default == () else type(setting.default)
            about["type"] = kind
            if kind is not str:
                about["metavar"] = "N" if kind is int else "X"
        groups[group].add_argument(*names, dest=setting.name, default=argparse.SUPPRESS, **about)
    if only is not None:
        return
    groups["optimiser"].add_argument(
        "--dropout", type=float, default=0.0, help="dropout in the deeper layers, where a network has it"
    )
    groups["images"].add_argument(
        "--depth",
        action="store_true",
        help="RGB-D input, for --model segnet-2015: 16-bit PNGs of millimetres (0: not measured) in DIR/traindepth and "
        "DIR/valdepth, named as the images; with --set sunrgbd its own files in DIR/depth/train. CamVid has no depth",
    )


def _flag(setting: Field[Any]) -> str:
    return "--" + setting.name.replace("_", "-")


def from_options(args: argparse.Namespace, crop: tuple[int, int] | None) -> FitConfig:
    """Return the recipe that the options name, with their changes.

    Raises:
        UsageError: the options contradict each other.
    """
    base = recipe(args.recipe, args.model)
    changes: dict[str, Any] = {}
    for setting in fields(FitConfig):
        if setting.metadata.get("help") and hasattr(args, setting.name):
            value = getattr(args, setting.name)
            if setting.metadata.get("file") and value:
                value = tuple(Path(v).name for v in value) if isinstance(value, list) else Path(value).name
            changes[setting.name] = value
    labelled = SETS[args.set]
    changes["set"] = labelled.name
    changes["mean"] = IMAGENET_MEAN if changes.get("vgg16") else labelled.mean
    changes["std"] = IMAGENET_STD if changes.get("vgg16") else labelled.std
    if crop is not None:
        changes["crop"] = crop
    arguments = {"dropout": args.dropout} if args.dropout else {}
    if getattr(args, "depth", False):  # the study has no such option
        arguments["inputs"] = 4
    if arguments:
        changes["arguments"] = base.arguments | arguments
    return replace(base, **changes)


def require_same(stored: dict[str, Any] | None, wanted: FitConfig, path: Path) -> None:
    """Check that a run with settings `stored` can go on as `wanted`.

    Raises:
        UsageError: it cannot; names the first setting that differs.
    """
    if stored is None:
        raise UsageError(f"{path} does not say how it was trained", "pass another --out, and this one as --init")
    for name, value in wanted.as_json().items():
        before = stored.get(name)
        if name not in PACE and before != (
            list(value) if isinstance(value, tuple) and isinstance(before, list) else value
        ):
            raise UsageError(
                f"{path} was trained with {name} = {before}, not {value}", "pass the same, or another --out"
            )
