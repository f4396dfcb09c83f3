"""Record the view: `Recording` takes every frame of a run without a window, `LiveRecording` what the window shows.

Both write through `VideoFiles`; they differ in pacing and hand-over alone. Offline, whoever writes waits for the
encoder. Live, nobody waits: what the encoder has no time for is left out, and counted.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from segnet_live.config import Encoding, HideSpec, SourceSpec
from segnet_live.errors import OutputError, SegnetLiveError, first_line
from segnet_live.frame import RGB, Frame, FrameResult, Size
from segnet_live.pipeline.handover import BoundedQueue, Closed
from segnet_live.pipeline.record.hiding_sink import Hider
from segnet_live.pipeline.record.sinks import LabelMaps
from segnet_live.planes import Matrix, Planes
from segnet_live.render.hiding import Hiding
from segnet_live.render.hud import Hud, with_plate
from segnet_live.render.planes import compose_planes
from segnet_live.render.view import ViewSettings, compose_result
from segnet_live.system import crash
from segnet_live.system.files import free_path
from segnet_live.video.recorder import DEFAULT, Recorder

log = logging.getLogger(__name__)

WAITING_FRAMES = 12
USUAL_INTERVAL = Fraction(1, 25)


class VideoFiles:
    """The mp4 files of one recording, shared by both kinds. One thread; `write` and `close` block.

    A file's sound is kept: where the pictures are cut (a seek, a loop), so is the sound.

    Args:
        path: the first mp4.
        numbered: another source, or the same at another size, goes on in PATH-2.mp4; False makes it an error.
        cut_audio: sound begins and ends with the pictures; False keeps all of it.
        label_maps: also write each frame's label map into the folder PATH_labels.
        overwrite: the first file may replace an existing one.
        encoding: which encoder, and how good.
        sound: False leaves it out.

    Attributes:
        finished: complete files, in order.
        label_folders: folders of label maps, one a file.
    """

    def __init__(
        self,
        path: Path,
        *,
        numbered: bool,
        cut_audio: bool,
        label_maps: bool = False,
        overwrite: bool = False,
        encoding: Encoding = DEFAULT,
        sound: bool = True,
    ) -> None:
        self.finished: tuple[Path, ...] = ()
        self.label_folders: tuple[Path, ...] = ()
        self._path, self._numbered, self._cut_audio = path, numbered, cut_audio
        self._label_maps, self._overwrite, self._encoding, self._sound = label_maps, overwrite, encoding, sound
        self._recorder: Recorder | None = None
        self._maps: LabelMaps | None = None
        self._origin: tuple[str, Size] | None = None
        self._frame_size: Size = (0, 0)
        self._segment_id: int | None = None

    def write(self, picture: RGB | Planes, result: FrameResult, frame: Frame) -> None:
        """Append one picture.

        Args:
            picture: the view of `result`, (H, W, 3) uint8 RGB or planes; not to be written to afterwards.
            frame: its frame, at its time in the recording.

        Raises:
            OutputError: it cannot be written, or is of another size and files are not numbered.
        """
        matrix = picture.colours.matrix if isinstance(picture, Planes) else None
        size = picture.size if isinstance(picture, Planes) else (picture.shape[0], picture.shape[1])
        origin = result.source.title, size
        if self._recorder is None or origin != self._origin:
            if self._origin is not None and not self._numbered:
                (height, width), (first_height, first_width) = frame.size, self._frame_size
                raise OutputError(
                    f"{self._path}: {frame.name or f'frame {frame.index}'} is {width}x{height} and the first is "
                    f"{first_width}x{first_height}; a video has one size",
                    "leave out --record, or give pictures of one size",
                )
            self._finish_file()
            self._recorder = self._begin_file(size, matrix, result, frame)
            self._origin, self._frame_size, self._segment_id = origin, frame.size, None
        if result.segment_id != self._segment_id:
            self._segment_id = result.segment_id
            self._recorder.continue_from(result.frame.pts * result.frame.time_base)
        self._recorder.write(picture, frame.pts, frame.duration)
        if self._maps is not None:
            self._maps.write(result)

    def close(self, *, cut_audio: bool | None = None) -> None:
        """Complete the last file.

        Args:
            cut_audio: replaces the constructor's: True when the recording ends before its source does.

        Raises:
            OutputError: it cannot be completed; what is there is kept under its partial name.
        """
        self._finish_file(cut_audio)

    @property
    def written_bytes(self) -> int:
        """Size of all files so far; may be read from any thread."""
        recorder = self._recorder
        total = 0
        for path in (*self.finished, *([recorder.partial] if recorder is not None else [])):
            with contextlib.suppress(OSError):  # just being renamed
                total += path.stat().st_size
        return total

    @property
    def last(self) -> Path:
        """The file that is being written, under its partial name, or was finished last; the first's name before."""
        if self._recorder is not None and self._recorder.partial.exists():
            return self._recorder.partial
        return self.finished[-1] if self.finished else self._path

    def _begin_file(self, size: Size, matrix: Matrix | None, result: FrameResult, frame: Frame) -> Recorder:
        first = self._origin is None
        path = self._path
        if self._numbered and not (first and self._overwrite):
            path = free_path(path, 1 if first else 2)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"{path.parent} cannot be made ({first_line(error)})", "choose another folder") from error
        recorder = Recorder(
            path,
            size,
            time_base=frame.time_base,
            rate=result.source.rate,
            audio_from=result.source.sound_location if self._sound else None,
            cut_audio=self._cut_audio,
            source=result.source.location,
            overwrite=self._overwrite and first,
            matrix=matrix,
            encoding=self._encoding,
        )
        if self._label_maps:
            # Numbered like the mp4's frames, whatever the source calls them.
            self._maps = LabelMaps(path.with_name(f"{path.stem}_labels"), use_names=False)
            self.label_folders = (*self.label_folders, self._maps.folder)
        return recorder

    def _finish_file(self, cut_audio: bool | None = None) -> None:
        if self._maps is not None:
            self._maps.close(whole=True)
        self._maps = None
        recorder = self._recorder
        if recorder is None:
            return
        recorder.close(cut_audio=cut_audio)
        if not recorder.partial.exists():  # else a write failed: what is there stays under its partial name
            self._recorder = None
            if recorder.frames:
                self.finished = (*self.finished, recorder.path)


