"""Bring a frame to the device, run one function there as a CUDA graph, and bring the label map back."""

from __future__ import annotations

import contextlib
import logging
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from segnet_live.engine.base import LABELS, EngineOutput, RequestedOutputs
from segnet_live.engine.nvidia.device import compile_lock_if_free
from segnet_live.engine.nvidia.device_steps import Enlarge, Form, Shrink, form_of, lay_out
from segnet_live.engine.nvidia.enlarger import Enlarger
from segnet_live.engine.resize import fit_input
from segnet_live.errors import first_line
from segnet_live.frame import RGB, LabelMap, Size
from segnet_live.planes import Planes
from segnet_live.system.exit import ABANDONED

log = logging.getLogger(__name__)

WARM_UPS = 3
SLOTS = 2
"""Frames that may be under way: the device has the next one while the host still works on the last."""

_DTYPES = (torch.uint8, torch.uint8, torch.float32)
"""Of labels, confidence and variance."""


Run: TypeAlias = Callable[[Tensor], Tensor | tuple[Tensor, ...]]


class _Slot:
    """Page-locked memory for one frame and its maps, and the event that says when the device is done with it."""

    def __init__(self, index: int, size: Size, cuda: bool, maps: RequestedOutputs) -> None:
        self.index = index
        self.whole: _Whole | None = None
        self.frame = torch.zeros((1, *size, 3), dtype=torch.uint8, pin_memory=cuda)
        self.maps = [torch.zeros((1, *size), dtype=dtype, pin_memory=cuda) for dtype in _DTYPES[: maps.count]]
        # blocking: the host sleeps instead of spinning on a core for as long as the device works
        self.done = torch.cuda.Event(blocking=True) if cuda else None  # type: ignore[no-untyped-call]


class _Whole:
    """The steps for pictures of one form that the device shrinks: before the network, and after it on its labels.

    Args:
        net: the network's input and its label map on the device.
        classes: of labels that are wanted at the picture's size; 0 for none.
    """

    def __init__(self, form: Form, net: tuple[Tensor, Tensor], size: Size, device: torch.device, classes: int) -> None:
        cuda = device.type == "cuda"
        dtype = torch.float16 if cuda else torch.float32
        self.form = form
        self._net = net
        self._picture = torch.zeros(form.shape, dtype=torch.uint8, device=device)
        self._shrink = Shrink(form, size, dtype).to(device)
        self._enlarge = Enlarge(classes, form.size, dtype).to(device) if classes else None
        shape = (1, *form.size) if classes else (0,)
        self._labels = torch.zeros(shape, dtype=torch.uint8, device=device)
        self.frames = [torch.zeros(form.shape, dtype=torch.uint8, pin_memory=cuda) for _ in range(SLOTS)]
        self.labels = [torch.zeros(shape, dtype=torch.uint8, pin_memory=cuda) for _ in range(SLOTS)]
        self.steps = (self._before, self._after)
        self.graphs: list[torch.cuda.CUDAGraph] = []

    def upload(self, slot: _Slot) -> None:
        self._picture.copy_(self.frames[slot.index], non_blocking=True)

    def run(self, which: int) -> None:
        """Run the step before the network (0) or after it (1), as a graph where there is one."""
        if len(self.graphs) == len(self.steps):
            self.graphs[which].replay()
        else:
            self.steps[which]()

    def _before(self) -> None:
        """Shrink the picture into the network's input."""
        self._net[0].copy_(self._shrink(self._picture))

    def _after(self) -> None:
        """Enlarge the network's labels, if they are wanted."""
        if self._enlarge is not None:
            self._labels.copy_(self._enlarge(self._net[1]))

    def download(self, slot: _Slot) -> None:
        slot.frame.copy_(self._net[0], non_blocking=True)
        if self._enlarge is not None:
            self.labels[slot.index].copy_(self._labels, non_blocking=True)


