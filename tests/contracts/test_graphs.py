"""Converter contract tests: our deployed graphs through Torch-TensorRT's real converters, into a recorder."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import nn

from segnet_live.engine.nvidia import tensorrt_build
from segnet_live.nets.deploy import Deploy
from segnet_live.nets.networks import NETWORKS
from segnet_live.nets.pooling import MASK, RESIZE, SLICES, Pooling, forms_for
from tests.contracts.conftest import Record
from tests.support.networks import SMALL

pytestmark = [pytest.mark.contract, pytest.mark.filterwarnings("ignore")]

RELEASE_SIZE, BASIC_SIZE, WIDE_SIZE, ODD_SIZE = (360, 480), (240, 320), (320, 576), (45, 59)
GRAPHS = [
    pytest.param("segnet", SLICES, id="segnet-slices"),
    pytest.param("segnet", RESIZE, id="segnet-resize"),
    pytest.param("segnet-basic", SLICES, id="segnet-basic-slices"),
    pytest.param("segnet-basic", RESIZE, id="segnet-basic-resize"),
    pytest.param("segnet-basic with local contrast", SLICES, id="segnet-basic-contrast-slices"),
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


def deploy(name: str, pooling: Pooling, dtype: torch.dtype) -> Deploy:
    torch.manual_seed(0)
    name, _, contrast = name.partition(" with ")
    network = NETWORKS[name](11, **SMALL.get(name, {}), **({"local_contrast": True} if contrast else {}))
    return Deploy(network, (0.4,) * 3, (0.3,) * 3, pooling=pooling, dtype=dtype, ids=torch.int32)


def picture(size: tuple[int, int]) -> torch.Tensor:
    return torch.randint(0, 256, (1, *size, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    "size", [RELEASE_SIZE, BASIC_SIZE, WIDE_SIZE, ODD_SIZE], ids=lambda size: f"{size[0]}x{size[1]}"
)
@pytest.mark.parametrize(("name", "pooling"), GRAPHS)
def test_fp16_graph_converts_wholly_into_one_engine(
    record: Record, name: str, pooling: Pooling, size: tuple[int, int]
) -> None:
    module = deploy(name, pooling, torch.float16)
    recording = record(module, picture(size))
    assert recording.supported == recording.operations
    assert recording.engines == 1
    assert set(recording.kinds) <= FEW_LAYERS | (FEW_MORE_FOR_CONTRAST if "contrast" in name else set())
    assert recording.kinds["Convolution"] == sum(isinstance(m, nn.Conv2d) for m in module.modules())
    assert [tensor.meta.dtype for _, tensor in recording.network.inputs] == [torch.uint8]
    assert [(tensor.meta.dtype, tensor.meta.shape) for tensor in recording.network.outputs] == [
        (torch.int32, (1, *size))
    ]


@pytest.mark.parametrize(
    ("name", "pooling", "size", "dtype"),
    [
        ("segnet", SLICES, RELEASE_SIZE, torch.float32),
        ("segnet-basic", RESIZE, RELEASE_SIZE, torch.float32),
        ("segnet-fast", MASK, RELEASE_SIZE, torch.float32),
        *((name, pooling, ODD_SIZE, torch.float32) for name, pooling in (graph.values for graph in GRAPHS)),
        *((name, pooling, ODD_SIZE, torch.float16) for name, pooling in (graph.values for graph in GRAPHS)),
    ],
)
def test_recorded_network_gives_the_labels_of_eager(
    record: Record, name: str, pooling: Pooling, size: tuple[int, int], dtype: torch.dtype
) -> None:
    # its own pooling form, so that convolutions see the same memory layouts and sum in the same order;
    # that the forms equal torch's pooling bit for bit is tested in tests/nets/test_pooling.py
    module = deploy(name, pooling, dtype)
    recorded = record(module, picture(size)).network
    with torch.inference_mode():
        assert torch.equal(recorded.run(picture(size))[0], module(picture(size)))


@pytest.mark.parametrize(("name", "pooling"), FAMILY)
def test_every_other_network_converts_wholly_into_one_engine_that_gives_the_labels_of_eager(
    record: Record, name: str, pooling: Pooling
) -> None:
    module = deploy(name, pooling, torch.float16)
    recording = record(module, picture(ODD_SIZE))
    assert recording.supported == recording.operations
    assert recording.engines == 1
    assert set(recording.kinds) <= FEW_LAYERS | FEW_MORE_FOR_CONTRAST | FEW_MORE_FOR_DECONVOLUTION
    assert recording.kinds["Convolution"] == sum(isinstance(m, nn.Conv2d) for m in module.modules())
    assert recording.kinds["Deconvolution"] == sum(isinstance(m, nn.ConvTranspose2d) for m in module.modules())
    with torch.inference_mode():
        assert torch.equal(recording.network.run(picture(ODD_SIZE))[0], module(picture(ODD_SIZE)))


@pytest.mark.parametrize("precision", ["fp16", "fp32"])
def test_the_app_s_own_build_hands_over_one_typed_network(
    torch_tensorrt: ModuleType, tmp_path: Path, precision: str
) -> None:
    import recorder

    module = deploy("segnet-basic", SLICES, tensorrt_build.PRECISIONS[precision])
    before = len(recorder.Builder.recorded)
    blob = tensorrt_build.convert(module, ODD_SIZE, tmp_path / "timing.bin")
    assert isinstance(blob, bytes)
    [network] = recorder.Builder.recorded[before:]
    [output] = network.outputs
    assert (output.meta.dtype, tuple(output.meta.shape)) == (torch.int32, (1, *ODD_SIZE))
    convolutions = [layer for layer in network.layers if layer.kind == "Convolution"]
    assert {layer.settings["kernel"].dtype for layer in convolutions} == {tensorrt_build.PRECISIONS[precision]}
    with torch.inference_mode():
        assert torch.equal(network.run(picture(ODD_SIZE))[0], module(picture(ODD_SIZE)))


def test_every_build_option_is_one_that_torch_tensorrt_knows(torch_tensorrt: ModuleType) -> None:
    import inspect

    call = torch_tensorrt.dynamo.convert_exported_program_to_serialized_trt_engine
    known = set(inspect.signature(call).parameters)
    # it takes **kwargs and says nothing about a name it does not know
    assert {*tensorrt_build.OPTIONS, "arg_inputs", "device", "disable_tf32", "timing_cache_path"} <= known


def test_bindings_have_everything_the_runtime_uses(torch_tensorrt: ModuleType) -> None:
    import tensorrt_bindings.tensorrt as trt

    used = {
        trt.Runtime: ["deserialize_cuda_engine"],
        trt.ICudaEngine: ["create_execution_context", "num_io_tensors", "get_tensor_name", "get_tensor_mode"],
        trt.IExecutionContext: ["set_tensor_address", "execute_async_v3"],
        trt.TensorIOMode: ["INPUT"],
        trt.DataType: ["UINT8", "INT32"],
        trt.ILogger: ["VERBOSE", "INFO", "WARNING", "ERROR", "INTERNAL_ERROR"],
    }
    assert [(owner, name) for owner, names in used.items() for name in names if not hasattr(owner, name)] == []
    assert {"get_tensor_shape", "get_tensor_dtype"} <= set(dir(trt.ICudaEngine))