def compose_recorded(result: FrameResult, settings: ViewSettings) -> RGB | Planes:
    """Return the view of a frame for a recording: planes where its picture is planes, else (H, W, 3) uint8 RGB."""
    picture = result.frame.picture
    in_rgb = settings.needs_confidence and result.network_confidence is not None
    in_rgb |= settings.needs_other and result.network_other is not None
    if isinstance(picture, Planes) and not in_rgb:
        labels = result.network_labels if result.source_labels is None else result.source_labels
        return compose_planes(picture, labels, result.classes, settings)
    return compose_result(result, settings)


class Recording:
    """The sink behind `--record`: one view of every frame, at the source's size and time, with its sound.

    Args:
        spec: tells whether a part of the source was asked for: then its sound is cut as well.
        settings: how pictures are composed.
        hud: what to burn into each picture, None for nothing.
        encoding: which encoder, and how good.
        sound: False leaves it out.
    """

    def __init__(
        self,
        path: Path,
        spec: SourceSpec,
        settings: ViewSettings,
        *,
        hud: Hud | None = None,
        overwrite: bool = False,
        encoding: Encoding = DEFAULT,
        sound: bool = True,
    ) -> None:
        self.path = path
        self._settings = settings
        self._hud = hud
        part = bool(spec.start_s) or spec.duration_s is not None
        self._files = VideoFiles(
            path, numbered=False, cut_audio=part, overwrite=overwrite, encoding=encoding, sound=sound
        )

    def write(self, result: FrameResult) -> None:
        picture = compose_recorded(result, self._settings)
        if self._hud:
            picture = with_plate(picture, self._hud.plate(result.frame.size[0]))
        self._files.write(picture, result, result.frame)

    def close(self, *, whole: bool) -> None:
        if self._hud:
            self._hud.close()
        # Sound that outlasts the pictures belongs to a whole file only.
        self._files.close(cut_audio=None if whole else True)

    def __str__(self) -> str:
        kept = self._files.last
        return f"{kept} ({kept.stat().st_size / 2**20:.1f} MiB)" if kept.exists() else f"{kept} (missing)"


@dataclass(frozen=True, slots=True)
class RecordingState:
    """News of a recording.

    Attributes:
        running: False means that there will be no more files.
        finished: complete files, in order.
        label_folders: folders of label maps, one a file.
        dropped: frames left out because the encoder was behind.
        error: why it ended early, "" if it did not.
    """

    running: bool
    finished: tuple[Path, ...] = ()
    label_folders: tuple[Path, ...] = ()
    dropped: int = 0
    error: str = ""


class _Waiting(NamedTuple):
    """A picture in the queue, None until classes are hidden in it, and its frame at its time in the recording."""

    picture: RGB | Planes | None
    result: FrameResult
    frame: Frame
    plate: NDArray[np.uint8] | None
    settings: ViewSettings


