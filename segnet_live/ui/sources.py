"""Offer ways to choose a source: dialogs, drops, recent list, cameras, the example drive."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from PyQt6.QtCore import QMimeData, QObject, pyqtSignal
from PyQt6.QtWidgets import QFileDialog, QMenu, QWidget

from segnet_live.config import SourceKind, SourceSpec
from segnet_live.drafts.folder import HARD_FRAMES, is_drafts
from segnet_live.errors import UsageError
from segnet_live.system.paths import assets_dir, recordings_dir
from segnet_live.ui.cameras import list_cameras
from segnet_live.ui.controls import Controls
from segnet_live.ui.url_dialog import UrlDialog
from segnet_live.video.location import VIDEO_SUFFIXES, display_name, is_url, source_for

VIDEOS = f"Videos ({' '.join(f'*{suffix}' for suffix in VIDEO_SUFFIXES)});;All files (*)"


def recent_source(entry: str) -> SourceSpec:
    """Return the source of a recent entry ("kind:value").

    Raises:
        UsageError: nobody understands it.
    """
    kind, _, value = entry.partition(":")
    kinds: dict[str, SourceKind] = {"video": "video", "images": "images"}
    if kind not in kinds or not value:
        raise UsageError(f"recent source {entry!r} is unknown; open it by hand")
    return SourceSpec(kinds[kind], value)


class Sources(QObject):
    """The ways to ask the user for a source and open it.

    Signals:
        drafts_chosen: a folder of drafts, which is corrected in a window of its own.
    """

    drafts_chosen = pyqtSignal(object)

    def __init__(self, window: QWidget, controls: Controls) -> None:
        super().__init__(window)
        self._window, self._controls = window, controls

    def open_place(self, place: str) -> None:
        """Open what a name alone stands for: what was dropped or typed, or what the desktop named."""
        try:
            spec = source_for(place)
        except UsageError as error:
            self._controls.problem.emit(str(error))
            return
        if spec.kind == "images" and is_drafts(Path(spec.value)):
            self.drafts_chosen.emit(Path(spec.value))
        else:
            self._controls.open(spec)

    def ask_video(self) -> None:
        recent = [file for spec, _ in self.recent() if (file := spec.video_file) is not None]
        start = str(recent[0].parent) if recent else ""
        path, _ = QFileDialog.getOpenFileName(self._window, "Open video", start, VIDEOS)
        if path:
            self.open_place(path)

    def ask_images(self) -> None:
        path = QFileDialog.getExistingDirectory(self._window, "Open image folder")
        if path:
            self._controls.open(SourceSpec("images", path))

    def ask_drafts(self) -> None:
        path = QFileDialog.getExistingDirectory(self._window, "Correct the drafts of a folder", str(self._drafts()))
        if path:
            self.drafts_chosen.emit(Path(path))

    def _drafts(self) -> Path:
        """Return where the window keeps hard frames, once there are some, else the folder of recordings."""
        settings = self._controls.settings
        folder = Path(settings.folder) if settings.folder else recordings_dir()
        kept = folder / HARD_FRAMES
        return kept if kept.is_dir() else folder

    def ask_url(self, address: str = "") -> None:
        """Ask for an address; `address` stands there at first."""
        dialog = UrlDialog(self._window, address)
        dialog.accepted.connect(lambda: self.open_place(dialog.address.text().strip()))
        dialog.finished.connect(dialog.deleteLater)
        dialog.open()

    def open_again(self, spec: SourceSpec) -> None:
        """Open a recent source, after asking for its password if it had one: passwords are not kept."""
        if is_url(spec.value) and "***" in spec.value:
            self.ask_url(spec.value)
        else:
            self._controls.open(spec)

    def open_example(self) -> None:
        """Open the example drive's clip as a video file, so that it can be searched like any other."""
        clip = assets_dir() / "drive.mp4"
        if clip.is_file():
            self._controls.open(SourceSpec("video", str(clip)))
        else:
            self._controls.problem.emit(
                f"the example drive {clip} is missing; install again, or open a video of your own"
            )

    def recent(self) -> list[tuple[SourceSpec, str]]:
        """Return the sources opened lately and what to call them, newest first, without entries nobody understands."""
        found = []
        for entry in self._controls.settings.recent:
            try:
                spec = recent_source(entry)
            except UsageError:
                continue
            found.append((spec, display_name(spec)))
        return found

    def fill(self, menu: QMenu) -> None:
        """Make the Open menu anew, each time it is shown: cameras come and go."""
        menu.clear()
        for text, keys, ask in (
            ("Open video ...", "Ctrl+O", self.ask_video),
            ("Open image folder ...", "Ctrl+Shift+O", self.ask_images),
            ("Open network stream ...", "Ctrl+U", lambda: self.ask_url()),
            ("Example drive", "Ctrl+D", self.open_example),
            ("Correct drafts ...", "Ctrl+E", self.ask_drafts),
        ):
            self._add(menu, f"{text}\t{keys}", ask)
        menu.addSeparator()
        cameras, why = list_cameras()
        for camera in cameras:
            spec = SourceSpec("camera", str(camera.number))
            if not camera.sizes:
                self._add(menu, f"{camera.name} (camera {camera.number})", partial(self.open_camera, spec))
                continue
            sizes = menu.addMenu(f"{camera.name} (camera {camera.number})")
            assert sizes is not None
            self._add(sizes, "Its own choice", partial(self.open_camera, spec))
            for height, width in camera.sizes:
                chosen = SourceSpec("camera", str(camera.number), camera_size=(height, width))
                self._add(sizes, f"{width} x {height}", partial(self.open_camera, chosen))
        if why or not cameras:
            self._add(menu, why if cameras else "No camera was found", None)
        recent = self.recent()
        if recent:
            menu.addSeparator()
        for spec, title in recent:
            self._add(menu, title.replace("&", "&&"), partial(self.open_again, spec))

    def open_camera(self, spec: SourceSpec) -> None:
        self._controls.settings.camera_size = spec.camera_size
        self._controls.open(spec)

    @staticmethod
    def _add(menu: QMenu, text: str, act: Callable[[], None] | None) -> None:
        action = menu.addAction(text)
        assert action is not None
        if act is None:
            action.setEnabled(False)
        else:
            action.triggered.connect(lambda _checked=False: act())

    @staticmethod
    def dropped(mime: QMimeData | None) -> str | None:
        """Return the place that was dropped, None if it is nothing to open."""
        if mime is None:
            return None
        if mime.hasUrls():
            url = mime.urls()[0]
            return url.toLocalFile() if url.isLocalFile() else url.toString()
        text = mime.text().strip()
        return text if is_url(text) else None
