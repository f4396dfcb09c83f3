"""Everything the keyboard can do, in one table: the window makes its shortcuts from it, and Help its text."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from PyQt6.QtGui import QAction, QKeySequence

from segnet_live.config import VIEWS
from segnet_live.ui.command import Command
from segnet_live.ui.widgets.view_section import VIEW_NAMES

if TYPE_CHECKING:
    from segnet_live.ui.window import MainWindow


CLASS_KEYS = "1234567890-"


def commands(window: MainWindow) -> list[Command]:
    """All commands, in the order Help shows them."""
    controls, sources, panel = window.controls, window.sources, window.panel_widgets
    views = [
        Command("View", VIEW_NAMES[view], (str(i),), partial(controls.set_view, view))
        for i, view in enumerate(VIEWS, start=1)
    ]
    mutes = [
        Command(
            "Classes",
            "Mute class 1 to 11" if not i else "",
            (f"Alt+{key}",),
            partial(window.touch_class, i, solo=False),
        )
        for i, key in enumerate(CLASS_KEYS)
    ]
    solos = [
        Command(
            "Classes",
            "Show class 1 to 11 alone" if not i else "",
            (f"Ctrl+Alt+{key}",),
            partial(window.touch_class, i, solo=True),
        )
        for i, key in enumerate(CLASS_KEYS)
    ]
    return [
        Command("Source", "Open video", ("Ctrl+O",), sources.ask_video),
        Command("Source", "Open image folder", ("Ctrl+Shift+O",), sources.ask_images),
        Command("Source", "Open network stream", ("Ctrl+U",), sources.ask_url),
        Command("Source", "Cameras and recent sources", ("Ctrl+K",), window.header.open.showMenu),
        Command("Source", "Play the demo drive", ("Ctrl+D",), sources.open_demo),
        Command("Playback", "Play or pause", ("Space", "K"), controls.play_pause),
        Command("Playback", "One frame on", (".",), controls.step, repeats=True),
        Command("Playback", "One frame back", (",",), controls.step_back, repeats=True),
        Command("Playback", "5 seconds back", ("Left",), partial(controls.seek_by, -5), repeats=True),
        Command("Playback", "5 seconds on", ("Right",), partial(controls.seek_by, 5), repeats=True),
        Command("Playback", "To the beginning", ("Home",), controls.restart),
        Command("Playback", "Slower", ("[",), partial(controls.change_speed, -1)),
        Command("Playback", "Faster", ("]",), partial(controls.change_speed, 1)),
        Command("Playback", "Normal speed", ("Backspace",), partial(controls.set_speed, 1.0)),
        Command("Playback", "Loop", ("L",), window.transport.loop.toggle),
        *views,
        Command("View", "Next pair for wiper and side by side", ("W",), controls.next_wiped),
        Command("View", "Wiper left", ("Shift+Left",), partial(controls.move_wiper, -0.02), repeats=True),
        Command("View", "Wiper right", ("Shift+Right",), partial(controls.move_wiper, 0.02), repeats=True),
        Command("View", "More opaque", ("Up",), partial(controls.change_opacity, 0.05), repeats=True),
        Command("View", "Less opaque", ("Down",), partial(controls.change_opacity, -0.05), repeats=True),
        Command("View", "Colour-blind-safe palette", ("B",), panel.view.colour_blind.toggle),
        Command("View", "HUD", ("H",), window.toggle_hud),
        Command("View", "Side panel", ("P",), window.toggle_panel),
        Command("View", "Full screen", ("F", "F11"), window.toggle_full_screen),
        Command("View", "Leave full screen, dismiss messages", ("Esc",), window.leave),
        *mutes,
        *solos,
        Command("Classes", "Go to the legend (arrows, Space mutes, Enter solos)", ("C",), window.focus_legend),
        Command("Classes", "Show all classes", ("A",), controls.show_classes),
        Command("Model", "Choose the model", ("F6",), partial(window.choose, panel.model.model)),
        Command("Model", "Choose the backend", ("F7",), partial(window.choose, panel.model.backend)),
        Command("Model", "Choose the input size", ("F8",), partial(window.choose, panel.model.input_size)),
        Command("Model", "Hold a rate or a latency", ("F9",), partial(window.choose, panel.model.target)),
        Command("Model", "Steady labels over time", ("T",), panel.model.smooth.toggle),
        Command("Recording", "Record or stop", ("R",), controls.keeper.record),
        Command("Recording", "Snapshot (frame, picture, label map)", ("S",), controls.keeper.snapshot),
        Command("Recording", "Hard frame: draft for training", ("D",), controls.keeper.hard_frame),
        Command("Recording", "Also label maps", ("Shift+L",), panel.recording.labels.toggle),
        Command("Recording", "Burn in the HUD", ("Shift+H",), panel.recording.burn.toggle),
        Command("Recording", "File names", ("Ctrl+N",), partial(window.edit, panel.recording.pattern)),
        Command("Recording", "Folder", ("Ctrl+F",), panel.recording.choose_folder),
        Command("Window", "This help", ("F1", "?"), window.show_help),
        Command("Window", "Quit", ("Ctrl+Q",), window.close),
    ]  # fmt: skip


def install(window: MainWindow, table: list[Command]) -> None:
    """Every command of `table` answers to its keys anywhere in `window`."""
    for command in table:
        action = QAction(command.text, window)
        action.setShortcuts([QKeySequence(key) for key in command.keys])
        action.setAutoRepeat(command.repeats)
        action.triggered.connect(lambda _checked=False, run=command.run: run())
        window.addAction(action)
