"""What the converter contract tests share: Torch-TensorRT imported without CUDA, and one way to record a graph."""

from __future__ import annotations

import logging
import sys
import types
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn


@dataclass(frozen=True, eq=False)
class Recording:
    """One graph as TensorRT would receive it.

    Attributes:
        network: the recorder's network definition.
        supported, operations: how many operations have a converter, of how many.
        engines: blocks that the partitioner made.
    """

    network: Any
    supported: int
    operations: int
    engines: int

    @property
    def kinds(self) -> Counter[str]:
        return self.network.kinds()


Record = Callable[[nn.Module, Tensor], Recording]


@pytest.fixture(scope="session")
def torch_tensorrt() -> Iterator[types.ModuleType]:
    """The real package, with the six torch.cuda functions it asks at import and while converting answered by hand."""
    if "recorder" not in sys.modules and not _importable("recorder"):
        pytest.skip("needs its own environment: python tests/contracts/run.py")
    gpu = types.SimpleNamespace(name="none", major=9, minor=0, total_memory=80 << 30, multi_processor_count=132)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch._C, "_CudaDeviceProperties", types.SimpleNamespace, raising=False)
        patch.setattr(torch.cuda, "get_device_capability", lambda *_: (9, 0))
        patch.setattr(torch.cuda, "current_device", lambda: 0)
        patch.setattr(torch.cuda, "get_device_properties", lambda *_: gpu)
        patch.setattr(torch.cuda, "mem_get_info", lambda *_: (70 << 30, 80 << 30))
        patch.setattr(torch.cuda, "empty_cache", lambda: None)
        patch.setattr(torch.cuda, "synchronize", lambda *_: None)
        import torch_tensorrt

        logging.getLogger("torch_tensorrt").setLevel(logging.CRITICAL)
        yield torch_tensorrt


def _importable(name: str) -> bool:
    import importlib.util

    return importlib.util.find_spec(name) is not None


@pytest.fixture(scope="session")
def record(torch_tensorrt: types.ModuleType) -> Record:
    """Export, lower, partition and convert a module as Torch-TensorRT does, into the recorder."""
    from torch_tensorrt.dynamo import partitioning
    from torch_tensorrt.dynamo._settings import CompilationSettings
    from torch_tensorrt.dynamo.conversion import DYNAMO_CONVERTERS
    from torch_tensorrt.dynamo.conversion._TRTInterpreter import TRTInterpreter
    from torch_tensorrt.dynamo.lowering import get_decompositions, post_lowering, pre_export_lowering

    def run(module: nn.Module, example: Tensor) -> Recording:
        settings = CompilationSettings(device=torch_tensorrt.Device("cuda:0"), min_block_size=1)
        with torch.no_grad():
            program = torch.export.export(module.eval(), (example,), strict=False)
        lowered = pre_export_lowering(program, settings).run_decompositions(get_decompositions(False, False, False))
        graph = post_lowering(lowered.module(), settings)
        DYNAMO_CONVERTERS.set_compilation_settings(settings)
        supported, operations = partitioning.get_graph_converter_support(graph, set())
        parts, _ = partitioning.fast_partition(
            graph,
            min_block_size=1,
            torch_executed_ops=set(),
            require_full_compilation=True,
            skip_fusion=supported == operations,
        )
        blocks = [node.target for node in parts.graph.nodes if node.op == "call_module"]
        block = getattr(parts, blocks[0])
        interpreter = TRTInterpreter(
            block, partitioning.construct_submodule_inputs(block), compilation_settings=settings
        )
        interpreter._construct_trt_network_def()
        return Recording(interpreter.ctx.net, supported, operations, len(blocks))

    return run
