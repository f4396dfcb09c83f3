"""Keep a part of a file: outputs get its frames alone, while what comes before and after them is only looked at."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from segnet_live.frame import FrameResult
from segnet_live.pipeline.record.sinks import Sink


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a file in source time. Frames around it may be read, so that it begins as if all had been.

    Attributes:
        start_s: of its first frame, in seconds; None for the beginning of the file.
        end_s: of the first frame behind it, in seconds; None for the end of the file.
        index: the file to which an index of all frames that were read goes; None for no index.
    """

    start_s: Fraction | None = None
    end_s: Fraction | None = None
    index: Path | None = None

    @property
    def is_whole(self) -> bool:
        """Whether it is all of the file."""
        return self.start_s is None and self.end_s is None

    def holds(self, result: FrameResult) -> bool:
        """Return whether a frame belongs to the part."""
        time_s = result.frame.pts * result.frame.time_base
        return (self.start_s is None or time_s >= self.start_s) and (self.end_s is None or time_s < self.end_s)


WHOLE = Part()


class PartSink:
    """A sink before another, which gets the frames of a part alone."""

    def __init__(self, sink: Sink, part: Part) -> None:
        self._sink, self._part = sink, part

    def write(self, result: FrameResult) -> None:
        """Pass a frame on if it belongs to the part."""
        if self._part.holds(result):
            self._sink.write(result)

    def close(self, *, whole: bool) -> None:
        self._sink.close(whole=whole)

    def __str__(self) -> str:
        return str(self._sink)


class FrameCount:
    """A sink that writes nothing and knows how many frames a part had.

    Attributes:
        count: frames so far.
        first_s: source time of the first, in seconds.
        tick_s: the time base of the source, in seconds.
    """

    def __init__(self) -> None:
        self.count = 0
        self.first_s = Fraction(0)
        self.tick_s = Fraction(0)

    def write(self, result: FrameResult) -> None:
        """Count one frame."""
        if not self.count:
            self.first_s, self.tick_s = result.frame.pts * result.frame.time_base, result.frame.time_base
        self.count += 1

    def close(self, *, whole: bool) -> None:
        """Do nothing: there is no file."""

    def __str__(self) -> str:
        return f"{self.count} frames of the part"
