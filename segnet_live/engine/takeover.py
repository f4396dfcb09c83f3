"""Go on with another engine when the one in use fails in the middle of a run: for runs that nobody watches."""

from __future__ import annotations

import contextlib
import logging
from collections import deque
from collections.abc import Callable

from segnet_live.config import Backend
from segnet_live.engine.base import Engine, EngineInfo, EngineOutput, Overlapping, overlaps, run_engine, shrinks
from segnet_live.errors import EngineError, SegnetLiveError, first_line
from segnet_live.frame import RGB, LabelMap
from segnet_live.labels import checked

log = logging.getLogger(__name__)

ORDER: tuple[Backend, ...] = ("openvino", "torch")
"""Engines that every machine has, the fastest first."""


class TakeoverEngine:
    """An engine that is replaced by the next one that runs everywhere when it raises or gives no label map.

    The frame on which it failed is labelled by the next one: none is lost. An engine that fails on its first frame is
    not replaced, for then the choice was wrong, and whoever made it should know.

    Args:
        open_with: opens the same network with another backend.
        tell: takes a line for the user.
    """

    def __init__(self, engine: Engine, open_with: Callable[[Backend], Engine], tell: Callable[[str], None]) -> None:
        self._engine, self._open_with, self._tell = engine, open_with, tell
        self._failed = {engine.info.backend}
        self._answered = False
        self._under_way: deque[RGB] = deque()
        self._lost = 0

    @property
    def info(self) -> EngineInfo:
        return self._engine.info

    @property
    def settled(self) -> bool:
        """Whether nothing better is still being prepared."""
        return bool(getattr(self._engine, "settled", True))

    @property
    def shrinks(self) -> bool:
        return shrinks(self._engine)

    def segment(self, rgb: RGB) -> LabelMap:
        return self.segment_with_confidence(rgb).labels

    def segment_with_confidence(self, rgb: RGB) -> EngineOutput:
        while True:
            try:
                found = run_engine(self._engine, rgb)
                checked(found.labels)
            except Exception as error:  # third-party backends raise anything
                if not self._answered:
                    raise
                self._replace(error)
            else:
                self._answered = True
                return found

    @property
    def overlaps(self) -> bool:
        """Whether the next frame may be submitted: not before the engine has shown that it works."""
        return self._answered and not self._lost and overlaps(self._engine)

    def submit(self, rgb: RGB) -> None:
        assert isinstance(self._engine, Overlapping)
        self._under_way.append(rgb)
        try:
            self._engine.submit(rgb)
        except Exception as error:
            log.info("the engine %s failed", self.info, exc_info=error)
            self._lost = len(self._under_way)

    def wait(self) -> EngineOutput:
        """Return what was made of the oldest frame; those that a failing engine had under way are segmented again."""
        rgb = self._under_way.popleft()
        if not self._lost:
            assert isinstance(self._engine, Overlapping)
            try:
                found = self._engine.wait()
                checked(found.labels)
                return found
            except Exception as error:
                log.info("the engine %s failed", self.info, exc_info=error)
                self._lost = 1 + len(self._under_way)
        self._lost -= 1
        return self.segment_with_confidence(rgb)

    def close(self) -> None:
        self._engine.close()

    def _replace(self, error: Exception) -> None:
        log.info("the engine %s failed", self.info, exc_info=error)
        with contextlib.suppress(Exception):  # what failed may fail again
            self._engine.close()
        for backend in ORDER:
            if backend in self._failed:
                continue
            self._failed.add(backend)
            try:
                self._engine = self._open_with(backend)
            except SegnetLiveError as refused:
                log.warning("%s cannot take over: %s", backend, refused)
                continue
            self._tell(f"the engine stopped: {first_line(error)}; {backend} takes over")
            return
        if isinstance(error, SegnetLiveError):
            raise error
        raise EngineError(f"the engine stopped: {type(error).__name__}: {first_line(error)}") from error
