"""What the converter contract tests share: a network definition in the recorder, and NVIDIA's builder."""

from __future__ import annotations

import importlib.util
import os
from collections import Counter
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
import torch

from segnet_live.engine.base import LABELS, RequestedOutputs
from segnet_live.engine.nvidia.trt_network import write_down
from segnet_live.nets.deploy import Deployed
from segnet_live.nets.deploy import deploy as deployed_form
from segnet_live.nets.networks import NETWORKS
from segnet_live.nets.pooling import Pooling
from segnet_live.nets.quantised import in_execution_order, quantise
from tests.support.networks import SMALL

FULL = os.environ.get("SEGNET_LIVE_CONTRACTS") == "full"
PRECISIONS = {"fp16": torch.float16, "fp32": torch.float32, "int8": torch.float16}

Record = Callable[[Deployed, tuple[int, int]], Any]


def _needed(name: str) -> ModuleType:
    if importlib.util.find_spec(name) is None:
        pytest.skip("needs its own environment: python tests/contracts/run.py")
    return importlib.import_module(name)


@pytest.fixture(scope="session")
def trt() -> ModuleType:
    """TensorRT's real bindings, with the recorder where its library would be."""
    _needed("recorder")
    return _needed("tensorrt")


@pytest.fixture(scope="session")
def rtx() -> ModuleType:
    """TensorRT-RTX, whole."""
    return _needed("tensorrt_rtx")


@pytest.fixture(scope="session")
def record(trt: ModuleType) -> Record:
    """Write a graph down as TensorRT would receive it, into the recorder; return its network."""
    import recorder

    def run(deploy: Deployed, size: tuple[int, int]) -> Any:
        network = recorder.Network()
        write_down(deploy, size, network, trt)
        return network

    return run


def deploy(name: str, pooling: Pooling | None, precision: str, maps: RequestedOutputs = LABELS) -> Deployed:
    """The graph that is built, with random weights."""
    torch.manual_seed(0)
    name, _, extra = name.partition(" with ")
    extras: dict[str, dict[str, Any]] = {
        "": {},
        "local contrast": {"local_contrast": True},
        "dropout": {"dropout": 0.5},
    }
    network = NETWORKS[name](11, **SMALL.get(name, {}), **extras[extra])
    graph = deployed_form(
        network,
        (0.4,) * 3,
        (0.3,) * 3,
        confidence=maps.confidence,
        samples=maps.samples,
        temperature=1.7,
        pooling=pooling,
        dtype=PRECISIONS[precision],
        ids=torch.int32,
    )
    if precision == "int8":
        rounded = len(in_execution_order(graph)) - 1
        quantise(graph, [None, *([6.0] * rounded)])
    return graph


def picture(size: tuple[int, int]) -> torch.Tensor:
    return torch.randint(0, 256, (1, *size, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


def kinds(network: Any) -> Counter[str]:
    return network.kinds()
