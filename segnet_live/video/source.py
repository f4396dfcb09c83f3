"""The contract of sources: the properties of an open video, and how its frames are pulled."""

from __future__ import annotations

from typing import Protocol

from segnet_live.frame import Frame, SourceInfo

__all__ = ["SourceInfo", "VideoSource"]


class VideoSource(Protocol):
    """A source of frames in time order, pulled by one thread.

    Every source: pts strictly increase between two seeks; `read` gives None at the end, and again None after it; damage
    in the middle is skipped and counted; `close` may be called twice and from any thread while nobody reads.
    """

    @property
    def info(self) -> SourceInfo: ...

    @property
    def corrupt(self) -> int:
        """The number of pictures lost or damaged so far."""
        ...

    def read(self) -> Frame | None:
        """Return the next frame, or None at the end, be it the source's or that of the part asked for. Blocks.

        Raises:
            SourceLost: a camera stopped, or something on the network before the end that it stated.
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
