"""Graphs that say how sure they are: their confidences and samples in the recorder, and with NVIDIA's own builder."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor

from segnet_live.engine.base import RequestedOutputs
from segnet_live.engine.nvidia import trt_builder
from segnet_live.nets.networks import NETWORKS
from segnet_live.nets.pooling import forms_for
from tests.contracts.conftest import FULL, PRECISIONS, Record, deploy, picture

pytestmark = [pytest.mark.contract, pytest.mark.filterwarnings("ignore")]

ODD_SIZE = (45, 59)
SURE, SAMPLED = RequestedOutputs(confidence=True), RequestedOutputs(samples=3)
CASES = [
    ("segnet-fast", SURE, "fp16"),
    ("segnet-basic", SURE, "fp16"),
    ("segnet-basic with dropout", SAMPLED, "fp16"),
]
BUILT = [*CASES, ("segnet-fast", SURE, "fp32"), ("segnet-fast", SURE, "int8")]
FULLY = [(name, SURE, precision) for name in NETWORKS for precision in PRECISIONS]
FULLY += [("segnet-bayesian", SAMPLED, precision) for precision in PRECISIONS]


def graph(name: str, maps: RequestedOutputs, precision: str) -> Any:
    form = forms_for(NETWORKS[name.partition(" with ")[0]].pooling, "tensorrt")[0]
    return deploy(name, form, precision, maps)


@pytest.mark.parametrize(("name", "maps", "precision"), CASES)
def test_recorded_outputs_are_those_of_eager(
    record: Record, monkeypatch: pytest.MonkeyPatch, name: str, maps: RequestedOutputs, precision: str
) -> None:
    module = graph(name, maps, precision)
    network = record(module, ODD_SIZE)
    outputs = [(tensor.name, tensor.meta.dtype, tuple(tensor.meta.shape)) for tensor in network.outputs]
    shape = (1, *ODD_SIZE)
    expected = [("ids", torch.int32, shape), ("confidence", torch.int32, shape), ("variance", torch.float32, shape)]
    assert outputs == expected[: maps.count]
    drawn = [torch.rand(tensor.meta.shape).to(tensor.meta.dtype) for _, tensor in network.inputs[1:]]
    assert len(drawn) == (4 if maps.samples else 0)  # after the two deepest encoders, and after their decoders
    given = iter(drawn)

    def dropout(x: Tensor, p: float, training: bool, inplace: bool) -> Tensor:
        """Drop what an engine drops that is given the same numbers."""
        return torch.where(next(given) < p, torch.zeros_like(x), x * (1 / (1 - p))) if training else x

    monkeypatch.setattr(torch.nn.functional, "dropout", dropout)
    with torch.inference_mode():
        found, wanted = network.run(picture(ODD_SIZE), *drawn), module(picture(ODD_SIZE))
    assert torch.equal(found[0], wanted[0])
    assert (found[1] - wanted[1]).abs().max() <= 1
    assert 0 < found[1].float().mean() < 255
    if maps.samples:
        torch.testing.assert_close(found[2], wanted[2], rtol=0.01, atol=1e-4)
        assert found[2].mean() > 0


@pytest.mark.parametrize(("name", "maps", "precision"), FULLY if FULL else BUILT)
def test_accepted_by_nvidia_s_builder(rtx: ModuleType, name: str, maps: RequestedOutputs, precision: str) -> None:
    blob = trt_builder.serialised(graph(name, maps, precision), ODD_SIZE, rtx, targets=("SM75", "SM120"))
    for output in ("ids", "confidence", "variance")[: maps.count]:
        assert output.encode() in blob
