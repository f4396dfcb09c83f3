"""Negative controls of the converter contract tests: what TensorRT does not take must be refused."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segnet_live.nets.deploy import Deploy
from segnet_live.nets.pooling import TORCH
from segnet_live.nets.segnet import SegNetBasic
from tests.contracts.conftest import Record

pytestmark = [pytest.mark.contract, pytest.mark.filterwarnings("ignore")]


class ComparesBooleans(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.where((x > 0) == (x < 1), x, x + x)


class ComparesSmallIntegers(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        code = (x > 0).to(torch.int8)
        return torch.where(code == code, x, x + x)


class GivesBytes(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.argmax(1).to(torch.uint8)


class PoolsWithRoundingUp(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return F.max_pool2d(x, 2, 2, ceil_mode=True)


class PermutesBytes(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.permute(0, 3, 1, 2).to(torch.float16) * 2


class ShufflesPixels(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return F.pixel_shuffle(x, 2)


class Scales(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.to(torch.float16) * torch.full((1, 1, 1, 1), 2.0, dtype=torch.float16)


@pytest.mark.parametrize(
    ("module", "example", "said"),
    [
        (ComparesBooleans(), torch.zeros(1, 4, 8, 8), "EQUAL does not take torch.bool"),
        (ComparesSmallIntegers(), torch.zeros(1, 4, 8, 8), "EQUAL does not take torch.int8"),
        (GivesBytes(), torch.zeros(1, 4, 8, 8), ""),
        (PoolsWithRoundingUp(), torch.zeros(1, 4, 9, 9), ""),
        (PermutesBytes(), torch.zeros(1, 8, 8, 3, dtype=torch.uint8), "uint8 must be cast"),
        (ShufflesPixels(), torch.zeros(1, 4, 8, 8), "add_shape"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else "",
)
def test_refused(record: Record, module: nn.Module, example: Tensor, said: str) -> None:
    with pytest.raises(Exception, match=said):
        record(module, example)


def test_accepted(record: Record) -> None:
    recording = record(Scales(), torch.zeros(1, 8, 8, 3, dtype=torch.uint8))
    assert (recording.supported, recording.engines) == (recording.operations, 1)


def test_torch_s_own_pooling_indices_do_not_convert(record: Record) -> None:
    module = Deploy(SegNetBasic(11), (0.4,) * 3, (0.3,) * 3, pooling=TORCH, ids=torch.int32)
    with pytest.raises(AssertionError):  # the partitioner, asked for one engine
        record(module, torch.zeros(1, 32, 32, 3, dtype=torch.uint8))
