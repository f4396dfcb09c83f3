"""A stand-in for TensorRT's network definition: it records what the converters ask for, checks it, and can evaluate it.

* Our converters (`segnet_live.engine.nvidia.trt_network`) call it exactly as they call TensorRT.
* Every method and attribute they touch must exist on the real TensorRT 11 binding class.
* Documented limits are enforced: ranks, broadcasting, and the data types each layer takes in a strongly typed network
  (docs.nvidia.com/deeplearning/tensorrt/latest/_static/operators, NvInfer.h 11.0). What our graphs have no business
  using (run-time shapes, other layer kinds) is refused.
* Shapes and types are inferred on torch's meta device; `Network.run` evaluates the recorded layers with torch.

It shows what would be handed to TensorRT and that this is the network. It shows nothing of TensorRT's builder, speed,
memory or rounding.
"""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import rules
import tensorrt_bindings.tensorrt as trt
import torch
from rules import TO_TORCH, TO_TRT, Compute, require


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

    def set_input(self, index: int, tensor: Tensor) -> None:
        require(index == 1 and self.kind == "Convolution" and self.settings["kernel"] is None, "only a kernel")
        self.inputs = [self.inputs[0], tensor]

    def infer(self) -> tuple[torch.Tensor, ...]:
        if self.inferred is None:
            self.inferred = self.compute([t.meta.to("meta") for t in self.inputs])
        return self.inferred

    def compute(self, xs: list[torch.Tensor]) -> tuple[torch.Tensor, ...]:
        if self.kind not in ("Cast", "Input"):
            require(all(x.dtype != torch.uint8 for x in xs), f"{self.kind}: uint8 must be cast to floating point first")
        y = self.compute_with(self.settings, *xs)
        return y if isinstance(y, tuple) else (y,)


class Network:
    """Stands in for INetworkDefinition."""

    def __init__(self) -> None:
        self.layers: list[Layer] = []
        self.inputs: list[tuple[Layer, Tensor]] = []
        self.outputs: list[Tensor] = []

    def __getattr__(self, name: str) -> Any:
        real = hasattr(trt.INetworkDefinition, name)
        raise rules.Refused(
            f"INetworkDefinition.{name}: " + ("our graphs have no use for it" if real else "no such method")
        )

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
        return self._add("ElementWise", trt.IElementWiseLayer, [a, b], rules.elementwise, op=op)

    def add_select(self, condition: Tensor, a: Tensor, b: Tensor) -> Layer:
        return self._add("Select", trt.ISelectLayer, [condition, a, b], rules.select)

    def add_slice(self, input: Tensor, start: Any, shape: Any, stride: Any) -> Layer:
        return self._add("Slice", trt.ISliceLayer, [input], rules.slice_layer, start=start, shape=shape, stride=stride)

    def add_shuffle(self, input: Tensor) -> Layer:
        return self._add("Shuffle", trt.IShuffleLayer, [input], rules.shuffle)

    def add_concatenation(self, inputs: list[Tensor]) -> Layer:
        return self._add("Concatenation", trt.IConcatenationLayer, list(inputs), rules.concatenation, axis=0)

    def add_pooling_nd(self, input: Tensor, type: Any, window_size: Any) -> Layer:
        ones = (1,) * len(window_size)
        settings = {"type": type, "window_size_nd": window_size, "stride_nd": ones}
        return self._add("Pooling", trt.IPoolingLayer, [input], rules.pooling, **settings)

    def add_resize(self, input: Tensor) -> Layer:
        return self._add("Resize", trt.IResizeLayer, [input], rules.resize)

    def add_reduce(self, input: Tensor, op: Any, axes: int, keep_dims: bool) -> Layer:
        return self._add("Reduce", trt.IReduceLayer, [input], rules.reduce, op=op, axes=axes, keep_dims=keep_dims)

    def add_unary(self, input: Tensor, op: Any) -> Layer:
        return self._add("Unary", trt.IUnaryLayer, [input], rules.unary, op=op)

    def add_softmax(self, input: Tensor) -> Layer:
        return self._add("SoftMax", trt.ISoftMaxLayer, [input], rules.softmax)

    def add_topk(self, input: Tensor, op: Any, k: int, axes: int, *_: Any) -> Layer:
        return self._add("TopK", trt.ITopKLayer, [input], rules.topk, op=op, k=k, axes=axes)

    def add_cast(self, input: Tensor, to_type: Any) -> Layer:
        return self._add("Cast", trt.ICastLayer, [input], rules.cast, to_type=to_type)

    def add_quantize(self, input: Tensor, scale: Tensor, output_type: Any) -> Layer:
        require(output_type == trt.DataType.INT8, "Quantize: our graphs go to int8 only")
        return self._add("Quantize", trt.IQuantizeLayer, [input, scale], rules.quantize)

    def add_dequantize(self, input: Tensor, scale: Tensor, output_type: Any) -> Layer:
        return self._add("Dequantize", trt.IDequantizeLayer, [input, scale], rules.dequantize, output_type=output_type)

    def add_activation(self, input: Tensor, type: Any) -> Layer:
        return self._add("Activation", trt.IActivationLayer, [input], rules.activation, type=type)

    def add_convolution_nd(
        self, input: Tensor, num_output_maps: int, kernel_shape: Any, kernel: Any, bias: Any = None
    ) -> Layer:
        settings = {"num_output_maps": num_output_maps, "kernel_shape": kernel_shape}
        weights = {"kernel": _weights(kernel), "bias": _weights(bias)}
        return self._add("Convolution", trt.IConvolutionLayer, [input], rules.convolution, **settings, **weights)

    def add_deconvolution_nd(
        self, input: Tensor, num_output_maps: int, kernel_shape: Any, kernel: Any, bias: Any = None
    ) -> Layer:
        settings = {"num_output_maps": num_output_maps, "kernel_shape": kernel_shape}
        weights = {"kernel": _weights(kernel), "bias": _weights(bias)}
        return self._add("Deconvolution", trt.IDeconvolutionLayer, [input], rules.deconvolution, **settings, **weights)

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
    configs: ClassVar[list[BuilderConfig]] = []

    def __init__(self, logger: Any = None) -> None:
        pass

    def create_network(self, flags: int = 0) -> Network:
        strongly = 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
        require(bool(flags & strongly), "the network is not strongly typed")
        return Network()

    def create_builder_config(self) -> BuilderConfig:
        return BuilderConfig()

    def build_serialized_network(self, network: Network, config: BuilderConfig) -> bytes:
        self.recorded.append(network)
        self.configs.append(config)
        return b"a recorded network, no TensorRT engine"

    def __getattr__(self, name: str) -> Any:
        raise rules.Refused(f"IBuilder.{name}: our build has no use for it")
