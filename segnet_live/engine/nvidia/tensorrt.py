"""Run backends `tensorrt` and `tensorrt-rtx`: a built engine in NVIDIA's own runtime.

Never run on a GPU so far: the tests check this module's logic with stand-ins for TensorRT and CUDA, and that the real
bindings of both have every name used here.
"""

from __future__ import annotations

import importlib.util
from typing import Any, Protocol

import torch
from torch import Tensor

from segnet_live.card import Card
from segnet_live.config import Backend
from segnet_live.engine.artifacts import ENGINE, Artifact
from segnet_live.engine.base import LABELS, EngineInfo, RequestedOutputs
from segnet_live.engine.nvidia.cuda_graph import FrameLoop
from segnet_live.engine.nvidia.device import Missing, OutOfMemory, as_engine_error, cuda_problem
from segnet_live.engine.nvidia.graphed import GraphedEngine
from segnet_live.engine.nvidia.trt_builder import logger, why
from segnet_live.engine.nvidia.trt_network import NOISE, OUTPUTS
from segnet_live.errors import EngineError, first_line
from segnet_live.frame import Size

INSTALL = "pip install 'segnet-live[tensorrt]'"
SMALLER = "close other programs or take a smaller --size"
REBUILD = "`segnet-live cache clear` and build it again"


def tensorrt_problem() -> EngineError | None:
    """Return why TensorRT cannot be used here, with what to do about it; None if it can."""
    problem = cuda_problem()
    if problem is not None:
        return problem
    if importlib.util.find_spec("tensorrt") is None:
        return Missing("TensorRT is not installed", INSTALL)
    try:
        import tensorrt  # only importing it tells whether its libraries load

        tensorrt.__version__  # noqa: B018  # a folder that a half-done removal left can be imported, too
    except Exception as error:  # a vendor package: missing or mismatched libraries raise anything
        return EngineError(f"TensorRT does not load ({first_line(error)})", f"{INSTALL} again")
    return None


def require_tensorrt() -> None:
    """Check that TensorRT can be used here.

    Raises:
        EngineError: it cannot, see `tensorrt_problem`.
    """
    problem = tensorrt_problem()
    if problem is not None:
        raise EngineError(f"backend tensorrt: {problem.problem}", problem.advice)


class RuntimeCache(Protocol):
    """The kernels that TensorRT-RTX compiles for this GPU when an engine is opened, kept from one run to the next."""

    def load(self) -> bytes | None: ...

    def save(self, content: bytes) -> None: ...


