"""Starting: what Qt needs, OpenCV's Qt, no source, real engines, real X11; and how the window behaves over time."""

from __future__ import annotations

import ctypes
import gc
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import psutil
import pytest
from PyQt6.QtCore import QByteArray, QTimer
from PyQt6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from segnet_live.card import Card
from segnet_live.config import RunConfig, SourceSpec
from segnet_live.engine.open import open_engine
from segnet_live.errors import UsageError
from segnet_live.pipeline.live.capture import Phase
from segnet_live.ui import cameras, qt_platform
from segnet_live.ui.app import App
from segnet_live.ui.app import start as begin
from segnet_live.ui.correct.window import CorrectWindow
from segnet_live.ui.settings import Settings
from segnet_live.ui.window import MainWindow
from tests.support.clips import grey_clip
from tests.support.drafts import write_drafts
from tests.support.engines import Engines
from tests.support.window import wait_for_labels, wait_for_phase, wait_until

Start = Callable[..., App]
COMPILE_MS = 120_000


def test_a_missing_xcb_library_is_named_with_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(name: str) -> object:
        if name == "libxcb-cursor.so.0":
            raise OSError(name)
        return object()

    monkeypatch.setattr(ctypes, "CDLL", load)
    monkeypatch.setenv("QT_QPA_PLATFORM", "xcb")
    with pytest.raises(UsageError, match=r"libxcb-cursor\.so\.0 is missing; sudo apt install libxcb-cursor0 \(Fedora"):
        qt_platform.check_libraries("linux")
    monkeypatch.setenv("QT_QPA_PLATFORM", "offscreen")
    qt_platform.check_libraries("linux")
    monkeypatch.setenv("QT_QPA_PLATFORM", "xcb")
    qt_platform.check_libraries("darwin")


def test_opencvs_plugin_path_is_taken_away_and_others_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QT_QPA_PLATFORM_PLUGIN_PATH", "/somewhere/site-packages/cv2/qt/plugins")
    monkeypatch.setenv("QT_QPA_FONTDIR", "/usr/share/fonts")
    qt_platform.leave_other_qt()
    assert "QT_QPA_PLATFORM_PLUGIN_PATH" not in os.environ
    assert os.environ["QT_QPA_FONTDIR"] == "/usr/share/fonts"


def test_without_a_source_the_first_camera_opens_and_its_absence_leads_to_the_start_page(
    qtbot: QtBot, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cameras, "list_cameras", lambda: ([], "no camera"))
    app = start()
    begin(app, RunConfig())
    assert app.window.start_page.isVisible()
    assert app.window.controls.source is None
    monkeypatch.setattr(cameras, "list_cameras", lambda: ([cameras.CameraChoice(63, "Gone")], ""))
    begin(app, RunConfig())
    assert app.window.controls.source is not None
    wait_for_phase(qtbot, app.window, Phase.FAILED)
    assert app.window.start_page.isVisible()
    assert "63" in app.window.banner.text


def test_what_a_desktop_hands_over_opens_as_if_it_had_been_dropped(
    qtbot: QtBot, start: Start, clip: Path, tmp_path: Path
) -> None:
    app = start()
    begin(app, RunConfig(), clip.as_uri())
    wait_for_labels(qtbot, app.window)
    assert app.window.controls.source is not None
    assert app.window.controls.source.spec == SourceSpec("video", str(clip))
    begin(app, RunConfig(), write_drafts(tmp_path / "road", 1, corrected=0).root.as_uri())
    editor = app.window.findChild(CorrectWindow)
    assert editor is not None
    editor.close()
    begin(app, RunConfig(), str(tmp_path / "gone"))
    wait_until(qtbot, lambda: "gone" in app.window.banner.text)


