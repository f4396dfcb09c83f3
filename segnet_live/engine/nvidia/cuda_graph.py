"""Bring a frame to the device, run one function there as a CUDA graph, and bring the label map back."""

from __future__ import annotations

import contextlib
import logging
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from segnet_live.engine.base import EngineInfo
from segnet_live.engine.nvidia.device import as_engine_error, release_cached
from segnet_live.engine.resize import fit_input
from segnet_live.errors import first_line
from segnet_live.frame import RGB, LabelMap, Size

log = logging.getLogger(__name__)

WARM_UPS = 3
SLOTS = 2
"""Frames that may be under way: the device has the next one while the host still works on the last."""

_ABANDONED: list[Any] = []
"""Page-locked memory of a lost GPU. Freeing it asks the driver, which ends the process if none answers."""


class _Slot:
    """Page-locked memory for one frame and its label map, and the event that says when the device is done with it."""

    def __init__(self, size: Size, cuda: bool) -> None:
        self.frame = torch.zeros((1, *size, 3), dtype=torch.uint8, pin_memory=cuda)
        self.labels = torch.zeros((1, *size), dtype=torch.uint8, pin_memory=cuda)
        # blocking: the host sleeps instead of spinning on a core for as long as the device works
        self.done = torch.cuda.Event(blocking=True) if cuda else None  # type: ignore[no-untyped-call]


class FrameLoop:
    """A function `run` captured as a CUDA graph and replayed for every frame. Owned by one thread.

    Only the uint8 frame goes up and only the uint8 label map comes down. On CUDA everything between them is one graph,
    captured on the loop's own stream; elsewhere the same steps run one after the other, which tests the same code. A
    graph that cannot be captured costs a log line: the steps then run one after the other on CUDA, too.

    Args:
        run: (1, h, w, 3) uint8 on `device` -> (1, h, w) class ids of any type; always called with the same input
            memory.
        size: (h, w).
        graph: capture a CUDA graph; without CUDA it has no effect.

    Raises:
        RuntimeError: warming up failed on the device.
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
        self._free = deque(_Slot(size, cuda) for _ in range(SLOTS))
        self._under_way: deque[_Slot] = deque()
        self._graph: torch.cuda.CUDAGraph | None = None
        if self._stream is not None:
            self._stream.wait_stream(torch.cuda.current_stream(device))  # the zeroing above
            with torch.inference_mode(), torch.cuda.stream(self._stream):
                for _ in range(WARM_UPS):  # lazy initialisation must not be captured
                    self._step(run)
                self._stream.synchronize()
                if graph:
                    self._graph = self._captured(run, device)

    def _captured(self, run: Callable[[Tensor], Tensor], device: torch.device) -> torch.cuda.CUDAGraph | None:
        """Return the graph of one step; None, after a log line, if the device does not let it be captured."""
        graph = torch.cuda.CUDAGraph()
        pool = torch.cuda.graph_pool_handle()
        try:
            # thread_local: another thread may use the GPU meanwhile, as the engine in use does
            with torch.cuda.graph(graph, pool=pool, stream=self._stream, capture_error_mode="thread_local"):
                self._step(run)
        except RuntimeError as error:
            log.warning("no CUDA graph (%s); its steps run one by one, which is slower", first_line(error))
            _end_capture(device, pool)
            self._step(run)  # raises if it was not the capture that failed
            return None
        return graph

    def _step(self, run: Callable[[Tensor], Tensor]) -> None:
        self._output.copy_(run(self._input))

    def submit(self, rgb: RGB) -> None:
        """Hand a frame of any size, (H, W, 3) uint8, to the device and return while it works; `wait` fetches it.

        Raises:
            RuntimeError: the loop is closed, SLOTS frames are under way already, or the device failed.
        """
        if self._run is None:
            raise RuntimeError("this engine is closed")
        if not self._free:
            raise RuntimeError(f"{SLOTS} frames are under way; wait for one first")
        slot = self._free.popleft()
        self._under_way.append(slot)
        np.copyto(slot.frame[0].numpy(), fit_input(rgb, self._size))
        with torch.inference_mode(), self._on_stream():
            self._input.copy_(slot.frame, non_blocking=True)
            if self._graph is not None:
                self._graph.replay()
            else:
                self._step(self._run)
            slot.labels.copy_(self._output, non_blocking=True)
            if slot.done is not None:
                slot.done.record(self._stream)

    def wait(self) -> LabelMap:
        """Return the label map of the oldest frame under way, (h, w) uint8, the caller's own. Blocks.

        Raises:
            RuntimeError: no frame is under way, or the device failed.
        """
        if not self._under_way:
            raise RuntimeError("no frame is under way")
        slot = self._under_way.popleft()
        if slot.done is not None:
            try:
                slot.done.synchronize()
            except RuntimeError:
                self._run = None  # what else is under way is lost, too
                self._under_way.appendleft(slot)
                raise
        labels: LabelMap = slot.labels[0].numpy().copy()
        self._free.append(slot)
        return labels

    def segment(self, rgb: RGB) -> LabelMap:
        """Label a frame; see `submit` and `wait`."""
        self.submit(rgb)
        return self.wait()

    @contextlib.contextmanager
    def _on_stream(self) -> Iterator[None]:
        with torch.cuda.stream(self._stream) if self._stream is not None else contextlib.nullcontext():
            yield

    def close(self) -> None:
        """Free the graph and the buffers; do nothing the second time. Raises nothing, even if the GPU is lost."""
        slots = [*self._free, *self._under_way]
        if self._stream is not None and slots:
            try:
                self._stream.synchronize()
            except RuntimeError:  # a lost GPU answers nothing any more
                _ABANDONED.append((slots, self._graph, self._run, self._input, self._output, self._stream))
        self._free.clear()
        self._under_way.clear()
        self._graph = self._run = None
        self._input = self._output = torch.empty(0)


def _end_capture(device: torch.device, pool: Any) -> None:
    """Make torch's allocator leave the pool of a capture that failed.

    It enters before the capture begins and leaves only after one that ended well; as long as it is in, emptying the
    cache and every later capture fail (torch 2.13, CUDAGraph.cpp).
    """
    index = device.index if device.index is not None else torch.cuda.current_device()
    with contextlib.suppress(RuntimeError, AttributeError):  # RuntimeError: it has left; then it is released, too
        torch._C._cuda_endAllocateToPool(index, pool)
        torch._C._cuda_releasePool(index, pool)


class GraphedEngine:
    """An engine around a FrameLoop: `segment`, or `submit` and `wait` apart (`base.Overlapping`).

    Args:
        stopped: what an error in use begins with.
    """

    def __init__(self, loop: FrameLoop, info: EngineInfo, stopped: str) -> None:
        self._loop = loop
        self._stopped = stopped
        self.info = info

    def agrees(self, parity: float) -> None:
        """Put the engine's agreement with fp32 eager into `info`."""
        self.info = replace(self.info, parity=parity)

    @property
    def overlaps(self) -> bool:
        return True

    def segment(self, rgb: RGB) -> LabelMap:
        self.submit(rgb)
        return self.wait()

    def submit(self, rgb: RGB) -> None:
        try:
            self._loop.submit(rgb)
        except RuntimeError as error:
            raise as_engine_error(error, self._stopped) from error

    def wait(self) -> LabelMap:
        try:
            return self._loop.wait()
        except RuntimeError as error:
            raise as_engine_error(error, self._stopped) from error

    def close(self) -> None:
        self._loop.close()
        release_cached()
