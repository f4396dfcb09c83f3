"""Two recordings on one Recorder: `--record`'s of every frame, and the window's, gapless over pauses and seeks."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from segnet_live.config import SourceSpec, View
from segnet_live.errors import OutputError, SegnetLiveError
from segnet_live.frame import Frame, SegmentedFrame
from segnet_live.pipeline.handover import BoundedQueue, Captured, Closed
from segnet_live.pipeline.record.sinks import Masks
from segnet_live.render.hud import HudText
from segnet_live.render.overlay import Overlay, burn_text
from segnet_live.video.recorder import Recorder
from segnet_live.video.source import SourceInfo

log = logging.getLogger(__name__)

WAITING_FRAMES = 12
USUAL_INTERVAL = Fraction(1, 25)


@dataclass(frozen=True, slots=True)
class RecordingState:
    """News of a recording.

    Attributes:
        finished: complete files, in order; `running` False means that there will be no more.
        error: why it ended early, "" if it did not.
    """

    running: bool
    finished: tuple[Path, ...] = ()
    label_folders: tuple[Path, ...] = ()
    error: str = ""


def free_path(path: Path, number: int = 1) -> Path:
    """`path`, or the first of `path`-2, -3 ... that is neither taken nor being written."""
    while True:
        candidate = path if number == 1 else path.with_name(f"{path.stem}-{number}{path.suffix}")
        if not (candidate.exists() or candidate.with_suffix(".partial.mp4").exists()):
            return candidate
        number += 1


@dataclass(frozen=True, slots=True, eq=False)
class _Item:
    picture: NDArray[np.uint8]
    segmented: SegmentedFrame
    frame: Frame
    captured: Captured
    plate: NDArray[np.uint8] | None


class LiveRecording:
    """One press of the record button. `offer` belongs to the picture thread and never blocks; the rest to the window's.

    A file's sound is kept: where the pictures are cut (a seek, a loop), so is the sound.

    Args:
        path: the mp4 to write; another source, or the same at another size, goes on in PATH-2.mp4.
        label_maps: also write each frame's label map into the folder PATH_labels.
        notify: takes news, from the recorder thread.

    Attributes:
        dropped: frames left out because the encoder was behind; shown beside the button.
        plate: (h, w, 4) premultiplied BGRA picture of the HUD to burn in, None for none.
    """

    def __init__(
        self, path: Path, notify: Callable[[RecordingState], None], *, label_maps: bool = False, overwrite: bool = False
    ) -> None:
        self.plate: NDArray[np.uint8] | None = None
        self.dropped = 0
        self._path, self._notify, self._label_maps, self._overwrite = path, notify, label_maps, overwrite
        self._queue: BoundedQueue[_Item] = BoundedQueue(WAITING_FRAMES)
        self._time = ContinuousTime()
        self._recorder: Recorder | None = None
        self._masks: Masks | None = None
        self._origin: tuple[str, tuple[int, int]] | None = None
        self._stretch: int | None = None
        self._finished: tuple[Path, ...] = ()
        self._label_folders: tuple[Path, ...] = ()
        self._began_s = time.perf_counter()
        self._recorded_s = 0.0
        self._first_s: float | None = None
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)
        self._thread.start()

    def offer(self, picture: NDArray[np.uint8], segmented: SegmentedFrame, captured: Captured) -> None:
        """Record `picture` ((H, W, 3) uint8 RGB, as shown), or count it as dropped if the encoder is behind."""
        if len(self._queue) >= WAITING_FRAMES:
            self.dropped += 1
            return
        frame = self._time.restamp(captured.frame, captured.stretch, captured.info.rate)
        if frame is None:
            return
        if self._first_s is None:
            self._first_s = frame.pts_s
        self._recorded_s = frame.pts_s - self._first_s
        with contextlib.suppress(Closed):  # stopped, or failed and said so
            self._queue.put(_Item(picture, segmented, frame, captured, self.plate))

    @property
    def elapsed_s(self) -> float:
        """Seconds of recorded source time."""
        return self._recorded_s

    @property
    def written_bytes(self) -> int:
        """Size of all files so far."""
        recorder = self._recorder
        paths = [*self._finished, *([recorder.partial] if recorder is not None else [])]
        total = 0
        for path in paths:
            try:
                total += path.stat().st_size
            except OSError:
                continue  # just being renamed
        return total

    def stop(self) -> None:
        """No more frames; what waits is still written and the file finalised, in the recorder thread."""
        self._queue.close()

    def join(self, timeout_s: float | None = None) -> bool:
        """Wait until all files are complete."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        error = ""
        try:
            while True:
                self._write(self._queue.get())
        except Closed:
            pass
        except SegnetLiveError as failure:
            error = str(failure)
        except Exception as failure:  # told, never fatal to the window
            log.exception("recording failed")
            error = f"recording stopped: {type(failure).__name__}: {failure}"
        self._queue.abort()
        try:
            self._finish_file()
        except OutputError as failure:
            error = error or str(failure)
        self._notify(RecordingState(False, self._finished, self._label_folders, error))

    def _write(self, item: _Item) -> None:
        origin = item.captured.info.title, (item.picture.shape[0], item.picture.shape[1])
        if origin != self._origin:
            self._finish_file()
            self._begin_file(origin[1], item)
            self._origin, self._stretch = origin, None
        assert self._recorder is not None
        if item.captured.stretch != self._stretch:
            self._stretch = item.captured.stretch
            source = item.captured.frame
            self._recorder.continue_from(source.pts * source.time_base)
        picture = item.picture if item.plate is None else with_plate(item.picture, item.plate)
        self._recorder.write(picture, item.frame.pts)
        if self._masks is not None:
            # Numbered like the mp4's frames, whatever the source calls them.
            self._masks.write(replace(item.segmented, frame=replace(item.frame, name="")))

    def _begin_file(self, size: tuple[int, int], item: _Item) -> None:
        first = self._origin is None
        info = item.captured.info
        path = self._path if first and self._overwrite else free_path(self._path, 1 if first else 2)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"{path.parent} cannot be made ({error.strerror}); choose another folder") from error
        self._recorder = Recorder(
            path,
            size,
            time_base=item.frame.time_base,
            rate=info.rate,
            audio_from=info.sound_location,
            cut_audio=True,
            source=info.location,
            overwrite=self._overwrite and first,
        )
        if self._label_maps:
            self._masks = Masks(path.with_name(f"{path.stem}_labels"))
            self._label_folders = (*self._label_folders, self._masks.folder)

    def _finish_file(self) -> None:
        if self._masks is not None:
            self._masks.close(whole=False)
            self._masks = None
        recorder, self._recorder = self._recorder, None
        if recorder is not None:
            recorder.close()
            self._finished = (*self._finished, recorder.path)


