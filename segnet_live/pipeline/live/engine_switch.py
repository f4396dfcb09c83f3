"""Open engines in the background, and swap the newest in between two frames of the old one."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Protocol

from segnet_live.card import Card
from segnet_live.config import Backend, Precision
from segnet_live.engine.base import Engine, EngineInfo, overlaps
from segnet_live.engine.governed import GovernedEngine
from segnet_live.engine.governor import STRIDES, Step, Target, ladder, strided
from segnet_live.engine.open import assemble_engine
from segnet_live.engine.paired import OtherEngine, open_pair
from segnet_live.engine.resize import network_size
from segnet_live.engine.smoothing import SmoothedEngine
from segnet_live.errors import SegnetLiveError
from segnet_live.frame import Size
from segnet_live.system import crash

log = logging.getLogger(__name__)

CLOSE_S = 5.0
"""Longest wait for engines that are being closed when everything ends."""


class OpenEngine(Protocol):
    """`segnet_live.engine.open.open_engine`, or a test's."""

    def __call__(
        self,
        card: Card,
        *,
        backend: Backend = "auto",
        size: Size | None = None,
        source_size: Size | None = None,
        precision: Precision = "auto",
        confidence: bool = False,
        samples: int = 0,
    ) -> Engine: ...


KEEPS_UP_FPS = 31
"""Up to this rate of a source every frame gets its own labels, unless a target is asked or the engine is too slow."""
KEEPS_UP_PIXELS_S = 1920 * 1080 * KEEPS_UP_FPS
"""The same for pixels a second, whose decoding takes from the engine what it would need for every frame."""
TOO_SLOW_FRAMES = 24
"""An engine is too slow for a source when most of so many frames in a row took longer than the rate allows."""


@dataclass(frozen=True, slots=True)
class EngineChoice:
    """The model, backend, size and target that the user chose.

    Attributes:
        size: (height, width) of the network's input; None follows the source's aspect ratio.
        smooth: label maps are smoothed over time.
        target: a rate or latency that a governor holds by running the network smaller; None for the one size.
        confidence: say how sure the network is of each pixel.
        samples: label by the mean of so many passes with dropout on; 0 for one pass without.
        other: a second engine that labels every frame beside this one; None for none.
    """

    card: Card
    backend: Backend = "auto"
    precision: Precision = "auto"
    size: Size | None = None
    smooth: bool = False
    target: Target | None = None
    confidence: bool = False
    samples: int = 0
    other: OtherEngine | None = None


@dataclass(frozen=True, slots=True)
class EngineState:
    """News of the engine, for the window.

    Attributes:
        opening: what is being opened in the background, None if nothing is.
        running: what runs now, None before the first engine and after one failed.
        error: why the last request could not be carried out, or why the engine failed; "" otherwise.
    """

    opening: EngineChoice | None
    choice: EngineChoice | None
    running: EngineInfo | None
    error: str = ""


