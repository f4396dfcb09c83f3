"""Read a folder or pattern of pictures as a source: natural order, one nominal rate, each frame with its stem."""

from __future__ import annotations

import glob
import math
import re
import time
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np

from segnet_live.display_text import fit_to_show
from segnet_live.errors import SourceError, first_line
from segnet_live.frame import RGB, Frame
from segnet_live.system.files import why_no_name
from segnet_live.video.location import IMAGE_SUFFIXES
from segnet_live.video.opencv import decode_picture
from segnet_live.video.source import SourceInfo

RATE = Fraction(25)
"""Pictures have no times of their own; this gives a recording of them a length."""


class ImageSource:
    """A sequence of pictures as a `VideoSource`; sizes may differ. One thread reads; `read` blocks.

    pts is a picture's position among the files in ticks of 1/25 s, so one that cannot be read leaves a gap.
    """

    def __init__(self, place: str, *, start_s: float = 0.0, duration_s: float | None = None) -> None:
        """List the files and decode the first picture that can be.

        Args:
            place: a folder (its pictures, not those of folders within), a glob pattern, or one picture.
            start_s: seconds to leave out, at 25 pictures a second.
            duration_s: seconds to deliver, None for all.

        Raises:
            SourceError: no picture, none that decodes, or two of equal stem.
        """
        files = picture_files(place)
        self._begin = _position(start_s)
        last = len(files) if duration_s is None else _position(start_s + duration_s)
        self._files = files[:last]
        self._corrupt = 0
        self._index = 0
        self._next = self._begin
        if self._begin >= len(files):
            raise SourceError(
                f"{place}: got start {start_s:g} s but {len(files)} pictures last {float(len(files) / RATE):g} s"
            )
        self._why = ""
        self._pending = self._advance()
        if self._pending is None:
            why = f" ({self._files[-1].name}: {self._why})" if self._why else ""
            raise SourceError(f"{place}: none of {len(files)} files is a picture that can be read{why}")
        self._info = SourceInfo(
            title=fit_to_show(place),
            size=self._pending.size,
            rate=RATE,
            time_base=1 / RATE,
            duration_s=float((len(self._files) - self._begin) / RATE),
            frames=len(self._files) - self._begin,
            live=False,
            seekable=True,
            audio=False,
            start_s=float(self._begin / RATE),
        )

    @property
    def info(self) -> SourceInfo:
        """The properties of the source; `size` is that of the first picture."""
        return self._info

    @property
    def corrupt(self) -> int:
        """The number of files so far that were no picture or a damaged one."""
        return self._corrupt

    def read(self) -> Frame | None:
        frame, self._pending = self._pending, None
        return frame or self._advance()

    def seek(self, time_s: float) -> None:
        self._pending = None
        self._next = max(self._begin, _position(time_s))

    def close(self) -> None:
        self._files = []

    def _advance(self) -> Frame | None:
        while self._next < len(self._files):
            began = time.perf_counter()
            position, file = self._next, self._files[self._next]
            self._next += 1
            try:
                rgb = load_rgb(file)
            except (OSError, ValueError) as error:
                self._corrupt += 1
                self._why = first_line(error)
                continue
            self._index += 1
            return Frame(
                picture=rgb,
                index=self._index - 1,
                pts=position,
                time_base=1 / RATE,
                capture_s=began,
                decode_ms=(time.perf_counter() - began) * 1e3,
                name=file.stem,
                duration=1,
            )
        return None


def picture_files(place: str) -> list[Path]:
    """Return the pictures that `place` (folder, pattern or file) names, in natural order: 2 before 10.

    Raises:
        SourceError: there are none, or two share a stem, which names a picture's outputs.
    """
    folder = Path(place)
    if why := why_no_name(folder):
        raise SourceError(f"{place[:60]}: cannot be read ({why})", "check the path")
    if folder.is_dir():
        files = [f for f in folder.iterdir() if f.suffix.lower() in IMAGE_SUFFIXES and not f.name.startswith(".")]
        if not files:
            raise SourceError(f"{place}: no pictures in this folder; expected {' '.join(IMAGE_SUFFIXES)}")
    else:
        found = [place] if folder.exists() else glob.glob(place, recursive=True)
        files = [Path(f) for f in found if Path(f).is_file()]
        if not files:
            raise SourceError(f"{place}: no such folder, and no file fits it as a pattern", "check the path")
    files = [f for f in sorted(files, key=_natural) if f.is_file()]
    seen: dict[str, Path] = {}
    for file in files:
        other = seen.setdefault(file.stem, file)
        if other is not file:
            raise SourceError(
                f"{other} and {file} have the same stem, which names their outputs", "rename one or narrow the pattern"
            )
    return files


def read_rgb(file: Path) -> RGB | None:
    """Return the picture that `load_rgb` returns, or None if it cannot be decoded."""
    try:
        return load_rgb(file)
    except (OSError, ValueError):
        return None


def load_rgb(file: Path) -> RGB:
    """Return a picture as (H, W, 3) uint8 RGB, turned as EXIF says; grey, 16-bit and transparent ones, too.

    Raises:
        OSError: the file cannot be read, or is none.
        ValueError: it is no picture, damaged, or too large.
    """
    return cv2.cvtColor(decode_picture(file, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB).astype(np.uint8, copy=False)


def _position(time_s: float) -> int:
    """Return the first picture at or after `time_s`; a float of seconds may be off by a millionth of a picture."""
    return math.ceil(time_s * RATE - 1e-6)


def _natural(file: Path) -> tuple[list[tuple[bool, int, str]], str]:
    parts = re.findall(r"\d+|\D+", str(file))
    return [(False, int(p), "") if p.isdecimal() else (True, 0, p.lower()) for p in parts], str(file)
