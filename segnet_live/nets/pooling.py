"""2x2 max-pooling that remembers where the maximum was, and unpooling from that memory.

One contract, several implementations (arXiv:1511.00561, section 3):

    values, memory = pool(x)                  x: (N, C, H, W) -> values: (N, C, ceil(H/2), ceil(W/2))
    z = unpool(values, memory, (H, W))        z: (N, C, H, W), each value at its remembered place, zero elsewhere

Sizes are rounded up, as in the paper's released Caffe network (45 rows pool to 23 and come back as 45). The first
maximum in row-major order wins a tie. `memory` is opaque: only the unpooling of the same implementation reads it.

    torch    F.max_pool2d(return_indices=True) / F.max_unpool2d: int64 indices, for training and as the reference
    slices   strided slices, comparisons and selects: a window code 0..3 in the activation's own dtype
    resize   native pooling, nearest resize and selects: never changes the rank, so channels-last layouts survive
    nearest  pooling of slices, unpooling of resize: half the memory traffic of resize, and the rank stays
    bytes    nearest with the code in a byte each: less traffic again, where a runtime compares bytes
    mask     SegNet-Fast's own, cheaper semantics: *every* maximum of a window receives the value
    plain    for networks without pooling indices: no memory, every place of a window receives the value

The first five are equal bit for bit, including ties, infinities and odd sizes. `slices`, `resize` and `nearest` use
only operations that TensorRT, Inductor and OpenVINO convert; PyTorch's own pair has no TensorRT conversion. The type of
the code follows TensorRT's rules (ElementWise EQUAL takes no uint8, int8 or bool). `form_for` says which one a runtime
gets.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

from segnet_live.frame import Size


@dataclass(frozen=True, slots=True)
class Pooling:
    """A named pair of pooling and unpooling functions that keep the module's contract."""

    name: str
    pool: Callable[[Tensor], tuple[Tensor, Tensor]]
    unpool: Callable[[Tensor, Tensor, Size], Tensor]


def even(x: Tensor) -> Tensor:
    """Return x with its last row and column repeated where H or W is odd: a copy never wins a tie against its original.

    cat, not F.pad, which has no converter for TensorRT.
    """
    height, width = x.shape[-2:]
    if height % 2:
        x = torch.cat((x, x[..., height - 1 :, :]), -2)
    if width % 2:
        x = torch.cat((x, x[..., width - 1 :]), -1)
    return x


def _crop(z: Tensor, size: Size) -> Tensor:
    height, width = size
    if z.shape[-2] != height:
        z = z[..., :height, :]
    if z.shape[-1] != width:
        z = z[..., :width]
    return z


def _pool_torch(x: Tensor) -> tuple[Tensor, Tensor]:
    return F.max_pool2d(x, 2, 2, ceil_mode=True, return_indices=True)


def _unpool_torch(values: Tensor, memory: Tensor, size: Size) -> Tensor:
    return F.max_unpool2d(values, memory, (2, 2), (2, 2), output_size=size)


def _constant(x: Tensor, value: int, rank: int) -> Tensor:
    """Return `value` in x's dtype; its rank matches its partner's, so TensorRT broadcasts without extra layers.

    Filled on the device, like every constant here: one from a Python list is copied there in every frame, for which
    eager CUDA waits and which a CUDA graph cannot hold.
    """
    return torch.full((1,) * rank, float(value), dtype=x.dtype, device=x.device)


def _pool_slices(x: Tensor) -> tuple[Tensor, Tensor]:
    x = even(x)
    upper, lower = x[..., 0::2, :], x[..., 1::2, :]
    a, b, c, d = upper[..., 0::2], upper[..., 1::2], lower[..., 0::2], lower[..., 1::2]
    top, bottom = torch.maximum(a, b), torch.maximum(c, d)
    k0, k1, k2, k3 = (_constant(x, k, 4) for k in range(4))
    # a strict > keeps the first maximum of a tie
    code = torch.where(bottom > top, torch.where(d > c, k3, k2), torch.where(b > a, k1, k0))
    return torch.maximum(top, bottom), code


def _unpool_slices(values: Tensor, memory: Tensor, size: Size) -> Tensor:
    n, c, h, w = values.shape
    place = torch.arange(4, dtype=values.dtype, device=values.device).reshape(1, 1, 1, 2, 1, 2)
    zero = _constant(values, 0, 6)
    hit = memory.reshape(n, c, h, 1, w, 1) == place
    z = torch.where(hit, values.reshape(n, c, h, 1, w, 1), zero)
    return _crop(z.reshape(n, c, 2 * h, 2 * w), size)


