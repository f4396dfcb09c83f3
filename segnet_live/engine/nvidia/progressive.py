"""Run a simple engine at once, and change to faster ones as they become ready."""

from __future__ import annotations

import contextlib
import logging
import statistics
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from segnet_live.engine.base import Engine, EngineInfo, EngineOutput, Overlapping, overlaps, run_engine, shrinks
from segnet_live.engine.nvidia.device import OutOfMemory, as_engine_error, release_cached
from segnet_live.engine.parity import Disagreement
from segnet_live.errors import EngineError, SegnetLiveError, first_line
from segnet_live.frame import RGB, LabelMap

log = logging.getLogger(__name__)

TRIAL_FRAMES = 20
"""Frames that each of two engines labels in turns before the faster one is kept; the first of each does not count."""


MEMORY_WAIT_S = 3.0
"""How long a frame for which there is no memory waits for a compiler to give its share back."""


@dataclass(frozen=True, slots=True)
class Stage:
    """One way to run the network.

    Attributes:
        name: as the HUD shows it: "compiling inductor" -> "inductor".
        open: blocks until an engine is ready; should return soon, by raising anything, once the event is set.
        unless: name of an earlier stage that makes this one superfluous if it could be opened.
        vouches_for: names of stages that compute the same way: if this one disagrees with fp32, no label of theirs
            counts any more.
    """

    name: str
    open: Callable[[threading.Event], Engine]
    unless: str = ""
    vouches_for: tuple[str, ...] = ()


class _Trial:
    """A newcomer on trial: it labels every other frame until its times and the others' can be compared."""

    def __init__(self, newcomer: Engine, name: str, frames: int) -> None:
        self.newcomer = newcomer
        self.name = name
        self.times: tuple[list[float], list[float]] = ([], [])
        self._frames = frames

    @property
    def turn(self) -> bool:
        """Whether the newcomer labels the next frame."""
        return len(self.times[1]) < len(self.times[0])

    @property
    def is_over(self) -> bool:
        return len(self.times[1]) > self._frames

    @property
    def is_won(self) -> bool:
        old, new = (statistics.median(times[1:]) for times in self.times)
        return new < old


