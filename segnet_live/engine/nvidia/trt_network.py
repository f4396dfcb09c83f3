"""Write a deployed network down as a TensorRT network definition; TensorRT and TensorRT-RTX take the same one.

Our own converters, not Torch-TensorRT's: that package needs a GPU build of PyTorch even to convert, and has one edition
for TensorRT and another for TensorRT-RTX, of which only one can be installed. ONNX needs four packages more and ten
times as long. Our graphs have some thirty operations, and each is one layer here.

The converter contract tests (tests/contracts) give these definitions to NVIDIA's own builder, and to a recorder that
computes their labels.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx

from segnet_live.engine.exporting import exporting
from segnet_live.errors import EngineError
from segnet_live.frame import Size
from segnet_live.nets.deploy import Deployed

Pair = Sequence[int]
Layer = Any
"""A layer, or one of its outputs, of whichever TensorRT."""


OUTPUTS = ("ids", "confidence", "variance")
"""What an engine's outputs are called: (1, h, w) int32, int32 and float32; as many of them as the graph has."""
NOISE = "noise"
"""What an engine's inputs for dropout begin with: numbers 0 <= n < 1 of equal probability, new ones for each frame."""


def write_down(deploy: Deployed, size: Size, network: Any, trt: Any) -> list[Any]:
    """Add the layers of `deploy` to a strongly typed network: "rgb" (1, h, w, 3) uint8 in, `OUTPUTS` out.

    Args:
        deploy: on the CPU, with int32 class ids, because TensorRT has no uint8 output.
        network: an empty INetworkDefinition.
        trt: the module it comes from, `tensorrt` or `tensorrt_rtx`.

    Returns:
        The weights, which must live until the engine is built: TensorRT does not copy them.

    Raises:
        EngineError: an operation has no converter; an engine is the whole graph or nothing.
    """
    example = torch.zeros((1, *size, 3), dtype=torch.uint8)
    with exporting(), torch.no_grad():
        program = torch.export.export(deploy, (example,), strict=False)
    writer = _Writer(network, trt)
    given = program.graph_signature
    held = {**program.state_dict, **program.constants}
    names = {**given.inputs_to_parameters, **given.inputs_to_buffers, **given.inputs_to_lifted_tensor_constants}
    values: dict[fx.Node, Any] = {}
    for node in program.graph.nodes:
        if node.op == "placeholder":
            values[node] = held[names[node.name]].detach() if node.name in names else writer.input("rgb", node)
        elif node.op == "call_function":
            arguments, options = fx.map_arg((node.args, node.kwargs), values.__getitem__)
            values[node] = writer.add(node, arguments, options)
        elif node.op == "output":
            for name, result in zip(OUTPUTS, fx.map_arg(node.args[0], values.__getitem__), strict=False):
                result.name = name
                network.mark_output(result)
    return writer.weights


