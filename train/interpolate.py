"""Average the weights of a run with those that it started from (WiSE-FT, Wortsman et al., arXiv:2109.01903).

Weights between the two keep most of what the first ones knew of their roads, and most of what the run learnt of others:
often both do better than either end. It needs that one was fine-tuned from the other, or both from one ancestor.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from segnet_live.card import read_card
from segnet_live.errors import UsageError
from segnet_live.learning.seen import ancestor, seen_by
from segnet_live.weights import load_weights
from train.checkpoint import load, read_checkpoint, save, start_of, training_of


def weights_of(path: Path) -> dict[str, Tensor]:
    """Return the weights of a checkpoint or a model folder, in float32.

    Raises:
        DataError, CardError: it is missing or damaged.
    """
    if path.is_dir():
        return {name: torch.from_numpy(tensor).float() for name, tensor in load_weights(read_card(path)).items()}
    return read_checkpoint(path).weights


def interpolate(tuned: Path, start: Path, share: float, out: Path, command: str) -> None:
    """Write to `out` the checkpoint at `tuned` with `share` of its weights and 1 - `share` of those at `start`.

    Raises:
        UsageError: `share` is not between 0 and 1, or the two are of different networks.
        DataError, CardError: one of them is missing or damaged. OutputError: `out` cannot be written.
    """
    if not 0 < share < 1:
        raise UsageError(f"--share is {share:g}", "it must lie between 0 and 1")
    state, other = load(tuned), weights_of(start)
    mixed = {}
    for name, tensor in state["average"].items():
        if name.endswith("num_batches_tracked"):
            mixed[name] = tensor
        elif name not in other or other[name].shape != tensor.shape:
            raise UsageError(f"{tuned} and {start} are of different networks: {name}", "name the start of the run")
        else:
            mixed[name] = torch.lerp(other[name].to(tensor.dtype), tensor, share)
    run = state.get("run", {})
    seen = seen_by(training_of(tuned)).joined(ancestor(training_of(start)))
    state["run"] = run | {
        "command": command,
        "seen": seen.as_json(names=True),
        "start": start_of(tuned) | {"averaged_with": training_of(start).get("command", "")},
    }
    save(out, state | {"average": mixed})
