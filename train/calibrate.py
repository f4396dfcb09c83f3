"""Put a fitted temperature on a card: after packaging, or as `python -m train calibrate`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from segnet_live.card import Card, read_card
from segnet_live.frame import Size
from segnet_live.learning.calibration import calibrate
from segnet_live.learning.data import LabelledSet
from segnet_live.learning.evaluate import write_json
from segnet_live.learning.model_folder import read_fields
from segnet_live.learning.seen import seen_by
from train.card_fields import shown_command


def calibration_fields(
    card: Card,
    labelled: LabelledSet,
    data: Path,
    splits: Sequence[str],
    *,
    held_out: Card | None = None,
    size: Size | None = None,
) -> dict[str, Any]:
    """Return what a card says of its calibration: the temperature, its errors, and on what it was fitted.

    Args:
        held_out: earlier weights of the same training that have not seen the splits: the temperature is theirs, and
            `weights_of` names the command that trained them. Without them, `caution` tells how many of the images the
            weights were trained on.
        size: the network's (height, width); None for what the app takes for such images.
    """
    samples = [sample for split in splits for sample in labelled.load(data, split, depth=card.channels == 4)]
    fitted = calibrate(held_out or card, samples, size)
    fields = fitted.as_json() | {"fitted_on": f"{labelled.name} {' and '.join(splits)}"}
    if held_out is not None:
        return fields | {"weights_of": held_out.training.get("command", held_out.name)}
    seen = seen_by(card.training)
    count = sum(seen.among(labelled.name, split, (s.name for s in labelled.load(data, split))) for split in splits)
    if count:
        which = "these images" if count == len(samples) else f"{count} of these images"
        fields["caution"] = f"the weights were trained on {which}, and are surer of them than of others"
    command = ["calibrate", "--model", card.name, "--set", labelled.name, "--data", str(data), "--split", *splits]
    return fields | {"command": shown_command(command)}


def put_on_card(card: Card, fields: dict[str, Any]) -> Card:
    """Write the calibration on the card in its folder, and return the card as it now is.

    Raises:
        OutputError: the card cannot be written.
    """
    before = read_fields(card)
    last = {name: before.pop(name) for name in ("metrics", "int8") if name in before}  # long: they stay at the end
    write_json(card.folder / "card.json", before | {"calibration": fields} | last)
    return read_card(card.folder)


def print_calibration(card: Card, fields: dict[str, Any]) -> None:
    """Print what was fitted in two lines."""
    before, after = fields["ece_before"], fields["ece_after"]
    whose = "the earlier weights'" if "weights_of" in fields else "its"
    print(
        f"{card.name}: temperature {fields['temperature']:.3f}; {whose} expected calibration error on "
        f"{fields['fitted_on']} ({fields['images']} images) {before:.4f} before, {after:.4f} with it"
    )
    if "caution" in fields:
        print(f"caution: {fields['caution']}")