class Runner:
    """A deserialised engine as a function of (1, h, w, 3) uint8 on the GPU, on the current stream.

    It gives (1, h, w) int32 class ids; int32 confidences and float32 variances, if they were asked for.

    Args:
        blob: what `trt_builder.serialised` returned for this kind of GPU.
        trt: `tensorrt` or `tensorrt_rtx`; they have the same runtime classes.
        cache: for `tensorrt_rtx` alone; `keep_kernels` fills it.
        maps: what the engine was built to give.

    Raises:
        OutOfMemory: there is not enough memory for the engine.
        EngineError: TensorRT refuses it.
    """

    def __init__(
        self,
        blob: bytes,
        size: Size,
        device: torch.device,
        trt: Any,
        cache: RuntimeCache | None = None,
        maps: RequestedOutputs = LABELS,
    ) -> None:
        self._runtime = trt.Runtime(logger(trt))
        engine = self._runtime.deserialize_cuda_engine(blob)
        if engine is None:
            said = why(trt)
            if "memory" in said.lower():
                raise OutOfMemory(f"the GPU is out of memory for a TensorRT engine{said}", SMALLER)
            raise EngineError(f"TensorRT cannot read the engine{said}", REBUILD)
        self._cache, self._kernels = cache, None
        if cache is None:
            self._context = engine.create_execution_context()
        else:
            config = engine.create_runtime_config()
            self._kernels = config.create_runtime_cache()
            known = cache.load()
            if known is not None:
                self._kernels.deserialize(known)  # one that is refused is made anew
            config.set_runtime_cache(self._kernels)
            self._context = engine.create_execution_context(config)
        if self._context is None:
            raise OutOfMemory(f"the GPU is out of memory for a TensorRT engine{why(trt)}", SMALLER)
        self._engine = engine  # the context does not keep it alive
        names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
        inputs = [name for name in names if engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT]
        noises = [name for name in inputs if name.startswith(NOISE)]
        maps_of = dict(zip(OUTPUTS, (torch.int32, torch.int32, torch.float32)[: maps.count], strict=False))
        expected: dict[str, tuple[tuple[int, ...], Any]] = {"rgb": ((1, *size, 3), trt.DataType.UINT8)}
        expected |= {
            name: ((1, *size), trt.DataType.INT32 if dtype == torch.int32 else trt.DataType.FLOAT)
            for name, dtype in maps_of.items()
        }
        found = {
            name: (tuple(engine.get_tensor_shape(name)), engine.get_tensor_dtype(name))
            for name in names
            if name not in noises
        }
        if found != expected or bool(noises) != bool(maps.samples):
            raise EngineError(f"this engine takes and gives {found}", REBUILD)
        self._outputs = {name: torch.zeros((1, *size), dtype=dtype, device=device) for name, dtype in maps_of.items()}
        types = {trt.DataType.HALF: torch.float16, trt.DataType.FLOAT: torch.float32} if noises else {}
        self._noises = {
            name: torch.zeros(
                tuple(engine.get_tensor_shape(name)), dtype=types[engine.get_tensor_dtype(name)], device=device
            )
            for name in noises
        }
        for name, held in (self._outputs | self._noises).items():
            self._context.set_tensor_address(name, held.data_ptr())

    def __call__(self, rgb: Tensor) -> tuple[Tensor, ...]:
        self._context.set_tensor_address("rgb", rgb.data_ptr())
        for noise in self._noises.values():
            noise.uniform_()
        if not self._context.execute_async_v3(torch.cuda.current_stream(rgb.device).cuda_stream):
            raise RuntimeError("TensorRT could not start the engine")
        return tuple(self._outputs.values())

    def keep_kernels(self) -> None:
        """Keep what was compiled for this GPU, after the first frames made it compile."""
        if self._cache is not None and self._kernels is not None:
            made = self._kernels.serialize()
            if made is not None:
                self._cache.save(bytes(made))


class TensorRTEngine(GraphedEngine):
    """An engine that runs a built engine of `card`, of TensorRT or TensorRT-RTX.

    Args:
        entry: from `tensorrt_build.find` or `build_process.build_in_child`, or from `tensorrt_rtx`.
        runtime: the module that runs it, `tensorrt_rtx`; None imports `tensorrt`.
        cache: see `Runner`.
        maps: what the engine was built to give.

    Raises:
        EngineError: TensorRT is missing, or cannot run this engine here.
    """

    def __init__(
        self,
        card: Card,
        size: Size,
        entry: Artifact,
        *,
        reason: str = "",
        runtime: Any = None,
        cache: RuntimeCache | None = None,
        maps: RequestedOutputs = LABELS,
    ) -> None:
        backend: Backend = "tensorrt-rtx"
        if runtime is None:
            require_tensorrt()
            import tensorrt

            backend, runtime = "tensorrt", tensorrt
        device = torch.device("cuda")
        try:
            runner = Runner(entry.files[ENGINE], size, device, runtime, cache, maps)
            loop = FrameLoop(runner, size, device, maps, classes=len(card.classes))
            try:
                runner.keep_kernels()
            except Exception:
                loop.close()
                raise
        except RuntimeError as error:
            raise as_engine_error(error, "starting the TensorRT engine failed") from error
        name = torch.cuda.get_device_name(device)
        precision, parity = entry.key_fields["precision"], entry.metadata["parity"]["overall"]
        info = EngineInfo(backend, name, precision, card.name, size, reason, parity)
        super().__init__(loop, maps.describe(info), "the TensorRT engine stopped")
