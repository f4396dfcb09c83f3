"""Leaving out the car's own bonnet in the window: by a key, by a picture, and saying what came of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from PyQt6.QtCore import Qt
from pytestqt.qtbot import QtBot

from segnet_live.classes import CAMVID
from segnet_live.ui.app import App
from tests.support.window import wait_for_end, wait_until

Start = Callable[..., App]


def test_a_picture_of_the_bonnet_voids_what_it_covers_also_while_the_video_stands(
    qtbot: QtBot, start: Start, clip: Path, tmp_path: Path
) -> None:
    mask = np.zeros((64, 96), np.uint8)
    mask[48:] = 255
    cv2.imwrite(str(tmp_path / "bonnet.png"), mask)
    window = start(clip).window
    wait_for_end(qtbot, window)
    qtbot.keyClick(window, Qt.Key.Key_Comma)

    def lower() -> set[int]:
        shown = window.view.shown
        return set(np.unique(shown.result.labels[52:]).tolist()) if shown is not None else set()

    wait_until(qtbot, lambda: CAMVID.void_id not in lower() and len(lower()) == 2)
    window.controls.leave_out_bonnet(str(tmp_path / "bonnet.png"))
    wait_until(qtbot, lambda: lower() == {CAMVID.void_id})
    wait_until(qtbot, lambda: window.panel.view.bonnet.text() == "Leave out the bonnet (25%)")
    window.panel.view.bonnet.click()
    assert window.controls.bonnet is None


def test_a_key_looks_for_it_and_says_that_there_is_none(qtbot: QtBot, start: Start, clip: Path) -> None:
    window = start(clip).window
    wait_for_end(qtbot, window)
    qtbot.keyClick(window, Qt.Key.Key_B, Qt.KeyboardModifier.ShiftModifier)
    wait_until(qtbot, lambda: window.panel.view.bonnet.text() == "Leave out the bonnet (none found)")
    assert window.panel.view.bonnet.isChecked()
    assert not window.banner.text


def test_a_picture_that_cannot_be_read_is_one_line(qtbot: QtBot, start: Start, clip: Path) -> None:
    window = start(clip).window
    wait_for_end(qtbot, window)
    window.controls.leave_out_bonnet("nowhere.png")
    wait_until(qtbot, lambda: "--bonnet nowhere.png cannot be read" in window.banner.text)
