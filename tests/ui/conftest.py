"""The real window on tiny clips, with an engine whose labels are known."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pytestqt.qtbot import QtBot

from segnet_live.card import Card
from segnet_live.config import RunConfig, SourceSpec
from segnet_live.ui.app import App, create_app
from segnet_live.ui.settings import Settings
from segnet_live.video.open import open_source
from segnet_live.video.source import VideoSource
from tests.support.clips import grey_clip
from tests.support.engines import Engines
from tests.support.window import show


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """20 frames of 96x64 in one second."""
    return grey_clip(tmp_path_factory.mktemp("clips") / "drive.mp4")


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
