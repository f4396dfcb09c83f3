"""The frame loop: on the CPU, and on a CUDA that is faked so that order matters as it does on a GPU."""

from __future__ import annotations

import contextlib
import itertools
import threading
import types
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from segnet_live.engine.base import RequestedOutputs
from segnet_live.engine.nvidia import cuda_graph, device, graphed
from segnet_live.engine.nvidia.cuda_graph import FrameLoop

SIZE = (6, 8)


def brightest_channel(rgb: Tensor) -> Tensor:
    return rgb.to(torch.float32).argmax(-1).to(torch.int32)


def frames(count: int) -> list[np.ndarray]:
    return list(np.random.default_rng(0).integers(0, 256, (count, *SIZE, 3), dtype=np.uint8))


@pytest.fixture
def loop() -> FrameLoop:
    return FrameLoop(brightest_channel, SIZE, torch.device("cpu"))


def test_each_frame_gets_its_own_labels(loop: FrameLoop) -> None:
    for frame in frames(7):
        assert (loop.segment(frame) == frame.argmax(-1)).all()


def test_a_result_is_the_caller_s_own(loop: FrameLoop) -> None:
    first, *others = frames(5)
    labels = loop.segment(first)
    for picture in others:
        loop.segment(picture)
    assert (labels == first.argmax(-1)).all()


def test_frames_of_any_size_are_fitted(loop: FrameLoop) -> None:
    assert loop.segment(np.zeros((33, 21, 3), np.uint8)).shape == SIZE
    assert loop.segment(np.zeros((12, 16, 3), np.uint8)[::2, ::-2]).shape == SIZE  # not contiguous


def test_a_closed_loop_says_so(loop: FrameLoop) -> None:
    loop.close()
    with pytest.raises(RuntimeError, match="closed"):
        loop.segment(frames(1)[0])


def test_frames_may_be_under_way_while_the_host_goes_on(loop: FrameLoop) -> None:
    pictures = frames(6)
    loop.submit(pictures[0])
    for before, picture in itertools.pairwise(pictures):
        loop.submit(picture)
        assert (loop.wait().labels == before.argmax(-1)).all()
    assert (loop.wait().labels == pictures[-1].argmax(-1)).all()


def test_more_frames_than_slots_and_waiting_for_none_are_refused(loop: FrameLoop) -> None:
    for picture in frames(cuda_graph.SLOTS):
        loop.submit(picture)
    with pytest.raises(RuntimeError, match="wait for one first"):
        loop.submit(frames(1)[0])
    for _ in range(cuda_graph.SLOTS):
        loop.wait()
    with pytest.raises(RuntimeError, match="no frame is under way"):
        loop.wait()


@pytest.mark.parametrize("before", [0, 1])
def test_a_frame_that_fails_on_its_way_leaves_no_labels_behind_for_the_next(before: int) -> None:
    """Its slot was read for the next frame: all labels came a frame late from then on."""
    fails = [False]

    def run(rgb: Tensor) -> Tensor:
        if fails.pop():
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return brightest_channel(rgb)

    loop, pictures = FrameLoop(run, SIZE, torch.device("cpu")), frames(6)
    for picture in pictures[:before]:
        loop.submit(picture)
        fails.append(False)
    fails.append(True)
    with pytest.raises(torch.cuda.OutOfMemoryError):
        loop.submit(pictures[before])
    for picture in pictures:  # those that were under way are submitted again
        fails.append(False)
        assert (loop.segment(picture) == picture.argmax(-1)).all()


