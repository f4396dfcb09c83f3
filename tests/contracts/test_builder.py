"""NVIDIA's own builder takes what we write down: TensorRT-RTX builds without a GPU. Nothing here runs an engine."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from segnet_live.card import find_card
from segnet_live.cli import main
from segnet_live.engine.artifacts import ENGINE, ArtifactStore
from segnet_live.engine.nvidia import tensorrt_rtx, trt_builder
from segnet_live.errors import EngineError
from segnet_live.nets.networks import NETWORKS
from segnet_live.nets.pooling import MASK, NEAREST, forms_for
from tests.contracts.conftest import FULL, PRECISIONS, deploy

pytestmark = [pytest.mark.contract, pytest.mark.filterwarnings("ignore")]

RELEASED = ("segnet", "segnet-basic", "segnet-fast")
SIZES = ((360, 480), (240, 320), (320, 544), (256, 352), (45, 59))
CASES = [
    (name, form, size, precision)
    for name in (NETWORKS if FULL else RELEASED)
    for form in forms_for(NETWORKS[name].pooling, "tensorrt")[: None if FULL else 1]
    # segnet takes seconds for each: its card's own, and an odd one
    for size in ((find_card(name).input_size, SIZES[-1]) if name == "segnet" and not FULL else SIZES)
    if FULL or name == "segnet" or size != (256, 352)
    for precision in PRECISIONS
] + [
    (name, forms_for(NETWORKS[name].pooling, "tensorrt")[0], size, precision)
    for name in NETWORKS
    if not FULL and name not in RELEASED
    for size in ((360, 480), SIZES[-1])
    for precision in ("fp16", "fp32")
]


@pytest.mark.parametrize(
    ("name", "pooling", "size", "precision"),
    [pytest.param(*case, id=f"{case[0]}-{case[1].name}-{case[2][0]}x{case[2][1]}-{case[3]}") for case in CASES],
)
def test_accepted(rtx: ModuleType, name: str, pooling: Any, size: tuple[int, int], precision: str) -> None:
    module = deploy(name, pooling, precision)
    blob = trt_builder.serialised(module, size, rtx, targets=("SM75", "SM120"))
    assert len(blob) > sum(p.numel() for p in module.parameters())  # it holds them, in a byte each at least


def test_one_engine_for_all_generations(rtx: ModuleType) -> None:
    everyone = [name.upper() for name in tensorrt_rtx.GENERATIONS]
    assert trt_builder.serialised(deploy("segnet-fast", MASK, "fp16"), (45, 59), rtx, targets=everyone)
    assert set(everyone) == {name for name in rtx.ComputeCapability.__members__ if name.startswith("SM")}


class AddsBytes(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return (x + x).to(torch.float16).to(torch.int32)


class MixesTypes(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return (x.to(torch.float16) + x.to(torch.float32)).to(torch.int32)


class Sorts(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.to(torch.float16).sort(-1).values


@pytest.mark.parametrize(
    ("module", "said"),
    [
        (AddsBytes(), "(?i)the builder refuses the network .*uint8"),
        (MixesTypes(), "the builder refuses the network|NoneType"),
        (Sorts(), "an operation without a converter, aten.sort"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else "",
)
def test_refused(rtx: ModuleType, module: Any, said: str) -> None:
    with pytest.raises(Exception, match=said):
        trt_builder.serialised(module, (16, 16), rtx, targets=("SM89",))


def test_too_little_scratch_memory_is_refused_with_nvidia_s_reason(
    rtx: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(trt_builder.OPTIONS, "workspace_mib", 1)
    with pytest.raises(EngineError, match=r"the builder refuses the network \(.+"):
        trt_builder.serialised(deploy("segnet-basic", NEAREST, "fp16"), (360, 480), rtx, targets=("SM89",))


def test_shipped_weights_are_built_ahead_and_found_again(rtx: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["compile", "--backend", "tensorrt-rtx", "--for", "sm89,sm75", "--size", "64x96", "--precision", "int8"]
    assert main(asked) == 0
    assert "not run here" in capsys.readouterr().out
    card = find_card("segnet-fast")
    found = tensorrt_rtx.find(card, (64, 96), "int8", "sm75")
    assert found is not None
    assert found.key_fields["targets"] == ["sm75", "sm89"]
    assert found.files[ENGINE]
    assert tensorrt_rtx.find(card, (64, 96), "int8", "sm120") is None
    assert tensorrt_rtx.find(card, (64, 96), "fp32", "sm75") is None
    assert any(entry.key_fields.get("targets") for entry in ArtifactStore.of("tensorrt-rtx").entries())
