"""Peers from outside: found, wrapped, timed, and refused in one line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from segnet_live.bench.peers import PeerEngine, load_peer
from segnet_live.errors import EngineError, UsageError

PEERS = """
import torch
from torch import nn

class Tiny(nn.Module):
    def __init__(self, num_classes=5, stride=1, wrap=None):
        super().__init__()
        self.conv = nn.Conv2d(3, num_classes, 3, stride=stride, padding=1)
        self.wrap = wrap
    def forward(self, x):
        y = self.conv(x)
        return {"dict": {"out": y, "aux": y}, "list": [y, y], None: y}[self.wrap]

def torchvision_like(num_classes=21, weights="download", weights_backbone="download"):
    assert weights is None and weights_backbone is None
    return Tiny(num_classes, wrap="dict")

def listed():
    return Tiny(wrap="list")

def coarse():
    return Tiny(stride=8)

def flat():
    return nn.Sequential(nn.Flatten(), nn.LazyLinear(3))

def fails():
    raise RuntimeError("no such file\\nsecond line")

def number():
    return 7
"""


@pytest.fixture(autouse=True)
def peers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "some_peers.py").write_text(PEERS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(__import__("sys").modules, "some_peers", raising=False)


@pytest.mark.parametrize("factory", ["torchvision_like", "listed", "coarse"])
def test_a_peer_gives_the_same_labels_on_both_runtimes(factory: str) -> None:
    network = load_peer(f"some_peers:{factory}", 11)
    rgb = np.random.default_rng(0).integers(0, 256, (64, 96, 3), np.uint8)
    maps = []
    for backend in ("torch", "openvino"):
        engine = PeerEngine(factory, network, backend, (32, 64), "fp32")
        maps.append(engine.segment(rgb))
        engine.close()
    assert maps[0].shape == (32, 64)
    assert maps[0].dtype == np.uint8
    assert (maps[0] == maps[1]).mean() > 0.999


def test_a_factory_gets_our_number_of_classes_and_downloads_nothing() -> None:
    assert load_peer("some_peers:torchvision_like", 11).conv.out_channels == 11  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("some_peers", "MODULE:FACTORY"),
        ("no_such_module:make", "cannot import no_such_module"),
        ("some_peers:missing", "no callable missing"),
        ("some_peers:fails", "no such file"),
        ("some_peers:number", "got a int"),
    ],
)
def test_what_cannot_be_a_peer_is_refused_in_one_line(spec: str, said: str) -> None:
    with pytest.raises(UsageError, match=said) as error:
        load_peer(spec, 11)
    assert "\n" not in str(error.value)


def test_a_network_that_gives_no_map_and_a_backend_without_peers_are_told() -> None:
    with pytest.raises(UsageError, match=r"cannot run on a 32x32 image|its label map is"):
        PeerEngine("flat", load_peer("some_peers:flat", 11), "torch", (32, 32), "fp32")
    with pytest.raises(EngineError, match="cannot run on tensorrt"):
        PeerEngine("listed", load_peer("some_peers:listed", 11), "tensorrt", (32, 32), "fp16")