class FakeCuda:
    """As much of torch and its CUDA as the frame loop uses. Work is queued, and done when the host waits for it.

    So a slot that is read before its event holds the labels of an earlier frame, as it does on a GPU. `log` has what
    happened, `lost` makes every wait fail, `refuses` makes a capture fail when it ends.
    """

    class Memory:
        def __init__(self, cuda: FakeCuda, shape: tuple[int, ...], kind: str) -> None:
            self.cuda, self.kind, self.data = cuda, kind, np.zeros(shape, np.uint8)

        def copy_(self, other: FakeCuda.Memory, non_blocking: bool = False) -> None:
            self.cuda.do(f"{other.kind} -> {self.kind}", lambda: np.copyto(self.data, other.data))

        def __getitem__(self, index: int) -> torch.Tensor:
            return torch.from_numpy(self.numpy())[index]

        def numpy(self) -> np.ndarray:
            assert self.kind in ("frame", "labels", "whole", "large labels"), "the host touches device memory"
            self.cuda.log.append(f"host uses {self.kind}")
            return self.data

    class Stream:
        def __init__(self, cuda: FakeCuda) -> None:
            self.cuda, self.queue = cuda, []

        def wait_stream(self, other: object) -> None:
            self.cuda.log.append("waits for the default stream")

        def synchronize(self) -> None:
            if self.cuda.lost:
                raise RuntimeError("CUDA error: unspecified launch failure")
            self.cuda.log.append("synchronised")
            while self.queue:
                self.queue.pop(0)()

    class Event:
        def __init__(self, cuda: FakeCuda, blocking: bool) -> None:
            assert blocking, "the host would spin on a core"
            self.cuda, self.queue, self.stream = cuda, [], None

        def record(self, stream: FakeCuda.Stream) -> None:
            self.stream, self.at = stream, len(stream.queue)
            mark = lambda: None  # noqa: E731
            stream.queue.append(mark)
            self.mark = mark

        def synchronize(self) -> None:
            if self.cuda.lost:
                raise RuntimeError("CUDA error: unspecified launch failure")
            self.cuda.log.append("waited for an event")
            while self.mark in self.stream.queue:
                self.stream.queue.pop(0)()

    class Graph:
        def __init__(self, cuda: FakeCuda) -> None:
            self.cuda, self.steps = cuda, []

        def replay(self) -> None:
            self.cuda.log.append("replayed")
            self.cuda.here.on.queue.extend(self.steps)

    def __init__(self) -> None:
        self.log: list[str] = []
        self.lost = False
        self.refuses: Exception | None = None
        self.here = threading.local()  # streams and captures belong to a thread
        self.kinds = itertools.cycle(("input", "output", *("frame", "labels") * cuda_graph.SLOTS))
        self.cuda = types.SimpleNamespace(
            Stream=lambda _: FakeCuda.Stream(self),
            Event=lambda blocking=False: FakeCuda.Event(self, blocking),
            CUDAGraph=lambda: FakeCuda.Graph(self),
            current_stream=lambda _: None,
            current_device=lambda: 0,
            graph_pool_handle=lambda: (7, 7),
            stream=self.use,
            graph=self.capture,
        )
        self._C = types.SimpleNamespace(
            _cuda_endAllocateToPool=lambda *a: self.log.append(f"leaves pool {a}"),
            _cuda_releasePool=lambda *a: self.log.append(f"releases pool {a}"),
        )

    def __getattr__(self, name: str) -> Any:
        return getattr(torch, name)

    def zeros(self, shape: tuple[int, ...], *, dtype: Any, **_: Any) -> FakeCuda.Memory:
        return FakeCuda.Memory(self, shape, next(self.kinds))

    def do(self, what: str, work: Callable[[], object]) -> None:
        self.log.append(f"queued {what}")
        graph = getattr(self.here, "capturing", None)
        (graph.steps if graph else self.here.on.queue).append(work)

    @contextlib.contextmanager
    def use(self, stream: FakeCuda.Stream) -> Iterator[None]:
        before, self.here.on = getattr(self.here, "on", None), stream
        yield
        self.here.on = before

    @contextlib.contextmanager
    def capture(self, graph: Any, *, pool: Any, stream: Any, capture_error_mode: str) -> Iterator[None]:
        assert capture_error_mode == "thread_local"  # another thread may use the GPU meanwhile
        self.here.capturing = graph
        yield
        self.here.capturing = None
        if self.refuses is not None:
            raise self.refuses

    def run(self, rgb: FakeCuda.Memory) -> FakeCuda.Memory:
        """The network: the brightest channel."""
        result = FakeCuda.Memory(self, (1, *SIZE), "result")
        self.do("network", lambda: np.copyto(result.data, rgb.data.argmax(-1), casting="unsafe"))
        return result


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeCuda:
    cuda = FakeCuda()
    monkeypatch.setattr(cuda_graph, "torch", cuda)
    monkeypatch.setattr(cuda_graph, "ABANDONED", [])
    return cuda


def cuda_loop(fake: FakeCuda) -> FrameLoop:
    return FrameLoop(fake.run, SIZE, types.SimpleNamespace(type="cuda", index=0))  # type: ignore[arg-type]


