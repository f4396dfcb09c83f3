"""Hide classes in what a sink gets: each frame waits until those after it are known, as one of them may show more."""

from __future__ import annotations

from collections import deque
from dataclasses import replace

from segnet_live.frame import FrameResult
from segnet_live.pipeline.record.sinks import Sink
from segnet_live.render.hiding import Hiding, Mask, hide, together


class HidingSink:
    """A sink before another, which gets pictures with classes hidden, `hiding.hold` frames later.

    What one frame shows to be of a hidden class is hidden in the frames around it, too: networks lose people for a
    frame or two, and those are enough to know them by.
    """

    def __init__(self, sink: Sink, hiding: Hiding) -> None:
        self._sink, self._hiding = sink, hiding
        self._failed = False
        self._waiting: deque[tuple[FrameResult, Mask]] = deque()
        self._before: deque[Mask] = deque(maxlen=hiding.hold)

    def write(self, result: FrameResult) -> None:
        """Take a frame, and pass on the one that has waited for it."""
        mask = self._hiding.mask(result.network_labels, result.network_confidence)
        self._waiting.append((result, mask))
        if len(self._waiting) > self._hiding.hold:
            self._pass_on()

    def close(self, *, whole: bool) -> None:
        """Pass on what waits, unless the sink failed before, and close it."""
        try:
            while self._waiting and not self._failed:
                self._pass_on()
        finally:
            self._sink.close(whole=whole)

    def __str__(self) -> str:
        return str(self._sink)

    def _pass_on(self) -> None:
        result, mask = self._waiting.popleft()
        covered = together([mask, *self._before, *(later for _, later in self._waiting)])
        self._before.append(mask)
        if covered.any():  # else a video's frame stays as it is, in planes
            picture = hide(result.rgb, covered, self._hiding.style)
            result = replace(result, frame=replace(result.frame, picture=picture))
        self._failed = True
        self._sink.write(result)
        self._failed = False
