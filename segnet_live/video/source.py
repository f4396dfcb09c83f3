"""The source contract: what is known of a video once it is open, and how its frames are pulled."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

from segnet_live.frame import Frame


@dataclass(frozen=True, slots=True)
class SourceInfo:
    """What is known of a source once it is open.

    Attributes:
        title: what to show a person: a path, or a URL with its password masked.
        size: (height, width) of its frames, upright and with square pixels.
        rate: average frames per second, None where unknown; never rounded to an integer.
        time_base: seconds per tick of its frames' pts.
        duration_s: seconds, None where unknown (live, broken index).
        frames: expected number of frames, None where unknown; a promise for progress bars only.
        live: frames come at their own time (camera, stream): take the newest, count the rest as skipped.
        seekable: `seek` works.
        audio: there is a sound track that a recording can keep.
        start_s: source time of the first frame, in seconds; seldom other than 0.
        location: the file or URL it is read from; None for a camera and images.
    """

    title: str
    size: tuple[int, int]
    rate: Fraction | None
    time_base: Fraction
    duration_s: float | None
    frames: int | None
    live: bool
    seekable: bool
    audio: bool
    start_s: float = 0.0
    location: str | None = None

    @property
    def sound_location(self) -> str | None:
        """Where a recording finds the sound, None where there is none to keep."""
        return self.location if self.audio else None


class VideoSource(Protocol):
    """Frames in time order, pulled by one thread.

    Every source: pts strictly increase between two seeks; `read` gives None at the end, and again None after it; damage
    in the middle is skipped and counted; `close` may be called twice and from any thread while nobody reads.
    """

    @property
    def info(self) -> SourceInfo: ...

    @property
    def corrupt(self) -> int:
        """Pictures lost or damaged so far."""
        ...

    def read(self) -> Frame | None:
        """The next frame, or None at the end. Blocks.

        Raises:
            SourceLost: a live source stopped delivering.
            SourceError: nothing more can be read and no frame was.
        """
        ...

    def seek(self, time_s: float) -> None:
        """Continue with the first frame at or after `time_s` seconds of source time.

        Raises:
            SourceError: this source cannot seek.
        """
        ...

    def close(self) -> None: ...
