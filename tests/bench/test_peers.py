"""Peers from outside: found, wrapped, timed, and refused in one line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from segnet_live.bench.network import gflop, parameters
from segnet_live.bench.peers import IMAGENET, load_peer, open_peer
from segnet_live.card import Card
from segnet_live.config import Backend
from segnet_live.errors import EngineError, UsageError
from segnet_live.nets.networks import NETWORKS

BACKENDS: tuple[Backend, ...] = ("torch", "openvino")

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

class OwnOrder(nn.Sequential):
    def forward(self, x):
        conv, norm = self
        return norm(conv(x).relu())

def own_order():
    torch.manual_seed(0)
    network = OwnOrder(nn.Conv2d(3, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4))
    nn.init.uniform_(network[1].running_mean)
    nn.init.normal_(network[1].weight)
    return network

class MakesTensors(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
    def forward(self, x):
        y = self.conv(x)
        padding = torch.zeros(y.shape[0], 2, y.shape[2], y.shape[3])
        return torch.cat((y, padding), 1)

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


@pytest.mark.parametrize("factory", ["torchvision_like", "listed", "coarse", "MakesTensors"])
def test_a_peer_gives_the_same_labels_on_both_runtimes(tiny_card: Card, factory: str) -> None:
    network = load_peer(f"some_peers:{factory}", 11)
    rgb = np.random.default_rng(0).integers(0, 256, (64, 96, 3), np.uint8)
    maps = []
    for backend in BACKENDS:
        engine = open_peer(factory, network, tiny_card, backend, (32, 64), "fp32")
        assert (engine.info.model, engine.info.backend) == (factory, backend)
        maps.append(engine.segment(rgb))
        engine.close()
    assert maps[0].shape == (32, 64)
    assert maps[0].dtype == np.uint8
    assert (maps[0] == maps[1]).mean() > 0.999


def test_a_factory_gets_our_number_of_classes_and_downloads_nothing() -> None:
    assert load_peer("some_peers:torchvision_like", 11).network.conv.out_channels == 11


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


def test_batch_norm_is_folded_only_where_layers_run_one_after_the_other(tiny_card: Card) -> None:
    network = load_peer("some_peers:own_order", 11)
    rgb = np.random.default_rng(0).integers(0, 256, (32, 64, 3), np.uint8)
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in IMAGENET)
    with torch.inference_mode():
        expected = network.label_ids((torch.from_numpy(rgb).permute(2, 0, 1)[None] / 255 - mean) / std)[0]
    engine = open_peer("own order", network, tiny_card, "torch", (32, 64), "fp32")
    assert (engine.segment(rgb) == expected.numpy()).mean() > 0.999
    engine.close()


def test_a_network_that_makes_tensors_of_its_own_is_counted() -> None:
    network = load_peer("some_peers:MakesTensors", 11)
    assert parameters(network) == 4 * 3 * 9 + 4
    assert gflop(network, (32, 64), "cpu") == pytest.approx(2 * 4 * 3 * 9 * 32 * 64 / 1e9)


def test_counting_leaves_the_network_as_it_is() -> None:
    network = NETWORKS["segnet-fast"](11)
    before = gflop(network, (32, 64), "cpu")
    assert gflop(network, (32, 64)) == before
    assert {p.device.type for p in network.parameters()} == {"cpu"}
    assert network.training


def test_a_network_that_gives_no_map_and_a_backend_without_peers_are_told(tiny_card: Card) -> None:
    with pytest.raises(UsageError, match=r"cannot run on a 32x32 image|its label map is"):
        open_peer("flat", load_peer("some_peers:flat", 11), tiny_card, "torch", (32, 32), "fp32")
    with pytest.raises(EngineError, match="cannot run on tensorrt"):
        open_peer("listed", load_peer("some_peers:listed", 11), tiny_card, "tensorrt", (32, 32), "fp16")