def _priority(x: Tensor, height: int, width: int) -> Tensor:
    """Return (1, 1, height, width): 4 3 / 2 1 in every window, so that the largest priority is the first place."""
    window = torch.arange(4, 0, -1, dtype=x.dtype, device=x.device).reshape(1, 1, 2, 2)
    return window.repeat(1, 1, height // 2, width // 2)


def _pool_resize(x: Tensor) -> tuple[Tensor, Tensor]:
    x = even(x)
    values = F.max_pool2d(x, 2, 2)
    hit = x == F.interpolate(values, scale_factor=2, mode="nearest")
    code = torch.where(hit, _priority(x, *x.shape[-2:]), _constant(x, 0, 4))
    return values, F.max_pool2d(code, 2, 2)


def _unpool_resize(values: Tensor, memory: Tensor, size: Size) -> Tensor:
    up = F.interpolate(values, scale_factor=2, mode="nearest")
    code = F.interpolate(memory, scale_factor=2, mode="nearest")
    z = torch.where(code == _priority(up, *up.shape[-2:]), up, _constant(up, 0, 4))
    return _crop(z, size)


def _pool_bytes(x: Tensor) -> tuple[Tensor, Tensor]:
    values, code = _pool_slices(x)
    return values, code.to(torch.uint8)


def _unpool_nearest(values: Tensor, memory: Tensor, size: Size) -> Tensor:
    up = F.interpolate(values, scale_factor=2, mode="nearest")
    code = F.interpolate(memory, scale_factor=2, mode="nearest")
    window = torch.arange(4, dtype=memory.dtype, device=memory.device).reshape(1, 1, 2, 2)
    place = window.repeat(1, 1, *memory.shape[-2:])
    return _crop(torch.where(code == place, up, _constant(up, 0, 4)), size)


def _pool_plain(x: Tensor) -> tuple[Tensor, Tensor]:
    values = F.max_pool2d(even(x), 2, 2)
    return values, values


def _unpool_plain(values: Tensor, memory: Tensor, size: Size) -> Tensor:
    return _crop(F.interpolate(values, scale_factor=2, mode="nearest"), size)


def _pool_mask(x: Tensor) -> tuple[Tensor, Tensor]:
    x = even(x)
    values = F.max_pool2d(x, 2, 2)
    return values, x >= F.interpolate(values, scale_factor=2, mode="nearest")


def _unpool_mask(values: Tensor, memory: Tensor, size: Size) -> Tensor:
    up = F.interpolate(values, scale_factor=2, mode="nearest")
    return _crop(torch.where(memory, up, _constant(up, 0, 4)), size)


TORCH = Pooling("torch", _pool_torch, _unpool_torch)
SLICES = Pooling("slices", _pool_slices, _unpool_slices)
RESIZE = Pooling("resize", _pool_resize, _unpool_resize)
NEAREST = Pooling("nearest", _pool_slices, _unpool_nearest)
BYTES = Pooling("bytes", _pool_bytes, _unpool_nearest)
MASK = Pooling("mask", _pool_mask, _unpool_mask)
PLAIN = Pooling("plain", _pool_plain, _unpool_plain)

EXACT = {p.name: p for p in (TORCH, SLICES, RESIZE, NEAREST, BYTES)}
"""The implementations with the paper's semantics: interchangeable, bit for bit."""

Runtime: TypeAlias = Literal["cpu", "cuda", "meta", "inductor", "openvino", "tensorrt"]
"""What runs a network; the first three are PyTorch eager on that device."""

_FORMS: dict[Runtime, tuple[Pooling, ...]] = {
    "cpu": (TORCH,),
    "cuda": (RESIZE,),  # max_unpool2d makes its inputs contiguous there, which breaks channels-last
    "meta": (RESIZE,),  # max_unpool2d has no form without data
    "inductor": (BYTES,),  # keeps the rank at 4, so that activations stay channels-last between convolutions
    "openvino": (SLICES,),
    "tensorrt": (NEAREST, SLICES, RESIZE),  # which one is faster depends on the GPU: the build tries them
}


class HasPooling(Protocol):
    """A network whose pooling form can be replaced."""

    pooling: Pooling


def forms_for(own: Pooling, runtime: Runtime) -> tuple[Pooling, ...]:
    """Return the forms that `runtime` can run a network with, the likeliest first.

    The only place where a form is chosen.

    Args:
        own: the network's, to which all of them are equal bit for bit.
    """
    return _FORMS[runtime] if own in EXACT.values() else (own,)  # by value: a deep copy of a network has a copy of it


def form_for(network: HasPooling, runtime: Runtime) -> Pooling:
    """Return the form that `runtime` should run `network` with."""
    return forms_for(network.pooling, runtime)[0]