def with_plate(picture: NDArray[np.uint8], plate: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A copy of (H, W, 3) RGB with a (h, w, 4) premultiplied BGRA plate in its upper left corner."""
    picture = picture.copy()
    h, w = min(plate.shape[0], picture.shape[0]), min(plate.shape[1], picture.shape[1])
    plate = plate[:h, :w]
    corner = picture[:h, :w].astype(np.uint16)
    keep = 255 - plate[..., 3:].astype(np.uint16)
    picture[:h, :w] = np.minimum(255, corner * keep // 255 + plate[..., 2::-1]).astype(np.uint8)
    return picture


class Recording:
    """The annotated video: one view of every frame, at the source's size and time, with its sound if it is a file.

    Args:
        hud: what to burn into each picture, None for nothing.
    """

    def __init__(
        self,
        path: Path,
        spec: SourceSpec,
        info: SourceInfo,
        overlay: Overlay,
        view: View,
        *,
        hud: HudText | None = None,
        overwrite: bool = False,
    ) -> None:
        self.path = path
        self._spec = spec
        self._info = info
        self._overlay = overlay
        self._view = view
        self._hud = hud
        self._overwrite = overwrite
        self._recorder: Recorder | None = None
        self._size = (0, 0)

    def write(self, segmented: SegmentedFrame) -> None:
        frame = segmented.frame
        picture = self._overlay.render(frame.rgb, segmented.labels, self._view)
        if self._hud:
            burn_text(picture, self._hud.lines())
        if self._recorder is None:
            self._size = frame.size
            self._recorder = self._open(picture.shape[:2])
        elif frame.size != self._size:
            (height, width), (first_height, first_width) = frame.size, self._size
            raise OutputError(
                f"{self.path}: {frame.name or f'frame {frame.index}'} is {width}x{height} and the first is "
                f"{first_width}x{first_height}; a video has one size: leave out --record, or give pictures of one size"
            )
        self._recorder.write(picture, frame.pts, frame.duration)

    def _open(self, size: tuple[int, int]) -> Recorder:
        return Recorder(
            self.path,
            size,
            time_base=self._info.time_base,
            rate=self._info.rate,
            audio_from=self._info.sound_location,
            cut_audio=bool(self._spec.start_s) or self._spec.duration_s is not None,
            source=self._info.location,
            overwrite=self._overwrite,
        )

    def close(self, *, whole: bool) -> None:
        if self._recorder is not None:
            # Sound that outlasts the pictures belongs to a whole file only.
            self._recorder.close(cut_audio=None if whole else True)

    def __str__(self) -> str:
        kept = self.path if self._recorder is None or not self._recorder.partial.exists() else self._recorder.partial
        return f"{kept} ({kept.stat().st_size / 2**20:.1f} MiB)" if kept.exists() else f"{kept} (missing)"


class ContinuousTime:
    """Rewrites pts so that seeks, loops and pauses leave no gap, while time between neighbours stays the source's own.

    Frames carry a stretch number; within one stretch the distances are the source's, and a new stretch goes on one
    frame interval after the last frame. Used by one thread.
    """

    def __init__(self) -> None:
        self._time_base: Fraction | None = None
        self._stretch = -1
        self._offset = Fraction(0)
        self._last: Fraction | None = None
        self._interval = USUAL_INTERVAL

    def restamp(self, frame: Frame, stretch: int, rate: Fraction | None = None) -> Frame | None:
        """The frame at its place in the recording, in the first frame's time base; None if its time does not advance.

        Args:
            rate: the source's frames per second; tells how far apart two stretches lie.
        """
        if self._time_base is None:
            self._time_base = frame.time_base
        source = frame.pts * frame.time_base
        if stretch != self._stretch:
            if rate:
                self._interval = 1 / rate
            self._offset = (Fraction(0) if self._last is None else self._last + self._interval) - source
            self._stretch = stretch
        time = source + self._offset
        pts = round(time / self._time_base)
        if self._last is not None and pts <= round(self._last / self._time_base):
            return None
        self._last = time
        return replace(frame, pts=pts, time_base=self._time_base)
