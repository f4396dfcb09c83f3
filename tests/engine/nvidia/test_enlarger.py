"""Smoothed labels at the picture's size from the GPU: run on the CPU, and on a CUDA that is faked for its order."""

from __future__ import annotations

import contextlib
import types
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch

from segnet_live.card import Card
from segnet_live.classes import CAMVID
from segnet_live.engine.base import RequestedOutputs, run_engine
from segnet_live.engine.nvidia import enlarger
from segnet_live.engine.nvidia.device_steps import Enlarge
from segnet_live.engine.nvidia.enlarger import Enlarger
from segnet_live.engine.nvidia.graphed import CudaGraphEngine
from segnet_live.engine.smoothing import SmoothedEngine
from segnet_live.labels import labels_at
from segnet_live.metrics import Metrics
from segnet_live.pipeline.inference import Inference
from tests.engine.nvidia.test_device_steps import captured, planes

NET = (32, 48)


def engine_on_cpu(card: Card, **maps: bool) -> CudaGraphEngine:
    return CudaGraphEngine(card, NET, precision="fp32", device="cpu", maps=RequestedOutputs(**maps))


def test_smoothed_labels_reach_the_picture_s_size_without_the_host(
    tiny_card: Card, monkeypatch: pytest.MonkeyPatch
) -> None:
    smoothed, inference = SmoothedEngine(engine_on_cpu(tiny_card, enlarges=True), CAMVID), Inference(Metrics())
    with monkeypatch.context() as forbidden:
        forbidden.setattr("segnet_live.frame.labels_at", lambda *_: pytest.fail("the host enlarges"))
        for size in ((96, 160), (96, 160), (120, 144), (96, 160)):  # a source may change its size
            found = inference.segment(captured(planes(size)), smoothed, CAMVID)
            assert found.labels.shape == size
            # which is the host's, but where two classes nearly tie (test_device_steps.py)
            enlarged = Enlarge(11, size, torch.float32)(torch.from_numpy(found.network_labels)[None])[0].numpy()
            assert (found.labels == enlarged).all()
        inference.submit(captured(planes((96, 160))), smoothed)
        inference.submit(captured(planes((120, 144))), smoothed)
        assert [inference.wait(smoothed, CAMVID).labels.shape for _ in range(2)] == [(96, 160), (120, 144)]
    smoothed.close()


def test_it_is_the_smoothed_labels_that_are_enlarged(tiny_card: Card, monkeypatch: pytest.MonkeyPatch) -> None:
    smoothed = SmoothedEngine(engine_on_cpu(tiny_card, enlarges=True), CAMVID)
    monkeypatch.setattr(
        smoothed._smoother, "_follow", lambda *_: (np.full(NET, 5, np.uint8), np.full(NET, 9, np.uint8))
    )
    found = run_engine(smoothed, planes((96, 160)))  # type: ignore[arg-type]
    assert found.at_source is not None
    assert (found.at_source == 5).all()


def test_nothing_is_enlarged_that_nobody_asked_for(tiny_card: Card) -> None:
    plain = run_engine(SmoothedEngine(engine_on_cpu(tiny_card), CAMVID), planes((96, 160)))  # type: ignore[arg-type]
    assert (plain.at_source, plain.enlarge) == (None, None)
    unsmoothed = SmoothedEngine(engine_on_cpu(tiny_card, at_source=True), CAMVID, smooth=False)
    found = run_engine(unsmoothed, planes((96, 160)))  # type: ignore[arg-type]
    assert found.at_source is not None, "what the engine has made of its own labels was thrown away"
    assert found.at_source.shape == (96, 160)


