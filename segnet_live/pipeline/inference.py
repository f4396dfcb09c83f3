"""Take a frame to its labels: the one step that window, headless run and library share; only pacing is theirs."""

from __future__ import annotations

import functools
import gc
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from segnet_live.classes import ClassSet
from segnet_live.engine.base import Engine, EngineOutput, Overlapping, run_engine
from segnet_live.engine.resize import picture_for
from segnet_live.frame import FrameResult
from segnet_live.labels import checked
from segnet_live.metrics import Metrics

if TYPE_CHECKING:
    from segnet_live.drives.bonnet import Bonnet

COLLECT_EVERY = 100
"""Frames between collections of garbage. Some of PyAV's frames sit in reference cycles (`PictureConverter`); left to
itself, Python collects those so seldom that a recording's memory grows by hundreds of MiB."""

R = TypeVar("R", bound=FrameResult)


@functools.cache
def freeze_libraries() -> None:
    """Exempt all objects loaded so far from garbage collection, which then takes a millisecond or two.

    For a process of the app's own, before its pipeline starts; in other people's it would keep their garbage. Further
    calls do nothing: they would keep the garbage of the runs before, 2 MiB of each.
    What little the imports left is kept, too: collecting it first takes 20 ms that the first picture would wait for.
    """
    gc.freeze()


class GarbageCollector:
    """A collector of garbage once in COLLECT_EVERY frames, in the thread that counts them.

    In the window that is Qt's own thread: a widget that has become garbage must not be destroyed in another.
    """

    def __init__(self) -> None:
        self._count = 0

    def count_frame(self) -> None:
        """Count a frame, and collect if it is time."""
        self._count += 1
        if self._count % COLLECT_EVERY == 0:
            gc.collect()


class Inference:
    """The inference step: segments frames in one thread, and accounts for their results in another.

    Two halves, so that an engine has its next frame while outputs are made of the last one.

    Args:
        observe: takes, for each finished frame, the milliseconds of its slowest stage and its latency (a governor's
            `observe`); called from the thread that calls `segment`, before the next frame.

    Attributes:
        bonnet: the part of the picture to leave out, None for none; may be set from any thread.
    """

    def __init__(self, metrics: Metrics, observe: Callable[[float, float], object] | None = None) -> None:
        self._metrics = metrics
        self._observe = observe
        self._finished: deque[tuple[float, float]] = deque(maxlen=64)
        self.bonnet: Bonnet | None = None
        self._submitted: deque[tuple[FrameResult, float]] = deque()

    def segment(self, result: R, engine: Engine, classes: ClassSet) -> R:
        """Return the result with the labels of `engine`. Belongs to the thread that owns the engine; blocks.

        Raises:
            EngineError: the engine gave no label map.
            Exception: whatever the engine raises.
        """
        if self._observe is not None:
            while self._finished:
                self._observe(*self._finished.popleft())
        began_s = time.perf_counter()
        found = run_engine(engine, picture_for(engine, result.frame))
        return self._labelled(result, found, classes, began_s)

    def _labelled(self, result: R, found: EngineOutput, classes: ClassSet, began_s: float) -> R:
        """Return the result with what an engine gave for it."""
        labels, other = checked(found.labels), found.other
        bonnet = self.bonnet
        if bonnet is not None:
            labels = bonnet.leave_out(labels, classes.void_id)
            other = None if other is None else bonnet.leave_out(other, classes.void_id)
        taken_ms = (time.perf_counter() - began_s) * 1e3
        labelled = result.with_labels(
            labels, classes, taken_ms, confidence=found.confidence, variance=found.variance, other=other
        )
        labelled.source_labels = found.at_source if bonnet is None else None
        labelled.left_out = bonnet.share if bonnet is not None else 0.0
        return labelled

    def submit(self, result: R, engine: Overlapping) -> None:
        """Hand the result's frame to an engine that overlaps; `wait` returns it with its labels, in order."""
        engine.submit(picture_for(engine, result.frame))
        self._submitted.append((result, time.perf_counter()))

    @property
    def under_way(self) -> int:
        """How many frames were submitted and not waited for."""
        return len(self._submitted)

    def wait(self, engine: Overlapping, classes: ClassSet) -> FrameResult:
        """Return the oldest submitted result with its labels; blocks.

        Raises:
            EngineError: the engine gave no label map.
            Exception: whatever the engine raises.
        """
        result, began_s = self._submitted.popleft()
        return self._labelled(result, engine.wait(), classes, began_s)

    def finish(self, result: FrameResult) -> None:
        """Account for the stages of a frame that its outputs have taken; a repeat is not accounted for."""
        if result.repeat:
            return
        for name, ms in result.stages_ms.items():
            self._metrics.stage(name, ms)
        mean, unsure = result.mean_confidence, result.unsure_share
        if mean is not None and unsure is not None:
            self._metrics.rated(mean, unsure)
        disagreement = result.disagreement
        if disagreement is not None:
            self._metrics.compared(disagreement)

    def report(self, result: FrameResult, output_ms: float, latency_ms: float) -> None:
        """Report a finished frame to the governor; any thread.

        Args:
            output_ms: milliseconds that its consumer spent on it (labels at source size, view, encoder).
            latency_ms: milliseconds from its capture until it was painted; without a window, until its labels were
                ready, as outputs may wait for their turn.
        """
        if result.is_segmented and not result.repeat:
            busy_ms = max(result.frame.decode_ms, result.inference_ms, output_ms)
            self._finished.append((busy_ms, latency_ms))
