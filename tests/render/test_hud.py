"""The HUD: what it says, and that its plate is drawn where and as large as it should be."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from segnet_live.engine.base import EngineInfo
from segnet_live.metrics import Metrics
from segnet_live.render.hud import burn_text_px, draw_plate, hud_lines, with_plate
from segnet_live.system.usage import Usage

ENGINE = EngineInfo("openvino", "AMD® EPYC™", "bf16", "segnet-fast", (320, 576))


def test_hud_tells_rates_latency_and_engine_in_ascii() -> None:
    now = 0.0
    metrics = Metrics(lambda: now)
    assert any("p50 --" in line for line in hud_lines(metrics.snapshot(), ENGINE)), "nothing was measured yet"
    for _ in range(5):
        now += 0.5
        metrics.arrived()
        metrics.stage("inference", 20.0)
        metrics.displayed(30.0)
    metrics.dropped("inference", 3)
    usage = Usage(memory_mib=700, cpu_percent=150)
    text = "\n".join(hud_lines(metrics.snapshot(), ENGINE, usage, "paused", "holds 25 fps"))
    for fact in ("source   2.0 fps", "paused", "p50 30.0", "p95 30.0 ms", "inference 20.0", "dropped  inference 3"):
        assert fact in text
    for fact in ("openvino bf16 on AMD EPYC", "segnet-fast at 320x576", "governor holds 25 fps", "memory 700 MiB"):
        assert fact in text
    assert text.isascii()


def test_long_lines_go_on_below_so_that_the_plate_stays_narrow() -> None:
    engine = replace(ENGINE, device="Intel Xeon Platinum 8481C CPU @ 2.70GHz (2 threads)")
    governor = "20 fps: 160x288, 1 frame in 4 (out of reach, 8.6 x the budget)"
    lines = hud_lines(Metrics().snapshot(), engine, None, "", governor)
    assert max(len(line) for line in lines) <= 50
    assert " ".join(" ".join(lines).split()).endswith(f"governor {governor}")


def test_hud_says_when_there_is_no_engine() -> None:
    assert any("not segmented" in line for line in hud_lines(Metrics().snapshot(), None))


@pytest.mark.parametrize("text_px", [9.0, 12.5, 25.0, 60.0])
def test_the_plate_grows_with_its_letters_and_is_premultiplied(text_px: float) -> None:
    lines = hud_lines(Metrics().snapshot(), ENGINE)
    plate = draw_plate(lines, [(9.0, 20.0), (5.0, 300.0), (0.1, 40.0)], text_px)
    height, width = plate.shape[:2]
    assert height == pytest.approx(text_px * (1.17 * len(lines) + 5.9), rel=0.06)
    assert width == pytest.approx(text_px * (0.602 * 44 + 1.6), rel=0.1)
    assert (plate[..., :3] <= plate[..., 3:]).all()
    assert plate[0, 0, 3] < 100, "corners are round"
    assert plate[height // 2, 2].tolist()[3] == 205
    assert (plate[..., :3].min(2) > 180).any(), "there are letters"


def test_a_plate_is_burnt_into_the_corner_of_a_copy_and_fits_any_picture() -> None:
    plate = draw_plate(hud_lines(Metrics().snapshot(), ENGINE), [], burn_text_px(1080))
    for size in ((32, 48), (1080, 1920)):
        picture = np.full((*size, 3), 120, np.uint8)
        burnt = with_plate(picture, plate)
        assert (picture == 120).all()
        changed = (burnt != 120).any(2)
        assert changed[: size[0] // 4, : size[1] // 4].any()
        assert not changed[plate.shape[0] :].any()
        assert not changed[:, plate.shape[1] :].any()


def test_a_character_the_font_has_not_is_a_question_mark() -> None:
    plates = [draw_plate([text], [], 12.5) for text in ("a\tb", "a?b")]
    assert np.array_equal(*plates)
