"""The record of a frame: what is made when it is first asked for, and what a new engine or a second showing changes."""

from __future__ import annotations

import time
from fractions import Fraction

import numpy as np
import pytest

from segnet_live.classes import CAMVID
from segnet_live.frame import Frame, FrameResult
from tests.support.sources import FakeSource


def captured() -> FrameResult:
    frame = Frame(np.zeros((48, 64, 3), np.uint8), 3, 6, Fraction(1, 50), time.perf_counter(), decode_ms=2.0)
    return FrameResult.unlabelled(frame, FakeSource(1).info, CAMVID, segment_id=4)


def test_a_captured_frame_is_void_and_not_segmented() -> None:
    result = captured()
    assert not result.is_segmented
    assert result.pts_s == pytest.approx(0.12)
    assert result.labels.shape == (48, 64)
    assert (result.labels == CAMVID.void_id).all()
    assert result.class_shares.tolist() == [0] * 11
    assert set(result.stages_ms) == {"decode", "resize"}


def test_labels_at_source_size_are_made_once_when_they_are_asked_for() -> None:
    result = captured().with_labels(np.full((24, 32), 3, np.uint8), CAMVID, 20.0)
    assert result.source_labels is None
    latency_ms = result.latency_ms
    assert latency_ms > 0
    assert result.stages_ms == {"decode": 2.0, "inference": 20.0}
    labels = result.labels
    assert labels.shape == (48, 64)
    assert (labels == 3).all()
    assert result.labels is labels
    assert result.network_labels.shape == (24, 32)
    assert result.class_shares[3] == 1
    assert result.latency_ms == latency_ms
    assert set(result.stages_ms) == {"decode", "inference", "resize"}


def test_another_engines_labels_replace_the_first_and_a_repeat_keeps_them() -> None:
    first = captured().with_labels(np.full((24, 32), 3, np.uint8), CAMVID, 20.0)
    repeat = first.as_repeat() if first.labels.any() else first
    assert repeat.repeat
    assert repeat.labels is first.labels
    second = repeat.with_labels(np.full((12, 16), 5, np.uint8), CAMVID, 9.0)
    assert (second.labels == 5).all()
    assert second.class_shares[5] == 1
    assert (first.labels == 3).all()
    assert (second.segment_id, second.repeat) == (4, True)


def test_the_bonnet_counts_neither_in_shares_nor_in_confidence() -> None:
    labels, confidence = np.full((24, 32), 3, np.uint8), np.full((24, 32), 255, np.uint8)
    labels[18:], confidence[18:] = CAMVID.void_id, 0
    result = captured().with_labels(labels, CAMVID, 20.0, confidence=confidence)
    assert (result.mean_confidence, result.unsure_share) == (0.75, 0.25), "without a bonnet every pixel counts"
    result.left_out = 0.25
    assert result.class_shares[3] == 1
    assert (result.mean_confidence, result.unsure_share) == (1, 0)
