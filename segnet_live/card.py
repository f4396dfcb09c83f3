"""Read model cards, which say what weights are, and find installed models."""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from segnet_live.classes import ClassSet
from segnet_live.config import LARGEST_SIDE, SMALLEST_SIDE
from segnet_live.display_text import plain
from segnet_live.errors import CardError, EngineError, UsageError, first_line
from segnet_live.system.files import read_regular, why_no_name, write_atomically
from segnet_live.system.paths import models_dir, user_models_dir

log = logging.getLogger(__name__)

DEFAULT_MODEL = "segnet-fast"
MOST_CHANNELS = 8192
LONGEST_NAME = 200
MOST_CARD_BYTES = 1 << 22
_WRITE_AGAIN = "write it again with `python -m train package`"
N = TypeVar("N", int, float)
WEIGHTS, RETRAINED = "weights.safetensors", "retrained.safetensors"
HELD_OUT = ", held out"
"""Ends the name of figures that earlier weights had on images they had not seen."""
ARCHITECTURES = (
    "segnet",
    "segnet-basic",
    "segnet-fast",
    "segnet-basic-encoder-addition",
    "segnet-basic-single-channel-decoder",
    "bilinear-interpolation",
    "fcn-basic",
    "fcn-basic-no-addition",
    "fcn-basic-no-dim-reduction",
    "fcn-basic-no-addition-no-dim-reduction",
    "fcn",
    "fcn-learnt-deconvolution",
    "deconvnet",
    "deeplab-largefov",
    "unet-vgg16",
    "segnet-2015",
    "segnet-bayesian",
)
"""The keys of `segnet_live.nets.networks.NETWORKS`, which needs torch."""
RELEASED = ARCHITECTURES[:3]
"""Those that `python -m train release` trains by a schedule of their own."""


@dataclass(frozen=True, slots=True)
class Card:
    """The card of a model folder `models/<name>/`: what its weights are.

    Attributes:
        folder: holds `card.json`, `weights.safetensors` and, where a part of the weights was trained on since,
            `retrained.safetensors` with the tensors that replace those of the same name.
        architecture: a name in `segnet_live.nets.networks.NETWORKS`.
        arguments: keyword arguments of that network besides the number of classes.
        input_size: (height, width) the weights were trained for and are measured at; frames of other shapes are brought
            to about as many pixels.
        mean, std: per RGB channel, of values 0..1: the network sees (rgb / 255 - mean) / std. Where the network takes
            depth, each has a fourth number, in metres.
        sha256: of `weights.safetensors`, hexadecimal.
        retrained_sha256: of `retrained.safetensors`; "" where there is none.
        training: data, what was seen of it (numbers of images by set and split, see `segnet_live.learning.seen`),
            licence of the data, recipe, command.
        metrics: measured figures, each with the command that made them.
        calibration: what was fitted so that confidences mean what they say: `temperature`, and how; empty where
            nothing was.
        class_offsets: what is added to each class's logit, fitted on images that the weights had not seen; empty for
            nothing.
        int8_maxima: the largest input of each convolution in execution order, None for one that stays in floating
            point; empty where the weights were not calibrated for int8.
    """

    folder: Path
    name: str
    architecture: str
    arguments: dict[str, Any]
    classes: ClassSet
    input_size: tuple[int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    sha256: str
    licence: str
    training: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, Any] = field(default_factory=dict)
    calibration: dict[str, Any] = field(default_factory=dict)
    int8_maxima: tuple[float | None, ...] = ()
    class_offsets: tuple[float, ...] = ()
    retrained_sha256: str = ""

    @property
    def weights_id(self) -> str:
        """Return what tells the weights from all others, hexadecimal: of all their files."""
        if not self.retrained_sha256:
            return self.sha256
        return hashlib.sha256(f"{self.sha256} {self.retrained_sha256}".encode()).hexdigest()

    @property
    def network_id(self) -> str:
        """Return what tells the network as it runs from all others: of the weights and of the class offsets."""
        if not self.class_offsets:
            return self.weights_id
        return hashlib.sha256(f"{self.weights_id} {self.class_offsets}".encode()).hexdigest()

    @property
    def pixels(self) -> int:
        """Return how many pixels the weights were trained for."""
        return self.input_size[0] * self.input_size[1]

    @property
    def channels(self) -> int:
        """Return how many channels the network takes: 3 for RGB, 4 for RGB and depth."""
        return len(self.mean)

    @property
    def temperature(self) -> float:
        """Return what the logits are divided by before their soft-max; 1 where the weights were not calibrated."""
        return float(self.calibration.get("temperature", 1.0))

    @property
    def file_name(self) -> str:
        """Return the name as a part of file names: a card from a stranger must not choose where things are written."""
        return re.sub(r"[^\w .-]", "_", self.name).lstrip(" .")[:60] or "model"

    @property
    def weights_path(self) -> Path:
        return self.folder / WEIGHTS

    @property
    def weights_mib(self) -> float:
        """Return the size of the weights' files.

        Raises:
            OSError: one is missing.
        """
        files = [WEIGHTS, RETRAINED] if self.retrained_sha256 else [WEIGHTS]
        return sum((self.folder / name).stat().st_size for name in files) / 2**20