# OpenVINO compiles for half a minute on a busy machine: its engine has tests of its own, the window needs it once.
@pytest.mark.parametrize("backend", [pytest.param("openvino", marks=pytest.mark.bench), "torch"])
def test_the_real_engines_label_a_real_clip(
    qtbot: QtBot, start: Start, clip: Path, tiny_card: Card, backend: str
) -> None:
    config = RunConfig(backend=backend, size=(32, 64), precision="fp32")
    window = start(clip, config=config, open_engine=open_engine, settings=Settings(loop=True)).window
    wait_until(qtbot, lambda: window.controls.session.engine_info is not None, timeout_ms=COMPILE_MS)
    wait_for_labels(qtbot, window)
    picture = window.view.shown
    assert picture is not None
    assert picture.result.labels.shape == (64, 96)
    assert picture.result.labels.max() < len(tiny_card.classes)
    info = window.controls.session.engine_info
    assert info is not None
    assert (info.backend, info.input_size) == (backend, (32, 64))


@pytest.fixture
def display(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A private X11 display."""
    server = shutil.which("Xvfb")
    if server is None:
        pytest.skip("needs Xvfb")
    with monkeypatch.context() as patch:
        patch.setenv("QT_QPA_PLATFORM", "xcb")
        try:
            qt_platform.check_libraries()
        except UsageError as error:
            pytest.skip(str(error))
    read, write = os.pipe()
    process = subprocess.Popen(
        [server, "-displayfd", str(write), "-screen", "0", "1000x700x24"],
        pass_fds=[write],
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    os.close(write)
    with os.fdopen(read) as numbers:
        number = numbers.readline().strip()
    yield f":{number}"
    process.terminate()
    process.wait(10)


X11_RUN = """
import sys
import cv2
import os
os.environ["QT_QPA_PLATFORM_PLUGIN_PATH"] = os.path.join(os.path.dirname(cv2.__file__), "qt", "plugins")
from PyQt6.QtCore import QByteArray, QTimer
from segnet_live.config import RunConfig, SourceSpec
from segnet_live.ui import app as ui

made = ui.create_app
def watched(config):
    app = made(config)
    def look():
        shown = app.window.view.shown
        if shown is not None and shown.result.is_segmented:
            print(app.qt.platformName(), shown.result.labels.shape, flush=True)
            app.window.close()
    timer = QTimer(app.window)
    timer.timeout.connect(look)
    timer.start(50)
    return app
ui.create_app = watched
sys.exit(ui.run(RunConfig(source=SourceSpec("video", sys.argv[1]), model=sys.argv[2], size=(32, 64), backend="torch")))
"""


def test_the_window_runs_on_x11_with_opencv_imported_first_and_ends_cleanly(
    display: str, clip: Path, tiny_card: Card
) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("QT_", "WAYLAND"))}
    done = subprocess.run(
        [sys.executable, "-c", X11_RUN, str(clip), str(tiny_card.folder)],
        env=environment | {"DISPLAY": display},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.split("\n")[0] == "xcb (64, 96)"


def see(qtbot: QtBot, window: MainWindow, frames: int) -> None:
    """Wait until so many pictures have been painted."""
    last = None
    for _ in range(frames):
        wait_until(qtbot, lambda last=last: window.view.shown is not last)  # type: ignore[misc]
        last = window.view.shown


def play(qtbot: QtBot, start: Start, path: Path, frames: int) -> None:
    window = start(path, settings=Settings(loop=True, smooth=False)).window
    wait_for_labels(qtbot, window)
    window.controls.set_speed(4.0)
    see(qtbot, window, 60)
    gc.collect()
    widgets, threads = len(QApplication.allWidgets()), threading.active_count()
    memory = psutil.Process().memory_info().rss
    see(qtbot, window, frames)
    gc.collect()
    assert len(QApplication.allWidgets()) == widgets
    assert threading.active_count() == threads
    assert psutil.Process().memory_info().rss - memory < 24 << 20


def test_widgets_threads_and_memory_stay_flat(qtbot: QtBot, start: Start, clip: Path) -> None:
    play(qtbot, start, clip, 150)


@pytest.mark.bench
def test_widgets_threads_and_memory_stay_flat_for_5000_frames(qtbot: QtBot, start: Start, clip: Path) -> None:
    play(qtbot, start, clip, 5000)


@pytest.mark.bench
def test_the_event_loop_stays_responsive_while_inference_saturates_the_machine(
    qtbot: QtBot, start: Start, tmp_path: Path, tiny_card: Card, capsys: pytest.CaptureFixture[str]
) -> None:
    path = grey_clip(tmp_path / "hd.mp4", frames=50, size=(720, 1280), rate=25)
    window = start(path, open_engine=open_engine, settings=Settings(loop=True)).window
    window.resize(1280, 760)
    wait_until(qtbot, lambda: window.controls.session.engine_info is not None, timeout_ms=COMPILE_MS)
    wait_for_labels(qtbot, window)
    gaps: list[float] = []
    last = time.perf_counter()

    def tick() -> None:
        nonlocal last
        now = time.perf_counter()
        gaps.append((now - last) * 1e3)
        last = now

    timer = QTimer()
    timer.timeout.connect(tick)
    timer.start(5)
    qtbot.wait(15_000)
    timer.stop()
    p50, p99 = np.percentile(gaps, (50, 99))
    snapshot = window.controls.session.metrics.snapshot()
    with capsys.disabled():
        print(f"\nevent-loop gap p50 {p50:.1f} ms, p99 {p99:.1f} ms, n {len(gaps)}")
        print(f"{snapshot.latency_ms}, {snapshot.stages_ms}")
    assert snapshot.displayed_fps > 0


def test_every_network_stream_hides_its_password(qtbot: QtBot, start: Start, engines: Engines) -> None:
    window = start().window
    window.controls.settings.remember("video:rtsp://me:secret@camera/stream")
    window.start_page.refresh()
    texts = [window.start_page.list.item(i).text() for i in range(window.start_page.list.count())]  # type: ignore[union-attr]
    assert texts
    assert not any("secret" in text for text in texts)
    window.controls.open(SourceSpec("video", "rtsp://me:secret@127.0.0.1:9/stream"))
    assert "secret" not in window.header.title.text() + window.header.title.toolTip() + window.windowTitle()
    wait_for_phase(qtbot, window, Phase.FAILED)
    assert "secret" not in window.banner.text


def test_without_qts_camera_support_the_list_says_so_and_still_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "PyQt6.QtMultimedia", None)  # as where libpulse is missing
    found, why = cameras.list_cameras()
    assert "cannot be loaded" in why
    assert all(choice.sizes == () for choice in found)


class Device:
    """A camera as Qt lists it."""

    def __init__(self, unique_id: str, name: str) -> None:
        self._id, self._name = unique_id, name

    def id(self) -> QByteArray:
        return QByteArray(self._id.encode())

    def description(self) -> str:
        return self._name

    def videoFormats(self) -> list[object]:
        return []


@pytest.mark.parametrize(
    ("platform", "ids", "numbers", "caution"),
    [
        ("linux", ("/dev/video2", "/dev/video0"), {"built in": 2, "on a cable": 0}, ""),
        ("darwin", ("6C707041-05AC", "0x11400001d6c0103"), {"built in": 1, "on a cable": 0}, ""),
        ("win32", ("first", "second"), {"built in": 0, "on a cable": 1}, "another order"),
    ],
)
def test_a_cameras_number_is_the_one_that_opencv_counts(
    monkeypatch: pytest.MonkeyPatch, platform: str, ids: tuple[str, str], numbers: dict[str, int], caution: str
) -> None:
    devices = [Device(unique_id, name) for unique_id, name in zip(ids, ("built in", "on a cable"), strict=True)]
    multimedia = SimpleNamespace(QMediaDevices=SimpleNamespace(videoInputs=lambda: devices))
    monkeypatch.setitem(sys.modules, "PyQt6.QtMultimedia", multimedia)
    monkeypatch.setattr(sys, "platform", platform)
    found, note = cameras.list_cameras()
    assert {camera.name: camera.number for camera in found} == numbers
    assert caution in note
