"""List the editor's tools and everything its keyboard can do: shortcuts and Help are made from this table."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from segnet_live.ui.command import Command
from segnet_live.ui.correct.canvas import ZOOM_STEP, Tool

if TYPE_CHECKING:
    from segnet_live.ui.correct.window import CorrectWindow

TOOLS: tuple[tuple[Tool, str, str, str], ...] = (
    ("brush", "Brush", "B", "paint"),
    ("polygon", "Polygon", "P", "click corners, Enter closes"),
    ("fill", "Fill", "F", "a region of one class"),
    ("region", "Region", "R", "take what edges bound; or drag"),
)
"""Tool, name, key and what it does."""

CLASS_KEYS = "1234567890-"
VOID_KEY = "U"

INTRO = (
    "The model has guessed the class of each pixel of these frames; you correct it, and the model learns from what you "
    "corrected. The quick way: press a class's number, then take Regions (R) along what is wrong, Fill (F) whole "
    "regions, and finish thin things with the Brush (B). Look at the guess with V. Enter says that the whole frame is "
    "right and goes to the next one: only such frames are learnt."
)
SAVING = (
    "A frame is saved when you leave it, and every few seconds. What the model guessed is kept beside it and never "
    "written over your labels. Right click takes the class under the pointer; the wheel zooms; drag with the middle "
    "button, or with Space held, to move. What nobody can tell is unlabelled (U): nothing is learnt there."
)
GROUPS = (["Tools", "Classes"], ["Picture", "Frames", "Window"])


def commands(window: CorrectWindow) -> list[Command]:
    """Return all commands of the editor, in the order in which Help shows them."""
    canvas = window.canvas
    classes = [
        Command("Classes", "Class 1 to 11 (see the list)" if not i else "", (key,), partial(window.choose_class, i))
        for i, key in enumerate(CLASS_KEYS)
    ]
    tools = [
        Command("Tools", f"{name}: {does}", (key,), partial(window.choose_tool, tool))
        for tool, name, key, does in TOOLS
    ]
    return [
        *tools,
        Command("Tools", "Smaller", ("[",), partial(window.change_size, -1), repeats=True),
        Command("Tools", "Larger", ("]",), partial(window.change_size, 1), repeats=True),
        Command("Tools", "Undo", ("Ctrl+Z",), canvas.undo, repeats=True),
        Command("Tools", "Do again", ("Ctrl+Shift+Z", "Ctrl+Y"), canvas.redo, repeats=True),
        *classes,
        Command("Classes", "Unlabelled", (VOID_KEY,), window.choose_void),
        Command("Picture", "The model's guess, or yours", ("V",), window.toggle_before),
        Command("Picture", "More opaque", ("Up",), partial(window.change_opacity, 0.1), repeats=True),
        Command("Picture", "Less opaque", ("Down",), partial(window.change_opacity, -0.1), repeats=True),
        Command("Picture", "Nearer", ("+", "="), partial(canvas.zoom, ZOOM_STEP), repeats=True),
        Command("Picture", "Farther", ("Z",), partial(canvas.zoom, 1 / ZOOM_STEP), repeats=True),
        Command("Picture", "Whole picture", ("Home",), canvas.fit),
        Command("Frames", "This frame is right: save it, go to the next", ("Return", "Enter"), window.done),
        Command("Frames", "Next frame", ("N", "PgDown"), partial(window.go, 1), repeats=True),
        Command("Frames", "Frame before", ("PgUp",), partial(window.go, -1), repeats=True),
        Command("Frames", "Save now", ("Ctrl+S",), window.save),
        Command("Frames", "Fit a model to the corrected frames", ("Ctrl+A",), window.adapt),
        Command("Window", "Leave the polygon", ("Esc",), canvas.drop_polygon),
        Command("Window", "This help", ("F1", "?"), window.show_help),
        Command("Window", "Close", ("Ctrl+W",), window.close),
    ]  # fmt: skip