class EngineSwitch:
    """The engine in use and the one to come. `request` from any thread; everything else from the inference thread.

    Engines are opened and closed in threads of their own, since both may take long and the picture must go on.

    Args:
        notify: takes every change; called from the opening and the inference thread.
    """

    def __init__(self, open_engine: OpenEngine, notify: Callable[[EngineState], None]) -> None:
        self._open_engine, self._notify = open_engine, notify
        self._lock = threading.Lock()
        self._ticket = 0
        self._requested: tuple[EngineChoice, tuple[Step, ...]] | None = None
        self._opening: EngineChoice | None = None
        self._ready: tuple[EngineChoice, Engine, GovernedEngine | None] | None = None
        self._engine: Engine | None = None
        self._governed: GovernedEngine | None = None
        self._choice: EngineChoice | None = None
        self._rate: Fraction | None = None
        """The source's frames a second, as far as it has a rate."""
        self._busy_ms: deque[float] = deque(maxlen=TOO_SLOW_FRAMES)
        self._failed: set[tuple[Path, Backend]] = set()
        """(model folder, backend) of the engines that failed."""
        self._closing: list[threading.Thread] = []
        self._closed = False

    def request(self, choice: EngineChoice, source_size: Size, rate: Fraction | None = None) -> None:
        """Open `choice` for frames of `source_size` in the background, unless that is what runs or is coming.

        Args:
            rate: the source's frames a second; without a target, frames are skipped only to keep up with it.
        """
        self._rate = rate
        top = choice.size or network_size(source_size, choice.card.pixels)
        # a governor's smaller sizes follow the source's aspect ratio even where the first one is given
        steps = ladder(source_size, top, strides=STRIDES) if choice.target else ()
        pixels_s = source_size[0] * source_size[1] * (rate or 0)
        if not choice.target and rate is not None and (rate > KEEPS_UP_FPS or pixels_s > KEEPS_UP_PIXELS_S):
            steps = strided(top)
        request = (replace(choice, size=top), steps)
        with self._lock:
            if self._closed or self._requested == request:
                return
            self._requested = request
            self._opening = choice
            self._ticket += 1
            ticket = self._ticket
        self._publish()
        arguments = (ticket, choice, source_size, float(rate) if steps and not choice.target and rate else None)
        threading.Thread(target=self._open, args=arguments, name="open engine", daemon=True).start()

    def _assemble(
        self, choice: EngineChoice, source_size: Size, keep_up_fps: float | None
    ) -> tuple[Engine, GovernedEngine | None]:
        """Open the engine of `choice`, governed and smoothed if asked for; return it and its governor."""

        def open_first(size: Size | None) -> Engine:
            return self._open_engine(
                choice.card,
                backend=choice.backend,
                size=size,
                source_size=source_size,
                precision=choice.precision,
                confidence=choice.confidence,
                samples=choice.samples,
            )

        def open_second(size: Size | None) -> Engine:
            assert other is not None
            return self._open_engine(
                other.card, backend=other.backend, size=size, source_size=source_size, precision=other.precision
            )

        def open_at(size: Size | None) -> Engine:
            if other is None:
                return open_first(size)
            cards, fixed = (choice.card, other.card), choice.size is not None
            return open_pair(open_first, open_second, cards, source_size, size, fixed=fixed)

        other = choice.other
        return assemble_engine(
            open_at,
            choice.card,
            source_size,
            size=choice.size,
            target=choice.target,
            smooth=choice.smooth,
            keep_up_fps=keep_up_fps,
        )

    def _open(self, ticket: int, choice: EngineChoice, source_size: Size, keep_up_fps: float | None) -> None:
        engine: Engine | None = None
        governed: GovernedEngine | None = None
        error = ""
        try:
            engine, governed = self._assemble(choice, source_size, keep_up_fps)
        except SegnetLiveError as failure:
            error = str(failure)
        except Exception as failure:  # third-party backends raise anything, and the old engine must live on
            if not self._closed:
                log.exception("opening an engine failed")
            error = f"{choice.backend} engine for {choice.card.name}: {crash.report(failure)}"
        with self._lock:
            overtaken = self._closed or ticket != self._ticket
            discarded: Engine | None = engine
            if not overtaken:
                self._opening = None
                if engine is not None:
                    discarded = self._ready[1] if self._ready else None
                    self._ready = (choice, engine, governed)
                else:
                    self._requested = None
        if discarded is not None:
            discarded.close()
        if not overtaken and error:
            self._publish(error)

    def current(self) -> tuple[Engine, EngineChoice] | None:
        """Return the engine for the next frame, after swapping in a new one; None while there is none yet."""
        with self._lock:
            ready, self._ready = self._ready, None
        if ready is not None:
            old, self._engine = self._engine, ready[1]
            self._choice, _, self._governed = ready
            self._busy_ms.clear()
            crash.note(f"engine: {ready[1].info}")
            self._retire(old)
            self._publish()
        return (self._engine, self._choice) if self._engine is not None and self._choice is not None else None

    @property
    def is_running(self) -> bool:
        """Whether there is an engine to segment with."""
        return self._engine is not None

    @property
    def info(self) -> EngineInfo | None:
        """The engine that runs at this moment: governors, and engines that improve in the background, change it."""
        engine = self._engine
        return engine.info if engine is not None else None

    @property
    def governor_status(self) -> str:
        """The governor's status line; "" without one, and while one that nobody asked for has nothing to do."""
        governed, choice = self._governed, self._choice
        if governed is None or (choice is not None and choice.target is None and governed.governor.step.stride == 1):
            return ""
        return governed.status

    def observe(self, busy_ms: float, latency_ms: float) -> None:
        """Report a finished frame to the governor, if there is one."""
        governed = self._governed
        if governed is not None:
            governed.observe(busy_ms, latency_ms)
            return
        self._busy_ms.append(busy_ms)
        if self._rate is None or len(self._busy_ms) < TOO_SLOW_FRAMES:
            return
        if sorted(self._busy_ms)[TOO_SLOW_FRAMES // 2] * self._rate > 1000:
            self._skip_to_keep_up(float(self._rate))

    def _skip_to_keep_up(self, rate_fps: float) -> None:
        """Let the engine in use leave frames out from the next one on; their label maps are carried along."""
        engine, choice = self._engine, self._choice
        if engine is None or choice is None or overlaps(engine):
            return
        bare = engine.inner if isinstance(engine, SmoothedEngine) else engine
        size = bare.info.input_size
        self._engine, self._governed = assemble_engine(
            lambda _: bare, choice.card, size, size=size, target=None, smooth=choice.smooth, keep_up_fps=rate_fps
        )
        log.info("%s is too slow for %g frames/s: frames are left out", bare.info.model, rate_fps)

    def hurry(self) -> None:
        """Let the governor leave the next frame out, if there is one: others wait behind it."""
        governed = self._governed
        if governed is not None:
            governed.hurry()

    @property
    def has_pending(self) -> bool:
        """Whether a new engine waits to be swapped in."""
        with self._lock:
            return self._ready is not None

    def fail(self, error: str) -> None:
        """Close the engine because it failed, run without one until another is requested, and publish `error`."""
        old, self._engine, self._governed = self._engine, None, None
        with self._lock:
            self._requested = self._requested if self._opening else None
        self._retire(old)
        self._publish(error)

    def take_over(self, error: str, source_size: Size) -> None:
        """Do what `fail` does, and open the next engine that has not failed for this model, if there is one."""
        running, choice = self._engine.info if self._engine is not None else None, self._choice
        if running is None or choice is None:
            return
        if choice.other is not None:  # either may have failed: the first one alone shows which
            self.fail(f"{error}; the comparison ends")
            self.request(replace(choice, other=None), source_size, self._rate)
            return
        self._failed.add((choice.card.folder, running.backend))
        order: tuple[Backend, ...] = ("openvino", "torch")
        following = next((backend for backend in order if (choice.card.folder, backend) not in self._failed), None)
        with self._lock:
            chosen_anew = self._opening is not None
        if following is None or chosen_anew:
            self.fail(f"{error}; choose another backend in the Model section")
            return
        self.fail(f"{error}; {following} takes over")
        self.request(replace(choice, backend=following, precision="auto"), source_size, self._rate)

    def _retire(self, engine: Engine | None) -> None:
        if engine is not None:
            thread = threading.Thread(target=self._close_quietly, args=(engine,), name="close engine", daemon=True)
            self._closing = [*(t for t in self._closing if t.is_alive()), thread]
            thread.start()

    @staticmethod
    def _close_quietly(engine: Engine) -> None:
        try:
            engine.close()
        except Exception:  # third-party backends raise anything, most of all after a failure
            log.exception("closing an engine failed")

    def _publish(self, error: str = "") -> None:
        running = self._engine.info if self._engine is not None else None
        self._notify(EngineState(self._opening, self._choice, running, error))

    def close(self) -> None:
        """Close the engine in use; one that is still opening closes itself when it is done."""
        with self._lock:
            self._closed = True
            ready, self._ready = self._ready, None
        for engine in (ready[1] if ready else None, self._engine):
            self._retire(engine)
        self._engine = self._governed = None
        for thread in self._closing:
            thread.join(CLOSE_S)
