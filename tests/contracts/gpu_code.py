"""Write the GPU code that Inductor makes of a deployed network, without a GPU, and run it in Triton's interpreter.

    python tests/contracts/gpu_code.py write NETWORK HxW FILE       for an H100, in fp16
    python tests/contracts/gpu_code.py run MODEL HxW FILE FRAMES    prints the share of labels as fp32 eager gives them

Each in a process of its own: they put stand-ins into torch. Fake tensors take the place of CUDA's, convolutions are
assumed to be channels-last, as cuDNN returns them. In the interpreter, torch computes convolutions and arg max (the
interpreter reduces with a Python call for each element), and kernels drop their masks, so blocks must divide the sizes.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import os
import re
import sys
import tempfile
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

if __name__ == "__main__" and sys.argv[1] == "run":
    os.environ["TRITON_INTERPRET"] = "1"

import torch
from torch import Tensor, nn

from segnet_live.card import find_card
from segnet_live.engine.parity import reference_frames
from segnet_live.engine.resize import fit_input
from segnet_live.nets.deploy import Deploy
from segnet_live.nets.load import load_network
from segnet_live.nets.networks import NETWORKS
from segnet_live.nets.pooling import form_for
from segnet_live.nets.quantised import in_execution_order

H100 = types.SimpleNamespace(
    name="NVIDIA H100 80GB HBM3", major=9, minor=0, multi_processor_count=132, total_memory=80 << 30,
    regs_per_multiprocessor=65536, max_threads_per_multi_processor=2048, max_threads_per_block=1024, warp_size=32,
    L2_cache_size=50 << 20, shared_memory_per_block_optin=232448, gcnArchName="",
)  # fmt: skip


class _Device(contextlib.ContextDecorator):
    """Stands in for torch.cuda.device."""

    def __init__(self, device: object) -> None:
        pass

    def __enter__(self) -> _Device:
        return self

    def __exit__(self, *_: object) -> bool:
        return False


class _Written(Exception):
    """Ends a compilation where the code is written."""

    def __init__(self, code: str) -> None:
        super().__init__("written")
        self.code = code


def _stand_in_for_cuda(guard: Path) -> None:
    import torch._dynamo.device_interface as interface
    import torch._inductor.fx_passes.fuse_attention as attention
    import torch._inductor.fx_passes.misc_patterns as misc
    import torch._inductor.fx_passes.pad_mm as pad
    import torch._subclasses.fake_tensor as fake
    import torch.cuda.random as random
    import torch.utils._triton as triton_utils
    from torch._inductor import config
    from torch._inductor.graph import GraphLowering

    for module, name in ((attention, "_sfdp_init"), (pad, "_pad_mm_init"), (misc, "_misc_patterns_init")):
        setattr(module, name, lambda *_, **__: None)  # patterns of attention and matrices, tried out on the device
    answers: dict[str, Callable[..., Any]] = {
        "is_available": lambda: True, "device_count": lambda: 1, "current_device": lambda: 0,
        "get_device_properties": lambda *_: H100, "get_device_capability": lambda *_: (9, 0),
        "_lazy_init": lambda: None, "is_initialized": lambda: True, "synchronize": lambda *_: None,
        "is_bf16_supported": lambda *_, **__: True, "_exchange_device": lambda _: 0,
        "_maybe_exchange_device": lambda _: 0, "set_device": lambda _: None,
        "mem_get_info": lambda *_: (70 << 30, 80 << 30), "get_rng_state": lambda *_: torch.get_rng_state(),
        "set_rng_state": lambda *_, **__: None, "device": _Device, "_DeviceGuard": _Device,
    }  # fmt: skip
    for name, answer in answers.items():
        setattr(torch.cuda, name, answer)
    random.get_rng_state, random.set_rng_state = torch.cuda.get_rng_state, torch.cuda.set_rng_state
    torch.version.cuda = "13.0"
    for name in ("current_device", "device_count", "synchronize", "get_device_properties"):
        setattr(interface.CudaInterface, name, staticmethod(getattr(torch.cuda, name)))
    for name in ("exchange_device", "maybe_exchange_device", "get_raw_stream"):
        setattr(interface.CudaInterface, name, staticmethod(lambda _: 0))
    interface.get_cuda_stream = lambda _: 0
    fake.init_gpu_context = lambda _: None
    triton_utils.triton_hash_with_backend = lambda: "x"
    config.compile_threads = 1
    config.fx_graph_cache = False
    config.joint_graph_constant_folding = False
    torch.ops.load_library(str(guard))
    torch._C._conv_determine_backend_memory_format = lambda *_: torch.channels_last

    def stop(self: Any) -> None:
        code = self.codegen()[0]
        raise _Written(code.value if hasattr(code, "value") else str(code))

    GraphLowering._compile_to_module = GraphLowering.compile_to_module = stop


def write(name: str, size: tuple[int, int], guard: Path) -> str:
    """Return the code of the network `name`, deployed as the inductor engine does it."""
    from torch._subclasses.fake_tensor import FakeTensorMode

    _stand_in_for_cuda(guard)
    network = NETWORKS[name](11)
    deploy = Deploy(network, (0.4,) * 3, (0.3,) * 3, pooling=form_for(network, "inductor"), dtype=torch.float16)
    deploy.network.to(memory_format=torch.channels_last)
    with FakeTensorMode(allow_non_fake_inputs=False):
        for module in deploy.modules():
            for held in (module._parameters, module._buffers):
                for key, value in list(held.items()):
                    if value is not None:
                        like = torch.empty_strided(value.shape, value.stride(), dtype=value.dtype, device="cuda:0")
                        parameter = isinstance(value, nn.Parameter)
                        held[key] = nn.Parameter(like, requires_grad=False) if parameter else like
        try:
            with torch.no_grad():
                torch.compile(deploy, fullgraph=True, dynamic=False)(
                    torch.empty((1, *size, 3), dtype=torch.uint8, device="cuda:0")
                )
        except Exception as error:
            link: Any = error
            while link is not None and not isinstance(link, _Written):
                link = link.__cause__ or getattr(link, "inner_exception", None) or link.__context__
            if link is None:
                raise
            return link.code
    raise AssertionError("nothing was compiled")


class _Kernel:
    """Runs one of Inductor's kernels in the interpreter, in blocks that divide its sizes."""

    MOST = 1 << 16

    def __init__(self, function: Any) -> None:
        self.function = function

    def run(self, *arguments: Any, stream: object = None) -> None:
        import triton

        given = dict(zip(self.function.arg_names, arguments, strict=False))
        numbers = {key: value for key, value in given.items() if key.endswith("numel")}
        blocks = {}
        if "ynumel" in numbers:
            y = min(triton.next_power_of_2(numbers["ynumel"]), 64)
            x = min(triton.next_power_of_2(numbers["xnumel"]), self.MOST // y)
            blocks = {"YBLOCK": y, "XBLOCK": x}
            grid = (triton.cdiv(numbers["xnumel"], x), triton.cdiv(numbers["ynumel"], y))
        else:
            n = numbers["xnumel"]
            low = n & -n  # no mask where the largest block divides it
            x = min(low, 2 * self.MOST) if low >= 4096 else min(triton.next_power_of_2(n), 2 * self.MOST)
            if "r0_numel" in numbers:
                x = min(x, self.MOST // 16)
            blocks, grid = {"XBLOCK": x}, (triton.cdiv(n, x),)
        self.function[grid](*arguments, **blocks)


class _ArgMax:
    """The last kernel, by torch: bias, then arg max over classes (of each sub-pixel where there are four)."""

    def run(self, x: Tensor, bias: Tensor, out: Tensor, *_: Any, stream: object = None) -> None:
        y = x.float() + bias.float().view(1, -1, 1, 1)
        out.copy_(y.view(1, 11, 4, *y.shape[-2:]).argmax(1) if y.shape[1] == 44 else y.argmax(1))


def _loaded(code: str, folder: Path) -> Callable[[list[Tensor]], list[Tensor]]:
    """Return the function `call` of written code, on the CPU."""
    import torch._inductor.async_compile as async_compile
    import torch._inductor.runtime.triton_helpers as triton_helpers
    import torch._inductor.runtime.triton_heuristics as heuristics

    triton_helpers.set_driver_to_gpu = lambda: None
    for kind in ("pointwise", "persistent_reduction", "reduction"):
        setattr(heuristics, kind, lambda *_, **__: _Kernel)

    class Compiler:
        def triton(self, name: str, source: str, device_str: str | None = None) -> Any:
            if "argmax" in name:
                return _ArgMax()
            key = hashlib.sha256(source.encode()).hexdigest()[:16]
            path = folder / f"k{key}.py"
            path.write_text(source)
            spec = importlib.util.spec_from_file_location(f"k{key}", path)
            assert spec is not None
            assert spec.loader is not None
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
            return getattr(module, name)

        def wait(self, *_: Any) -> None:
            pass

    async_compile.AsyncCompile = Compiler  # type: ignore[misc,assignment]

    def convolution(x: Tensor, w: Tensor, *, stride: Any, padding: Any, dilation: Any, groups: int, **_: Any) -> Tensor:
        y = torch.nn.functional.conv2d(x.float(), w.float(), None, stride, padding, dilation, groups)
        return y.to(x.dtype).contiguous(memory_format=torch.channels_last)

    def empty(shape: Any, strides: Any, dtype: torch.dtype) -> Tensor:
        room = 1 + sum((n - 1) * step for n, step in zip(shape, strides, strict=True))
        return torch.zeros(room, dtype=dtype).as_strided(shape, strides)

    for on_gpu, here in (
        ("from torch._C import _cuda_getCurrentRawStream as get_raw_stream", "get_raw_stream = lambda _: 0"),
        ("empty_strided_cuda = torch._C._dynamo.guards._empty_strided_cuda", "empty_strided_cuda = None"),
        ("empty_strided_p2p = torch._C._distributed_c10d._SymmetricMemory.empty_strided_p2p", ""),
        ("with torch.cuda._DeviceGuard(0):", "if True:"),
        ("torch.cuda.set_device(0)", "pass"),
    ):
        code = code.replace(on_gpu, here)
    space: dict[str, Any] = {"__name__": "written", "__file__": "written.py"}
    exec(compile(code, "written.py", "exec"), space)
    space["empty_strided_cuda"] = empty
    space["extern_kernels"].convolution = convolution
    space["assert_size_stride"] = lambda *_: None
    return space["call"]


def agreement(model: str, size: tuple[int, int], code: str, frames: int) -> float:
    """Return the least share of labels, over `frames` reference frames, that are those of fp32 eager."""
    card = find_card(model)
    network = load_network(card)
    truth = Deploy(network, card.mean, card.std)
    deploy = Deploy(network, card.mean, card.std, pooling=form_for(network, "inductor"))
    order = in_execution_order(deploy)
    deploy.to(torch.float16)
    deploy.network.to(memory_format=torch.channels_last)
    held = [deploy.scale, deploy.shift]
    for convolution in order:
        assert convolution.bias is not None
        held += [convolution.weight.data, convolution.bias.data]
    shapes = re.findall(r"(arg\d+_1) = rand_strided\((\([^)]*\)), \([^)]*\), device='cuda:0'", code)
    asked = sorted(((int(re.findall(r"\d+", name)[0]), eval(shape)) for name, shape in shapes))[1:]
    assert [shape for _, shape in asked] == [tuple(tensor.shape) for tensor in held], "arguments in another order"
    shares = []
    with tempfile.TemporaryDirectory() as folder:
        call = _loaded(code, Path(folder))
        for frame in reference_frames(frames):
            rgb = torch.from_numpy(fit_input(frame, size).copy())[None]
            with torch.inference_mode():
                labels = call([rgb, *held])[0]
                shares.append(float((labels == truth(rgb)).float().mean()))
    return min(shares)


def main() -> None:
    what, name, shape, path, *rest = sys.argv[1:]
    size = tuple(int(side) for side in shape.split("x"))
    torch.set_num_threads(1)
    if what == "write":
        Path(path).write_text(write(name, size, Path(rest[0])))  # type: ignore[arg-type]
    else:
        print(agreement(name, size, Path(path).read_text(), int(rest[0])))  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
