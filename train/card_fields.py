"""Say on a card what a run of `fit` made, and by which command."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from segnet_live.learning.data import LabelledSet, size_at
from segnet_live.learning.seen import seen_by
from train.checkpoint import Checkpoint, current_commit

INPUT_SIZE = (360, 480)


def shown_command(arguments: Sequence[str]) -> str:
    """Return `python -m train ...` as anyone could type it: of paths that lead elsewhere only the last name stays."""

    def shown(argument: str) -> str:
        path = Path(argument)
        return path.name if path.is_absolute() or path.parts[:1] == ("..",) else argument

    return shlex.join(["python", "-m", "train", *map(shown, arguments)])


def card_fields(checkpoint: Checkpoint, labelled: LabelledSet, model: str, name: str) -> dict[str, Any]:
    """Return everything on the card except the weights' sha256 and the metrics."""
    classes, config, run = labelled.classes, checkpoint.config, checkpoint.run
    recipe = {key: value for key, value in config.items() if key not in ("model", "arguments", "mean", "std")}
    return {
        "name": name,
        "architecture": model,
        "arguments": {key: value for key, value in config.get("arguments", {}).items() if key != "dropout"},
        "classes": [{"name": n, "colour": c} for n, c in zip(classes.names, classes.colours, strict=True)],
        "void_id": classes.void_id,
        "input_size": list(size_at(INPUT_SIZE, config.get("zoom", 1))),
        "normalisation": {"mean": config.get("mean", labelled.mean), "std": config.get("std", labelled.std)},
        "licence": f"{labelled.licence} (as the data the weights were trained on)",
        "training": {
            "data": run.get("data", f"{labelled.name} train"),
            "seen": seen_by(run | {"recipe": config}).as_json(names=False),
            "data_licence": labelled.licence,
            "recipe": recipe,
            "epochs": run.get("epoch"),
            "steps": run.get("step"),
            "minutes": run.get("minutes"),
            "command": run.get("command", f"python -m train fit --model {model} --data {labelled.name}"),
            "commit": run.get("commit", "unknown"),
            **({"start": run["start"]} if "start" in run else {}),
            "packaged_at_commit": current_commit(),
        },
        "metrics": {},
    }
