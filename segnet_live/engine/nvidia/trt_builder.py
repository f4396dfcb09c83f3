"""Build a serialised engine from a deployed network, with the builder of TensorRT or of TensorRT-RTX."""

from __future__ import annotations

import functools
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from segnet_live.engine.nvidia.trt_network import write_down
from segnet_live.errors import EngineError, first_line
from segnet_live.frame import Size
from segnet_live.nets.deploy import Deployed

log = logging.getLogger(__name__)

OPTIONS: dict[str, Any] = {
    # bounds scratch memory; with 64 MiB the builder has no way to run segnet-basic's 7x7 convolutions at 360x480
    "workspace_mib": 256,
    # streams of its own would join the capture of a CUDA graph, and may depend on the legacy stream
    "max_aux_streams": 0,
    "optimization_level": 3,
}
"""What a built engine depends on besides the network; part of its key."""


@functools.cache
def logger(trt: Any) -> Any:
    """Return the logger of the module `trt`; one for the process, because TensorRT keeps the first for good.

    `last_error` is what it said last when something failed: its functions return None and leave the reason here.
    """
    levels = {
        trt.ILogger.VERBOSE: logging.DEBUG,
        trt.ILogger.INFO: logging.DEBUG,
        trt.ILogger.WARNING: logging.DEBUG,  # TensorRT warns about much that its users cannot change
        trt.ILogger.ERROR: logging.INFO,  # whoever gets None reports it once
        trt.ILogger.INTERNAL_ERROR: logging.INFO,
    }

    class Logger(trt.ILogger):
        def __init__(self) -> None:
            trt.ILogger.__init__(self)  # the bindings refuse super()
            self.last_error = ""

        def log(self, severity: Any, message: str) -> None:
            if severity in (trt.ILogger.ERROR, trt.ILogger.INTERNAL_ERROR):
                self.last_error = message
            log.log(levels.get(severity, logging.DEBUG), "%s", message)

    return Logger()


def why(trt: Any) -> str:
    """Return TensorRT's last complaint in brackets, once; "" if it said nothing."""
    said, logger(trt).last_error = logger(trt).last_error, ""
    return f" ({first_line(RuntimeError(said))})" if said else ""


def serialised(
    deploy: Deployed, size: Size, trt: Any, *, targets: Sequence[str] = (), timing_cache: Path | None = None
) -> bytes:
    """Return a serialised engine of the whole graph. Networks are strongly typed: the graph's dtype is the precision.

    Args:
        deploy: on the CPU; see `write_down`.
        trt: `tensorrt`, which needs the GPU that it builds for, or `tensorrt_rtx`, which needs none.
        targets: GPU generations such as "SM89", for `tensorrt_rtx` alone.
        timing_cache: what TensorRT measured before, read and written.

    Raises:
        EngineError: an operation has no converter, or the builder refuses the network; its reason is in the text.
    """
    builder = trt.Builder(logger(trt))
    if builder is None:
        raise EngineError(f"the builder does not start{why(trt)}")
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    weights = write_down(deploy, size, network, trt)
    config = builder.create_builder_config()
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, OPTIONS["workspace_mib"] << 20)
    config.max_aux_streams = OPTIONS["max_aux_streams"]
    config.builder_optimization_level = OPTIONS["optimization_level"]
    if targets:
        config.num_compute_capabilities = len(targets)
        for index, target in enumerate(targets):
            config.set_compute_capability(getattr(trt.ComputeCapability, target), index)
    else:
        config.clear_flag(trt.BuilderFlag.TF32)  # fp32 means fp32
    kept = None
    if timing_cache is not None:
        kept = config.create_timing_cache(timing_cache.read_bytes() if timing_cache.is_file() else b"")
        config.set_timing_cache(kept, ignore_mismatch=False)
    built = builder.build_serialized_network(network, config)
    del weights  # they had to live until here
    if built is None:
        raise EngineError(f"the builder refuses the network{why(trt)}")
    if kept is not None and timing_cache is not None:
        timing_cache.write_bytes(bytes(config.get_timing_cache().serialize()))
    return bytes(built)
