"""Find what would make Qt abort before it starts: missing libraries, another Qt's plugin path."""

from __future__ import annotations

import os
import sys

from segnet_live.system.qt_libraries import missing_libraries


def check_libraries(platform: str = sys.platform) -> None:
    """Check that Qt can start on this machine, as far as that is possible without starting it.

    Raises:
        UsageError: a library is missing; the line names it and its package.
    """
    error = missing_libraries() if platform.startswith("linux") else None
    if error is not None:
        raise error


def leave_other_qt() -> None:
    """Keep opencv-python from misleading our Qt: its import may point these variables at a Qt 5 of its own."""
    import cv2  # noqa: F401  imported first, so that it cannot set them later

    for name in ("QT_QPA_PLATFORM_PLUGIN_PATH", "QT_QPA_FONTDIR"):
        if "cv2" in os.environ.get(name, ""):
            del os.environ[name]
