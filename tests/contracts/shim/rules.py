"""What each TensorRT layer takes and computes: documented limits, and the same arithmetic in torch.

Sources: docs.nvidia.com/deeplearning/tensorrt/latest/_static/operators and NvInfer.h 11.0, for strongly typed networks.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import tensorrt_bindings.tensorrt as trt
import torch
import torch.nn.functional as F

Type = trt.DataType
Op = trt.ElementWiseOperation
TO_TORCH = {
    Type.FLOAT: torch.float32,
    Type.HALF: torch.float16,
    Type.BF16: torch.bfloat16,
    Type.INT8: torch.int8,
    Type.INT32: torch.int32,
    Type.INT64: torch.int64,
    Type.BOOL: torch.bool,
    Type.UINT8: torch.uint8,
}
TO_TRT = {ours: theirs for theirs, ours in TO_TORCH.items()}
FLOATS = {torch.float32, torch.float16, torch.bfloat16}
NUMBERS = FLOATS | {torch.int32, torch.int64}
ANY = NUMBERS | {torch.bool}

Compute = Callable[..., Any]


class Refused(Exception):
    """TensorRT's documentation, or its bindings, do not allow what a converter asked for."""


def require(holds: bool, what: str) -> None:
    if not holds:
        raise Refused(what)


def _takes(x: torch.Tensor, types: set[torch.dtype], layer: str) -> None:
    require(x.dtype in types, f"{layer} does not take {x.dtype}")


_ELEMENTWISE: dict[Any, tuple[set[torch.dtype], Compute]] = {
    Op.SUM: (NUMBERS, torch.add),
    Op.SUB: (NUMBERS, torch.sub),
    Op.PROD: (NUMBERS, torch.mul),
    Op.DIV: (NUMBERS, torch.div),
    Op.MAX: (NUMBERS, torch.maximum),
    Op.MIN: (NUMBERS, torch.minimum),
    Op.EQUAL: (NUMBERS, torch.eq),
    Op.GREATER: (NUMBERS, torch.gt),
    Op.LESS: (NUMBERS, torch.lt),
    Op.AND: ({torch.bool}, torch.logical_and),
    Op.OR: ({torch.bool}, torch.logical_or),
}


