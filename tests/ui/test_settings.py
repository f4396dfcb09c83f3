"""Settings: remembered, versioned, and never in the way."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from PyQt6.QtCore import Qt
from pytestqt.qtbot import QtBot

from segnet_live.card import Card
from segnet_live.config import RunConfig
from segnet_live.engine.governor import Target
from segnet_live.errors import UsageError
from segnet_live.ui.app import App, create_app
from segnet_live.ui.parsing import format_target, parse_target
from segnet_live.ui.settings import Settings, load_settings, save_settings
from tests.support.cards import write_card
from tests.support.engines import Engines
from tests.support.window import show, wait_until

Start = Callable[..., App]


def test_settings_come_back_as_they_were_saved(tmp_path: Path) -> None:
    path = tmp_path / "new" / "settings.json"
    settings = Settings(
        view="wiper", layers=("labels", "original"), opacity=0.3, recent=("video:a.mp4",), size=(360, 480)
    )
    assert save_settings(settings, path) == ""
    assert load_settings(path) == (settings, "")
    assert json.loads(path.read_text(encoding="utf-8"))["wiped"] == ["labels", "original"], "a key of users' files"
    assert [p.name for p in path.parent.iterdir()] == ["settings.json"]


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"version": 99}', "\x00\xff", '{"version": "1"}'])
def test_a_file_that_cannot_be_used_is_moved_aside_and_told(tmp_path: Path, text: str) -> None:
    path = tmp_path / "settings.json"
    path.write_text(text, encoding="utf-8")
    settings, note = load_settings(path)
    assert settings == Settings()
    assert "starts with defaults" in note
    assert not path.exists()
    assert (tmp_path / "settings.unused.json").read_text(encoding="utf-8") == text


def test_single_values_that_make_no_sense_take_their_defaults(tmp_path: Path) -> None:
    path = tmp_path / "settings.json"
    odd = {"version": 1, "view": "upside-down", "opacity": 7, "hud": "yes", "wiped": ["x"], "size": "big", "loop": True}
    odd |= {"encoder": "xvid", "quality": 99}
    path.write_text(json.dumps(odd), encoding="utf-8")
    settings, note = load_settings(path)
    assert settings == Settings(loop=True)
    assert all(name in note for name in ("view", "opacity", "hud", "size", "encoder", "quality"))


@pytest.mark.parametrize(
    ("name", "value"), [("opacity", "NaN"), ("opacity", "5.0"), ("folder", r'"\u0000"'), ("folder", r'"\ud800"')]
)
def test_what_json_allows_and_the_window_cannot_use_takes_its_default(tmp_path: Path, name: str, value: str) -> None:
    path = tmp_path / "settings.json"
    path.write_text(f'{{"version": 1, "loop": true, "{name}": {value}}}', encoding="utf-8")
    settings, note = load_settings(path)
    assert settings == Settings(loop=True)
    assert name in note


def test_a_folder_that_cannot_be_written_is_told_not_raised(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert "cannot be saved" in save_settings(Settings(), tmp_path / "file" / "settings.json")


def test_the_window_remembers_what_was_chosen(qtbot: QtBot, tmp_path: Path, tiny_card: Card, engines: Engines) -> None:
    file = tmp_path / "settings.json"

    def open_window() -> App:
        app = create_app(RunConfig(), open_engine=engines.open, settings_file=file, cards=[tiny_card])
        show(qtbot, app)
        return app

    window = open_window().window
    for key in (Qt.Key.Key_5, Qt.Key.Key_B, Qt.Key.Key_H, Qt.Key.Key_L, Qt.Key.Key_Up):
        qtbot.keyClick(window, key)
    window.panel.sections[1].fold(True)
    window.close()
    again = open_window().window
    assert again.controls.view_settings.view == "wiper"
    assert again.controls.view_settings.opacity == pytest.approx(0.55)
    assert again.panel.view.colour_blind.isChecked()
    assert again.transport.loop.isChecked()
    assert not again.controls.settings.hud
    assert again.panel.legend.isHidden()
    again.close()


def test_a_damaged_file_is_noted_in_the_window(qtbot: QtBot, tmp_path: Path, tiny_card: Card, engines: Engines) -> None:
    file = tmp_path / "settings.json"
    file.write_text("not settings", encoding="utf-8")
    app = create_app(RunConfig(), open_engine=engines.open, settings_file=file, cards=[tiny_card])
    qtbot.addWidget(app.window)
    assert "settings.unused.json" in app.window.banner._label.text()
    app.window.close()


def test_the_command_line_holds_against_the_settings_even_where_it_asks_for_a_default(start: Start) -> None:
    settings = Settings(view="labels", opacity=0.9, backend="torch", smooth=False, target=Target(fps=25))
    config = RunConfig(view="overlay", opacity=0.5, backend="auto", smooth=True, max_latency_ms=80)
    controls = start(config=config, settings=settings).window.controls
    assert (controls.view_settings.view, controls.view_settings.opacity) == ("overlay", 0.5)
    assert (controls.backend, controls.smooth, controls.target) == ("auto", True, Target(latency_ms=80))


def test_the_settings_hold_where_the_command_line_says_nothing(start: Start) -> None:
    settings = Settings(view="labels", opacity=0.9, backend="torch", size=(64, 96), smooth=False, burn_hud=True)
    window = start(settings=settings).window
    controls = window.controls
    assert (controls.view_settings.view, controls.view_settings.opacity) == ("labels", 0.9)
    assert (controls.backend, controls.size, controls.smooth) == ("torch", (64, 96), False)
    assert window.saver.burn_hud


def test_a_model_and_a_burnt_in_hud_asked_for_once_are_not_remembered(
    start: Start, tiny_card: Card, tmp_path: Path
) -> None:
    other = write_card(tmp_path / "other")
    settings = Settings(model=tiny_card.name)
    config = RunConfig(model=str(other.folder), burn_hud=True)
    window = start(config=config, settings=settings, cards=[other, tiny_card]).window
    assert window.controls.card is other
    assert window.panel.recording.burn.isChecked()
    window.controls.use_backend("torch")
    window.close()
    saved, _ = load_settings(tmp_path / "settings.json")
    assert (saved.model, saved.burn_hud, saved.backend) == (tiny_card.name, False, "torch")


def test_targets_are_read_as_they_are_written() -> None:
    for target in (Target(fps=25), Target(latency_ms=62.5), Target(fps=25, latency_ms=60)):
        assert parse_target(format_target(target)) == target
    assert format_target(None) == ""
    for text in ("", "25", "fast", "25 fpm", "-3 fps", "25 fps 60 ms"):
        with pytest.raises(UsageError):
            parse_target(text)


def test_the_command_line_does_not_change_what_is_remembered(qtbot: QtBot, start: Start, tmp_path: Path) -> None:
    config = RunConfig(backend="torch", size=(64, 96), view="labels", opacity=0.9, classes=("Road",))
    window = start(config=config).window
    assert window.controls.view_settings.view == "labels"
    assert window.controls.view_settings.hidden == frozenset(range(11)) - {3}
    assert (window.controls.backend, window.controls.size) == ("torch", (64, 96))
    window.close()
    saved, _ = load_settings(tmp_path / "settings.json")
    assert (saved.view, saved.opacity, saved.backend, saved.size) == ("overlay", 0.5, "auto", None)


def test_the_windows_place_is_written_down_while_it_runs(qtbot: QtBot, start: Start, tmp_path: Path) -> None:
    window = start().window
    window.resize(700, 500)
    file = tmp_path / "settings.json"
    wait_until(qtbot, lambda: file.is_file() and load_settings(file)[0].geometry == window.controls.settings.geometry)
    kept, _ = load_settings(file)  # as a crash would leave it
    again = start(settings=kept).window
    assert (again.width(), again.height()) == (700, 500)


@pytest.mark.parametrize("geometry", ["*", "AAAA", "ä", "A"])
def test_a_place_that_makes_no_sense_does_not_keep_the_window_from_opening(start: Start, geometry: str) -> None:
    assert start(settings=Settings(geometry=geometry)).window.isVisible()
