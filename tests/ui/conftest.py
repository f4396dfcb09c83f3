"""The real window on tiny clips, with an engine whose labels are known."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from pytestqt.qtbot import QtBot

from segnet_live.card import Card
from segnet_live.config import RunConfig, SourceSpec
from segnet_live.engine.base import Engine, EngineInfo, Size
from segnet_live.frame import LabelMap
from segnet_live.ui.app import App, create_app
from segnet_live.ui.settings import Settings
from segnet_live.video.open import open_source
from segnet_live.video.source import VideoSource

ROAD, SKY, CAR = 3, 0, 8
WAIT_MS = 20_000


def write_clip(path: Path, frames: int = 20, size: Size = (64, 96), rate: int = 20) -> Path:
    """A clip whose grey level tells the frame's number: 10 a frame."""
    with av.open(str(path), "w") as output:
        video = output.add_stream("mpeg4", rate=rate, width=size[1], height=size[0], pix_fmt="yuv420p")
        video.bit_rate = 2_000_000
        for index in range(frames):
            frame = av.VideoFrame.from_ndarray(np.full((*size, 3), 10 + 10 * (index % 24), np.uint8), format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, rate)
            output.mux(video.encode(frame))
        output.mux(video.encode(None))
    return path


class HalfEngine:
    """Labels the left half road and the right half sky; `hold` makes it wait, `fail` makes it raise."""

    def __init__(self, model: str, backend: str, size: Size) -> None:
        self.info = EngineInfo(backend, "a test", "fp32", model, size, "asked for")
        self.closed = 0
        self.hold = threading.Event()
        self.hold.set()
        self.fail: Exception | None = None
        self.threads: set[str] = set()

    def segment(self, rgb: NDArray[np.uint8]) -> LabelMap:
        self.threads.add(threading.current_thread().name)
        self.hold.wait(10)
        if self.fail is not None:
            raise self.fail
        labels = np.full(self.info.input_size, SKY, np.uint8)
        labels[:, : labels.shape[1] // 2] = ROAD
        return labels

    def close(self) -> None:
        self.closed += 1


def show(qtbot: QtBot, app: App) -> None:
    """The window is on the screen and takes keys."""
    qtbot.addWidget(app.window)
    app.window.show()
    app.window.activateWindow()
    qtbot.waitUntil(app.window.isActiveWindow)


@dataclass
class Engines:
    """Opens HalfEngines and remembers them; `before` runs ahead of each opening, in its thread."""

    opened: list[HalfEngine] = field(default_factory=list)
    before: Callable[[str], None] = lambda backend: None

    def open(
        self,
        card: Card,
        *,
        backend: str = "auto",
        size: Size | None = None,
        source_size: Size | None = None,
        precision: str = "auto",
    ) -> Engine:
        self.before(backend)
        engine = HalfEngine(card.name, backend, size or (32, 48))
        self.opened.append(engine)
        return engine


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """20 frames of 96x64 in one second."""
    return write_clip(tmp_path_factory.mktemp("clips") / "drive.mp4")


@pytest.fixture
def engines() -> Engines:
    return Engines()


@pytest.fixture
def start(qtbot: QtBot, tmp_path: Path, tiny_card: Card, engines: Engines) -> Iterator[Callable[..., App]]:
    """Starts the window as `segnet-live` does, with known engines, and closes it after the test."""
    apps: list[App] = []

    def begin(
        source: Path | None = None,
        *,
        config: RunConfig | None = None,
        settings: Settings | None = None,
        opens: Callable[[SourceSpec], VideoSource] = open_source,
        cards: list[Card] | None = None,
        open_engine: object = None,
    ) -> App:
        settings = settings or Settings(folder=str(tmp_path / "kept"), smooth=False)
        app = create_app(
            config or RunConfig(),
            open_source=opens,
            open_engine=open_engine or engines.open,  # type: ignore[arg-type]
            settings=settings,
            settings_file=tmp_path / "settings.json",
            cards=cards or [tiny_card],
        )
        apps.append(app)
        show(qtbot, app)
        if source is not None:
            app.window.controls.open(SourceSpec("video", str(source)))
        return app

    yield begin
    for app in apps:
        app.window.close()
        for engine in engines.opened:
            engine.hold.set()
    names = [t.name for t in threading.enumerate()]
    assert not {"capture", "inference", "picture", "recorder"} & set(names), f"threads outlive their window: {names}"