def elementwise(s: dict[str, Any], a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    name = f"ElementWise {s['op'].name}"
    require(s["op"] in _ELEMENTWISE, f"{name}: our graphs have no use for it")
    types, compute = _ELEMENTWISE[s["op"]]
    require(a.dtype == b.dtype, f"{name}: {a.dtype} with {b.dtype} in a strongly typed network")
    _takes(a, types, name)
    _broadcasts(name, a, b)
    return compute(a, b)


def _broadcasts(name: str, *xs: torch.Tensor) -> None:
    require(len({x.dim() for x in xs}) == 1, f"{name}: ranks {[x.dim() for x in xs]} differ")
    for sizes in zip(*(x.shape for x in xs), strict=True):
        require(len(set(sizes) - {1}) <= 1, f"{name}: sizes {sizes} do not broadcast")


def select(s: dict[str, Any], condition: torch.Tensor, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    _takes(condition, {torch.bool}, "Select condition")
    _takes(a, ANY, "Select")
    require(a.dtype == b.dtype, f"Select: {a.dtype} or {b.dtype}")
    _broadcasts("Select", condition, a, b)
    return torch.where(condition, a, b)


def slice_layer(s: dict[str, Any], x: torch.Tensor) -> torch.Tensor:
    _takes(x, ANY, "Slice")
    start, shape, stride = tuple(s["start"]), tuple(s["shape"]), tuple(s["stride"])
    require(s.get("mode") in (None, trt.SampleMode.STRICT_BOUNDS), f"Slice: mode {s.get('mode')}")
    require(len(start) == len(shape) == len(stride) == x.dim(), "Slice: start, shape, stride and input differ in rank")
    for axis, (a, n, step) in enumerate(zip(start, shape, stride, strict=True)):
        last = a + (n - 1) * step
        require(step >= 0 and 0 <= a <= last < x.shape[axis], f"Slice: {a}+{n}x{step} of {x.shape[axis]}")
        if step == 0:  # how TensorRT repeats an element
            x = x.narrow(axis, a, 1).expand(*x.shape[:axis], n, *x.shape[axis + 1 :])
            continue
        x = x[(slice(None),) * axis + (slice(a, last + 1, step),)]
    return x


def shuffle(s: dict[str, Any], x: torch.Tensor) -> torch.Tensor:
    if s.get("first_transpose") is not None:
        x = x.permute(*s["first_transpose"])
    if s.get("reshape_dims") is not None:
        x = x.reshape([x.shape[axis] if n == 0 else n for axis, n in enumerate(s["reshape_dims"])])
    if s.get("second_transpose") is not None:
        x = x.permute(*s["second_transpose"])
    return x


def concatenation(s: dict[str, Any], *xs: torch.Tensor) -> torch.Tensor:
    require(len({x.dtype for x in xs}) == 1, "Concatenation: types differ")
    _takes(xs[0], ANY, "Concatenation")
    return torch.cat(xs, s["axis"])


def pooling(s: dict[str, Any], x: torch.Tensor) -> torch.Tensor:
    _takes(x, FLOATS, "Pooling")
    require(x.dim() >= 4, "Pooling: rank below 4")
    require(s.get("padding_mode") in (None, trt.PaddingMode.EXPLICIT_ROUND_DOWN), "Pooling: padding mode")
    window = tuple(s["window_size_nd"]), tuple(s["stride_nd"]), tuple(s.get("padding_nd") or (0, 0))
    if s["type"] == trt.PoolingType.MAX:
        return F.max_pool2d(x, *window)
    require(s["type"] == trt.PoolingType.AVERAGE, "Pooling: neither maximum nor average")
    return F.avg_pool2d(x, *window, count_include_pad=s.get("average_count_excludes_padding") is False)


def reduce(s: dict[str, Any], x: torch.Tensor) -> torch.Tensor:
    _takes(x, NUMBERS, "Reduce")
    require(s["op"] == trt.ReduceOperation.AVG, "Reduce: our graphs only average")
    return x.mean([axis for axis in range(x.dim()) if s["axes"] >> axis & 1], keepdim=bool(s["keep_dims"]))


def unary(s: dict[str, Any], x: torch.Tensor) -> torch.Tensor:
    _takes(x, FLOATS, "Unary")
    compute = {trt.UnaryOperation.SQRT: torch.sqrt, trt.UnaryOperation.EXP: torch.exp}.get(s["op"])
    require(compute is not None, f"Unary {s['op'].name}: our graphs have no use for it")
    assert compute is not None
    return compute(x)


def softmax(s: dict[str, Any], x: torch.Tensor) -> torch.Tensor:
    _takes(x, FLOATS, "SoftMax")
    axes = [axis for axis in range(x.dim()) if s["axes"] >> axis & 1]
    require(len(axes) == 1, "SoftMax: one axis")
    return x.softmax(axes[0])


_RESIZE = {
    (trt.InterpolationMode.NEAREST, trt.ResizeCoordinateTransformation.ASYMMETRIC): {"mode": "nearest"},
    (trt.InterpolationMode.LINEAR, trt.ResizeCoordinateTransformation.HALF_PIXEL): {
        "mode": "bilinear",
        "align_corners": False,
    },
}


def resize(s: dict[str, Any], x: torch.Tensor) -> torch.Tensor:
    _takes(x, FLOATS, "Resize")
    how = s["resize_mode"], s["coordinate_transformation"]
    require(how in _RESIZE, f"Resize: {how}; our graphs only repeat pixels, or interpolate between their centres")
    size = s.get("shape") or [math.floor(n * scale) for n, scale in zip(x.shape, s["scales"], strict=True)]
    require(tuple(size[:2]) == tuple(x.shape[:2]), "Resize: batch and channels must stay")
    return F.interpolate(x, size=tuple(size[2:]), **_RESIZE[how])


def topk(s: dict[str, Any], x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    _takes(x, NUMBERS, "TopK")
    axes = [axis for axis in range(x.dim()) if s["axes"] >> axis & 1]
    require(len(axes) == 1 and axes[0] >= x.dim() - 4, f"TopK: axes {axes} of rank {x.dim()}")
    require(s["op"] == trt.TopKOperation.MAX and s["k"] in (1, 2), "TopK: only the largest, or two")
    if s["k"] == 2:
        values, places = x.topk(2, axes[0])
        return values, places.to(torch.int32)
    return x.amax(axes[0], keepdim=True), x.argmax(axes[0], keepdim=True).to(torch.int32)


def cast(s: dict[str, Any], x: torch.Tensor) -> torch.Tensor:
    to = TO_TORCH[s["to_type"]]
    if torch.uint8 in (to, x.dtype):
        other = ({to, x.dtype} - {torch.uint8}) or {torch.float32}
        require(other <= {torch.float32, torch.float16}, f"Cast: {x.dtype} to {to}; uint8 meets fp32 and fp16 only")
    return x.to(to)


def quantize(s: dict[str, Any], x: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    _takes(x, FLOATS, "Quantize")
    require(scale.dtype == x.dtype, f"Quantize: {x.dtype} with a scale in {scale.dtype}")
    inverse = 1 / _along(s, x, scale).float()
    return (x.float() * inverse).round().clamp(-128, 127).to(torch.int8)


def dequantize(s: dict[str, Any], x: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    _takes(x, {torch.int8}, "Dequantize")
    to = TO_TORCH[s["output_type"]]
    require(scale.dtype == to, f"Dequantize: to {to} with a scale in {scale.dtype}")
    return (x.float() * _along(s, x, scale).float()).to(to)


def _along(s: dict[str, Any], x: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    if scale.dim() == 0:
        return scale
    axis = s.get("axis")
    require(axis is not None and scale.dim() == 1 and len(scale) == x.shape[axis], "a scale for each channel")
    return scale.reshape([-1 if i == axis else 1 for i in range(x.dim())])


def convolution(s: dict[str, Any], x: torch.Tensor, *given: torch.Tensor) -> torch.Tensor:
    _takes(x, FLOATS, "Convolution")
    groups = s.get("num_groups") or 1
    shape = (s["num_output_maps"], x.shape[1] // groups, *s["kernel_shape"])  # trt.Weights are flat
    kernel, bias = (given[0] if given else s["kernel"]).reshape(shape).to(x.device), s.get("bias")
    require(kernel.dtype == x.dtype, f"Convolution: {x.dtype} with {kernel.dtype} weights")
    require(bias is None or bias.dtype == x.dtype, "Convolution: the bias has another type")
    settings = [tuple(s[name]) if s.get(name) is not None else default for name, default in _CONVOLUTION]
    return F.conv2d(x, kernel, None if bias is None else bias.to(x.device), *settings, groups)


_CONVOLUTION = (("stride_nd", (1, 1)), ("padding_nd", (0, 0)), ("dilation_nd", (1, 1)))


def deconvolution(s: dict[str, Any], x: torch.Tensor) -> torch.Tensor:
    _takes(x, FLOATS, "Deconvolution")
    require((s.get("num_groups") or 1) == 1, "Deconvolution: our graphs have no use for groups")
    require(s.get("pre_padding") == s.get("post_padding"), "Deconvolution: its two paddings differ")
    shape = (x.shape[1], s["num_output_maps"], *s["kernel_shape"])  # trt.Weights are flat
    kernel, bias = s["kernel"].reshape(shape).to(x.device), s.get("bias")
    require(kernel.dtype == x.dtype, f"Deconvolution: {x.dtype} with {kernel.dtype} weights")
    require(bias is None or bias.dtype == x.dtype, "Deconvolution: the bias has another type")
    stride, padding, dilation = (
        tuple(s[name]) if s.get(name) is not None else default for name, default in _CONVOLUTION
    )
    bias = None if bias is None else bias.to(x.device)
    return F.conv_transpose2d(x, kernel, bias, stride, padding, 0, 1, dilation)


def activation(s: dict[str, Any], x: torch.Tensor) -> torch.Tensor:
    if s["type"] == trt.ActivationType.TANH:
        _takes(x, FLOATS, "Activation TANH")
        return x.tanh()
    _takes(x, NUMBERS, "Activation")
    require(s["type"] == trt.ActivationType.RELU, f"Activation {s['type']}")
    return F.relu(x)
