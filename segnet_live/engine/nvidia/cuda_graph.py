"""Bring a frame to the device, run one function there as a CUDA graph, and bring the label map back."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from segnet_live.engine.resize import fit_input
from segnet_live.frame import RGB, LabelMap, Size

WARM_UPS = 3


class FrameLoop:
    """A function `run` captured as a CUDA graph and replayed for every frame. Owned by one thread.

    Only the uint8 frame goes up and only the uint8 label map comes down. On CUDA everything between them is one graph,
    captured on the loop's own stream; elsewhere the same steps run one after the other, which tests the same code.

    Args:
        run: (1, h, w, 3) uint8 on `device` -> (1, h, w) class ids of any type; always called with the same input
            memory.
        size: (h, w).
        graph: capture a CUDA graph; without CUDA it has no effect.

    Raises:
        RuntimeError: warming up, or capturing the graph, failed on the device.
    """

    def __init__(
        self, run: Callable[[Tensor], Tensor], size: Size, device: torch.device, *, graph: bool = True
    ) -> None:
        cuda = device.type == "cuda"
        self._run: Callable[[Tensor], Tensor] | None = run
        self._size = size
        self._stream = torch.cuda.Stream(device) if cuda else None  # type: ignore[no-untyped-call]
        self._input = torch.zeros((1, *size, 3), dtype=torch.uint8, device=device)
        self._output = torch.zeros((1, *size), dtype=torch.uint8, device=device)
        # page-locked on CUDA, so that the stream copies while the host goes on
        self._frame = torch.zeros((1, *size, 3), dtype=torch.uint8, pin_memory=cuda)
        self._labels = torch.zeros((1, *size), dtype=torch.uint8, pin_memory=cuda)
        self._graph: torch.cuda.CUDAGraph | None = None
        if self._stream is not None:
            self._stream.wait_stream(torch.cuda.current_stream(device))  # the zeroing above
            with torch.inference_mode(), torch.cuda.stream(self._stream):
                for _ in range(WARM_UPS):  # lazy initialisation must not be captured
                    self._step(run)
                self._stream.synchronize()
                if graph:
                    self._graph = torch.cuda.CUDAGraph()
                    # thread_local: another thread may use the GPU meanwhile, as the engine in use does
                    with torch.cuda.graph(self._graph, stream=self._stream, capture_error_mode="thread_local"):
                        self._step(run)

    def _step(self, run: Callable[[Tensor], Tensor]) -> None:
        self._output.copy_(run(self._input))

    def segment(self, rgb: RGB) -> LabelMap:
        """Label a frame of any size, (H, W, 3) uint8; return (h, w) uint8, the caller's own. Blocks.

        Raises:
            RuntimeError: the loop is closed, or the device failed.
        """
        if self._run is None:
            raise RuntimeError("this engine is closed")
        np.copyto(self._frame[0].numpy(), fit_input(rgb, self._size))
        on_stream = torch.cuda.stream(self._stream) if self._stream is not None else contextlib.nullcontext()
        with torch.inference_mode(), on_stream:
            self._input.copy_(self._frame, non_blocking=True)
            if self._graph is not None:
                self._graph.replay()
            else:
                self._step(self._run)
            self._labels.copy_(self._output, non_blocking=True)
        if self._stream is not None:
            self._stream.synchronize()
        labels: LabelMap = self._labels[0].numpy().copy()
        return labels

    def close(self) -> None:
        """Free the graph and the buffers; do nothing the second time."""
        if self._stream is not None:
            with contextlib.suppress(RuntimeError):  # a lost GPU answers nothing any more
                self._stream.synchronize()
        self._graph = self._run = None
        self._input = self._output = self._frame = self._labels = torch.empty(0)
