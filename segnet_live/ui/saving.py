"""Save what is shown: recordings, snapshots and hard frames, named by the settings' pattern."""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from PyQt6.QtCore import QObject, pyqtSignal

from segnet_live.config import Encoding, HideSpec
from segnet_live.drafts.folder import HARD_FRAMES
from segnet_live.errors import SegnetLiveError, UsageError
from segnet_live.pipeline.live.session import LiveSession, Picture
from segnet_live.pipeline.record.snapshots import save_hard_frame, save_snapshot
from segnet_live.pipeline.record.video import LiveRecording, RecordingState
from segnet_live.system import crash
from segnet_live.system.files import free_path
from segnet_live.system.paths import recordings_dir
from segnet_live.ui.naming import file_stem
from segnet_live.ui.settings import Settings
from segnet_live.video.recorder import DEFAULT

log = logging.getLogger(__name__)


class Saver(QObject):
    """The writer of recordings and pictures. Lives in the window's thread and writes in others.

    Args:
        model: returns the name of the model that runs now.
        burn_hud: burn the HUD into recordings, until the user chooses otherwise.
        encoding: what recordings are encoded with, until the user chooses otherwise.
        hide: what recordings hide, None for nothing.

    Signals:
        changed: a recording began, was stopped, or is complete.
        problem, info: a line for the user, once; also from the thread that writes.
    """

    changed = pyqtSignal()
    problem = pyqtSignal(str)
    info = pyqtSignal(str)

    def __init__(
        self,
        settings: Settings,
        session: LiveSession,
        model: Callable[[], str],
        *,
        burn_hud: bool = False,
        encoding: Encoding = DEFAULT,
        hide: HideSpec | None = None,
    ) -> None:
        super().__init__()
        self._settings, self._session, self._model, self._burn_hud = settings, session, model, burn_hud
        self._encoding = encoding
        self.hide = hide
        self._files = ThreadPoolExecutor(1, thread_name_prefix="snapshots")

    @property
    def folder(self) -> Path:
        """The folder that files go to."""
        return Path(self._settings.folder) if self._settings.folder else recordings_dir()

    @property
    def drafts(self) -> Path:
        """The folder that hard frames go to."""
        return self.folder / HARD_FRAMES

    @property
    def recording(self) -> LiveRecording | None:
        """The recording that goes on, None if there is none."""
        return self._session.recording

    @property
    def is_finishing(self) -> bool:
        """Whether the recording was stopped, and its file is being completed."""
        return self.recording is not None and self.recording.is_finishing

    @property
    def burn_hud(self) -> bool:
        """Whether the HUD is burnt into recordings."""
        return self._burn_hud

    def set_burn_hud(self, on: bool) -> None:
        """Burn the HUD into recordings, or leave it out, from now on."""
        self._burn_hud = self._settings.burn_hud = on

    @property
    def encoding(self) -> Encoding:
        """What the next recording is encoded with."""
        return self._encoding

    def set_encoding(self, encoding: Encoding) -> None:
        """Encode recordings with this from the next one on."""
        self._encoding = encoding
        self._settings.encoder, self._settings.quality = encoding.encoder, encoding.quality

    def _stem(self, shown: Picture) -> str:
        title = shown.result.source.title
        return file_stem(
            self._settings.pattern, source=title, model=self._model(), view=self._session.view_settings.view
        )

    def record(self, path: Path | None = None, *, overwrite: bool = False) -> None:
        """Start recording what is shown (into `path`, or the folder of the settings), or stop and finalise."""
        if self.recording is not None:
            if not self.is_finishing:
                self._session.stop_recording()
                self.changed.emit()
            return
        shown = self._session.newest
        try:
            if path is None:
                if shown is None:
                    raise UsageError("there is no picture to record yet", "open a video or a camera first")
                path = free_path(self.folder / f"{self._stem(shown)}.mp4")
            self._session.record(
                path,
                label_maps=self._settings.record_labels,
                overwrite=overwrite,
                encoding=self._encoding,
                hide=self.hide,
            )
        except SegnetLiveError as error:
            self.problem.emit(str(error))
        self.changed.emit()

    def recording_ended(self, news: RecordingState) -> None:
        """Show the user what was recorded."""
        if news.error:
            self.problem.emit(news.error)
        if news.finished:
            names = ", ".join(str(path) for path in (*news.finished, *news.label_folders))
            lost = f" ({news.dropped} frames dropped)" if news.dropped else ""
            self.info.emit(f"Recorded {names}{lost}")
        elif not news.error:
            self.info.emit("Nothing was recorded: no frame was shown meanwhile")
        self.changed.emit()

    def snapshot(self) -> None:
        """Save the frame, the picture as shown and the label map as PNG."""

        def save(shown: Picture) -> str:
            stem = self.folder / f"{self._stem(shown)}_{shown.result.pts_s:09.3f}s"
            paths = save_snapshot(stem, shown.result, shown.rgb)
            return f"Saved {paths[0]} and its -shown and -labels pictures"

        self._save("snapshot", save)

    def hard_frame(self) -> None:
        """Save the frame and its label map as a draft for training."""

        def save(shown: Picture) -> str:
            if not shown.result.is_segmented:
                raise UsageError("this frame has no labels yet", "wait for the engine, then press the key again")
            path = save_hard_frame(self.drafts, shown.result, self._model())
            return f"Hard frame kept as a draft: {path}. Correct it with Ctrl+E before the model learns from it."

        self._save("hard frame", save)

    def _save(self, what: str, save: Callable[[Picture], str]) -> None:
        shown = self._session.newest
        if shown is None:
            self.problem.emit("there is no picture to save yet; open a video or a camera first")
            return
        self._files.submit(self._save_now, what, save, shown)

    def _save_now(self, what: str, save: Callable[[Picture], str], shown: Picture) -> None:
        """Write pictures, in the thread for files: encoding a PNG takes too long for the window's."""
        try:
            self.info.emit(save(shown))
        except SegnetLiveError as error:
            self.problem.emit(str(error))
        except Exception as error:  # nobody looks at the future: said here, or nowhere
            log.exception("saving a %s failed", what)
            self.problem.emit(f"the {what} was not saved: {crash.report(error)}")

    def close(self) -> None:
        """Wait for pictures that are being written."""
        self._files.shutdown()
