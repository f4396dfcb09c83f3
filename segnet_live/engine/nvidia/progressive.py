"""Run a simple engine at once, and change to faster ones as they become ready."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from segnet_live.engine.base import Engine, EngineInfo
from segnet_live.errors import EngineError, SegnetLiveError
from segnet_live.frame import RGB, LabelMap

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Stage:
    """One way to run the network.

    Attributes:
        name: as the HUD shows it: "compiling inductor" -> "inductor".
        open: blocks until an engine is ready; should return soon, by raising anything, once the event is set.
    """

    name: str
    open: Callable[[threading.Event], Engine]


class ProgressiveEngine:
    """An engine that runs its first stage at once and swaps better ones in between two frames.

    `segment`, `info` and `close` belong to one thread; the later stages open one after the other in a background
    thread. An engine that fails in use is closed, the *same* frame goes to the next smaller one, and the failed one
    does not come back: no frame is lost. A stage that cannot be opened costs a log line.

    Args:
        first: runs from the beginning and is opened here.
        later: better ones, best last.
        fallbacks: opened in this order when what runs fails.

    Raises:
        SegnetLiveError: the first stage cannot be opened, nor can a fallback.
    """

    def __init__(self, first: Stage, later: Sequence[Stage], fallbacks: Sequence[Stage] = ()) -> None:
        self._cancel = threading.Event()
        self._lock = threading.Lock()
        self._ready: Engine | None = None
        self._coming = ""
        self._fallbacks = list(fallbacks)
        self._why = ""
        try:
            self._engine = first.open(self._cancel)
        except SegnetLiveError as error:
            self._engine = self._smaller(error)
        self._thread = threading.Thread(target=self._open, args=(tuple(later),), name="better engines", daemon=True)
        self._thread.start()

    @property
    def info(self) -> EngineInfo:
        """The engine that runs now; its reason also says what is being prepared, and what failed."""
        with self._lock:
            coming = f"{self._coming} is being prepared" if self._coming else ""
        info = self._engine.info
        return replace(info, reason="; ".join(filter(None, (info.reason, coming, self._why))))

    def segment(self, rgb: RGB) -> LabelMap:
        self._swap()
        while True:
            try:
                return self._engine.segment(rgb)
            except EngineError as error:
                broken = self._engine
                self._cancel.set()  # what is still coming would run on the same failing device
                self._engine = self._smaller(error)
                broken.close()

    def _swap(self) -> None:
        with self._lock:
            better, self._ready = self._ready, None
        if better is not None:
            old, self._engine = self._engine, better
            old.close()
            log.info("%s %s runs now instead of %s", better.info.backend, better.info.precision, old.info.backend)

    def _smaller(self, error: SegnetLiveError) -> Engine:
        """Return the next fallback that opens.

        Raises:
            SegnetLiveError: none does; the error is the one that made it necessary.
        """
        while self._fallbacks:
            stage = self._fallbacks.pop(0)
            log.warning("%s; going on with %s", error, stage.name)
            try:
                engine = stage.open(threading.Event())
            except SegnetLiveError as worse:
                log.warning("%s: %s", stage.name, worse)
                continue
            self._why = f"after: {error}"
            return engine
        raise error

    def _open(self, stages: tuple[Stage, ...]) -> None:
        for stage in stages:
            with self._lock:
                self._coming = stage.name
            engine = self._opened(stage)
            with self._lock:
                self._coming = ""
                if engine is not None and not self._cancel.is_set():
                    engine, self._ready = self._ready, engine  # an engine that nobody fetched makes room
            if engine is not None:
                engine.close()
            if self._cancel.is_set():
                return

    def _opened(self, stage: Stage) -> Engine | None:
        try:
            return stage.open(self._cancel)
        except SegnetLiveError as error:
            log.warning("%s is not used: %s", stage.name, error)
        except Exception as error:  # compilers and vendor libraries raise anything, and what runs must go on
            if not self._cancel.is_set():
                log.warning(
                    "%s is not used: %s: %s", stage.name, type(error).__name__, error, exc_info=log.isEnabledFor(10)
                )
        return None

    def close(self) -> None:
        """Cancel what is being prepared and free memory; a compilation in this process ends later by itself."""
        self._cancel.set()
        with self._lock:
            ready, self._ready = self._ready, None
        for engine in (ready, self._engine):
            if engine is not None:
                engine.close()
