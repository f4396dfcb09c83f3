"""Keeping what is shown: recordings, snapshots and hard frames, named by the settings' pattern."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from PyQt6.QtCore import QObject, pyqtSignal

from segnet_live.errors import SegnetLiveError, UsageError
from segnet_live.files import free_path
from segnet_live.paths import recordings_dir
from segnet_live.pipeline.live.session import LiveSession, Picture
from segnet_live.pipeline.record.snapshots import save_hard_frame, save_snapshot
from segnet_live.pipeline.record.video import RecordingState
from segnet_live.ui.naming import file_stem, short_title
from segnet_live.ui.settings import Settings


class Keeper(QObject):
    """Writes files off the window's thread. Lives in the window's thread.

    Args:
        model: names the model that runs now.

    Signals:
        changed: a recording began or ended.
        problem, told: a line for the user, once; also from the thread that writes.
    """

    changed = pyqtSignal()
    problem = pyqtSignal(str)
    told = pyqtSignal(str)

    def __init__(
        self,
        settings: Settings,
        session: LiveSession,
        model: Callable[[], str],
    ) -> None:
        super().__init__()
        self._settings, self._session, self._model = settings, session, model
        self._files = ThreadPoolExecutor(1, thread_name_prefix="snapshots")

    @property
    def folder(self) -> Path:
        return Path(self._settings.folder) if self._settings.folder else recordings_dir()

    def _stem(self, shown: Picture) -> str:
        title = shown.result.source.title
        return file_stem(
            self._settings.pattern, source=title, model=self._model(), view=self._session.view_settings.view
        )

    def record(self, path: Path | None = None, *, overwrite: bool = False) -> None:
        """Start recording what is shown (into `path`, or the folder of the settings), or stop and finalise."""
        if self._session.recording is not None:
            self._session.stop_recording()
            return
        shown = self._session.newest
        try:
            if path is None:
                if shown is None:
                    raise UsageError("there is no picture to record yet; open a video or a camera first")
                path = free_path(self.folder / f"{self._stem(shown)}.mp4")
            self._session.record(path, label_maps=self._settings.record_labels, overwrite=overwrite)
        except SegnetLiveError as error:
            self.problem.emit(str(error))
        self.changed.emit()

    def recording_ended(self, news: RecordingState) -> None:
        if news.error:
            self.problem.emit(news.error)
        if news.finished:
            names = ", ".join(str(path) for path in (*news.finished, *news.label_folders))
            lost = f" ({news.dropped} frames dropped)" if news.dropped else ""
            self.told.emit(f"Recorded {names}{lost}")
        elif not news.error:
            self.told.emit("Nothing was recorded: no frame was shown meanwhile")
        self.changed.emit()

    def snapshot(self) -> None:
        """Frame, picture as shown and label map as PNG."""

        def save(shown: Picture) -> str:
            stem = self._stem(shown) + f"_{shown.result.pts_s:09.3f}s"
            paths = save_snapshot(self.folder / stem, shown.result, shown.rgb)
            return f"Saved {paths[0]} and its -shown and -labels pictures"

        self._save(save)

    def hard_frame(self) -> None:
        """Frame and label map as a draft for training."""

        def save(shown: Picture) -> str:
            if not shown.result.is_segmented:
                raise UsageError("this frame has no labels yet; wait for the engine, then press the key again")
            name = f"{short_title(shown.result.source.title)}_{shown.result.pts_s:09.3f}s".replace(".", "-")
            classes = shown.result.classes
            path = save_hard_frame(self.folder / "hard-frames", name, shown.result, classes, self._model())
            return f"Hard frame kept as a draft: {path}. Correct its label map before training."

        self._save(save)

    def _save(self, save: Callable[[Picture], str]) -> None:
        shown = self._session.newest
        if shown is None:
            self.problem.emit("there is no picture to save yet; open a video or a camera first")
            return
        self._files.submit(self._save_now, save, shown)

    def _save_now(self, save: Callable[[Picture], str], shown: Picture) -> None:
        """In the thread for files: encoding a PNG takes too long for the window's."""
        try:
            self.told.emit(save(shown))
        except SegnetLiveError as error:
            self.problem.emit(str(error))

    def close(self) -> None:
        """Wait for pictures that are being written."""
        self._files.shutdown()
