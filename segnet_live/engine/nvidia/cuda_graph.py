"""From a host frame to a host label map around one device function: staging ring, asynchronous copies, CUDA graph."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from segnet_live.engine.resize import fit_input
from segnet_live.frame import LabelMap, Size

WARM_UPS = 3


@dataclass(eq=False, slots=True)
class _Slot:
    """Host staging for one frame in flight; page-locked on CUDA, so that copies need not wait."""

    frame: Tensor
    labels: Tensor
    done: torch.cuda.Event | None


class FrameLoop:
    """Runs `run` on frame after frame; several may be in flight. Owned by one thread.

    Only the uint8 frame goes up and only the uint8 label map comes down. On CUDA everything between them is one graph,
    captured on the loop's own stream; elsewhere the same steps run one after the other, which tests the same code.

    Args:
        run: (1, h, w, 3) uint8 on `device` -> (1, h, w) class ids of any type; always called with the same input
            memory.
        size: (h, w).
        ring: frames in flight at most.
        graph: capture a CUDA graph; without CUDA it has no effect.

    Raises:
        RuntimeError: warming up, or capturing the graph, failed on the device.
    """

    def __init__(
        self, run: Callable[[Tensor], Tensor], size: Size, device: torch.device, *, ring: int = 3, graph: bool = True
    ) -> None:
        cuda = device.type == "cuda"
        self._run, self._size = run, size
        self._stream = torch.cuda.Stream(device) if cuda else None  # type: ignore[no-untyped-call]
        self._input = torch.zeros((1, *size, 3), dtype=torch.uint8, device=device)
        self._output = torch.zeros((1, *size), dtype=torch.uint8, device=device)
        self._slots = [
            _Slot(
                torch.zeros((1, *size, 3), dtype=torch.uint8, pin_memory=cuda),
                torch.zeros((1, *size), dtype=torch.uint8, pin_memory=cuda),
                torch.cuda.Event() if cuda else None,  # type: ignore[no-untyped-call]
            )
            for _ in range(ring)
        ]
        self._submitted = self._collected = 0
        self._graph: torch.cuda.CUDAGraph | None = None
        if self._stream is not None:
            self._stream.wait_stream(torch.cuda.current_stream(device))  # the zeroing above
            with torch.inference_mode(), torch.cuda.stream(self._stream):
                for _ in range(WARM_UPS):  # lazy initialisation must not be captured
                    self._step()
                self._stream.synchronize()
                if graph:
                    self._graph = torch.cuda.CUDAGraph()
                    # thread_local: another thread may use the GPU meanwhile, as the engine in use does
                    with torch.cuda.graph(self._graph, stream=self._stream, capture_error_mode="thread_local"):
                        self._step()

    def _step(self) -> None:
        self._output.copy_(self._run(self._input))

    def submit(self, rgb: NDArray[np.uint8]) -> int:
        """Start on a frame of any size, (H, W, 3) uint8 RGB; returns its ticket for `result`.

        Raises:
            ValueError: `ring` frames are in flight; collect one first.
        """
        if not self._slots:
            raise RuntimeError("this engine is closed")
        if self._submitted - self._collected >= len(self._slots):
            raise ValueError(f"{len(self._slots)} frames are in flight; collect a result first")
        slot = self._slots[self._submitted % len(self._slots)]
        slot.frame[0].copy_(torch.from_numpy(np.ascontiguousarray(fit_input(rgb, self._size))))
        on_stream = torch.cuda.stream(self._stream) if self._stream is not None else contextlib.nullcontext()
        with torch.inference_mode(), on_stream:
            self._input.copy_(slot.frame, non_blocking=True)
            if self._graph is not None:
                self._graph.replay()
            else:
                self._step()
            slot.labels.copy_(self._output, non_blocking=True)
            if slot.done is not None:
                slot.done.record(self._stream)
        self._submitted += 1
        return self._submitted - 1

    def result(self, ticket: int) -> LabelMap:
        """The label map of `ticket`, (h, w) uint8, the caller's own. Tickets are collected in order. Blocks.

        Raises:
            ValueError: this ticket is not the oldest in flight.
        """
        if ticket != self._collected or ticket >= self._submitted:
            raise ValueError(f"ticket {ticket} is not the oldest in flight ({self._collected} of {self._submitted})")
        slot = self._slots[ticket % len(self._slots)]
        if slot.done is not None:
            slot.done.synchronize()
        self._collected += 1
        labels: LabelMap = slot.labels[0].numpy().copy()
        return labels

    def segment(self, rgb: NDArray[np.uint8]) -> LabelMap:
        """`submit` and `result` of one frame; nothing else may be in flight."""
        return self.result(self.submit(rgb))

    def close(self) -> None:
        """Give the graph and the buffers back; the loop is not used afterwards."""
        if self._stream is not None:
            with contextlib.suppress(RuntimeError):  # a lost GPU answers nothing any more
                self._stream.synchronize()
        self._graph = None
        self._slots.clear()
        self._input = self._output = torch.empty(0)
        del self._run
