"""Hide classes in what is recorded: each frame waits until those after it are known, as one of them may show more."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from segnet_live.classes import ClassSet
from segnet_live.frame import FrameResult
from segnet_live.pipeline.record.sinks import Sink
from segnet_live.render.hiding import Hiding, Mask, hide, together

ALL: Mask = np.full((1, 1), 255, np.uint8)
"""Covers a whole picture."""


class Hider:
    """Frames that wait for those after them, and leave with classes hidden. Used by one thread.

    What one frame shows to be of a hidden class is hidden in the frames around it, too: networks lose people for a
    frame or two, and those are enough to know them by. A frame without labels is hidden whole.

    Args:
        hiding: what to hide among the classes of a frame; may raise SegnetLiveError.
    """

    def __init__(self, hiding: Callable[[ClassSet], Hiding]) -> None:
        self._of = hiding
        self._classes: ClassSet | None = None
        self._hiding: Hiding | None = None
        self._waiting: deque[tuple[FrameResult, Mask, Hiding]] = deque()
        self._before: deque[Mask] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, result: FrameResult) -> FrameResult | None:
        """Take a frame, and return the one that has waited for it, None if all go on waiting."""
        if self._hiding is None or result.classes is not self._classes:
            self._hiding, self._classes = self._of(result.classes), result.classes
        hiding = self._hiding
        mask = hiding.mask(result.network_labels, result.network_confidence) if result.is_segmented else ALL
        self._waiting.append((result, mask, hiding))
        return self.take() if len(self._waiting) > hiding.hold else None

    def take(self) -> FrameResult:
        """Return the frame that has waited longest, with classes hidden; no more are known to come after it.

        Raises:
            IndexError: none waits.
        """
        result, mask, hiding = self._waiting.popleft()
        covered = together([mask, *self._before, *(later for _, later, _ in self._waiting)])
        self._before.append(mask)
        while len(self._before) > hiding.hold:
            self._before.popleft()
        if not covered.any():
            return result  # a video's frame stays as it is, in planes
        return replace(result, frame=replace(result.frame, picture=hide(result.rgb, covered, hiding.style)))


class HidingSink:
    """A sink before another, which gets pictures with classes hidden, `hiding.hold` frames later."""

    def __init__(self, sink: Sink, hiding: Hiding) -> None:
        self._sink = sink
        self._hider = Hider(lambda _: hiding)
        self._failed = False

    def write(self, result: FrameResult) -> None:
        """Take a frame, and pass on the one that has waited for it."""
        hidden = self._hider.put(result)
        if hidden is not None:
            self._pass_on(hidden)

    def close(self, *, whole: bool) -> None:
        """Pass on what waits, unless the sink failed before, and close it."""
        try:
            while len(self._hider) and not self._failed:
                self._pass_on(self._hider.take())
        finally:
            self._sink.close(whole=whole)

    def __str__(self) -> str:
        return str(self._sink)

    def _pass_on(self, result: FrameResult) -> None:
        self._failed = True
        self._sink.write(result)
        self._failed = False
