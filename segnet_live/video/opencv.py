"""Keep OpenCV from writing to stderr."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import cv2


@contextmanager
def quiet() -> Iterator[None]:
    """Silence OpenCV inside the block.

    It reports every camera system it tries and every damaged picture on stderr, while the one line that the user needs
    is the caller's.
    """
    level = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        yield
    finally:
        cv2.utils.logging.setLogLevel(level)
