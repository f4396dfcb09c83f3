"""Model folders with random weights."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from segnet_live.card import Card, read_card
from segnet_live.classes import CAMVID


def write_card(folder: Path, architecture: str = "segnet-fast", seed: int = 0, **fields: object) -> Card:
    """A model folder with random weights: valid in every respect, and fast to make."""
    import torch
    from safetensors.torch import save

    from segnet_live.nets.networks import NETWORKS
    from tests.support.networks import SMALL

    torch.manual_seed(seed)
    arguments = SMALL.get(architecture, {})
    network = NETWORKS[architecture](len(CAMVID), **arguments)
    data = save({k: v.contiguous() for k, v in network.state_dict().items() if not k.endswith("num_batches_tracked")})
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "weights.safetensors").write_bytes(data)
    card = {
        "name": folder.name,
        "architecture": architecture,
        "arguments": arguments,
        "classes": [{"name": n, "colour": c} for n, c in zip(CAMVID.names, CAMVID.colours, strict=True)],
        "void_id": CAMVID.void_id,
        "input_size": [360, 480],
        "normalisation": {"mean": [0.4, 0.4, 0.4], "std": [0.3, 0.3, 0.3]},
        "sha256": hashlib.sha256(data).hexdigest(),
        "licence": "none: random weights for tests",
    } | fields
    (folder / "card.json").write_text(json.dumps(card))
    return read_card(folder)
