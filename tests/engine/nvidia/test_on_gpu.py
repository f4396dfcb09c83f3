"""Engines on a real NVIDIA GPU: `pytest -m gpu`."""

from __future__ import annotations

import threading
import time

import cv2
import numpy as np
import pytest
import torch

from segnet_live.card import Card, find_card
from segnet_live.engine import parity
from segnet_live.engine.base import LABELS, RequestedOutputs
from segnet_live.engine.eager import EagerEngine
from segnet_live.engine.nvidia import auto, tensorrt_rtx
from segnet_live.engine.nvidia.device import cuda_problem
from segnet_live.engine.nvidia.graphed import GraphedEngine
from segnet_live.engine.nvidia.inductor import inductor_problem
from segnet_live.engine.nvidia.progressive import TRIAL_FRAMES, ProgressiveEngine
from segnet_live.engine.nvidia.tensorrt import tensorrt_problem
from segnet_live.labels import labels_at
from segnet_live.system import nvidia
from segnet_live.system.paths import models_dir

pytestmark = [pytest.mark.gpu, pytest.mark.filterwarnings("ignore"), pytest.mark.timeout(1800)]
SIZE = (360, 480)


@pytest.fixture(params=sorted(path.parent.name for path in models_dir().glob("*/card.json")))
def card(request: pytest.FixtureRequest) -> Card:
    return find_card(request.param)


def opened(backend: str, card: Card, maps: RequestedOutputs = LABELS) -> GraphedEngine:
    if backend == "inductor":
        return auto.open_inductor(card, SIZE, "fp16", "", maps=maps)
    if backend == "tensorrt-rtx":
        return tensorrt_rtx.open_rtx(card, SIZE, "fp16", "", maps=maps)
    if backend == "torch":
        return auto.open_graph(card, SIZE, "fp16", "", maps=maps)
    return auto.open_tensorrt(card, SIZE, "fp16", "", threading.Event(), maps)


EVERY_BACKEND = pytest.mark.parametrize(
    ("backend", "problem"),
    [
        ("torch", cuda_problem),
        ("inductor", inductor_problem),
        ("tensorrt", tensorrt_problem),
        ("tensorrt-rtx", tensorrt_rtx.rtx_problem),
    ],
)


@EVERY_BACKEND
def test_agrees_with_fp32_eager(card: Card, backend: str, problem: object) -> None:
    if reason := problem():  # type: ignore[operator]
        pytest.skip(str(reason))
    engine = opened(backend, card)
    assert parity.measure(engine, card).overall >= parity.MINIMUM
    engine.close()


@EVERY_BACKEND
def test_confidence_and_labels_of_whole_pictures_are_the_host_s(card: Card, backend: str, problem: object) -> None:
    if reason := problem():  # type: ignore[operator]
        pytest.skip(str(reason))
    engine = opened(backend, card, RequestedOutputs(confidence=True, at_source=True))
    reference = EagerEngine(card, SIZE, device="cpu", confidence=True)
    for frame in parity.reference_frames(3):
        large = cv2.resize(frame, (1920, 1080))
        found, expected = engine.segment_with_confidence(large), reference.segment_with_confidence(large)  # type: ignore[arg-type]
        assert found.confidence is not None
        assert expected.confidence is not None
        assert found.at_source is not None
        assert np.mean(found.labels == expected.labels) >= parity.MINIMUM
        assert np.abs(found.confidence.astype(int) - expected.confidence).mean() < 2
        assert np.mean(found.at_source == labels_at(found.labels, (1080, 1920))) > 0.995
    engine.close()


def test_eager_on_the_gpu_agrees_with_eager_on_the_cpu(card: Card) -> None:
    frames = parity.reference_frames(2)
    here, there = (EagerEngine(card, SIZE, device=device) for device in ("cuda", "cpu"))
    assert np.mean([here.segment(frame) == there.segment(frame) for frame in frames]) > 0.999


def test_auto_gives_frames_at_once_and_settles_on_an_engine_that_agrees(card: Card) -> None:
    engine = auto.open_cuda(card, SIZE, "auto", "")
    assert isinstance(engine, ProgressiveEngine)
    frame = parity.reference_frames(1)[0]
    assert engine.info.backend == "torch"
    first = engine.segment(frame)
    for _ in range(12_000):
        assert np.mean(engine.segment(frame) == first) > 0.99
        if engine.settled:
            break
        time.sleep(0.1)
    for _ in range(2 * TRIAL_FRAMES + 2):  # the last trial
        engine.segment(frame)
    assert engine.settled
    assert (engine.info.parity or 0) >= parity.MINIMUM
    engine.close()


def test_frames_under_way_get_their_own_labels(card: Card) -> None:
    engine = auto.open_graph(card, SIZE, "fp16", "")
    frames = parity.reference_frames(4)
    expected = [engine.segment(frame) for frame in frames]
    engine.submit(frames[0])
    for index in range(1, 4):
        engine.submit(frames[index])
        assert (engine.wait().labels == expected[index - 1]).all()
    assert (engine.wait().labels == expected[3]).all()
    engine.close()


def test_the_driver_and_torch_speak_of_the_same_gpu() -> None:
    device = nvidia.current()
    assert device is not None
    assert device.name == torch.cuda.get_device_name()
    before = nvidia.memory(device.uuid).used_mib
    held = torch.zeros(256 << 20, dtype=torch.uint8, device="cuda")
    assert nvidia.memory(device.uuid).used_mib - before > 200
    del held