class ProgressiveEngine:
    """An engine that runs its first stage at once and swaps better ones in between two frames.

    `segment`, `info` and `close` belong to one thread; the later stages open one after the other in a background
    thread. One that is ready shares the frames with the engine in use until it has shown that it is faster, and is
    closed if it is not. An engine that fails in use is closed, the *same* frame goes to the next smaller one, and the
    failed one does not come back: no frame is lost. Lack of memory alone is tried a second time, after a moment for the
    compiler that may have caused it. A stage that cannot be opened costs a log line; one that disagrees with fp32 takes
    those along that it vouches for, even from use.

    Args:
        first: runs from the beginning and is opened here.
        later: better ones, best last; called in the background thread, so it may import and search between two of them.
        fallbacks: opened in this order when what runs fails.
        trial: frames of each for the comparison; 0 takes every later stage for faster.
        clock: seconds; tests pass their own.

    Attributes:
        fell_back: an engine failed; nothing better comes any more, which another start might have.

    Raises:
        SegnetLiveError: the first stage cannot be opened, nor can a fallback.
    """

    def __init__(
        self,
        first: Stage,
        later: Sequence[Stage] | Callable[[], Iterable[Stage]],
        fallbacks: Sequence[Stage] = (),
        *,
        trial: int = TRIAL_FRAMES,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._cancel = threading.Event()
        self._lock = threading.Lock()
        self._ready: tuple[Engine, str] | None = None
        self._refused: tuple[SegnetLiveError, set[str]] | None = None
        self.fell_back = False
        self._name = first.name
        self._coming = ""
        self._fallbacks = list(fallbacks)
        self._why = ""
        self._trial: _Trial | None = None
        self._trial_frames = trial
        self._clock = clock
        try:
            self._engine = first.open(self._cancel)
        except Exception as error:  # drivers and libraries raise anything, and something must run
            self._distrust(error, first)
            self.fell_back = not isinstance(error, Disagreement)
            self._engine = self._smaller(_as_ours(error, first))
        self._thread = threading.Thread(target=self._open, args=(later,), name="better engines", daemon=True)
        self._thread.start()

    @property
    def info(self) -> EngineInfo:
        """The engine that runs now; its reason also says what is being prepared, and what failed."""
        with self._lock:
            coming = f"{self._coming} is being prepared" if self._coming else ""
        info = self._engine.info
        return replace(info, reason="; ".join(filter(None, (info.reason, coming, self._why))))

    @property
    def settled(self) -> bool:
        """Whether nothing better is still being prepared; any thread."""
        return not self._thread.is_alive()

    def segment(self, rgb: RGB) -> LabelMap:
        return self.segment_with_confidence(rgb).labels

    def segment_with_confidence(self, rgb: RGB) -> EngineOutput:
        self._swap()
        if self._trial is not None:
            return self._tried(self._trial, rgb)
        return self._segmented(rgb)

    @property
    def overlaps(self) -> bool:
        """Whether the next frame may be submitted: not while engines change, or are compared."""
        with self._lock:
            changing = self._ready is not None or self._refused is not None
        return not changing and self._trial is None and overlaps(self._engine)

    @property
    def shrinks(self) -> bool:
        """Whether the engine in use shrinks frames itself; another one, which takes over, has the host shrink them."""
        return shrinks(self._engine)

    def submit(self, rgb: RGB) -> None:
        assert isinstance(self._engine, Overlapping)
        self._engine.submit(rgb)

    def wait(self) -> EngineOutput:
        """Return what was made of the oldest frame; one whose engine fails is to be segmented again, by the next."""
        assert isinstance(self._engine, Overlapping)
        return self._engine.wait()

    def _segmented(self, rgb: RGB) -> EngineOutput:
        again = True
        while True:
            try:
                return run_engine(self._engine, rgb)
            except EngineError as error:
                if again and isinstance(error, OutOfMemory):
                    again = False
                    release_cached(MEMORY_WAIT_S)
                    continue
                self._cancel.set()  # what is still coming would run on the same failing device
                self.fell_back = True
                self._replace(error)

    def _replace(self, error: SegnetLiveError) -> None:
        """Put the next fallback in the place of the engine in use."""
        self._end_trial()
        broken = self._engine
        self._engine = self._smaller(error)
        _close(broken)

    def _tried(self, trial: _Trial, rgb: RGB) -> EngineOutput:
        """Label a frame with one of the two engines, and end the trial when both have had their frames."""
        turn = trial.turn
        began_s = self._clock()
        if turn:
            try:
                found = run_engine(trial.newcomer, rgb)
            except EngineError as error:
                log.warning("%s is not used: %s", trial.newcomer.info.backend, error)
                self._end_trial()
                return self._segmented(rgb)
        else:
            found = self._segmented(rgb)
        trial.times[turn].append(self._clock() - began_s)
        if self._trial is trial and trial.is_over:
            self._trial = None
            if trial.is_won:
                self._take(trial.newcomer, trial.name)
            else:
                old, new = self._engine.info, trial.newcomer.info
                log.info("%s %s stays, %s is not faster", old.backend, old.precision, new.backend)
                _close(trial.newcomer)
        return found

    def _end_trial(self) -> None:
        """Close a newcomer that fails, or whose device has failed under the engine in use."""
        if self._trial is not None:
            trial, self._trial = self._trial, None
            _close(trial.newcomer)

    def _swap(self) -> None:
        with self._lock:
            better, self._ready = self._ready, None
            refused, self._refused = self._refused, None
        if refused is not None:
            error, names = refused
            self._fallbacks = [stage for stage in self._fallbacks if stage.name not in names]
            if self._name in names:
                self._replace(error)
        if better is None:
            return
        self._end_trial()
        if self._trial_frames:
            self._trial = _Trial(*better, self._trial_frames)
        else:
            self._take(*better)

    def _take(self, better: Engine, name: str) -> None:
        old, self._engine, self._name = self._engine, better, name
        log.info("%s %s runs now instead of %s", better.info.backend, better.info.precision, old.info.backend)
        _close(old)

    def _smaller(self, error: SegnetLiveError) -> Engine:
        """Return the next fallback that opens.

        Raises:
            SegnetLiveError: none does; the error is the one that made it necessary.
        """
        while self._fallbacks:
            stage = self._fallbacks.pop(0)
            if stage.name == self._name:  # what failed does not come back
                continue
            log.warning("%s; going on with %s", error, stage.name)
            try:
                engine = stage.open(threading.Event())
            except Exception as worse:
                log.warning("%s", _as_ours(worse, stage))
                self._distrust(worse, stage)
                continue
            self._why, self._name = f"after: {error}", stage.name
            return engine
        raise error

    def _distrust(self, error: Exception, stage: Stage) -> None:
        """Leave out the fallbacks that a stage vouches for, if what it raised is that it disagrees."""
        if isinstance(error, Disagreement):
            self._fallbacks = [other for other in self._fallbacks if other.name not in stage.vouches_for]

    def _open(self, later: Sequence[Stage] | Callable[[], Iterable[Stage]]) -> None:
        try:
            self._open_all(later() if callable(later) else later)
        except Exception as error:  # a library that is half installed may raise anything when it is looked for
            log.warning("nothing better is looked for any more: %s: %s", type(error).__name__, first_line(error))

    def _open_all(self, later: Iterable[Stage]) -> None:
        opened: set[str] = set()
        for stage in later:
            if stage.unless in opened:
                continue
            with self._lock:
                self._coming = stage.name
            engine = self._opened(stage)
            if engine is not None:
                opened.add(stage.name)
            late = None if engine is None else (engine, stage.name)
            with self._lock:
                self._coming = ""
                if late is not None and not self._cancel.is_set():
                    late, self._ready = self._ready, late  # an engine that nobody fetched makes room
            if late is not None:
                _close(late[0])
            if self._cancel.is_set():
                return

    def _opened(self, stage: Stage) -> Engine | None:
        try:
            return stage.open(self._cancel)
        except SegnetLiveError as error:
            log.warning("%s is not used: %s", stage.name, error)
            if isinstance(error, Disagreement) and stage.vouches_for:
                with self._lock:
                    self._refused = error, {stage.name, *stage.vouches_for}
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
        self._end_trial()
        for engine in (ready[0] if ready else None, self._engine):
            if engine is not None:
                _close(engine)


def _as_ours(error: Exception, stage: Stage) -> SegnetLiveError:
    return error if isinstance(error, SegnetLiveError) else as_engine_error(error, f"{stage.name} cannot be opened")


def _close(engine: Engine) -> None:
    """Close an engine that nobody uses any more, whatever a lost GPU says to it."""
    try:
        engine.close()
    except Exception as error:
        with contextlib.suppress(Exception):
            log.warning("closing %s: %s", engine.info.backend, error)