class LiveRecording:
    """A recording of what the window shows: without gaps over pauses and seeks, and without delaying other threads.

    It begins with the first labelled frame. `offer` belongs to the thread that composes pictures, `set_plate`, `stop`
    and the properties to any; only `join` blocks.

    Args:
        path: the mp4 to write; another source, or the same at another size, goes on in PATH-2.mp4.
        notify: takes news, from the recorder's own thread.
        label_maps: also write each frame's label map into the folder PATH_labels.
        encoding: which encoder, and how good; it holds back no frames.
        hide: what to hide; pictures are composed in the recorder's thread then, and later by the frames it waits for.
    """

    def __init__(
        self,
        path: Path,
        notify: Callable[[RecordingState], None],
        *,
        label_maps: bool = False,
        overwrite: bool = False,
        encoding: Encoding = DEFAULT,
        hide: HideSpec | None = None,
    ) -> None:
        encoding = replace(encoding, look_ahead=False)
        self._files = VideoFiles(
            path, numbered=True, cut_audio=True, label_maps=label_maps, overwrite=overwrite, encoding=encoding
        )
        self._notify = notify
        self._hider = None if hide is None else Hider(partial(Hiding.of, hide))
        self._queue: BoundedQueue[_Waiting] = BoundedQueue(WAITING_FRAMES)
        self._time = ContinuousTime()
        self._plate: NDArray[np.uint8] | None = None
        self._dropped = 0
        self._first_s: float | None = None
        self._elapsed_s = 0.0
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)
        self._thread.start()

    def offer(self, result: FrameResult, settings: ViewSettings) -> None:
        """Record the view of `result` by these settings, or count it as dropped if the encoder is behind."""
        if self._stopped or (self._first_s is None and not result.is_segmented):
            return
        frame = None
        if len(self._queue) < WAITING_FRAMES:
            frame = self._time.restamp(result.frame, result.segment_id, result.source.rate)
        if frame is None:
            self._dropped += 1
            return
        if self._first_s is None:
            self._first_s = frame.pts_s
        self._elapsed_s = frame.pts_s - self._first_s
        picture = compose_recorded(result, settings) if self._hider is None else None
        with contextlib.suppress(Closed):  # stopped, or failed and said so
            self._queue.put(_Waiting(picture, result, frame, self._plate, settings))

    def set_plate(self, plate: NDArray[np.uint8] | None) -> None:
        """Burn this HUD, (h, w, 4) uint8 premultiplied BGRA, into the pictures offered from now on; None for none."""
        self._plate = plate

    @property
    def dropped(self) -> int:
        """Frames left out because the encoder was behind."""
        return self._dropped

    @property
    def elapsed_s(self) -> float:
        """Seconds of recorded source time."""
        return self._elapsed_s

    @property
    def written_bytes(self) -> int:
        """Size of all files so far."""
        return self._files.written_bytes

    @property
    def is_finishing(self) -> bool:
        """Whether the recording takes no more frames, and its file is being completed."""
        return self._stopped

    def stop(self) -> None:
        """Take no more frames; the recorder's thread writes what waits and completes the file."""
        self._stopped = True
        self._queue.close()

    def join(self, timeout_s: float | None = None) -> bool:
        """Wait until all files are complete; False if they are not after `timeout_s`."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        error = self._attempt(self._drain)
        self._stopped = True
        self._queue.abort()
        closing_error = self._attempt(self._files.close)
        files = self._files
        state = RecordingState(False, files.finished, files.label_folders, self._dropped, error or closing_error)
        self._notify(state)

    def _attempt(self, work: Callable[[], None]) -> str:
        """Run `work` and return what went wrong, "" if nothing did: a failure ends the recording, not the window."""
        try:
            work()
        except Closed:
            pass
        except SegnetLiveError as failure:
            return str(failure)
        except Exception as failure:
            log.exception("recording failed")
            return f"recording stopped: {crash.report(failure)}"
        return ""

    def _drain(self) -> None:
        hider, held = self._hider, deque[_Waiting]()
        with contextlib.suppress(Closed):
            while True:
                waiting = self._queue.get()
                if hider is None:
                    self._write(waiting, waiting.result)
                    continue
                held.append(waiting)
                hidden = hider.put(waiting.result)
                if hidden is not None:
                    self._write(held.popleft(), hidden)
        while hider is not None and held:
            self._write(held.popleft(), hider.take())

    def _write(self, waiting: _Waiting, shown: FrameResult) -> None:
        """Write one picture; of `shown` if it is not composed yet."""
        picture = compose_recorded(shown, waiting.settings) if waiting.picture is None else waiting.picture
        if waiting.plate is not None:
            picture = with_plate(picture, waiting.plate)
        self._files.write(picture, waiting.result, waiting.frame)


class ContinuousTime:
    """Rewrite pts so that seeks, loops and pauses leave no gap, while time between neighbours stays the source's own.

    Frames carry a segment id; within one segment the distances are the source's, and a new segment goes on one
    frame interval after the last frame. Used by one thread.
    """

    def __init__(self) -> None:
        self._time_base: Fraction | None = None
        self._segment_id = -1
        self._offset = Fraction(0)
        self._last: Fraction | None = None
        self._interval = USUAL_INTERVAL

    def restamp(self, frame: Frame, segment_id: int, rate: Fraction | None = None) -> Frame | None:
        """Return the frame at its place in the recording, in the first frame's time base; None if time stands.

        Args:
            rate: the source's frames per second; tells how far apart two segments lie.
        """
        if self._time_base is None:
            self._time_base = frame.time_base
        source = frame.pts * frame.time_base
        if segment_id != self._segment_id:
            if rate:
                self._interval = 1 / rate
            self._offset = (Fraction(0) if self._last is None else self._last + self._interval) - source
            self._segment_id = segment_id
        time = source + self._offset
        pts = round(time / self._time_base)
        if self._last is not None and pts <= round(self._last / self._time_base):
            return None
        self._last = time
        return replace(frame, pts=pts, time_base=self._time_base)
