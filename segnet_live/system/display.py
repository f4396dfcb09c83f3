"""Tell whether a window can be opened, before Qt is asked, which aborts the process if not."""

from __future__ import annotations

import os
import sys

from segnet_live.errors import UsageError

NEED_DISPLAY = ("", "xcb", "wayland", "wayland-egl")
"""Qt platforms that abort without a display server; "" is Qt's own choice among them."""


def require_display() -> None:
    """Check that a window can be opened, as far as the environment tells; before Qt, which aborts the process if not.

    Raises:
        UsageError: Linux or BSD without X11, Wayland or a Qt platform that needs neither.
    """
    if sys.platform in ("win32", "darwin") or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"):
        return
    platforms = os.environ.get("QT_QPA_PLATFORM", "").split(";")  # first choice and alternatives, each name[:options]
    if all(platform.partition(":")[0] in NEED_DISPLAY for platform in platforms):
        raise UsageError(
            "no display found (neither DISPLAY nor WAYLAND_DISPLAY is set)", "add --headless to run without a window"
        )
