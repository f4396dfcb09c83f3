"""Run backend `tensorrt`: an engine that `tensorrt_build` made, in TensorRT's own runtime.

Never run on a GPU so far: the tests check this module's logic with stand-ins for TensorRT and CUDA, and that TensorRT
11's real bindings have every name used here.
"""

from __future__ import annotations

import importlib.util
import logging
from typing import Any

import torch
from torch import Tensor

from segnet_live.card import Card
from segnet_live.engine.artifacts import ENGINE, Artifact
from segnet_live.engine.base import EngineInfo
from segnet_live.engine.nvidia.cuda_graph import FrameLoop
from segnet_live.engine.nvidia.device import as_engine_error, cuda_problem, release_cached
from segnet_live.errors import EngineError, first_line
from segnet_live.frame import RGB, LabelMap, Size

log = logging.getLogger(__name__)

INSTALL = "pip install 'segnet-live[tensorrt]'"
REBUILD = "`segnet-live cache clear` and build it again"


def tensorrt_problem() -> EngineError | None:
    """Return why TensorRT cannot be used here, with what to do about it; None if it can."""
    problem = cuda_problem()
    if problem is not None:
        return problem
    if importlib.util.find_spec("tensorrt") is None or importlib.util.find_spec("torch_tensorrt") is None:
        return EngineError("TensorRT is not installed", INSTALL)
    try:
        import tensorrt  # noqa: F401  # only importing it tells whether its libraries load
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


class Runner:
    """A deserialised engine as a function: (1, h, w, 3) uint8 on the GPU -> (1, h, w) int32, on the current stream.

    Args:
        blob: what `tensorrt_build.convert` returned on this very kind of GPU.

    Raises:
        EngineError: TensorRT refuses the engine, or there is not enough memory for it.
    """

    def __init__(self, blob: bytes, size: Size, device: torch.device) -> None:
        import tensorrt as trt

        self._runtime = trt.Runtime(_logger(trt))
        engine = self._runtime.deserialize_cuda_engine(blob)
        if engine is None:
            raise EngineError("TensorRT cannot read the engine", REBUILD)
        self._context = engine.create_execution_context()
        if self._context is None:
            raise EngineError(
                "the GPU is out of memory for a TensorRT engine", "close other programs or take a smaller --size"
            )
        self._engine = engine  # the context does not keep it alive
        self._output = torch.zeros((1, *size), dtype=torch.int32, device=device)
        names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
        inputs = [name for name in names if engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT]
        outputs = [name for name in names if name not in inputs]
        shapes = [tuple(engine.get_tensor_shape(name)) for name in (*inputs, *outputs)]
        types = [engine.get_tensor_dtype(name) for name in (*inputs, *outputs)]
        if shapes != [(1, *size, 3), (1, *size)] or types != [trt.DataType.UINT8, trt.DataType.INT32]:
            raise EngineError(f"this engine takes and gives {shapes}", REBUILD)
        self._input_name, self._output_name = inputs[0], outputs[0]
        self._context.set_tensor_address(self._output_name, self._output.data_ptr())

    def __call__(self, rgb: Tensor) -> Tensor:
        self._context.set_tensor_address(self._input_name, rgb.data_ptr())
        if not self._context.execute_async_v3(torch.cuda.current_stream(rgb.device).cuda_stream):
            raise RuntimeError("TensorRT could not start the engine")
        return self._output


def _logger(trt: Any) -> Any:
    """Return TensorRT's messages in this project's log, under this module's name."""
    levels = {
        trt.ILogger.VERBOSE: logging.DEBUG,
        trt.ILogger.INFO: logging.DEBUG,
        trt.ILogger.WARNING: logging.INFO,  # TensorRT warns about much that its users cannot change
        trt.ILogger.ERROR: logging.ERROR,
        trt.ILogger.INTERNAL_ERROR: logging.ERROR,
    }

    class Logger(trt.ILogger):
        def __init__(self) -> None:
            trt.ILogger.__init__(self)  # the bindings refuse super()

        def log(self, severity: Any, message: str) -> None:
            log.log(levels.get(severity, logging.INFO), "%s", message)

    return Logger()


class TensorRTEngine:
    """An engine that runs a built TensorRT engine of `card`.

    Args:
        entry: from `tensorrt_build.find` or `build_process.build_in_child`.

    Raises:
        EngineError: TensorRT is missing, or cannot run this engine here.
    """

    def __init__(self, card: Card, size: Size, entry: Artifact, *, reason: str = "") -> None:
        require_tensorrt()
        device = torch.device("cuda")
        try:
            self._loop = FrameLoop(Runner(entry.files[ENGINE], size, device), size, device)
        except RuntimeError as error:
            raise as_engine_error(error, "starting the TensorRT engine failed") from error
        parity = entry.metadata["parity"]["overall"]
        name = torch.cuda.get_device_name(device)
        self.info = EngineInfo("tensorrt", name, entry.key_fields["precision"], card.name, size, reason, parity)

    def segment(self, rgb: RGB) -> LabelMap:
        try:
            return self._loop.segment(rgb)
        except RuntimeError as error:
            raise as_engine_error(error, "the TensorRT engine stopped") from error

    def close(self) -> None:
        self._loop.close()
        release_cached()
