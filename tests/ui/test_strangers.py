"""Names from strangers in the window: they are text, and passwords stay out of everything that is shown or kept."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from PyQt6.QtCore import Qt
from PyQt6.QtWidgets import QLabel, QWidget
from pytestqt.qtbot import QtBot

from segnet_live.card import Card
from segnet_live.config import SourceSpec
from segnet_live.errors import SourceError
from segnet_live.ui.app import App
from segnet_live.ui.sources import recent_source
from segnet_live.ui.url_dialog import UrlDialog
from segnet_live.video.file import FileSource
from segnet_live.video.source import VideoSource
from tests.support.cards import write_card
from tests.support.window import wait_for_labels, wait_until

Start = Callable[..., App]


def shown_texts(window: QWidget) -> list[str]:
    """Every text that the window shows somewhere, its labels' and its tool tips'."""
    texts = [window.windowTitle()]
    for child in window.findChildren(QWidget):
        texts.append(child.toolTip())
        if isinstance(child, QLabel):
            texts.append(child.text())
    return texts


def test_html_in_names_is_text(qtbot: QtBot, start: Start, clip: Path, tmp_path: Path) -> None:
    name = "<img src='x.png'><b>drive\x1b[31m.mp4"
    shutil.copy(clip, tmp_path / name)
    classes = [{"name": f"<i>{n}</i>", "colour": [n, n, n]} for n in range(11)]
    card = write_card(tmp_path / "models" / "bold", name="<b>bold</b>", classes=classes)
    window = start(tmp_path / name, cards=[card]).window
    wait_for_labels(qtbot, window)
    window.banner.problem(f"{name} is broken")
    for label in window.findChildren(QLabel):
        if "<" in label.text():
            assert label.textFormat() is Qt.TextFormat.PlainText, label.text()
    for widget in window.findChildren(QWidget):
        tip = widget.toolTip()
        assert "<img" not in tip
        assert "<i>" not in tip
    assert "\x1b" not in "".join(shown_texts(window))
    assert "<b>drive" in window.header.title.text()


def test_a_password_is_neither_shown_nor_kept_and_asked_for_again(
    qtbot: QtBot, start: Start, clip: Path, tmp_path: Path, tiny_card: Card
) -> None:
    url = "rtsp://me:hunter2@cam/1?token=hunter2"
    opened = []

    def opens(spec: SourceSpec) -> VideoSource:
        opened.append(spec.value)
        if len(opened) > 1:
            raise SourceError(f"{spec.value}: gone")
        return FileSource(str(clip))

    app = start(opens=opens)
    window = app.window
    window.controls.open(SourceSpec("video", url))
    wait_for_labels(qtbot, window)
    wait_until(qtbot, lambda: window.controls.settings.recent)
    window.controls.open(SourceSpec("video", url))
    wait_until(qtbot, lambda: "gone" in window.banner.text)
    assert "hunter2" not in "".join(shown_texts(window))
    assert opened == [url, url]
    ((spec, title),) = window.sources.recent()
    assert title == "rtsp://me:***@cam/1?token=***"
    window.sources.open_again(spec)
    dialog = window.findChild(UrlDialog)
    assert dialog is not None
    assert dialog.address.selectedText() == "***"
    dialog.reject()
    window.close()
    assert "hunter2" not in (tmp_path / "settings.json").read_text()
    assert recent_source("video:file.mp4").value == "file.mp4"


def test_a_name_that_no_file_can_have_is_a_line_in_the_banner(start: Start) -> None:
    window = start().window
    for name in ("x" * 5000, "file://[bad/a.mp4", ""):
        window.banner.problem("")
        window.sources.open_place(name)
        assert any(said in window.banner.text for said in ("no source can be called", "is no address", "empty name"))
