"""Bring label maps that the host has changed, such as smoothed ones, to the picture's size on the device after all."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import torch

from segnet_live.engine.nvidia.device import compile_lock_if_free
from segnet_live.engine.nvidia.device_steps import Enlarge
from segnet_live.frame import LabelMap, Size

Capture: TypeAlias = Callable[[Callable[[], None], "torch.cuda.Stream"], "torch.cuda.CUDAGraph | None"]


class Enlarger:
    """`device_steps.Enlarge` for label maps of one size that come from the host. Owned by one thread; a call blocks.

    On CUDA it has a stream of its own, which goes before the network's: the next frame is under way there, and a label
    map must not wait for it. Its buffers stay where they are, and from the second call on it is one CUDA graph.

    Args:
        classes: how many ids there are.
        small, large: (height, width) of the label maps that come and that are returned.
        capture: makes a graph of work on a stream; None if it cannot be captured.
    """

    def __init__(self, classes: int, small: Size, large: Size, device: torch.device, capture: Capture) -> None:
        cuda = device.type == "cuda"
        self.size = large
        self._capture: Capture | None = capture if cuda else None
        self._stream = torch.cuda.Stream(device, priority=-1) if cuda else None  # type: ignore[no-untyped-call]
        self._enlarge = Enlarge(classes, large, torch.float16 if cuda else torch.float32).to(device)
        self._labels, self._large = (torch.zeros((1, *s), dtype=torch.uint8, device=device) for s in (small, large))
        self._up, self._down = (torch.zeros((1, *s), dtype=torch.uint8, pin_memory=cuda) for s in (small, large))
        self._done = torch.cuda.Event(blocking=True) if cuda else None  # type: ignore[no-untyped-call]
        self._graph: torch.cuda.CUDAGraph | None = None
        self._warm = False
        if self._stream is not None:
            self._stream.wait_stream(torch.cuda.current_stream(device))  # the zeroing above

    def __call__(self, labels: LabelMap) -> LabelMap:
        """Return (H, W) uint8 class ids of (h, w) uint8 ones, the caller's own.

        Raises:
            RuntimeError: the device failed.
        """
        np.copyto(self._up[0].numpy(), labels)
        on_stream = contextlib.nullcontext() if self._stream is None else torch.cuda.stream(self._stream)
        with torch.inference_mode(), on_stream:
            if self._warm and self._capture is not None:
                self._try_capture(self._capture)
            self._labels.copy_(self._up, non_blocking=True)
            if self._graph is not None:
                self._graph.replay()
            else:
                self._step()
            self._down.copy_(self._large, non_blocking=True)
            if self._done is not None:
                self._done.record(self._stream)
        if self._done is not None:
            self._done.synchronize()
        self._warm = True
        return np.asarray(self._down[0].numpy().copy(), np.uint8)

    def _step(self) -> None:
        self._large.copy_(self._enlarge(self._labels))

    def _try_capture(self, capture: Capture) -> None:
        """Capture the step, once, when no other thread captures or compiles."""
        with compile_lock_if_free() as free:
            if free and self._stream is not None:
                self._stream.synchronize()
                self._capture, self._graph = None, capture(self._step, self._stream)