class _Writer:
    """The converters of one network. A value is a tensor of the network, or a torch tensor while it is a constant."""

    def __init__(self, network: Any, trt: Any) -> None:
        self.network = network
        self.trt = trt
        self.weights: list[Any] = []
        self._noises = 0
        types = {"uint8": "UINT8", "int8": "INT8", "int32": "INT32", "int64": "INT64", "bool": "BOOL"}
        types |= {"float16": "HALF", "float32": "FLOAT", "bfloat16": "BF16"}
        self._types = {getattr(torch, ours): getattr(trt.DataType, theirs) for ours, theirs in types.items()}

    def input(self, name: str, node: fx.Node) -> Layer:
        like = node.meta["val"]
        return self.network.add_input(name, self._types[like.dtype], tuple(like.shape))

    def add(self, node: fx.Node, arguments: Any, options: Any) -> Any:
        """Return the value of one operation; what depends on constants alone is computed at once."""
        found: list[bool] = []
        fx.node.map_aggregate((arguments, options), lambda a: found.append(self._is_layer(a)))
        if node.target is operator.getitem:
            return arguments[0][arguments[1]]
        name = str(getattr(node.target, "overloadpacket", node.target)).removeprefix("aten.")
        if not any(found) and name not in _EVEN_OF_CONSTANTS:
            assert callable(node.target)
            return node.target(*arguments, **options)
        converter: Callable[..., Any] | None = getattr(self, f"op_{name.rstrip('_')}", None)
        if converter is None:
            raise EngineError(f"TensorRT: the network has an operation without a converter, {node.target}")
        return converter(*arguments, **options)

    def _is_layer(self, value: Any) -> bool:
        return value is not None and not isinstance(
            value, Tensor | bool | int | float | str | torch.dtype | torch.device | torch.layout
        )

    def kept(self, tensor: Tensor) -> Any:
        """Return the weights of `tensor`, and keep its memory alive."""
        array = np.ascontiguousarray(tensor.detach().numpy())
        self.weights.append(array)
        return self.trt.Weights(array)

    def constant(self, value: Tensor | float, like: Layer) -> Layer:
        """Return a constant of the type and rank of `like`, so that TensorRT broadcasts it without further layers."""
        rank = len(tuple(like.shape))
        dtype = next(ours for ours, theirs in self._types.items() if theirs == like.dtype)
        tensor = torch.as_tensor(value).to(dtype)
        tensor = tensor.reshape((1,) * (rank - tensor.dim()) + tuple(tensor.shape))
        return self._constant(tensor)

    def _constant(self, tensor: Tensor) -> Layer:
        return self.network.add_constant(tuple(tensor.shape), self.kept(tensor)).get_output(0)

    def binary(self, a: Any, b: Any, name: str) -> Layer:
        a, b = self._both(a, b)
        return self.network.add_elementwise(a, b, getattr(self.trt.ElementWiseOperation, name)).get_output(0)

    def _both(self, a: Any, b: Any) -> tuple[Layer, Layer]:
        if not self._is_layer(a):
            return self.constant(a, b), b
        if not self._is_layer(b):
            return a, self.constant(b, a)
        rank = max(len(tuple(a.shape)), len(tuple(b.shape)))
        return self._of_rank(a, rank), self._of_rank(b, rank)

    def _of_rank(self, x: Layer, rank: int) -> Layer:
        """Return x with leading sides of 1, which PyTorch adds by itself to broadcast."""
        shape = tuple(x.shape)
        return x if len(shape) == rank else self.op_reshape(x, (1,) * (rank - len(shape)) + shape)

    # operations of PyTorch by name, with their own arguments

    def op_conv2d(
        self, x: Layer, weight: Any, bias: Tensor | None = None, stride: Pair = (1, 1), padding: Pair = (0, 0),
        dilation: Pair = (1, 1), groups: int = 1,
    ) -> Layer:  # fmt: skip
        rounded = self._is_layer(weight)
        shape = tuple(weight.shape)
        kernel = self.trt.Weights() if rounded else self.kept(weight)
        extra = () if bias is None else (self.kept(bias),)
        layer = self.network.add_convolution_nd(x, shape[0], shape[2:], kernel, *extra)
        if rounded:
            layer.set_input(1, weight)
        layer.stride_nd, layer.padding_nd, layer.dilation_nd = tuple(stride), tuple(padding), tuple(dilation)
        layer.num_groups = groups
        return layer.get_output(0)

    def op_conv_transpose2d(
        self, x: Layer, weight: Tensor, bias: Tensor | None = None, stride: Pair = (1, 1), padding: Pair = (0, 0)
    ) -> Layer:
        extra = () if bias is None else (self.kept(bias),)
        layer = self.network.add_deconvolution_nd(
            x, weight.shape[1], tuple(weight.shape[2:]), self.kept(weight), *extra
        )
        layer.stride_nd, layer.padding_nd = tuple(stride), tuple(padding)
        return layer.get_output(0)

    def _pooled(self, kind: Any, x: Layer, window: Pair, stride: Pair, padding: Pair) -> Layer:
        layer = self.network.add_pooling_nd(x, kind, tuple(window))
        layer.stride_nd, layer.padding_nd = tuple(stride or window), tuple(padding)
        return layer

    def op_max_pool2d(
        self,
        x: Layer,
        window: Pair,
        stride: Pair = (),
        padding: Pair = (0, 0),
        dilation: Pair = (1, 1),
        up: bool = False,
    ) -> Layer:
        if up or set(dilation) != {1}:
            raise EngineError("TensorRT: max pooling has no converter with dilation or rounding up")
        return self._pooled(self.trt.PoolingType.MAX, x, window, stride, padding).get_output(0)

    def op_avg_pool2d(
        self, x: Layer, window: Pair, stride: Pair = (), padding: Pair = (0, 0), up: bool = False, padded: bool = True
    ) -> Layer:
        assert not up
        layer = self._pooled(self.trt.PoolingType.AVERAGE, x, window, stride, padding)
        layer.average_count_excludes_padding = not padded
        return layer.get_output(0)

    def _resized(self, x: Layer, size: Pair | None, scales: Sequence[float] | None, mode: str, centre: str) -> Layer:
        layer = self.network.add_resize(x)
        if size is not None:
            layer.shape = (*tuple(x.shape)[:2], *size)
        else:
            assert scales is not None
            layer.scales = (1.0, 1.0, *scales)
        layer.resize_mode = getattr(self.trt.InterpolationMode, mode)
        layer.coordinate_transformation = getattr(self.trt.ResizeCoordinateTransformation, centre)
        if mode == "NEAREST":
            layer.nearest_rounding = self.trt.ResizeRoundMode.FLOOR
        return layer.get_output(0)

    def op_upsample_nearest2d(self, x: Layer, size: Pair | None, scales: Sequence[float] | None) -> Layer:
        return self._resized(x, size, scales, "NEAREST", "ASYMMETRIC")

    def op_upsample_bilinear2d(
        self, x: Layer, size: Pair | None, corners: bool, scales: Sequence[float] | None
    ) -> Layer:
        assert not corners
        return self._resized(x, size, scales, "LINEAR", "HALF_PIXEL")

    def _activated(self, x: Layer, name: str) -> Layer:
        return self.network.add_activation(x, getattr(self.trt.ActivationType, name)).get_output(0)

    def op_relu(self, x: Layer) -> Layer:
        return self._activated(x, "RELU")

    def op_tanh(self, x: Layer) -> Layer:
        return self._activated(x, "TANH")

    def op_sqrt(self, x: Layer) -> Layer:
        return self.network.add_unary(x, self.trt.UnaryOperation.SQRT).get_output(0)

    def op_exp(self, x: Layer) -> Layer:
        return self.network.add_unary(x, self.trt.UnaryOperation.EXP).get_output(0)

    def op_square(self, x: Layer) -> Layer:
        return self.binary(x, x, "PROD")

    def op_softmax(self, x: Layer, axis: int) -> Layer:
        layer = self.network.add_softmax(x)
        layer.axes = 1 << axis
        return layer.get_output(0)

    def op_add(self, a: Any, b: Any) -> Layer:
        return self.binary(a, b, "SUM")

    def op_sub(self, a: Any, b: Any) -> Layer:
        return self.binary(a, b, "SUB")

    def op_mul(self, a: Any, b: Any) -> Layer:
        return self.binary(a, b, "PROD")

    def op_div(self, a: Any, b: Any) -> Layer:
        return self.binary(a, b, "DIV")

    def op_maximum(self, a: Any, b: Any) -> Layer:
        return self.binary(a, b, "MAX")

    def op_minimum(self, a: Any, b: Any) -> Layer:
        return self.binary(a, b, "MIN")

    def op_rsub(self, a: Any, b: Any) -> Layer:
        return self.binary(b, a, "SUB")

    def op_clamp(self, x: Layer, least: float, most: float | None = None) -> Layer:
        x = self.binary(x, least, "MAX")
        return x if most is None else self.binary(x, most, "MIN")

    def op_eq(self, a: Any, b: Any) -> Layer:
        return self.binary(a, b, "EQUAL")

    def op_gt(self, a: Any, b: Any) -> Layer:
        return self.binary(a, b, "GREATER")

    def op_ge(self, a: Any, b: Any) -> Layer:
        a, b = self._both(a, b)
        return self.binary(self.op_gt(a, b), self.op_eq(a, b), "OR")

    def op_where(self, condition: Layer, a: Any, b: Any) -> Layer:
        if not self._is_layer(a) and not self._is_layer(b):
            a, b = (self._constant(value) for value in (a, b))
        a, b = self._both(a, b)
        return self.network.add_select(condition, a, b).get_output(0)

    def op_mean(self, x: Layer, axes: Sequence[int], keep: bool = False) -> Layer:
        rank = len(tuple(x.shape))
        bits = sum(1 << (axis % rank) for axis in axes)
        return self.network.add_reduce(x, self.trt.ReduceOperation.AVG, bits, keep).get_output(0)

    def op_argmax(self, x: Layer, axis: int) -> Layer:
        shape = tuple(x.shape)
        layer = self.network.add_topk(x, self.trt.TopKOperation.MAX, 1, 1 << axis)
        return self.op_reshape(layer.get_output(1), (*shape[:axis], *shape[axis + 1 :]))

    def op_topk(self, x: Layer, k: int, axis: int) -> Sequence[Layer]:
        layer = self.network.add_topk(x, self.trt.TopKOperation.MAX, k, 1 << axis)
        return layer.get_output(0), layer.get_output(1)

    def op_unbind(self, x: Layer, axis: int = 0) -> Sequence[Layer]:
        return [self.op_select(x, axis, index) for index in range(tuple(x.shape)[axis])]

    def op_select(self, x: Layer, axis: int, index: int) -> Layer:
        shape = tuple(x.shape)
        return self.op_reshape(self.op_slice(x, axis, index, index + 1), (*shape[:axis], *shape[axis + 1 :]))

    def op_repeat(self, x: Layer, times: Sequence[int]) -> Layer:
        assert set(times[1:]) == {1}, "only whole batches are repeated"
        return self.op_cat([x] * times[0])

    def op_cat(self, values: Sequence[Any], axis: int = 0) -> Layer:
        like = next(value for value in values if self._is_layer(value))
        layer = self.network.add_concatenation(
            [value if self._is_layer(value) else self.constant(value, like) for value in values]
        )
        layer.axis = axis % len(tuple(like.shape))
        return layer.get_output(0)

    def op_slice(
        self, x: Layer, axis: int = 0, start: int | None = None, end: int | None = None, step: int = 1
    ) -> Layer:
        shape = list(x.shape)
        first, last, _ = slice(start, end).indices(shape[axis])
        starts, steps = [0] * len(shape), [1] * len(shape)
        starts[axis], steps[axis] = first, step
        shape[axis] = len(range(first, last, step))
        return self.network.add_slice(x, tuple(starts), tuple(shape), tuple(steps)).get_output(0)

    def op_reshape(self, x: Layer, shape: Sequence[int]) -> Layer:
        layer = self.network.add_shuffle(x)
        layer.reshape_dims = tuple(shape)
        return layer.get_output(0)

    def op_permute(self, x: Layer, order: Sequence[int]) -> Layer:
        layer = self.network.add_shuffle(x)
        layer.first_transpose = tuple(order)
        return layer.get_output(0)

    def op_to(self, x: Layer, dtype: torch.dtype) -> Layer:
        wanted = self._types[dtype]
        return x if x.dtype == wanted else self.network.add_cast(x, wanted).get_output(0)

    def op_alias(self, x: Layer) -> Layer:
        return x

    def op_dropout(self, x: Layer, share: float, training: bool) -> Layer:
        """Return x, or x with `share` of its values dropped by an input of the engine: TensorRT has no dropout."""
        if not training or share == 0:
            return x
        noise = self.network.add_input(f"{NOISE}{self._noises}", x.dtype, tuple(x.shape))
        self._noises += 1
        dropped = self.binary(noise, share, "LESS")
        return self.op_where(dropped, 0.0, self.op_mul(x, 1 / (1 - share)))

    def op__assert_tensor_metadata(self, *_: Any, **__: Any) -> None:
        return None

    def op_fake_quantize_per_tensor_affine(self, x: Layer, scale: float, zero: int, low: int, high: int) -> Layer:
        assert (zero, low, high) == (0, -128, 127)
        return self._rounded(x, torch.tensor(scale), x.dtype)

    def op_fake_quantize_per_channel_affine(
        self, weight: Tensor, scale: Tensor, zero: Tensor, axis: int, low: int, high: int
    ) -> Layer:
        assert (axis, low, high) == (0, -127, 127)
        kernel = self._constant(weight)
        return self._rounded(kernel, scale, kernel.dtype, axis)

    def _rounded(self, x: Layer, scale: Tensor, dtype: Any, axis: int | None = None) -> Layer:
        """Return x in 8 bits and back in `dtype`: the pair of layers from which TensorRT makes int8 convolutions."""
        float_scale = next(ours for ours, theirs in self._types.items() if theirs == dtype)
        scales = self._constant(scale.to(float_scale))
        down = self.network.add_quantize(x, scales, self.trt.DataType.INT8)
        up = self.network.add_dequantize(down.get_output(0), scales, dtype)
        if axis is not None:
            down.axis = up.axis = axis
        return up.get_output(0)


_EVEN_OF_CONSTANTS = ("fake_quantize_per_channel_affine",)
"""Constants too: a kernel that were rounded here would come to TensorRT as one in floating point."""
