"""Negative controls of the recorder: what TensorRT's documentation does not allow must be refused."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from segnet_live.errors import EngineError
from segnet_live.nets.pooling import BYTES, TORCH
from tests.contracts.conftest import Record, deploy

pytestmark = [pytest.mark.contract, pytest.mark.filterwarnings("ignore")]


class ComparesBooleans(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        x = x.to(torch.float16)
        return torch.where((x > 0).eq(x > 1), x, x + x)


class ComparesSmallIntegers(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        code = x.to(torch.float16).to(torch.int8)
        return torch.where(code == code, code, code)


class PermutesBytes(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.permute(0, 3, 1, 2).to(torch.float16) * 2


class Scales(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.to(torch.float16) * torch.full((1, 1, 1, 1), 2.0, dtype=torch.float16)


@pytest.mark.parametrize(
    ("module", "said"),
    [
        (ComparesBooleans(), "EQUAL does not take torch.bool"),
        (ComparesSmallIntegers(), "EQUAL does not take torch.int8"),
        (PermutesBytes(), "uint8 must be cast"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else "",
)
def test_refused(record: Record, module: Any, said: str) -> None:
    with pytest.raises(Exception, match=said):
        record(module, (8, 8)).outputs[0].meta  # noqa: B018  # shapes and types are inferred when asked for


def test_accepted(record: Record) -> None:
    assert record(Scales(), (8, 8)).outputs[0].meta.dtype == torch.float16  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("pooling", "said"), [(TORCH, "without a converter, aten.max_pool2d_with_indices"), (BYTES, "UINT8|uint8")]
)
def test_forms_of_other_runtimes_do_not_convert(record: Record, trt: ModuleType, pooling: Any, said: str) -> None:
    with pytest.raises(Exception, match=said) as caught:
        record(deploy("segnet-basic", pooling, "fp16"), (32, 32)).outputs[0].meta  # noqa: B018
    assert pooling is not TORCH or caught.type is EngineError
