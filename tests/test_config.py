"""A configuration that was built can be carried out; one that cannot says in one line what to change."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from segnet_live.config import RunConfig, RunOptions, SourceSpec, format_size, parse_size
from segnet_live.errors import UsageError

CLIP = SourceSpec("video", "drive.mp4")


@pytest.mark.parametrize(
    ("fields", "names"),
    [
        ({"backend": "caffe"}, "openvino"),
        ({"precision": "fp8"}, "bf16"),
        ({"view": "sideways"}, "side-by-side"),
        ({"size": (31, 64)}, "32"),
        ({"opacity": 1.01}, "0 (picture)"),
        ({"opacity": math.nan}, "--opacity"),
        ({"layers": ("overlay",)}, "--layers"),
        ({"layers": ("overlay", "wiper")}, "original"),
        ({"classes": ()}, "--classes"),
        ({"classes": ("Road", " ")}, "--classes"),
        ({"record": Path("out.avi")}, ".mp4"),
        ({"stats": Path("out.mp4"), "headless": True}, ".csv"),
        ({"headless": True, "source": None}, "--video"),
        ({"masks": Path("m")}, "--headless"),
        ({"stats": Path("s.csv")}, "--headless"),
        ({"headless": True, "burn_hud": True}, "--record"),
        ({"confidence": Path("c")}, "--headless"),
        ({"samples": 1}, "2 or more"),
        ({"layers": ("overlay", "sure")}, "confidence"),
        ({"hide": ("Car",), "hide_with": "none"}, "blur, fill"),
        ({"index": "nowhere", "headless": True}, "cache, beside"),
        ({"overwrite": "no"}, "--overwrite got 'no'; give True or False"),
        ({"smooth": "no"}, "--smooth got 'no'"),
        ({"fade_unsure": 1}, "--fade-unsure got 1"),
    ],
)
def test_refuses_what_cannot_be_carried_out(fields: dict[str, Any], names: str) -> None:
    with pytest.raises(UsageError) as caught:
        RunConfig(**{"source": CLIP, **fields})
    assert names in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("fields", "names"),
    [
        ({"start_s": -1.0}, "--start"),
        ({"start_s": math.nan}, "--start"),
        ({"start_s": math.inf}, "--start"),
        ({"duration_s": 0.0}, "--duration"),
        ({"duration_s": -2.0}, "--duration"),
        ({"duration_s": math.nan}, "--duration"),
        ({"value": ""}, "empty"),
        ({"kind": "camera", "value": "-1"}, "--camera"),
        ({"kind": "camera", "value": "front"}, "--camera"),
        ({"kind": "camera", "value": "0", "start_s": 1.0}, "--start"),
    ],
)
def test_refuses_a_source_that_cannot_be(fields: dict[str, Any], names: str) -> None:
    with pytest.raises(UsageError) as caught:
        SourceSpec(**{"kind": "video", "value": "drive.mp4", **fields})
    assert names in str(caught.value)


def test_accepts_the_limits() -> None:
    RunConfig(source=CLIP, size=(32, 33), opacity=0.0, record=Path("OUT.MP4"), headless=True, burn_hud=True)
    RunConfig(source=CLIP, opacity=1.0, classes=("road",))
    assert RunConfig().source is None


@pytest.mark.parametrize("text", ["360x480", "360X480", " 360 × 480 "])
def test_sizes_are_height_by_width(text: str) -> None:
    assert parse_size(text) == (360, 480)
    assert format_size(parse_size(text)) == "360x480"


@pytest.mark.parametrize("text", ["", "360", "x480", "360x", "31x480", "360x4097", "-32x32", "3.5x40", "360x480x3"])
def test_other_texts_are_no_size(text: str) -> None:
    with pytest.raises(UsageError, match="size got"):
        parse_size(text)


REMEMBERED = RunOptions(
    model="segnet",
    backend="torch",
    size=(96, 128),
    smooth=False,
    target_fps=25.0,
    view="wiper",
    opacity=0.9,
    burn_hud=True,
)


def test_what_is_not_given_is_remembered_and_else_the_default() -> None:
    assert RunConfig().options(REMEMBERED) == REMEMBERED
    assert RunConfig().options() == RunOptions()


def test_what_is_given_holds_even_where_it_is_the_default() -> None:
    given = RunConfig(backend="auto", view="overlay", opacity=0.5, smooth=True)
    options = given.options(REMEMBERED)
    assert (options.backend, options.view, options.opacity, options.smooth) == ("auto", "overlay", 0.5, True)
    assert (options.model, options.size) == ("segnet", (96, 128))


def test_a_given_target_replaces_the_remembered_one() -> None:
    options = RunConfig(max_latency_ms=60.0).options(REMEMBERED)
    assert (options.target_fps, options.max_latency_ms) == (None, 60.0)


def test_label_maps_that_are_kept_are_not_smoothed_by_default() -> None:
    assert RunConfig(source=CLIP, headless=True, record=Path("a.mp4")).options().smooth
    assert not RunConfig(source=CLIP, headless=True, masks=Path("m")).options().smooth
    assert RunConfig(source=CLIP, headless=True, masks=Path("m"), smooth=True).options().smooth


@pytest.mark.parametrize(
    ("fields", "needed"),
    [
        ({}, False),
        ({"view": "wiper"}, False),
        ({"view": "confidence"}, True),
        ({"fade_unsure": True}, True),
        ({"with_confidence": True}, True),
        ({"confidence": Path("maps"), "headless": True}, True),
        ({"samples": 8}, True),
    ],
)
def test_the_engine_says_how_sure_it_is_only_where_somebody_asks(fields: dict[str, Any], needed: bool) -> None:
    assert RunConfig(source=CLIP, **fields).options().needs_confidence == needed


@pytest.mark.parametrize("number", ["1" * 20, "1" * 5000, "-1", "1e3", ""])
def test_a_camera_has_a_small_number(number: str) -> None:
    with pytest.raises(UsageError, match="camera's number") as caught:
        SourceSpec("camera", number)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("seconds", [1e15, 1e308, float("inf"), float("nan"), -1.0])
def test_times_that_nothing_can_count_are_refused(seconds: float) -> None:
    with pytest.raises(UsageError, match="--start got"):
        SourceSpec("images", "a", start_s=seconds)
    with pytest.raises(UsageError, match="--duration got"):
        SourceSpec("video", "a", duration_s=seconds)
