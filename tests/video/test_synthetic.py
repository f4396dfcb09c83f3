"""The example drive as a source: the shipped clip, and the class of every pixel of each of its frames."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from segnet_live.classes import CAMVID
from segnet_live.config import SourceSpec
from segnet_live.errors import SourceError
from segnet_live.video import synthetic
from segnet_live.video.open import open_source


@pytest.fixture(scope="module")
def truth() -> list[np.ndarray]:
    """The label track as it is stored."""
    with av.open(str(synthetic.LABELS)) as container:
        return [frame.to_ndarray() for frame in container.decode(video=0)]


def test_every_frame_comes_with_its_truth(truth: list[np.ndarray]) -> None:
    source = open_source(SourceSpec("synthetic"))
    frames = []
    while (frame := source.read()) is not None:
        frames.append(frame)
    assert len(frames) == len(truth) == source.info.frames == 200
    assert source.info.title == "example drive"
    assert source.info.seekable
    assert not source.info.live
    for frame, labels in zip(frames, truth, strict=True):
        assert frame.truth is not None
        assert frame.truth.shape == frame.size
        np.testing.assert_array_equal(frame.truth, labels)
    assert set(np.unique(truth)) == set(range(len(CAMVID)))


def test_truth_stays_with_its_frame_after_a_late_start_and_seeks(truth: list[np.ndarray]) -> None:
    source = open_source(SourceSpec("synthetic", start_s=1.0, duration_s=2.0))
    for seek_s, index in ((None, 25), (2.5, 63), (1.7, 43), (0.0, 25)):
        if seek_s is not None:
            source.seek(seek_s)
        frame = source.read()
        assert frame is not None
        assert frame.pts_s == pytest.approx(index / 25)
        assert frame.truth is not None
        np.testing.assert_array_equal(frame.truth, truth[index])


def test_an_incomplete_installation_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(synthetic, "LABELS", tmp_path / "none.mkv")
    with pytest.raises(SourceError, match=r"none\.mkv is missing; install segnet-live again"):
        open_source(SourceSpec("synthetic"))
