"""Networks with random weights, as small as their structure allows, and lively: as after training."""

from __future__ import annotations

import copy
from functools import lru_cache
from typing import Any

import pytest
import torch
from torch import nn

from segnet_live.nets import deconvnet, deeplab, fcn, segnet, unet
from segnet_live.nets.networks import NETWORKS
from segnet_live.nets.segnet import Network

SMALL: dict[str, dict[str, Any]] = {
    "fcn": {"features": 32},
    "fcn-learnt-deconvolution": {"features": 32},
    "deconvnet": {"features": 32},
    "deeplab-largefov": {"features": 32},
}
"""Arguments that spare tests the hundreds of MB of what was fully connected; every other network is small enough."""


def narrow_vgg16(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give VGG16 an eighth of its maps: its structure stays, and 30 million numbers are neither drawn nor kept."""
    narrow = tuple(tuple(maps // 8 for maps in stage) for stage in segnet.VGG16)
    for module in (segnet, deconvnet, deeplab, fcn, unet):
        monkeypatch.setattr(module, "VGG16", narrow)


def lively(name: str, **arguments: Any) -> Network:
    """Return a network whose batch norms are not the identity, in evaluation mode; equal at every call."""
    return copy.deepcopy(_lively(name, tuple(arguments.items())))


def shared(name: str) -> Network:
    """Return the same network as `lively`, which other tests have too: not to be changed."""
    return _lively(name, ())


@lru_cache(maxsize=1)
def _lively(name: str, more: tuple[tuple[str, Any], ...]) -> Network:
    """Build it: drawing 30 million numbers takes longer than copying them."""
    arguments = dict(more)
    torch.manual_seed(0)
    network = NETWORKS[name](11, **SMALL.get(name, {}), **arguments).eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.2, 0.2)
            nn.init.uniform_(module.running_mean, -0.2, 0.2)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    return network
