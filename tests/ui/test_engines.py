"""Engines that are swapped in, fail, or need another shape while the window goes on."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pytestqt.qtbot import QtBot

from segnet_live.card import Card
from segnet_live.errors import EngineError
from segnet_live.ui.app import App
from segnet_live.ui.settings import Settings
from tests.support.clips import grey_clip
from tests.support.engines import ROAD, SKY, Engines
from tests.support.window import (
    shown,
    wait_for_end,
    wait_for_frame,
    wait_for_labels,
    wait_until,
)

Start = Callable[..., App]


def test_another_engine_is_swapped_in_while_the_old_one_keeps_running(
    qtbot: QtBot, start: Start, clip: Path, engines: Engines
) -> None:
    window = start(clip, settings=Settings(loop=True, smooth=False)).window
    wait_for_labels(qtbot, window)
    may_open = threading.Event()
    engines.before = lambda backend: may_open.wait(60) and None
    window.controls.use_backend("openvino")
    wait_until(qtbot, lambda: "Opening" in window.panel.model.status.text())
    before = shown(window)
    wait_until(qtbot, lambda: shown(window) is not before and shown(window).result.is_segmented)
    assert engines.opened[0].closed == 0
    may_open.set()
    wait_until(
        qtbot,
        lambda: (info := window.controls.session.engine_info) is not None and info.backend == "openvino",
    )
    wait_until(qtbot, lambda: engines.opened[0].closed == 1)
    assert engines.opened[0].threads == {"inference"}


def test_a_file_waits_at_its_first_frame_until_the_engine_is_there(
    qtbot: QtBot, start: Start, clip: Path, engines: Engines
) -> None:
    may_open = threading.Event()
    engines.before = lambda backend: may_open.wait(60) and None
    window = start(clip).window
    wait_until(qtbot, lambda: window.view.shown is not None)
    qtbot.wait(400)
    assert shown(window).result.frame.index == 0
    assert not shown(window).result.is_segmented
    assert "Opening" in window.panel.model.status.text()
    may_open.set()
    wait_for_end(qtbot, window)
    assert shown(window).result.is_segmented


def test_seeking_while_the_engine_loads_shows_the_place_and_waits_there(
    qtbot: QtBot, start: Start, clip: Path, engines: Engines
) -> None:
    may_open = threading.Event()
    engines.before = lambda backend: may_open.wait(60) and None
    window = start(clip).window
    wait_until(qtbot, lambda: window.view.shown is not None)
    window.controls.seek(0.5)
    wait_for_frame(qtbot, window, 10)
    qtbot.wait(400)
    assert round(shown(window).result.pts_s * 20) == 10, "it must not play on without labels"
    assert not shown(window).result.is_segmented
    may_open.set()
    wait_for_end(qtbot, window)


def test_an_engine_that_cannot_open_leaves_the_old_one_and_says_why(
    qtbot: QtBot, start: Start, clip: Path, engines: Engines
) -> None:
    window = start(clip).window
    wait_for_labels(qtbot, window)

    def refuse(backend: str) -> None:
        raise EngineError("tensorrt needs an NVIDIA GPU; use openvino")

    engines.before = refuse
    window.controls.use_backend("tensorrt")
    wait_until(qtbot, lambda: "needs an NVIDIA GPU" in window.banner.text)
    assert window.controls.session.engine_info == engines.opened[0].info
    assert engines.opened[0].closed == 0


def test_an_engine_that_breaks_in_use_is_told_once_and_the_picture_goes_on(
    qtbot: QtBot, start: Start, clip: Path, engines: Engines, caplog: pytest.LogCaptureFixture
) -> None:
    window = start(clip, settings=Settings(loop=True, smooth=False)).window
    wait_for_labels(qtbot, window)
    engines.opened[0].fail = RuntimeError("out of memory")
    wait_until(qtbot, lambda: "out of memory" in window.banner.text)
    assert window.banner.text.count("out of memory") == 1
    assert "openvino takes over" in window.banner.text
    wait_until(qtbot, lambda: len(engines.opened) == 2 and engines.opened[1].threads == {"inference"})
    engines.opened[1].fail = RuntimeError("again")
    wait_until(qtbot, lambda: "torch takes over" in window.banner.text)
    wait_until(qtbot, lambda: len(engines.opened) == 3 and engines.opened[2].threads == {"inference"})
    engines.opened[2].fail = RuntimeError("the last one")
    wait_until(qtbot, lambda: "choose another backend" in window.banner.text)
    before = shown(window)
    wait_until(qtbot, lambda: shown(window) is not before and not shown(window).result.is_segmented)
    window.controls.use_backend("torch")
    wait_for_labels(qtbot, window)


def test_paused_pictures_are_labelled_anew_by_a_new_engine(
    qtbot: QtBot, start: Start, clip: Path, engines: Engines
) -> None:
    window = start(clip).window
    wait_for_end(qtbot, window)
    window.controls.use_size((64, 96))
    wait_until(qtbot, lambda: engines.opened[-1].threads == {"inference"})
    assert engines.opened[-1].info.input_size == (64, 96)


def test_a_smaller_source_brings_an_engine_of_its_own_shape(
    qtbot: QtBot, start: Start, clip: Path, tmp_path: Path, engines: Engines, tiny_card: Card
) -> None:
    window = start(clip).window
    wait_for_labels(qtbot, window)
    window.sources.open_place(str(grey_clip(tmp_path / "tall.mp4", size=(128, 64))))
    wait_until(qtbot, lambda: len(engines.opened) == 2)
    wait_for_end(qtbot, window)
    assert shown(window).result.frame.size == (128, 64)
    assert np.array_equal(np.unique(shown(window).result.labels), (SKY, ROAD))
    assert replace(window.controls.engine, running=None).error == ""
