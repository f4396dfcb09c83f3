"""Our network definitions in the recorder: few layers, documented types, and the labels of PyTorch."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import nn

from segnet_live.engine.nvidia import tensorrt_build
from segnet_live.nets.networks import NETWORKS
from segnet_live.nets.pooling import MASK, NEAREST, RESIZE, SLICES, Pooling, forms_for
from tests.contracts.conftest import FULL, PRECISIONS, Record, deploy, kinds, picture

pytestmark = [pytest.mark.contract, pytest.mark.filterwarnings("ignore")]

RELEASE_SIZE, ODD_SIZE = (360, 480), (45, 59)
GRAPHS = [
    pytest.param("segnet", NEAREST, id="segnet-nearest"),
    pytest.param("segnet", SLICES, id="segnet-slices"),
    pytest.param("segnet", RESIZE, id="segnet-resize"),
    pytest.param("segnet-basic", NEAREST, id="segnet-basic-nearest"),
    pytest.param("segnet-basic", SLICES, id="segnet-basic-slices"),
    pytest.param("segnet-basic", RESIZE, id="segnet-basic-resize"),
    pytest.param("segnet-basic with local contrast", NEAREST, id="segnet-basic-contrast-nearest"),
    pytest.param("segnet-fast", MASK, id="segnet-fast-mask"),
]
FAMILY = [
    pytest.param(name, form, id=f"{name}-{form.name}")
    for name in NETWORKS
    if name not in ("segnet", "segnet-basic", "segnet-fast")
    for form in forms_for(NETWORKS[name].pooling, "tensorrt")[:1]
]
"""The other networks of the papers: one form each, at one size. All of them convert."""
FEW_LAYERS = {"Cast", "Constant", "ElementWise", "Shuffle", "Convolution", "Activation", "Slice", "Concatenation"} | {
    "Select",
    "TopK",
    "Pooling",
    "Resize",
}
FEW_MORE_FOR_CONTRAST = {"Reduce", "Unary"}
FEW_MORE_FOR_DECONVOLUTION = {"Deconvolution"}
FEW_MORE_FOR_INT8 = {"Quantize", "Dequantize"}


@pytest.mark.parametrize(
    ("name", "pooling", "precision"),
    [
        pytest.param(*graph.values, precision, id=f"{graph.id}-{precision}")
        for index, graph in enumerate(GRAPHS)
        for precision in (PRECISIONS if index in (3, len(GRAPHS) - 1, 0 if FULL else 3) else ("fp16",))
    ],
)
def test_recorded_network_gives_the_labels_of_eager(
    record: Record, name: str, pooling: Pooling, precision: str
) -> None:
    # its own pooling form, so that convolutions see the same memory layouts and sum in the same order;
    # that the forms equal torch's pooling bit for bit is tested in tests/nets/test_pooling.py
    module = deploy(name, pooling, precision)
    network = record(module, ODD_SIZE)
    more = FEW_MORE_FOR_CONTRAST if "contrast" in name else set()
    assert set(kinds(network)) <= FEW_LAYERS | more | (FEW_MORE_FOR_INT8 if precision == "int8" else set())
    assert kinds(network)["Convolution"] == sum(isinstance(m, nn.Conv2d) for m in module.modules())
    assert [tensor.meta.dtype for _, tensor in network.inputs] == [torch.uint8]
    assert [(tensor.meta.dtype, tensor.meta.shape) for tensor in network.outputs] == [(torch.int32, (1, *ODD_SIZE))]
    with torch.inference_mode():
        assert torch.equal(network.run(picture(ODD_SIZE))[0], module(picture(ODD_SIZE)))


@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_every_convolution_computes_in_the_precision_asked_for(record: Record, precision: str) -> None:
    network = record(deploy("segnet-fast", MASK, precision), RELEASE_SIZE)
    convolutions = [layer for layer in network.layers if layer.kind == "Convolution"]
    rounded = [layer for layer in convolutions if layer.inputs[0].layer.kind == "Dequantize"]
    assert all(layer.infer()[0].dtype == torch.float16 for layer in convolutions)
    assert len(rounded) == (len(convolutions) - 1 if precision == "int8" else 0)
    assert all(layer.inputs[1].layer.kind == "Dequantize" for layer in rounded)


@pytest.mark.parametrize(("name", "pooling"), FAMILY)
def test_every_other_network_gives_the_labels_of_eager(record: Record, name: str, pooling: Pooling) -> None:
    module = deploy(name, pooling, "fp16")
    network = record(module, ODD_SIZE)
    assert set(kinds(network)) <= FEW_LAYERS | FEW_MORE_FOR_CONTRAST | FEW_MORE_FOR_DECONVOLUTION
    assert kinds(network)["Convolution"] == sum(isinstance(m, nn.Conv2d) for m in module.modules())
    assert kinds(network)["Deconvolution"] == sum(isinstance(m, nn.ConvTranspose2d) for m in module.modules())
    with torch.inference_mode():
        assert torch.equal(network.run(picture(ODD_SIZE))[0], module(picture(ODD_SIZE)))


@pytest.mark.parametrize("precision", list(tensorrt_build.PRECISIONS))
def test_the_app_s_own_build_hands_over_one_typed_network(trt: ModuleType, tmp_path: Path, precision: str) -> None:
    import recorder

    module = deploy("segnet-basic", NEAREST, precision)
    before = len(recorder.Builder.recorded)
    blob = tensorrt_build.convert(module, ODD_SIZE, tmp_path / "timing.bin")
    assert isinstance(blob, bytes)
    [network] = recorder.Builder.recorded[before:]
    assert recorder.Builder.configs[-1].max_aux_streams == 0  # none that could join the capture of a CUDA graph
    [output] = network.outputs
    assert (output.meta.dtype, tuple(output.meta.shape)) == (torch.int32, (1, *ODD_SIZE))


def test_bindings_have_everything_the_runtime_uses(trt: ModuleType, rtx: ModuleType) -> None:
    import tensorrt_bindings.tensorrt as real

    for module in (real, rtx):
        used = {
            module.Runtime: ["deserialize_cuda_engine"],
            module.ICudaEngine: ["create_execution_context", "num_io_tensors", "get_tensor_name", "get_tensor_mode"],
            module.IExecutionContext: ["set_tensor_address", "execute_async_v3"],
            module.TensorIOMode: ["INPUT"],
            module.DataType: ["UINT8", "INT32", "INT8", "HALF", "FLOAT", "BOOL"],
            module.ILogger: ["VERBOSE", "INFO", "WARNING", "ERROR", "INTERNAL_ERROR"],
            module.IBuilderConfig: ["max_aux_streams", "builder_optimization_level", "set_memory_pool_limit"],
            module.BuilderFlag: ["TF32"],
        }
        assert [(owner, name) for owner, names in used.items() for name in names if not hasattr(owner, name)] == []
        assert {"get_tensor_shape", "get_tensor_dtype"} <= set(dir(module.ICudaEngine))
    caches = {
        rtx.ICudaEngine: ["create_runtime_config"],
        rtx.IRuntimeConfig: ["create_runtime_cache", "set_runtime_cache"],
        rtx.IRuntimeCache: ["serialize", "deserialize"],
    }
    assert [name for owner, names in caches.items() for name in names if not hasattr(owner, name)] == []
