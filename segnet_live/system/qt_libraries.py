"""Look for the system libraries that Qt needs and wheels do not bring, without starting Qt, which would abort."""

from __future__ import annotations

import ctypes
import os

from segnet_live.errors import UsageError

LIBRARIES = {
    "libEGL.so.1": ("libegl1", "libglvnd-egl"),
    "libGL.so.1": ("libgl1", "libglvnd-glx"),
    "libfontconfig.so.1": ("libfontconfig1", "fontconfig"),
    "libdbus-1.so.3": ("libdbus-1-3", "dbus-libs"),
    "libxkbcommon.so.0": ("libxkbcommon0", "libxkbcommon"),
}
"""What Qt's GUI module itself loads: library -> package (Debian and Ubuntu, Fedora)."""

XCB_LIBRARIES = {
    "libX11-xcb.so.1": ("libx11-xcb1", "libX11-xcb"),
    "libxcb.so.1": ("libxcb1", "libxcb"),
    "libxcb-cursor.so.0": ("libxcb-cursor0", "xcb-util-cursor"),
    "libxcb-icccm.so.4": ("libxcb-icccm4", "xcb-util-wm"),
    "libxcb-image.so.0": ("libxcb-image0", "xcb-util-image"),
    "libxcb-keysyms.so.1": ("libxcb-keysyms1", "xcb-util-keysyms"),
    "libxcb-randr.so.0": ("libxcb-randr0", "libxcb"),
    "libxcb-render.so.0": ("libxcb-render0", "libxcb"),
    "libxcb-render-util.so.0": ("libxcb-render-util0", "xcb-util-renderutil"),
    "libxcb-shape.so.0": ("libxcb-shape0", "libxcb"),
    "libxcb-shm.so.0": ("libxcb-shm0", "libxcb"),
    "libxcb-sync.so.1": ("libxcb-sync1", "libxcb"),
    "libxcb-xfixes.so.0": ("libxcb-xfixes0", "libxcb"),
    "libxcb-xkb.so.1": ("libxcb-xkb1", "libxcb"),
    "libxkbcommon-x11.so.0": ("libxkbcommon-x11-0", "libxkbcommon-x11"),
}
"""What the xcb platform plugin of Qt 6 loads on top; if one is missing, Qt calls abort()."""


def missing_libraries() -> UsageError | None:
    """Return which libraries the window misses on this Linux machine, with how to install them; None if it has all.

    Those of the xcb plugin count where Qt would take it: asked for, or an X11 display without Wayland.
    """
    asked = os.environ.get("QT_QPA_PLATFORM", "").split(":", 1)[0].split(";", 1)[0]
    display, wayland = os.environ.get("DISPLAY"), os.environ.get("WAYLAND_DISPLAY")
    x11 = asked == "xcb" or (not asked and bool(display) and not wayland)
    wanted = LIBRARIES | XCB_LIBRARIES if x11 else LIBRARIES
    missing = [library for library in wanted if not _loads(library)]
    if not missing:
        return None
    debian, fedora = (" ".join(dict.fromkeys(wanted[library][i] for library in missing)) for i in (0, 1))
    return UsageError(
        f"the window cannot open: {', '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing",
        f"sudo apt install {debian} (Fedora: sudo dnf install {fedora}), or use --headless",
    )


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True
