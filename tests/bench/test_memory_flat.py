"""Hours of footage need no more memory than minutes: `pytest -m bench tests/bench/test_memory_flat.py -s`.

FRAMES in the environment sets how long it goes on; 15000 are ten minutes at 25 fps.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from segnet_live.bench.memory import peak_rss_mib, rss_mib
from segnet_live.card import Card
from segnet_live.config import SourceSpec
from segnet_live.engine.open import open_engine
from segnet_live.engine.smoothing import SmoothedEngine
from segnet_live.errors import SourceError
from segnet_live.frame import Frame
from segnet_live.metrics import Metrics
from segnet_live.pipeline.headless.pipeline import Pipeline
from segnet_live.pipeline.record.video import Recording
from segnet_live.render.view import ViewSettings
from segnet_live.video.file import FileSource
from segnet_live.video.source import SourceInfo
from tests.support.clips import shaded_clip

FRAMES = int(os.environ.get("FRAMES", "3000"))
LOOP = 50


class Looped:
    """A file played over and over, as one long video; notes the process's memory once a loop."""

    def __init__(self, path: Path) -> None:
        self._source = FileSource(str(path))
        self._ticks = 0
        self._last = 0
        self.index = 0
        self.memory_mib: list[float] = []

    @property
    def info(self) -> SourceInfo:
        return replace(self._source.info, frames=FRAMES, audio=False)

    @property
    def corrupt(self) -> int:
        return self._source.corrupt

    def read(self) -> Frame | None:
        if self.index == FRAMES:
            return None
        frame = self._source.read()
        if frame is None:
            self.memory_mib.append(rss_mib())
            self._source.seek(0)
            step = self._last // LOOP or 1
            self._ticks += self._last + step
            frame = self._source.read()
            assert frame is not None
        self._last = frame.pts
        self.index += 1
        return replace(frame, pts=frame.pts + self._ticks, index=self.index - 1)

    def seek(self, time_s: float) -> None:
        raise SourceError("looped footage does not seek; read it in order")

    def close(self) -> None:
        self._source.close()


@pytest.mark.bench
@pytest.mark.timeout(0)
def test_a_recording_of_looped_footage_stays_flat_and_under_1_gib(tiny_card: Card, tmp_path: Path) -> None:
    video = tmp_path / "loop.mp4"
    shaded_clip(video, 10, size=(540, 960), frames=LOOP)
    source = Looped(video)
    recording = Recording(tmp_path / "out.mp4", SourceSpec("video", str(video)), ViewSettings())
    engine = SmoothedEngine(open_engine(tiny_card, backend="openvino", source_size=(540, 960)), tiny_card.classes)
    pipeline = Pipeline(source, engine, [recording], Metrics(), tiny_card.classes)
    pipeline.start()
    while not pipeline.wait(1.0):
        pass
    pipeline.close()
    assert pipeline.error is None
    assert pipeline.written == FRAMES
    settled = source.memory_mib[len(source.memory_mib) // 4 :]
    print(f"\n{FRAMES} frames of 960x540: {settled[0]:.0f} -> {settled[-1]:.0f} MiB, peak {peak_rss_mib():.0f} MiB")
    assert settled[-1] - settled[0] < 32
    assert peak_rss_mib() < 1024
