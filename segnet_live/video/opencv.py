"""Decode pictures by OpenCV within bounds, and keep it and the libraries below it from writing to stderr."""

from __future__ import annotations

import contextlib
import os
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from segnet_live.system.files import read_regular
from segnet_live.video.picture_size import MOST_PIXELS, stated_size

MOST_PICTURE_BYTES = 1 << 28
_DECODERS_SAY = (b"libpng ", b"Corrupt JPEG", b"Premature end of JPEG", b"Invalid SOS", b"Unsupported marker")


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


def decode_picture(path: Path, flags: int) -> NDArray[Any]:
    """Return the picture in a file as OpenCV decodes it with these `flags`, such as cv2.IMREAD_COLOR.

    Raises:
        OSError: the file cannot be read, or is none.
        ValueError: it is no picture of a kind that is known here, damaged, or has more than MOST_PIXELS.
    """
    content = read_regular(path, MOST_PICTURE_BYTES)  # not cv2.imread: it cannot open every file name on Windows
    size = stated_size(content)
    if size is None:
        raise ValueError("no picture in PNG, JPEG, WebP, BMP, TIFF or PNM")
    if size[0] * size[1] > MOST_PIXELS:
        raise ValueError(f"{size[1]} x {size[0]} pixels; at most {MOST_PIXELS / 1e6:.0f} million are read")
    picture = None
    with quiet(), _quiet_decoders, contextlib.suppress(cv2.error):
        picture = cv2.imdecode(np.frombuffer(content, np.uint8), flags)
    if picture is None:
        raise ValueError("a damaged picture")
    return picture


class _QuietDecoders:
    """Keep from stderr what libpng and libjpeg write there themselves; what others write meanwhile follows later.

    Several threads may be inside.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._real = -1
        self._file = -1

    def __enter__(self) -> None:
        with self._lock:
            self._inside += 1
            if self._inside == 1:
                with contextlib.suppress(OSError):  # no stderr, no room: then they are heard
                    self._begin()

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0 and self._real >= 0:
                self._end()

    def _begin(self) -> None:
        if self._file < 0:
            with tempfile.TemporaryFile() as file:
                self._file = os.dup(file.fileno())
        self._real = os.dup(2)
        os.dup2(self._file, 2)

    def _end(self) -> None:
        os.dup2(self._real, 2)
        os.close(self._real)
        self._real = -1
        if (size := os.lseek(self._file, 0, os.SEEK_CUR)) > 0:
            os.lseek(self._file, 0, os.SEEK_SET)
            said = os.read(self._file, size).splitlines(keepends=True)
            os.lseek(self._file, 0, os.SEEK_SET)
            os.ftruncate(self._file, 0)
            with contextlib.suppress(OSError):
                os.write(2, b"".join(line for line in said if not line.startswith(_DECODERS_SAY)))


_quiet_decoders = _QuietDecoders()
