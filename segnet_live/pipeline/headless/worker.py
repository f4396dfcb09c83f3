"""Do files one after the other in a process that was started for that, with engines that stay open in between."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from segnet_live.card import Card
from segnet_live.config import RunConfig
from segnet_live.engine.base import Engine, EngineInfo, EngineOutput, Overlapping, overlaps, run_engine, shrinks
from segnet_live.engine.open import open_engine
from segnet_live.engine.resize import network_size
from segnet_live.errors import SourceError
from segnet_live.frame import RGB, LabelMap, Size
from segnet_live.pipeline.headless.job import prepare
from segnet_live.pipeline.headless.run import POLL_S
from segnet_live.pipeline.inference import freeze_libraries
from segnet_live.pipeline.record.part import WHOLE, FrameCount, Part, PartSink
from segnet_live.system.cores import share_cores

Watch = Callable[[int], bool]
"""Called ten times a second with the frames done; False stops the run."""


@dataclass(frozen=True, slots=True)
class Done:
    """What became of a file, or of a part of one.

    Attributes:
        frames: written, those of the part alone.
        summary: one line for people.
        first_s: of a part, the source time of its first frame, in seconds.
        tick_s: of a part, the time base of the source, in seconds.
    """

    frames: int
    summary: str
    first_s: Fraction = Fraction(0)
    tick_s: Fraction = Fraction(0)


def annotate(config: RunConfig, opening: Callable[..., Engine], watch: Watch, part: Part = WHOLE) -> Done | None:
    """Do one file, or a part of it; return None if `watch` stopped it. Blocks.

    Args:
        opening: opens a bare engine, see `prepare`.

    Raises:
        SegnetLiveError: it cannot be done.
    """
    count = FrameCount()
    more = None if part.is_whole else lambda _: PartSink(count, part)
    job = prepare(config, lambda _: None, more_sinks=more, open_engine=opening, part=part)

    def written() -> int:
        return job.pipeline.written if part.is_whole else count.count

    freeze_libraries()
    share_cores()
    began_s = time.monotonic()
    stopped = False
    try:
        job.pipeline.start()
        while not job.pipeline.wait(POLL_S):
            if not watch(written()) and not stopped:
                stopped = True
                job.pipeline.stop()
    finally:
        job.pipeline.close()
    watch(written())
    if job.pipeline.error:
        raise job.pipeline.error
    if stopped:
        return None
    if not written():
        raise SourceError("gave no frame; nothing was written")
    return Done(written(), job.summary(time.monotonic() - began_s), count.first_s, count.tick_s)


class KeptEngines:
    """The engines of a process that stays: opened once for each size, and closed with the process."""

    def __init__(self) -> None:
        self._engines: dict[tuple[object, ...], Engine] = {}

    def open(self, card: Card, *, size: Size | None, source_size: Size, **options: Any) -> Engine:
        """Return the engine for these arguments of `open_engine`, lent: closing it leaves it open."""
        size = size or network_size(source_size, card.pixels)
        key = (card.network_id, size, *sorted(options.items()))
        if getattr(self._engines.get(key), "fell_back", False):
            self._engines.pop(key).close()  # what was wrong with the GPU, such as its memory, may be over
        if key not in self._engines:
            self._engines[key] = open_engine(card, size=size, **options)
        return _Lent(self._engines[key], lambda: self._engines.pop(key, None))


class _Lent:
    """An engine that is somebody else's to close. One that failed is not lent again.

    Args:
        forget: called when the engine failed.
    """

    def __init__(self, inner: Engine, forget: Callable[[], object]) -> None:
        self._inner, self._forget = inner, forget

    @property
    def info(self) -> EngineInfo:
        return self._inner.info

    @property
    def settled(self) -> bool:
        return bool(getattr(self._inner, "settled", True))

    @property
    def overlaps(self) -> bool:
        return overlaps(self._inner)

    @property
    def shrinks(self) -> bool:
        return shrinks(self._inner)

    def segment(self, rgb: RGB) -> LabelMap:
        return self.segment_with_confidence(rgb).labels

    def segment_with_confidence(self, rgb: RGB) -> EngineOutput:
        try:
            return run_engine(self._inner, rgb)
        except Exception:
            self._forget()
            raise

    def submit(self, rgb: RGB) -> None:
        assert isinstance(self._inner, Overlapping)
        try:
            self._inner.submit(rgb)
        except Exception:
            self._forget()
            raise

    def wait(self) -> EngineOutput:
        assert isinstance(self._inner, Overlapping)
        try:
            return self._inner.wait()
        except Exception:
            self._forget()
            raise

    def close(self) -> None:
        """Leave it open: the next file takes it."""
