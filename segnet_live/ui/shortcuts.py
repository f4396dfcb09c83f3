"""List everything the keyboard can do in one table: the window makes its shortcuts from it, and Help its text."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from PyQt6.QtGui import QAction, QKeySequence
from PyQt6.QtWidgets import QWidget

from segnet_live.config import VIEWS
from segnet_live.ui.command import Command
from segnet_live.ui.controls import Controls
from segnet_live.ui.saving import Saver
from segnet_live.ui.sources import Sources
from segnet_live.ui.widgets.side_panel import SidePanel
from segnet_live.ui.widgets.view_section import VIEW_NAMES

CLASS_KEYS = "1234567890-"


@dataclass(frozen=True, slots=True)
class WindowActions:
    """The actions of the window itself that keys call."""

    show_sources: Callable[[], object]
    toggle_loop: Callable[[], object]
    search: Callable[[], object]
    next_moment: Callable[[], object]
    previous_moment: Callable[[], object]
    toggle_hud: Callable[[], object]
    toggle_panel: Callable[[], object]
    toggle_full_screen: Callable[[], object]
    leave: Callable[[], object]
    show_help: Callable[[], object]
    close: Callable[[], object]


def commands(
    controls: Controls, saver: Saver, sources: Sources, panel: SidePanel, window: WindowActions
) -> list[Command]:
    """Return all commands, in the order in which Help shows them."""
    views = [
        Command("View", VIEW_NAMES[view], (str(i),), partial(controls.set_view, view))
        for i, view in enumerate(VIEWS, start=1)
    ]
    mutes = [
        Command(
            "Classes",
            "Mute class 1 to 11" if not i else "",
            (f"Alt+{key}",),
            partial(panel.legend.touch, i, solo=False),
        )
        for i, key in enumerate(CLASS_KEYS)
    ]
    solos = [
        Command(
            "Classes",
            "Show class 1 to 11 alone" if not i else "",
            (f"Ctrl+Alt+{key}",),
            partial(panel.legend.touch, i, solo=True),
        )
        for i, key in enumerate(CLASS_KEYS)
    ]
    return [
        Command("Source", "Open video", ("Ctrl+O",), sources.ask_video),
        Command("Source", "Open image folder", ("Ctrl+Shift+O",), sources.ask_images),
        Command("Source", "Open network stream", ("Ctrl+U",), lambda: sources.ask_url()),
        Command("Source", "Cameras and recent sources", ("Ctrl+K",), window.show_sources),
        Command("Source", "Play the example drive", ("Ctrl+D",), sources.open_example),
        Command("Source", "Correct drafts", ("Ctrl+E",), sources.ask_drafts),
        Command("Playback", "Play or pause", ("Space", "K"), controls.play_pause),
        Command("Playback", "One frame on", (".",), controls.step, repeats=True),
        Command("Playback", "One frame back", (",",), controls.step_back, repeats=True),
        Command("Playback", "5 seconds back", ("Left",), partial(controls.seek_by, -5), repeats=True),
        Command("Playback", "5 seconds on", ("Right",), partial(controls.seek_by, 5), repeats=True),
        Command("Playback", "To the beginning", ("Home",), controls.restart),
        Command("Playback", "Slower", ("[",), partial(controls.change_speed, -1)),
        Command("Playback", "Faster", ("]",), partial(controls.change_speed, 1)),
        Command("Playback", "Normal speed", ("Backspace",), partial(controls.set_speed, 1.0)),
        Command("Playback", "Loop", ("L",), window.toggle_loop),
        Command("Search", "Find moments by what is in the picture", ("/",), window.search),
        Command("Search", "Next moment", ("N",), window.next_moment),
        Command("Search", "Previous moment", ("Shift+N",), window.previous_moment),
        *views,
        Command("View", "Next pair for wiper and side by side", ("W",), controls.next_layers),
        Command("View", "Wiper left", ("Shift+Left",), partial(controls.move_wiper, -0.02), repeats=True),
        Command("View", "Wiper right", ("Shift+Right",), partial(controls.move_wiper, 0.02), repeats=True),
        Command("View", "More opaque", ("Up",), partial(controls.change_opacity, 0.05), repeats=True),
        Command("View", "Less opaque", ("Down",), partial(controls.change_opacity, -0.05), repeats=True),
        Command("View", "Colour-blind-safe palette", ("B",), panel.view.colour_blind.toggle),
        Command("View", "Leave out the car's own bonnet", ("Shift+B",), panel.view.bonnet.toggle),
        Command("View", "Show confidence", ("U",), panel.view.confidence.toggle),
        Command("View", "Fade unsure pixels", ("Shift+U",), panel.view.fade.toggle),
        Command("View", "HUD", ("H",), window.toggle_hud),
        Command("View", "Side panel", ("P",), window.toggle_panel),
        Command("View", "Full screen", ("F", "F11"), window.toggle_full_screen),
        Command("View", "Leave full screen, dismiss messages", ("Esc",), window.leave),
        *mutes,
        *solos,
        Command("Classes", "Go to the legend (arrows, Space mutes, Enter solos)", ("C",), panel.focus_legend),
        Command("Classes", "Show all classes", ("A",), controls.show_classes),
        Command("Model", "Choose the model", ("F6",), partial(panel.choose, panel.model.model)),
        Command("Model", "Choose the backend", ("F7",), partial(panel.choose, panel.model.backend)),
        Command("Model", "Choose the input size", ("F8",), partial(panel.choose, panel.model.input_size)),
        Command("Model", "Choose a target rate or latency", ("F9",), partial(panel.choose, panel.model.target)),
        Command("Model", "Compare with another engine", ("F5",), partial(panel.choose, panel.model.compare)),
        Command("Model", "Smooth labels over time", ("T",), panel.model.smooth.toggle),
        Command("Recording", "Record or stop", ("R",), saver.record),
        Command("Recording", "Snapshot (frame, picture, label map)", ("S",), saver.snapshot),
        Command("Recording", "Hard frame: draft for training", ("D",), saver.hard_frame),
        Command("Recording", "Also label maps", ("Shift+L",), panel.recording.labels.toggle),
        Command("Recording", "Burn in the HUD", ("Shift+H",), panel.recording.burn.toggle),
        Command("Recording", "File names", ("Ctrl+N",), partial(panel.edit, panel.recording.pattern)),
        Command("Recording", "Folder", ("Ctrl+F",), panel.recording.choose_folder),
        Command("Window", "This help", ("F1", "?"), window.show_help),
        Command("Window", "Quit", ("Ctrl+Q",), window.close),
    ]  # fmt: skip


def install(window: QWidget, table: list[Command]) -> None:
    """Make shortcuts for every command of `table`, which work anywhere in `window`."""
    for command in table:
        action = QAction(command.text, window)
        action.setShortcuts([QKeySequence(key) for key in command.keys])
        action.setAutoRepeat(command.repeats)
        action.triggered.connect(lambda _checked=False, run=command.run: run())
        window.addAction(action)
