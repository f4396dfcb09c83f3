"""The frame loop, on the CPU: the same steps as on a GPU, without stream and graph."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

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
