"""OpenCV without its chatter."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import cv2


@contextmanager
def quiet() -> Iterator[None]:
    """OpenCV says nothing on stderr inside: it reports every camera system it tries and every damaged picture there,
    while the one line that the user needs is the caller's."""
    level = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        yield
    finally:
        cv2.utils.logging.setLogLevel(level)
