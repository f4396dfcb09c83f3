"""Search the open file for moments: the question, what it found, and the thread that makes the index it needs."""

from __future__ import annotations

import logging
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from PyQt6.QtCore import QObject, pyqtSignal

from segnet_live.errors import SegnetLiveError, UsageError
from segnet_live.ui.controls import Controls

if TYPE_CHECKING:
    from segnet_live.drives.index import DriveIndex
    from segnet_live.drives.moments import Moment
    from segnet_live.drives.query import Question

log = logging.getLogger(__name__)

CLOSE_S = 10.0
"""Longest wait for an engine that is just being opened when the window closes."""
NEAR_S = 0.05
"""A moment that begins this close to the shown frame is where playback is already."""


class Searcher(QObject):
    """The moments that a question means in the open file. Lives in the window's thread; the index is made in another.

    Attributes:
        moments: what was found, in time order; None before an answer.
        looking: share 0..1 of the drive that the index knows so far; None while nothing is looked for.

    Signals:
        changed: an attribute changed.
        problem: a line for the user, once.
    """

    changed = pyqtSignal()
    problem = pyqtSignal(str)
    _progress = pyqtSignal(int, float)
    _answered = pyqtSignal(int, object)

    def __init__(self, controls: Controls) -> None:
        super().__init__()
        self._controls = controls
        self.moments: list[Moment] | None = None
        self.looking: float | None = None
        self._question: Question | None = None
        self._index: tuple[object, DriveIndex] | None = None
        self._ticket = 0
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._source: object = None
        self._progress.connect(self._show_progress)
        self._answered.connect(self._take)
        controls.source_changed.connect(self._follow_source)

    def ask(self, text: str) -> None:
        """Look for `text` in the open file; "" forgets what was found."""
        self.forget()
        if not text.strip():
            return
        from segnet_live.drives.query import parse

        try:
            video = self._video()
            self._question = parse(text, self._controls.classes)
        except SegnetLiveError as error:
            self.problem.emit(str(error))
            return
        controls = self._controls
        of = video, controls.card.network_id, controls.size
        if self._index is not None and self._index[0] == of:
            self._answer(self._index[1])
            return
        self.looking = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(
            target=self._look, args=(self._ticket, video, of, self._stop), name="search", daemon=True
        )
        self._thread.start()
        self.changed.emit()

    def forget(self) -> None:
        """Forget what was found, and stop looking; what the index knows by now is kept."""
        self._ticket += 1
        self._stop.set()
        self.moments, self.looking, self._question = None, None, None
        self.changed.emit()

    def next(self, by: int = 1) -> None:
        """Go to the next moment, or to the one before with -1, around the end."""
        shown = self._controls.session.newest
        if not self.moments or shown is None:
            return
        starts = [moment.start_s for moment in self.moments]
        here = shown.result.pts_s
        behind = [i for i, start in enumerate(starts) if start > here + NEAR_S]
        before = [i for i, start in enumerate(starts) if start < here - NEAR_S]
        at = (behind[0] if behind else 0) if by > 0 else (before[-1] if before else len(starts) - 1)
        self._controls.seek(starts[at])

    @property
    def place(self) -> int | None:
        """The number of the moment that is shown, from 0; None between moments."""
        shown = self._controls.session.newest
        if not self.moments or shown is None:
            return None
        here = shown.result.pts_s
        return next((i for i, m in enumerate(self.moments) if m.start_s - NEAR_S <= here < m.end_s), None)

    def _video(self) -> Path:
        """Return the open video file.

        Raises:
            UsageError: there is none.
        """
        source = self._controls.source
        video = source.spec.video_file if source is not None else None
        if video is None:
            raise UsageError("only video files can be searched", "open one first")
        return video

    def _look(self, ticket: int, video: Path, of: object, stop: threading.Event) -> None:
        """Bring the index, in the thread for it."""
        from segnet_live.pipeline.headless.indexing import IndexOptions, indexed

        def watch(done: int, total: int | None) -> bool:
            self._progress.emit(ticket, min(1.0, done / total) if total else 0.0)
            return not stop.is_set()

        controls = self._controls
        options = IndexOptions(str(controls.card.folder), controls.backend, controls.precision, controls.size)
        try:
            self._answered.emit(ticket, (of, indexed(video, options, log.info, watch)))
        except SegnetLiveError as error:
            self._answered.emit(ticket, str(error))
        except Exception as error:  # third-party engines raise anything; the window must go on
            log.exception("the search failed")
            self._answered.emit(ticket, f"the search failed: {type(error).__name__}: {error}; see the log (--debug)")

    def _show_progress(self, ticket: int, share: float) -> None:
        if ticket == self._ticket:
            self.looking = share
            self.changed.emit()

    def _take(self, ticket: int, answer: object) -> None:
        if ticket != self._ticket:
            return
        if isinstance(answer, str):
            self.forget()
            self.problem.emit(answer)
        elif isinstance(answer, tuple):
            self._index = answer
            self._answer(answer[1])

    def _answer(self, index: DriveIndex) -> None:
        from segnet_live.drives.moments import find_moments

        assert self._question is not None
        self.looking = None
        try:
            self.moments = find_moments(index, self._question)
        except SegnetLiveError as error:
            self.problem.emit(str(error))
        self.changed.emit()
        if self.place is None:
            self.next()

    def _follow_source(self) -> None:
        source = self._controls.source
        spec = source.spec if source is not None else None
        if spec is not self._source:
            self._source = spec
            self.forget()

    def close(self) -> None:
        """Stop looking, and wait for the thread, which keeps what it got through."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(CLOSE_S)
