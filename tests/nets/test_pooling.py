"""Pooling: the exportable forms equal torch's indices bit for bit; the mask form keeps its own promise."""

from __future__ import annotations

import copy
from typing import get_args

import pytest
import torch
from torch import Tensor

from segnet_live.nets.networks import NETWORKS
from segnet_live.nets.pooling import EXACT, MASK, RESIZE, SLICES, TORCH, Pooling, Runtime, form_for, forms_for

SIZES = [(8, 8), (12, 20), (45, 60), (23, 30), (7, 9), (2, 3), (1, 1)]
KINDS = ["random", "ties", "relu", "negative", "infinite"]
EXPORTABLE = pytest.mark.parametrize("form", [SLICES, RESIZE], ids=lambda form: form.name)
# fmt: off
X = torch.tensor([[1., 3., 0., 0.],
                  [2., 3., 0., 0.],
                  [-5., -1., 7., 6.],
                  [-2., -9., 8., 9.]])
POOLED = torch.tensor([[3., 0.],
                       [-1., 9.]])
UNPOOLED = torch.tensor([[0., 10., 20., 0.],
                         [0., 0., 0., 0.],
                         [0., 30., 0., 0.],
                         [0., 0., 0., 40.]])
UNPOOLED_TO_EVERY_MAXIMUM = torch.tensor([[0., 10., 20., 20.],
                                          [0., 10., 20., 20.],
                                          [0., 30., 0., 0.],
                                          [0., 0., 0., 40.]])
# fmt: on
VALUES = torch.tensor([[10.0, 20.0], [30.0, 40.0]])


def activations(kind: str, size: tuple[int, int], dtype: torch.dtype) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 5, *size, generator=generator)
    if kind == "ties":
        x = torch.randint(-2, 3, x.shape, generator=generator).float()
    elif kind == "relu":
        x = (x - 0.7).relu()
    elif kind == "negative":
        x = -x.abs() - 1
    elif kind == "infinite":
        chance = torch.rand(x.shape, generator=generator)
        x = x.masked_fill(chance < 0.3, -torch.inf).masked_fill(chance > 0.9, torch.inf)
    return x.to(dtype)


@EXPORTABLE
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=lambda d: str(d)[6:])
@pytest.mark.parametrize("kind", KINDS)
def test_bit_equal_to_torch(form: Pooling, dtype: torch.dtype, kind: str) -> None:
    for size in SIZES:
        x = activations(kind, size, dtype)
        expected, indices = TORCH.pool(x)
        values, memory = form.pool(x)
        assert torch.equal(values, expected), size
        carried = torch.randn(values.shape, generator=torch.Generator().manual_seed(1)).to(dtype)
        assert torch.equal(form.unpool(carried, memory, size), TORCH.unpool(carried, indices, size)), size


@pytest.mark.parametrize("form", EXACT.values(), ids=lambda form: form.name)
def test_by_hand(form: Pooling) -> None:
    values, memory = form.pool(X[None, None])
    assert torch.equal(values[0, 0], POOLED)
    assert torch.equal(form.unpool(VALUES[None, None], memory, (4, 4))[0, 0], UNPOOLED)


def test_mask_gives_the_value_to_every_maximum() -> None:
    values, memory = MASK.pool(X[None, None])
    assert torch.equal(values[0, 0], POOLED)
    assert torch.equal(MASK.unpool(VALUES[None, None], memory, (4, 4))[0, 0], UNPOOLED_TO_EVERY_MAXIMUM)


def test_mask_equals_the_exact_forms_where_nothing_ties() -> None:
    for size in SIZES[:-1]:
        if size[0] % 2 or size[1] % 2:
            continue  # the repeated rim of an odd size ties with itself
        x = torch.randperm(size[0] * size[1], generator=torch.Generator().manual_seed(2)).float().reshape(1, 1, *size)
        values, memory = MASK.pool(x)
        assert torch.equal(MASK.unpool(values, memory, size), TORCH.unpool(*TORCH.pool(x), size))


@pytest.mark.parametrize("form", [*EXACT.values(), MASK], ids=lambda form: form.name)
def test_sizes_round_up_as_in_the_paper_s_network(form: Pooling) -> None:
    x = torch.randn(1, 2, 45, 60)
    values, memory = form.pool(x)
    assert values.shape == (1, 2, 23, 30)
    assert form.unpool(values, memory, (45, 60)).shape == x.shape


@EXPORTABLE
def test_nan_survives_pooling(form: Pooling) -> None:
    x = X[None, None].clone()
    x[0, 0, 0, 0] = torch.nan
    assert form.pool(x)[0][0, 0, 0, 0].isnan()


@pytest.mark.parametrize("form", [SLICES, RESIZE, MASK], ids=lambda form: form.name)
def test_no_constant_is_copied_from_the_host_while_running(form: Pooling) -> None:
    """Eager CUDA would wait for each, and PyTorch captures no CUDA graph with one in it."""

    class There(torch.nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            values, memory = form.pool(x)
            return form.unpool(values, memory, (x.shape[-2], x.shape[-1]))

    exported = torch.export.export(There(), (torch.randn(1, 2, 7, 10),))
    assert not exported.constants
    assert not [node for node in exported.graph.nodes if "lift" in str(node.target)]


@pytest.mark.parametrize("runtime", get_args(Runtime))
def test_a_runtime_gets_forms_with_the_network_s_own_meaning(runtime: Runtime) -> None:
    exact, fast = NETWORKS["segnet-basic"](11), NETWORKS["segnet-fast"](11)
    assert set(forms_for(exact.pooling, runtime)) <= set(EXACT.values())
    assert form_for(exact, runtime) == forms_for(exact.pooling, runtime)[0]
    assert forms_for(fast.pooling, runtime) == (MASK,)
    assert form_for(copy.deepcopy(exact), runtime) == form_for(exact, runtime)
    if runtime not in ("cpu", "cuda", "meta"):
        assert TORCH not in forms_for(exact.pooling, runtime), "PyTorch's own indices are not converted"