def test_a_device_that_cannot_leaves_it_to_the_host(
    tiny_card: Card, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    engine = engine_on_cpu(tiny_card, enlarges=True)

    def full(*_: object) -> None:
        raise RuntimeError("CUDA out of memory\nmore")

    monkeypatch.setattr(Enlarger, "__call__", full)
    smoothed, inference = SmoothedEngine(engine, CAMVID), Inference(Metrics())
    for _ in range(2):
        found = inference.segment(captured(planes((96, 160))), smoothed, CAMVID)
        assert (found.labels == labels_at(found.network_labels, (96, 160))).all()
    assert caplog.messages == ["labels are enlarged by the host from now on (CUDA out of memory)"]
    late = engine.segment_with_confidence(planes((96, 160))).enlarge  # type: ignore[arg-type]
    engine.close()
    assert late is None


class FakeCuda:
    """Queues what a stream is given, and does it when the host waits for the event."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.queue: list[Callable[[], object]] = []
        self.capturing: list[Callable[[], object]] | None = None
        self.kinds = iter(("labels", "large", "up", "down"))
        self.cuda = types.SimpleNamespace(
            Stream=self.stream, Event=lambda blocking: self if blocking else None, stream=self.use,
            current_stream=lambda _: None,
        )  # fmt: skip

    def __getattr__(self, name: str) -> Any:
        return getattr(torch, name)

    def stream(self, _: object, priority: int) -> FakeCuda:
        assert priority < 0, "it would wait for the next frame"
        return self

    def wait_stream(self, _: object) -> None:
        self.log.append("waits for the zeroing")

    def record(self, _: object) -> None:
        self.log.append("event")

    def synchronize(self) -> None:
        self.log.append("waited")
        while self.queue:
            self.queue.pop(0)()

    @contextlib.contextmanager
    def use(self, _: object) -> Iterator[None]:
        yield

    def zeros(self, shape: tuple[int, ...], **_: object) -> FakeMemory:
        return FakeMemory(self, np.zeros(shape, np.uint8), next(self.kinds))

    def do(self, what: str, work: Callable[[], object]) -> None:
        self.log.append(what)
        (self.queue if self.capturing is None else self.capturing).append(work)

    def capture(self, work: Callable[[], None], _: object) -> Any:
        self.capturing = []
        work()
        steps, self.capturing = self.capturing, None
        return types.SimpleNamespace(replay=lambda: (self.log.append("replayed"), self.queue.extend(steps)))


class FakeMemory:
    def __init__(self, cuda: FakeCuda, data: np.ndarray, kind: str) -> None:
        self.cuda, self.data, self.kind = cuda, data, kind

    def copy_(self, other: FakeMemory, non_blocking: bool = False) -> None:
        self.cuda.do(f"{other.kind} -> {self.kind}", lambda: np.copyto(self.data, other.data))

    def __getitem__(self, index: int) -> torch.Tensor:
        assert self.kind in ("up", "down"), "the host touches device memory"
        return torch.from_numpy(self.data)[index]


def test_on_a_gpu_it_is_one_graph_from_the_second_label_map_on_and_waits_for_its_own_event(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fake = FakeCuda()

    def twice(given: FakeMemory) -> FakeMemory:
        result = FakeMemory(fake, np.zeros((1, 4, 6), np.uint8), "result")
        fake.do("enlarge", lambda: np.copyto(result.data, given.data.repeat(2, 1).repeat(2, 2)))
        return result

    monkeypatch.setattr(enlarger, "torch", fake)
    monkeypatch.setattr(enlarger, "Enlarge", lambda *_: types.SimpleNamespace(to=lambda _: twice))
    gpu = types.SimpleNamespace(type="cuda")
    enlarge = Enlarger(11, (2, 3), (4, 6), gpu, fake.capture)  # type: ignore[arg-type]
    maps = list(np.random.default_rng(0).integers(0, 11, (5, 2, 3), dtype=np.uint8))
    first = enlarge(maps[0])
    assert fake.log == [
        "waits for the zeroing", "up -> labels", "enlarge", "result -> large", "large -> down", "event", "waited",
    ]  # fmt: skip
    for labels in maps[1:]:
        fake.log.clear()
        assert (enlarge(labels) == labels.repeat(2, 0).repeat(2, 1)).all()
    assert fake.log == ["up -> labels", "replayed", "large -> down", "event", "waited"]
    assert (first == maps[0].repeat(2, 0).repeat(2, 1)).all(), "a result is the caller's own"
