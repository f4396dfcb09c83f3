"""A rendered drive that knows the class of every pixel: the source other sources and networks are tested against."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from segnet_live.errors import SourceError
from segnet_live.frame import Frame
from segnet_live.video.drive.render import RATE, render
from segnet_live.video.source import SourceInfo


@dataclass(frozen=True, slots=True)
class DriveParameters:
    """What determines a rendered drive, pixel for pixel.

    Attributes:
        seed: which street, light, traffic and camera.
        size: (height, width) of the frames.
        rate: frames per second.
        duration_s: seconds; the number of frames is rounded up.
        first: index of the drive's frame that the source begins with.
    """

    seed: int
    size: tuple[int, int] = (360, 640)
    rate: Fraction = RATE
    duration_s: float = 8.0
    first: int = 0

    def __post_init__(self) -> None:
        height, width = self.size
        if height < 16 or width < 16:
            raise SourceError(f"got a drive of {width}x{height} pixels; it needs at least 16x16")
        if self.rate <= 0 or not self.duration_s > 0 or math.isinf(self.duration_s):
            raise SourceError(
                f"got a drive of {self.duration_s} s at {self.rate} frames/s; both must be positive and finite"
            )

    @property
    def frames(self) -> int:
        return math.ceil(self.duration_s * self.rate - Fraction(1, 1000))


DRIVE = DriveParameters(seed=18)
"""The drive that `assets/drive.mp4` is made from: `SyntheticDrive(DRIVE)` is that clip with its ground truth."""


class SyntheticDrive:
    """`VideoSource` of a rendered drive; each frame carries its ground truth. Owned by one thread; `read` blocks."""

    def __init__(self, drive: DriveParameters = DRIVE) -> None:
        self._drive = drive
        self._next = 0

    @property
    def info(self) -> SourceInfo:
        drive = self._drive
        return SourceInfo(
            title=f"synthetic drive {drive.seed}",
            size=drive.size,
            rate=drive.rate,
            time_base=1 / drive.rate,
            duration_s=float(drive.frames / drive.rate),
            frames=drive.frames,
            live=False,
            seekable=True,
            audio=False,
        )

    @property
    def corrupt(self) -> int:
        """Always 0."""
        return 0

    def read(self) -> Frame | None:
        """The next frame with its truth, or None at the end."""
        index = self._next
        if index >= self._drive.frames:
            return None
        self._next += 1
        began = time.perf_counter()
        rgb, truth = render(self._drive.seed, self._drive.first + index, self._drive.size, rate=self._drive.rate)
        return Frame(
            rgb=rgb,
            index=index,
            pts=index,
            time_base=1 / self._drive.rate,
            capture_s=began,
            decode_ms=(time.perf_counter() - began) * 1e3,
            truth=truth,
        )

    def __iter__(self) -> Iterator[Frame]:
        while (frame := self.read()) is not None:
            yield frame

    def seek(self, time_s: float) -> None:
        """Continue with the first frame at or after `time_s` seconds."""
        self._next = min(max(math.ceil(time_s * self._drive.rate - Fraction(1, 1000)), 0), self._drive.frames)

    def close(self) -> None:
        """Nothing is held; reading gives None from now on."""
        self._next = self._drive.frames
