"""What smoothing adds to a frame, right after inference: `pytest -m bench tests/bench/test_smooth_cost.py -s`."""

from __future__ import annotations

import itertools
import time

import numpy as np
import pytest

from segnet_live.card import DEFAULT_MODEL, find_card
from segnet_live.engine.open import open_engine
from segnet_live.engine.smoothing import Smoother
from segnet_live.system.paths import assets_dir
from segnet_live.video.file import FileSource

FRAMES = 120
WARM_UP = 5


@pytest.mark.bench
def test_smoothing_after_inference_is_timed_and_takes_flicker_away() -> None:
    source = FileSource(str(assets_dir() / "drive.mp4"))
    engine = open_engine(find_card(DEFAULT_MODEL), source_size=source.info.size)
    smoother, added_ms, plain, smoothed = Smoother(), [], [], []
    for _ in range(FRAMES):
        frame = source.read()
        assert frame is not None
        plain.append(engine.segment(frame.rgb))
        began_s = time.perf_counter()
        smoothed.append(smoother(frame.rgb, plain[-1]))
        added_ms.append((time.perf_counter() - began_s) * 1e3)
    engine.close()
    source.close()
    p50, p95 = np.percentile(added_ms[WARM_UP:], (50, 95))
    print(f"\nsmoothing: p50 {p50:.2f}, p95 {p95:.2f} ms a frame, n {FRAMES - WARM_UP}")
    changes = [np.mean([a != b for a, b in itertools.pairwise(maps)]) for maps in (plain, smoothed)]
    assert changes[1] < changes[0]