def read_card(folder: Path) -> Card:
    """Read the card in `folder`; the weights themselves are not touched.

    Raises:
        CardError: `card.json` is missing, no JSON, or lacks or contradicts a field.
    """
    path = own_file(folder, "card.json")
    try:
        text = read_regular(path, MOST_CARD_BYTES).decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CardError(
            f"{path} cannot be read ({first_line(error)})", "a model folder holds card.json and weights.safetensors"
        ) from error
    try:
        raw = json.loads(text)
        classes = ClassSet(
            names=_class_names([c["name"] for c in raw["classes"]]),
            colours=tuple(_rgb(c["colour"]) for c in raw["classes"]),
            void_id=_within(int(raw["void_id"]), 0, 255),
        )
        if classes.void_id < len(classes):
            raise ValueError(f"void_id is {classes.void_id}, the id of the class {classes.names[classes.void_id]!r}")
        height, width = (_within(int(v), SMALLEST_SIDE, LARGEST_SIDE) for v in raw["input_size"])
        arguments = _arguments(raw.get("arguments", {}))
        channels = _within(int(arguments.get("inputs", 3)), 3, 4)
        return Card(
            folder=folder,
            name=_name(raw["name"]),
            architecture=_name(raw["architecture"]),
            arguments=arguments,
            classes=classes,
            input_size=(height, width),
            mean=_of_channels(raw["normalisation"]["mean"], channels),
            std=_of_channels(raw["normalisation"]["std"], channels, least=1e-6),
            sha256=str(raw["sha256"]),
            licence=plain(str(raw["licence"])),
            training=dict(raw.get("training", {})),
            metrics=dict(raw.get("metrics", {})),
            calibration=_calibration(raw.get("calibration", {})),
            int8_maxima=tuple(
                None if v is None else _within(float(v), 0, 1e9) for v in raw.get("int8", {}).get("maxima", ())
            ),
            class_offsets=_class_offsets(raw.get("class_offsets", {}), len(classes)),
            retrained_sha256=str(raw.get("retrained_sha256", "")),
        )
    except KeyError as error:
        raise CardError(f"{path} has no field {error}", _WRITE_AGAIN) from error
    except (ValueError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise CardError(f"{path} is damaged ({first_line(error)})", _WRITE_AGAIN) from error


def check_ranges(maxima: Sequence[float | None], convolutions: int) -> None:
    """Check that a card has an int8 range for each of a network's convolutions.

    Raises:
        CardError: it has another number of them.
    """
    if len(maxima) != convolutions:
        raise CardError(
            f"the card has int8 ranges for {len(maxima)} convolutions, the network has {convolutions}; "
            "package it again with `python -m train package --data`"
        )


def require_rgb(card: Card) -> None:
    """Check that a card's network takes what a camera gives.

    Raises:
        EngineError: it takes depth as well.
    """
    if card.channels != 3 or card.arguments.get("inputs", 3) != 3:
        raise EngineError(
            f"{card.name} takes 4 channels, RGB and depth, and there is no depth here", "choose a model that takes RGB"
        )


def own_file(folder: Path, name: str) -> Path:
    """Return the path of a model folder's file, which is not to lead out of that folder.

    Raises:
        CardError: it is a link to something elsewhere: a folder from a stranger must not make us read that.
    """
    path = folder / name
    try:
        outside = path.is_symlink() and path.resolve().parent != folder.resolve()
    except (OSError, RuntimeError) as error:  # a circle of links
        raise CardError(f"{path} cannot be read ({first_line(error)})", "put the file itself there") from error
    if outside:
        raise CardError(f"{path} is a link to a file outside its folder", "put the file itself there")
    return path


def _name(value: Any) -> str:
    """Return a name as it may be shown.

    Raises:
        ValueError: it is longer than names are.
    """
    name = str(value)
    if len(name) > LONGEST_NAME:
        raise ValueError(f"a name has {len(name)} characters; at most {LONGEST_NAME} are read")
    return plain(name)


def _class_names(values: list[Any]) -> tuple[str, ...]:
    """Return the names of classes, by which options and columns tell them apart: never two of one name.

    Raises:
        ValueError: one is empty, too long, or there twice, ignoring case as `ClassSet.ids` does.
    """
    names = tuple(_name(value) for value in values)
    seen: set[str] = set()
    for name in names:
        known = name.strip().lower()
        if not known:
            raise ValueError("a class has an empty name")
        if known in seen:
            raise ValueError(f"two classes are called {name!r}")
        seen.add(known)
    return names


def _rgb(values: list[int]) -> tuple[int, int, int]:
    r, g, b = (_within(int(v), 0, 255) for v in values)
    return r, g, b


def _calibration(fields: dict[str, Any]) -> dict[str, Any]:
    _within(float(fields.get("temperature", 1.0)), 0.01, 100.0)
    return dict(fields)


def _class_offsets(fields: dict[str, Any], classes: int) -> tuple[float, ...]:
    """Return the offsets, none where the card has none.

    Raises:
        ValueError: there is not one for each class, or one is out of bounds.
    """
    values = tuple(_within(float(v), -10.0, 10.0) for v in fields.get("values", ()))
    if values and len(values) != classes:
        raise ValueError(f"there are {len(values)} class offsets for {classes} classes")
    return values


def _of_channels(values: list[float], channels: int, least: float = -100.0) -> tuple[float, ...]:
    """Return the numbers of a normalisation.

    Raises:
        ValueError: there is not one for each channel, or one is out of bounds.
    """
    if len(values) != channels:
        raise ValueError(f"the network takes {channels} channels, the normalisation is for {len(values)}")
    return tuple(_within(float(v), least, 100.0) for v in values)


def _arguments(raw: Any) -> dict[str, Any]:
    """Return a network's arguments; numbers in them are sizes, and large ones would fill the memory."""

    def check(value: Any) -> None:
        if isinstance(value, int | float):
            _within(value, -MOST_CHANNELS, MOST_CHANNELS)
        elif isinstance(value, list | dict):
            if len(value) > 64:
                raise ValueError(f"an argument of the network has {len(value)} parts")
            for part in value.values() if isinstance(value, dict) else value:
                check(part)

    arguments = dict(raw)
    check(arguments)
    return arguments


def _within(value: N, least: float, most: float) -> N:
    """Return `value`.

    Raises:
        ValueError: it is below `least` or above `most`, or not a number.
    """
    if not least <= value <= most:
        raise ValueError(f"got {value}; it must lie between {least:g} and {most:g}")
    return value


def model_folders() -> list[Path]:
    """Return the folders of all models that can be named: those that ship, by name, then the user's own."""
    shipped = sorted(path.parent for path in models_dir().glob("*/card.json"))
    own = sorted(path.parent for path in user_models_dir().glob("[!.]*/card.json"))
    try:
        lines = read_regular(_elsewhere(), MOST_CARD_BYTES).decode("utf-8").splitlines()
        elsewhere = [Path(line) for line in lines if line]
    except (OSError, UnicodeDecodeError):
        elsewhere = []
    found: dict[Path, Path] = {}
    for folder in (*shipped, *own, *elsewhere):
        if (folder / "card.json").is_file():
            found.setdefault(folder.resolve(), folder)
    return list(found.values())


def _elsewhere() -> Path:
    """Return the file that names the user's models in other folders, one a line."""
    return user_models_dir() / "elsewhere.txt"


def remember_model(folder: Path) -> None:
    """Let `folder` appear among the models from now on, wherever it lies.

    Raises:
        OutputError: the user's list of models cannot be written.
    """
    known = model_folders()
    if folder.resolve() in (path.resolve() for path in known):
        return
    shipped = models_dir().resolve()
    own = [path.resolve() for path in known if shipped not in path.resolve().parents]
    elsewhere = [path for path in (*own, folder.resolve()) if user_models_dir().resolve() not in path.parents]
    write_atomically(_elsewhere(), "".join(f"{path}\n" for path in elsewhere))


def installed_cards() -> list[Card]:
    """Read the cards of all models that ship with this installation, by name, then those of the user's own.

    Raises:
        CardError: a shipped card is damaged; one of the user's own is left out then.
    """
    cards = []
    for folder in model_folders():
        try:
            cards.append(read_card(folder))
        except CardError as error:
            if models_dir() in folder.parents:
                raise
            log.warning("%s", error)
    return cards


def find_card(model: str) -> Card:
    """Return the card of a model's name, installed or the user's own, or of a model folder's path.

    Raises:
        UsageError: neither a name nor a folder.
        CardError: the folder's card is missing or damaged.
    """
    if why := why_no_name(Path(model) / "card.json"):
        raise UsageError(f"no model can be called {model[:60]!r} ({why})", "see `segnet-live models`")
    known = model_folders()
    for folder in (models_dir() / model, Path(model), *(path for path in known if path.name == model)):
        if (folder / "card.json").is_file():
            return read_card(folder)
    if Path(model).is_dir():
        return read_card(Path(model))
    names = ", ".join(sorted(path.name for path in known)) or "none"
    if model in ARCHITECTURES:
        train = f"python -m train {'release' if model in RELEASED else 'fit'} --data camvid --model {model}"
        raise UsageError(f"{model} has no weights here", f"installed: {names}; to train it, in a clone: {train}")
    raise UsageError(
        f"unknown model {model!r}", f"installed: {names}; or pass a folder with card.json and weights.safetensors"
    )
