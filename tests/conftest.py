"""Fixtures all tests share: an offscreen Qt, private cache and settings folders, and a small model card."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

from segnet_live.card import Card, read_card
from segnet_live.classes import CAMVID


def pytest_configure(config: pytest.Config) -> None:
    """Unless marks are asked for, a GPU is hidden: rounding and speed there are other matters."""
    if "not gpu" in str(config.getoption("markexpr")):
        os.environ["CUDA_VISIBLE_DEVICES"] = ""


@pytest.fixture(autouse=True, scope="session")
def private_folders(tmp_path_factory: pytest.TempPathFactory) -> None:
    """No test reads or writes the cache and settings of the person who runs it; subprocesses inherit this."""
    for name in ("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_VIDEOS_DIR", "LOCALAPPDATA", "APPDATA"):
        os.environ[name] = str(tmp_path_factory.mktemp(name.lower()))


def write_card(folder: Path, architecture: str = "segnet-fast", seed: int = 0, **fields: object) -> Card:
    """A model folder with random weights: valid in every respect, and fast to make."""
    import torch
    from safetensors.torch import save

    from segnet_live.nets.segnet import NETWORKS

    torch.manual_seed(seed)
    network = NETWORKS[architecture](len(CAMVID))
    data = save({k: v.contiguous() for k, v in network.state_dict().items() if not k.endswith("num_batches_tracked")})
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "weights.safetensors").write_bytes(data)
    card = {
        "name": folder.name,
        "architecture": architecture,
        "arguments": {},
        "classes": [{"name": n, "colour": c} for n, c in zip(CAMVID.names, CAMVID.colours, strict=True)],
        "void_id": CAMVID.void_id,
        "input_size": [360, 480],
        "normalisation": {"mean": [0.4, 0.4, 0.4], "std": [0.3, 0.3, 0.3]},
        "sha256": hashlib.sha256(data).hexdigest(),
        "licence": "none: random weights for tests",
    } | fields
    (folder / "card.json").write_text(json.dumps(card))
    return read_card(folder)


@pytest.fixture(scope="session")
def tiny_card(tmp_path_factory: pytest.TempPathFactory) -> Card:
    """A segnet-fast card with random weights."""
    return write_card(tmp_path_factory.mktemp("models") / "tiny")
