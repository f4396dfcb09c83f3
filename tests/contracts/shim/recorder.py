"""A stand-in for TensorRT's network definition: it records what the converters ask for, checks it, and can evaluate it.

* Torch-TensorRT's converters call it exactly as they would call TensorRT.
* Every method and attribute they touch must exist on the real TensorRT 11 binding class.
* Documented limits are enforced: ranks, broadcasting, and the data types each layer takes in a strongly typed network
  (docs.nvidia.com/deeplearning/tensorrt/latest/_static/operators, NvInfer.h 11.0). What our graphs have no business
  using (run-time shapes, other layer kinds) is refused.
* Shapes and types are inferred on torch's meta device; `Network.run` evaluates the recorded layers with torch.

It shows what would be handed to TensorRT and that this is the network. It shows nothing of TensorRT's builder, speed,
memory or rounding.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
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


def _weights(w: Any) -> torch.Tensor | None:
    if w is None or isinstance(w, torch.Tensor):
        return w
    if isinstance(w, trt.Weights):
        return torch.from_numpy(w.numpy().copy()) if w.size else None
    return torch.from_numpy(np.asarray(w))


class Tensor:
    """Stands in for ITensor: output `index` of a layer."""

    def __init__(self, layer: Layer, index: int) -> None:
        self.layer, self.index, self.name = layer, index, ""

    @property
    def meta(self) -> torch.Tensor:
        return self.layer.infer()[self.index]

    @property
    def shape(self) -> Any:
        return trt.Dims(list(self.meta.shape))

    @property
    def dtype(self) -> Any:
        return TO_TRT[self.meta.dtype]


class Layer:
    """Stands in for every ILayer: keeps its settings, and infers or computes its outputs from them."""

    OWN: ClassVar = {"kind", "real", "inputs", "compute_with", "settings", "inferred", "name", "metadata"}

    def __init__(self, kind: str, real: type, inputs: list[Tensor], compute: Compute, **settings: Any) -> None:
        self.kind, self.real, self.inputs, self.compute_with = kind, real, inputs, compute
        self.settings, self.inferred = settings, None
        self.name = self.metadata = ""

    def __setattr__(self, name: str, value: Any) -> None:
        if name in self.OWN:
            self.__dict__[name] = value
            return
        require(hasattr(self.real, name), f"{self.real.__name__} has no attribute {name!r} in TensorRT 11")
        self.settings[name] = value
        self.inferred = None

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if name == "type" and "type" not in self.settings:
            return SimpleNamespace(name=self.kind.upper())
        require(hasattr(self.real, name), f"{self.real.__name__} has no attribute {name!r} in TensorRT 11")
        return self.settings.get(name)

    @property
    def num_outputs(self) -> int:
        return len(self.infer())

    def get_output(self, index: int) -> Tensor:
        return Tensor(self, index)

    def infer(self) -> tuple[torch.Tensor, ...]:
        if self.inferred is None:
            self.inferred = self.compute([t.meta.to("meta") for t in self.inputs])
        return self.inferred

    def compute(self, xs: list[torch.Tensor]) -> tuple[torch.Tensor, ...]:
        if self.kind not in ("Cast", "Input"):
            require(all(x.dtype != torch.uint8 for x in xs), f"{self.kind}: uint8 must be cast to floating point first")
        y = self.compute_with(self.settings, *xs)
        return y if isinstance(y, tuple) else (y,)


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


def _elementwise(s: dict[str, Any], a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
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


def _select(s: dict[str, Any], condition: torch.Tensor, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    _takes(condition, {torch.bool}, "Select condition")
    _takes(a, ANY, "Select")
    require(a.dtype == b.dtype, f"Select: {a.dtype} or {b.dtype}")
    _broadcasts("Select", condition, a, b)
    return torch.where(condition, a, b)


def _slice(s: dict[str, Any], x: torch.Tensor) -> torch.Tensor:
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


def _shuffle(s: dict[str, Any], x: torch.Tensor) -> torch.Tensor:
    if s.get("first_transpose") is not None:
        x = x.permute(*s["first_transpose"])
    if s.get("reshape_dims") is not None:
        x = x.reshape([x.shape[axis] if n == 0 else n for axis, n in enumerate(s["reshape_dims"])])
    if s.get("second_transpose") is not None:
        x = x.permute(*s["second_transpose"])
    return x


def _concatenation(s: dict[str, Any], *xs: torch.Tensor) -> torch.Tensor:
    require(len({x.dtype for x in xs}) == 1, "Concatenation: types differ")
    _takes(xs[0], ANY, "Concatenation")
    return torch.cat(xs, s["axis"])


def _pooling(s: dict[str, Any], x: torch.Tensor) -> torch.Tensor:
    _takes(x, FLOATS, "Pooling")
    require(x.dim() >= 4, "Pooling: rank below 4")
    require(s.get("padding_mode") in (None, trt.PaddingMode.EXPLICIT_ROUND_DOWN), "Pooling: padding mode")
    window = tuple(s["window_size_nd"]), tuple(s["stride_nd"]), tuple(s.get("padding_nd") or (0, 0))
    if s["type"] == trt.PoolingType.MAX:
        return F.max_pool2d(x, *window)
    require(s["type"] == trt.PoolingType.AVERAGE, "Pooling: neither maximum nor average")
    return F.avg_pool2d(x, *window, count_include_pad=s.get("average_count_excludes_padding") is False)


def _reduce(s: dict[str, Any], x: torch.Tensor) -> torch.Tensor:
    _takes(x, NUMBERS, "Reduce")
    require(s["op"] == trt.ReduceOperation.AVG, "Reduce: our graphs only average")
    return x.mean([axis for axis in range(x.dim()) if s["axes"] >> axis & 1], keepdim=bool(s["keep_dims"]))


def _unary(s: dict[str, Any], x: torch.Tensor) -> torch.Tensor:
    _takes(x, FLOATS, "Unary")
    require(s["op"] == trt.UnaryOperation.SQRT, f"Unary {s['op'].name}: our graphs have no use for it")
    return x.sqrt()


def _resize(s: dict[str, Any], x: torch.Tensor) -> torch.Tensor:
    _takes(x, FLOATS, "Resize")
    require(s["resize_mode"] == trt.InterpolationMode.NEAREST, "Resize: not nearest")
    require(s["coordinate_transformation"] == trt.ResizeCoordinateTransformation.ASYMMETRIC, "Resize: not asymmetric")
    size = s.get("shape") or [math.floor(n * scale) for n, scale in zip(x.shape, s["scales"], strict=True)]
    require(tuple(size[:2]) == tuple(x.shape[:2]), "Resize: batch and channels must stay")
    return F.interpolate(x, size=tuple(size[2:]), mode="nearest")


def _topk(s: dict[str, Any], x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    _takes(x, NUMBERS, "TopK")
    axes = [axis for axis in range(x.dim()) if s["axes"] >> axis & 1]
    require(len(axes) == 1 and axes[0] >= x.dim() - 4, f"TopK: axes {axes} of rank {x.dim()}")
    require(s["op"] == trt.TopKOperation.MAX and s["k"] == 1, "TopK: only the largest")
    return x.amax(axes[0], keepdim=True), x.argmax(axes[0], keepdim=True).to(torch.int32)


def _cast(s: dict[str, Any], x: torch.Tensor) -> torch.Tensor:
    to = TO_TORCH[s["to_type"]]
    if torch.uint8 in (to, x.dtype):
        other = ({to, x.dtype} - {torch.uint8}) or {torch.float32}
        require(other <= {torch.float32, torch.float16}, f"Cast: {x.dtype} to {to}; uint8 meets fp32 and fp16 only")
    return x.to(to)


def _convolution(s: dict[str, Any], x: torch.Tensor) -> torch.Tensor:
    _takes(x, FLOATS, "Convolution")
    groups = s.get("num_groups") or 1
    shape = (s["num_output_maps"], x.shape[1] // groups, *s["kernel_shape"])  # trt.Weights are flat
    kernel, bias = s["kernel"].reshape(shape).to(x.device), s.get("bias")
    require(kernel.dtype == x.dtype, f"Convolution: {x.dtype} with {kernel.dtype} weights")
    require(bias is None or bias.dtype == x.dtype, "Convolution: the bias has another type")
    settings = [tuple(s[name]) if s.get(name) is not None else default for name, default in _CONVOLUTION]
    return F.conv2d(x, kernel, None if bias is None else bias.to(x.device), *settings, groups)


_CONVOLUTION = (("stride_nd", (1, 1)), ("padding_nd", (0, 0)), ("dilation_nd", (1, 1)))


def _activation(s: dict[str, Any], x: torch.Tensor) -> torch.Tensor:
    _takes(x, NUMBERS, "Activation")
    require(s["type"] == trt.ActivationType.RELU, f"Activation {s['type']}")
    return F.relu(x)


class Network:
    """Stands in for INetworkDefinition."""

    def __init__(self) -> None:
        self.layers: list[Layer] = []
        self.inputs: list[tuple[Layer, Tensor]] = []
        self.outputs: list[Tensor] = []

    def __getattr__(self, name: str) -> Any:
        real = hasattr(trt.INetworkDefinition, name)
        raise Refused(f"INetworkDefinition.{name}: " + ("our graphs have no use for it" if real else "no such method"))

    def _add(self, kind: str, real: type, inputs: list[Tensor], compute: Compute, **settings: Any) -> Layer:
        layer = Layer(kind, real, inputs, compute, **settings)
        self.layers.append(layer)
        return layer

    @property
    def num_layers(self) -> int:
        return len(self.layers) - len(self.inputs)

    def add_input(self, name: str, dtype: Any, shape: Any) -> Tensor:
        meta = torch.empty(tuple(shape), dtype=TO_TORCH[dtype], device="meta")
        layer = self._add("Input", trt.ILayer, [], lambda s: meta)
        tensor = Tensor(layer, 0)
        tensor.name = name
        self.inputs.append((layer, tensor))
        return tensor

    def add_constant(self, shape: Any, weights: Any) -> Layer:
        value = _weights(weights).reshape(tuple(shape))
        return self._add("Constant", trt.IConstantLayer, [], lambda s: s["value"], value=value)

    def add_elementwise(self, a: Tensor, b: Tensor, op: Any) -> Layer:
        return self._add("ElementWise", trt.IElementWiseLayer, [a, b], _elementwise, op=op)

    def add_select(self, condition: Tensor, a: Tensor, b: Tensor) -> Layer:
        return self._add("Select", trt.ISelectLayer, [condition, a, b], _select)

    def add_slice(self, input: Tensor, start: Any, shape: Any, stride: Any) -> Layer:
        return self._add("Slice", trt.ISliceLayer, [input], _slice, start=start, shape=shape, stride=stride)

    def add_shuffle(self, input: Tensor) -> Layer:
        return self._add("Shuffle", trt.IShuffleLayer, [input], _shuffle)

    def add_concatenation(self, inputs: list[Tensor]) -> Layer:
        return self._add("Concatenation", trt.IConcatenationLayer, list(inputs), _concatenation, axis=0)

    def add_pooling_nd(self, input: Tensor, type: Any, window_size: Any) -> Layer:
        ones = (1,) * len(window_size)
        settings = {"type": type, "window_size_nd": window_size, "stride_nd": ones}
        return self._add("Pooling", trt.IPoolingLayer, [input], _pooling, **settings)

    def add_resize(self, input: Tensor) -> Layer:
        return self._add("Resize", trt.IResizeLayer, [input], _resize)

    def add_reduce(self, input: Tensor, op: Any, axes: int, keep_dims: bool) -> Layer:
        return self._add("Reduce", trt.IReduceLayer, [input], _reduce, op=op, axes=axes, keep_dims=keep_dims)

    def add_unary(self, input: Tensor, op: Any) -> Layer:
        return self._add("Unary", trt.IUnaryLayer, [input], _unary, op=op)

    def add_topk(self, input: Tensor, op: Any, k: int, axes: int, *_: Any) -> Layer:
        return self._add("TopK", trt.ITopKLayer, [input], _topk, op=op, k=k, axes=axes)

    def add_cast(self, input: Tensor, to_type: Any) -> Layer:
        return self._add("Cast", trt.ICastLayer, [input], _cast, to_type=to_type)

    def add_activation(self, input: Tensor, type: Any) -> Layer:
        return self._add("Activation", trt.IActivationLayer, [input], _activation, type=type)

    def add_convolution_nd(
        self, input: Tensor, num_output_maps: int, kernel_shape: Any, kernel: Any, bias: Any = None
    ) -> Layer:
        settings = {"num_output_maps": num_output_maps, "kernel_shape": kernel_shape}
        weights = {"kernel": _weights(kernel), "bias": _weights(bias)}
        return self._add("Convolution", trt.IConvolutionLayer, [input], _convolution, **settings, **weights)

    def mark_output(self, tensor: Tensor) -> None:
        self.outputs.append(tensor)

    def kinds(self) -> Counter[str]:
        """How many layers of each kind were recorded."""
        return Counter(layer.kind for layer in self.layers if layer.kind != "Input")

    def run(self, *inputs: torch.Tensor) -> list[torch.Tensor]:
        """The outputs for `inputs`, computed by torch from the recorded layers alone."""
        values: dict[int, tuple[torch.Tensor, ...]] = {}
        for (layer, tensor), x in zip(self.inputs, inputs, strict=True):
            require(
                x.shape == tensor.meta.shape and x.dtype == tensor.meta.dtype, f"{tensor.name}: other shape or type"
            )
            values[id(layer)] = (x,)
        for layer in self.layers:  # in the order they were added, so inputs come first
            if id(layer) not in values:
                values[id(layer)] = layer.compute([values[id(t.layer)][t.index] for t in layer.inputs])
        return [values[id(t.layer)][t.index] for t in self.outputs]


class BuilderConfig:
    """Stands in for IBuilderConfig: takes every setting and call that the real one has."""

    def __setattr__(self, name: str, value: Any) -> None:
        require(hasattr(trt.IBuilderConfig, name), f"IBuilderConfig has no attribute {name!r}")
        self.__dict__[name] = value

    def __getattr__(self, name: str) -> Any:
        require(hasattr(trt.IBuilderConfig, name), f"IBuilderConfig has no method {name!r}")
        return lambda *args, **kwargs: SimpleNamespace(serialize=lambda: b"")


class Builder:
    """Stands in for IBuilder; `recorded` keeps the networks that engines were asked for, the newest last."""

    recorded: ClassVar[list[Network]] = []

    def __init__(self, logger: Any = None) -> None:
        pass

    def create_network(self, flags: int = 0) -> Network:
        strongly = 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
        require(bool(flags & strongly), "the network is not strongly typed")
        return Network()

    def create_builder_config(self) -> BuilderConfig:
        return BuilderConfig()

    def build_engine_with_config(self, network: Network, config: BuilderConfig) -> Any:
        self.recorded.append(network)
        return SimpleNamespace(serialize=lambda: b"a recorded network, no TensorRT engine")

    def __getattr__(self, name: str) -> Any:
        raise Refused(f"IBuilder.{name}: our build has no use for it")