def test_on_a_gpu_each_frame_waits_for_its_own_event_and_gets_its_own_labels(fake: FakeCuda) -> None:
    loop = cuda_loop(fake)
    assert fake.log[0] == "waits for the default stream"  # the zeroing of the buffers
    assert fake.log.index("synchronised") < len(fake.log)
    pictures = frames(5)
    loop.submit(pictures[0])
    for before, picture in itertools.pairwise(pictures):
        loop.submit(picture)
        fake.log.clear()
        assert (loop.wait().labels == before.argmax(-1)).all()
        assert fake.log == ["waited for an event", "host uses labels"]
    fake.log.clear()
    assert (loop.wait().labels == pictures[-1].argmax(-1)).all()
    loop.submit(pictures[0])
    assert fake.log[2:] == ["host uses frame", "queued frame -> input", "replayed", "queued output -> labels"]


def test_on_a_gpu_a_whole_picture_goes_up_once_and_comes_back_in_labels_of_its_size(
    fake: FakeCuda, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its steps run one by one for the first frame, and as graphs beside the network's from then on."""

    class Halves:
        """Stands in for Shrink and Enlarge: takes or repeats every second pixel."""

        def __init__(self, shape: tuple[int, ...], work: Callable[[np.ndarray], np.ndarray], name: str) -> None:
            self.shape, self.work, self.name = shape, work, name

        def to(self, _: object) -> Halves:
            return self

        def __call__(self, given: FakeCuda.Memory) -> FakeCuda.Memory:
            result = FakeCuda.Memory(fake, self.shape, "result")
            fake.do(self.name, lambda: np.copyto(result.data, self.work(given.data)))
            return result

    large = (2 * SIZE[0], 2 * SIZE[1])
    shrink = Halves((1, *SIZE, 3), lambda x: x[None, ::2, ::2], "shrink")
    enlarge = Halves((1, *large), lambda x: x.repeat(2, 1).repeat(2, 2), "enlarge")
    monkeypatch.setattr(cuda_graph, "Shrink", lambda *_: shrink)
    monkeypatch.setattr(cuda_graph, "Enlarge", lambda *_: enlarge)
    gpu = types.SimpleNamespace(type="cuda", index=0)
    loop = FrameLoop(fake.run, SIZE, gpu, RequestedOutputs(at_source=True), classes=3)  # type: ignore[arg-type]
    fake.kinds = iter(("picture", "large", "whole", "whole", "large labels", "large labels"))
    pictures = list(np.random.default_rng(1).integers(0, 256, (6, *large, 3), dtype=np.uint8))
    fake.log.clear()
    loop.submit(pictures[0])
    assert fake.log == [
        "waits for the default stream", "host uses whole", "queued whole -> picture", "queued shrink",
        "queued result -> input", "replayed", "queued enlarge", "queued result -> large", "queued input -> frame",
        "queued large -> large labels", "queued output -> labels",
    ]  # fmt: skip
    for before, picture in itertools.pairwise(pictures):
        loop.submit(picture)
        found = loop.wait()
        assert (found.labels == before[::2, ::2].argmax(-1)).all()
        assert (found.small == before[::2, ::2]).all()
        assert found.at_source is not None
        assert (found.at_source == found.labels.repeat(2, 0).repeat(2, 1)).all()
    loop.wait()
    fake.log.clear()
    loop.submit(pictures[0])
    assert fake.log == [
        "host uses whole", "queued whole -> picture", "replayed", "replayed", "replayed", "queued input -> frame",
        "queued large -> large labels", "queued output -> labels",
    ]  # fmt: skip
    assert (loop.wait().labels == pictures[0][::2, ::2].argmax(-1)).all()
    small = frames(1)[0]
    assert (loop.segment(small) == small.argmax(-1)).all()  # one that fits goes the short way


def test_a_frame_does_not_wait_for_a_compiler_to_have_its_steps_captured(
    fake: FakeCuda, monkeypatch: pytest.MonkeyPatch
) -> None:
    form = cuda_graph.Form((12, 16), None)
    loop = cuda_loop(fake)
    steps = types.SimpleNamespace(form=form, graphs=[])
    loop._whole = steps  # type: ignore[assignment]
    monkeypatch.setattr(loop, "_captured", lambda _: pytest.fail("captured beside a compiler"))
    holds, done = threading.Event(), threading.Event()

    def compiler() -> None:
        with device.compile_lock():
            holds.set()
            done.wait(30)

    thread = threading.Thread(target=compiler)
    thread.start()
    assert holds.wait(30)
    assert loop._whole_of(form) is steps
    done.set()
    thread.join(30)


def test_a_capture_that_fails_leaves_the_steps_and_the_allocator_whole(
    fake: FakeCuda, caplog: pytest.LogCaptureFixture
) -> None:
    fake.refuses = RuntimeError("operation not permitted when stream is capturing\nmore")
    loop = cuda_loop(fake)
    assert "leaves pool (0, (7, 7))" in fake.log
    assert "releases pool (0, (7, 7))" in fake.log
    assert caplog.messages == [
        "no CUDA graph (operation not permitted when stream is capturing); its steps run one by one, which is slower"
    ]
    for picture in frames(3):
        assert (loop.segment(picture) == picture.argmax(-1)).all()
    assert "replayed" not in fake.log


def test_a_lost_gpu_s_page_locked_memory_is_kept_on_purpose(fake: FakeCuda) -> None:
    loop = cuda_loop(fake)
    fake.lost = True
    with pytest.raises(RuntimeError, match="unspecified launch failure"):
        loop.segment(frames(1)[0])
    loop.close()
    loop.close()
    assert len(cuda_graph.ABANDONED) == 1
    healthy = FakeCuda()
    cuda_graph.torch = healthy  # type: ignore[assignment]  # the fixture puts the real one back
    loop = cuda_loop(healthy)
    loop.close()
    assert len(cuda_graph.ABANDONED) == 1


def test_a_slot_is_not_written_while_the_device_may_still_read_what_failed_from_it(fake: FakeCuda) -> None:
    loop, pictures = cuda_loop(fake), frames(3)
    graph, replay = loop._graph, loop._graph.replay  # type: ignore[union-attr]
    loop.submit(pictures[0])
    graph.replay = lambda: (_ for _ in ()).throw(RuntimeError("CUDA out of memory"))  # type: ignore[union-attr]
    fake.log.clear()
    with pytest.raises(RuntimeError, match="out of memory"):
        loop.submit(pictures[1])
    assert fake.log[-1] == "synchronised"
    graph.replay = replay  # type: ignore[union-attr]
    for picture in pictures:
        assert (loop.segment(picture) == picture.argmax(-1)).all()
    fake.lost = True
    graph.replay = lambda: (_ for _ in ()).throw(RuntimeError("CUDA error"))  # type: ignore[union-attr]
    with pytest.raises(RuntimeError, match="CUDA error"):
        loop.submit(pictures[0])
    loop.close()
    assert len(cuda_graph.ABANDONED) == 1


def test_a_gpu_that_is_lost_while_a_loop_warms_up_destroys_nothing_either(
    fake: FakeCuda, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake.lost = True
    with pytest.raises(RuntimeError, match="unspecified launch failure"):
        cuda_loop(fake)
    assert len(cuda_graph.ABANDONED) == 1
    closed: list[object] = []

    class Lost:
        def __init__(self, *_: object, **__: object) -> None:
            pass

        def segment(self, _: object) -> None:
            raise RuntimeError("CUDA error: unspecified launch failure")

        def close(self) -> None:
            closed.append(self)

    monkeypatch.setattr(graphed, "FrameLoop", Lost)
    module: Any = torch.nn.Module()
    module.network = torch.nn.Identity()
    card: Any = types.SimpleNamespace(classes=())
    with pytest.raises(RuntimeError, match="unspecified launch failure"):
        graphed.looped(card, module, SIZE, "cpu", RequestedOutputs())
    assert len(closed) == 1


def test_one_thread_s_frames_go_on_while_another_warms_up_and_captures(fake: FakeCuda) -> None:
    """Nothing of one thread's frames gets into the other's graph, nor the other way round."""
    first, pictures = cuda_loop(fake), frames(200)
    wrong: list[int] = []
    began = threading.Event()

    def live() -> None:
        for index, picture in enumerate(pictures):
            if not (first.segment(picture) == picture.argmax(-1)).all():
                wrong.append(index)
            began.set()

    thread = threading.Thread(target=live)
    thread.start()
    assert began.wait(30)
    second = cuda_loop(fake)
    thread.join(30)
    assert wrong == []
    for loop in (second, first):
        assert (loop.segment(pictures[0]) == pictures[0].argmax(-1)).all()
        assert len(loop._graph.steps) == 2  # type: ignore[union-attr]  # the network, and its result's way out