class FrameLoop:
    """A function `run` captured as a CUDA graph and replayed for every frame. Owned by one thread.

    Only the uint8 frame goes up, and only the maps that were asked for come down. On CUDA everything between them is
    one graph, captured on the loop's own stream; elsewhere the same steps run one after the other, which tests the same
    code. A graph that cannot be captured costs a log line: the steps then run one after the other on CUDA, too.

    Args:
        run: (1, h, w, 3) uint8 on `device` -> (1, h, w) class ids of any type, or with confidence and variance, too;
            always called with the same input memory.
        size: (h, w).
        maps: what `run` gives; labels at the picture's size are made of its class ids here.
        classes: how many there are; needed where they are wanted at the picture's size.
        graph: capture a CUDA graph; without CUDA it has no effect.

    Raises:
        RuntimeError: warming up failed on the device.
    """

    def __init__(
        self,
        run: Run,
        size: Size,
        device: torch.device,
        maps: RequestedOutputs = LABELS,
        *,
        classes: int = 0,
        graph: bool = True,
    ) -> None:
        cuda = device.type == "cuda"
        self._run: Run | None = run
        self._size, self._device = size, device
        self._classes = classes if maps.at_source else 0
        self._to_enlarge = classes if maps.enlarges else 0
        self._enlarger: Enlarger | None = None
        self._stream = torch.cuda.Stream(device) if cuda else None  # type: ignore[no-untyped-call]
        self._input = torch.zeros((1, *size, 3), dtype=torch.uint8, device=device)
        self._outputs = [torch.zeros((1, *size), dtype=dtype, device=device) for dtype in _DTYPES[: maps.count]]
        self._free = deque(_Slot(index, size, cuda, maps) for index in range(SLOTS))
        self._under_way: deque[_Slot] = deque()
        self._whole: _Whole | None = None
        self._graph: torch.cuda.CUDAGraph | None = None
        if self._stream is not None:
            self._stream.wait_stream(torch.cuda.current_stream(device))  # the zeroing above
            try:
                with torch.inference_mode(), torch.cuda.stream(self._stream):
                    for _ in range(WARM_UPS):  # lazy initialisation must not be captured
                        self._step(run)
                    self._stream.synchronize()
                    if graph:
                        self._graph = self._captured(partial(self._step, run))
            except Exception:
                self.close()
                raise
        self._captures = self._graph is not None

    def _captured(self, work: Callable[[], None]) -> torch.cuda.CUDAGraph | None:
        assert self._stream is not None
        return self._captured_on(work, self._stream)

    def _captured_on(self, work: Callable[[], None], stream: torch.cuda.Stream) -> torch.cuda.CUDAGraph | None:
        """Return the graph of some work; None, after a log line, if the device does not let it be captured."""
        graph = torch.cuda.CUDAGraph()
        pool = torch.cuda.graph_pool_handle()
        try:
            # thread_local: another thread may use the GPU meanwhile, as the engine in use does
            with torch.cuda.graph(graph, pool=pool, stream=stream, capture_error_mode="thread_local"):
                work()
        except RuntimeError as error:
            log.warning("no CUDA graph (%s); its steps run one by one, which is slower", first_line(error))
            _end_capture(self._device, pool)
            work()  # raises if it was not the capture that failed
            return None
        return graph

    def _step(self, run: Run) -> None:
        results = run(self._input)
        for output, result in zip(self._outputs, results if isinstance(results, tuple) else (results,), strict=True):
            output.copy_(result)

    def submit(self, picture: RGB | Planes) -> None:
        """Hand a frame of any size to the device and return while it works; `wait` fetches it.

        One that is larger than the network on both sides goes up whole, once, and is shrunk there.

        Raises:
            RuntimeError: the loop is closed, SLOTS frames are under way already, or the device failed; after a failure
                nothing is under way any more.
        """
        if self._run is None:
            raise RuntimeError("this engine is closed")
        if not self._free:
            raise RuntimeError(f"{SLOTS} frames are under way; wait for one first")
        try:
            self._submit(picture, self._run)
        except Exception:
            self._drop()
            raise

    def _submit(self, picture: RGB | Planes, run: Run) -> None:
        form = form_of(picture, self._size)
        whole = None if form is None else self._whole_of(form)
        slot = self._free.popleft()
        self._under_way.append(slot)
        slot.whole = whole
        if whole is None:
            np.copyto(slot.frame[0].numpy(), fit_input(picture, self._size))
        else:
            lay_out(picture, whole.frames[slot.index].numpy())
        with torch.inference_mode(), self._on_stream():
            if whole is None:
                self._input.copy_(slot.frame, non_blocking=True)
            else:
                whole.upload(slot)
                whole.run(0)
            if self._graph is not None:
                self._graph.replay()
            else:
                self._step(run)
            if whole is not None:
                whole.run(1)
                whole.download(slot)
            for host, output in zip(slot.maps, self._outputs, strict=True):
                host.copy_(output, non_blocking=True)
            if slot.done is not None:
                slot.done.record(self._stream)

    def _drop(self) -> None:
        """Forget all frames under way: the next label map must not be one of theirs."""
        try:
            if self._stream is not None:
                self._stream.synchronize()  # the device may still read or write their slots
        except RuntimeError:
            self._run = None
        while self._under_way:
            slot = self._under_way.popleft()
            slot.whole = None
            self._free.append(slot)

    def _whole_of(self, form: Form) -> _Whole:
        """Return the steps for a form; they are captured once they have run and no other thread captures."""
        if self._whole is None or self._whole.form != form:
            with torch.inference_mode():
                self._whole = _Whole(form, (self._input, self._outputs[0]), self._size, self._device, self._classes)
                if self._stream is not None:
                    self._stream.wait_stream(torch.cuda.current_stream(self._device))
        elif self._captures and not self._whole.graphs:
            with compile_lock_if_free() as free, torch.inference_mode(), self._on_stream():
                if free and self._stream is not None:
                    self._stream.synchronize()
                    graphs = [self._captured(step) for step in self._whole.steps]
                    self._whole.graphs = [graph for graph in graphs if graph is not None]
                    self._captures = len(self._whole.graphs) == len(graphs)
        return self._whole

    def wait(self) -> EngineOutput:
        """Return the maps of the oldest frame under way, (h, w) each, the caller's own. Blocks.

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
        maps: list[Any] = [host[0].numpy().copy() for host in slot.maps]
        found = EngineOutput(*maps)
        if slot.whole is not None:
            found = found._replace(small=slot.frame[0].numpy().copy())
            if self._classes:
                found = found._replace(at_source=slot.whole.labels[slot.index][0].numpy().copy())
            if self._to_enlarge:
                found = found._replace(enlarge=partial(self._enlarged, slot.whole.form.size))
            slot.whole = None
        self._free.append(slot)
        return found

    def _enlarged(self, size: Size, labels: LabelMap) -> LabelMap | None:
        """Return labels at a picture's size, made on the device; None where the host has to, as the device failed."""
        if self._run is None or not self._to_enlarge:
            return None
        try:
            if self._enlarger is None or self._enlarger.size != size:
                self._enlarger = Enlarger(self._to_enlarge, self._size, size, self._device, self._captured_on)
            return self._enlarger(labels)
        except RuntimeError as error:  # the next frame meets it, too, if it is more than this
            log.warning("labels are enlarged by the host from now on (%s)", first_line(error))
            self._to_enlarge = 0
            return None

    def segment(self, rgb: RGB) -> LabelMap:
        """Label a frame; see `submit` and `wait`."""
        self.submit(rgb)
        return self.wait().labels

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
            except RuntimeError:  # a lost GPU answers nothing any more, and freeing its memory asks the driver
                ABANDONED.append(
                    (
                        slots, self._graph, self._run, self._input, self._outputs, self._stream, self._whole,
                        self._enlarger,
                    )
                )  # fmt: skip
        self._free.clear()
        self._under_way.clear()
        self._graph = self._run = self._whole = self._enlarger = None
        self._input, self._outputs = torch.empty(0), []


def _end_capture(device: torch.device, pool: Any) -> None:
    """Make torch's allocator leave the pool of a capture that failed.

    It enters before the capture begins and leaves only after one that ended well; as long as it is in, emptying the
    cache and every later capture fail (torch 2.13, CUDAGraph.cpp).
    """
    index = device.index if device.index is not None else torch.cuda.current_device()
    with contextlib.suppress(RuntimeError, AttributeError):  # RuntimeError: it has left; then it is released, too
        torch._C._cuda_endAllocateToPool(index, pool)
        torch._C._cuda_releasePool(index, pool)
