"""Write annotated video to mp4: the source's own times and sound, and a file that survives a kill while it grows."""

from __future__ import annotations

import errno
import logging
import os
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

import av
import numpy as np
from av.error import FFmpegError
from av.packet import Packet
from av.video.frame import PictureType, VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

from segnet_live.config import Encoding, format_size
from segnet_live.errors import OutputError, first_line
from segnet_live.planes import Matrix, Planes
from segnet_live.system.files import hold, make_new, partial_path, what_to_do_about
from segnet_live.video.colour import FrameConverter
from segnet_live.video.encoders import KEY_FRAMES_S, choose
from segnet_live.video.location import is_url
from segnet_live.video.remux import remux
from segnet_live.video.soundtrack import LONGEST_GAP_S, Soundtrack

log = logging.getLogger(__name__)

DEFAULT = Encoding()
USUAL_RATE = Fraction(30)
FINEST_TICK = Fraction(1, 10_000_000)
MOST_TICKS = (1 << 31) - 1
"""The longest that mp4 can show a frame, in ticks of its own."""
_GROWING = {
    # empty_moov: plays from the first fragment on, even when sound starts late. frag_discont: fragments may start at
    # any time, which is how sound and picture keep their offset without an edit list.
    "movflags": "+frag_keyframe+empty_moov+default_base_moof+frag_discont",
    "frag_duration": "300000",  # microseconds
    "use_editlist": "0",
    "avoid_negative_ts": "disabled",
    "flush_packets": "1",
    # A sound track that ends or pauses must not keep pictures waiting in the muxer.
    "max_interleave_delta": "200000",
}


@dataclass(frozen=True, slots=True)
class _Timeline:
    """The distances between the three clocks of a recording, in seconds: the source's, the pictures', the file's.

    A picture's time is pts x time base. It differs from source time after a jump that the recording leaves out.

    Attributes:
        sound_offset_s: what to add to the source time of sound to get the pictures' time.
        file_offset_s: what to add to the pictures' time to get time in the growing file.
        file_delay_s: how late the growing file runs, for a fragmented file cannot start below 0; `remux` removes it.
    """

    sound_offset_s: Fraction = Fraction(0)
    file_offset_s: Fraction = Fraction(0)
    file_delay_s: Fraction = Fraction(0)


class Recorder:
    """A writer of frames to `<name>.partial.mp4`, which `close` turns into a fast-start mp4 with its final name.

    One thread; every method blocks while it encodes or writes. After a kill the partial file plays, but for at most
    its last two seconds. As a context manager, an exception inside still finalises what was recorded.

    Attributes:
        path: the finished file.
        partial: the growing file.
        frames: frames written so far.
        encoder: what encodes it.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        size: tuple[int, int],
        *,
        time_base: Fraction,
        rate: Fraction | None = None,
        audio_from: str | None = None,
        cut_audio: bool = False,
        source: str | None = None,
        overwrite: bool = False,
        matrix: Matrix | None = None,
        encoding: Encoding = DEFAULT,
    ) -> None:
        """Check the place and make the partial file.

        Args:
            path: what the finished mp4 is called.
            size: (height, width) of every frame; an odd side gains one replicated pixel in the file.
            time_base: seconds per tick of the pts that `write` gets.
            rate: nominal frames per second; for the encoder, and the last frame's duration where it is not stated.
            audio_from: file or URL whose sound is kept in step, by source time; None for silence.
            cut_audio: sound begins and ends with the pictures; otherwise all of it is kept (whole-file recordings).
            source: the input file, which must not be overwritten; `audio_from` is checked anyway.
            overwrite: an existing file, finished or partial, may be replaced.
            matrix: the YUV matrix of the file, None for what players expect at that height; pictures in others are
                converted.
            encoding: which encoder, and how good.

        Raises:
            OutputError: the place cannot be written, or holds something that must not be lost.
            UsageError: the encoder that was asked for does not open.
            SourceError: `audio_from` cannot be opened.
        """
        self.path = Path(path)
        self.partial = partial_path(self.path)
        self.frames = 0
        self._size = size
        self._time_base = time_base
        self._ticks = max(time_base, FINEST_TICK)
        self._rate = rate if rate is not None and 0 < rate <= 240 else USUAL_RATE
        self._cut_audio = cut_audio
        self._refuse(overwrite, [s for s in (source, audio_from) if s is not None and not is_url(s)])
        self.encoder = choose(encoding, size, self._rate)
        self._let_go = hold(self.path)
        try:
            self._sound = Soundtrack.open(audio_from) if audio_from is not None else None
            make_new(self.partial)
            self._output = av.open(f"file:{self.partial}", "w", format="mp4", options=_GROWING)
        except (FFmpegError, OSError) as error:
            self._let_go()
            problem = f"{self.path}: cannot be written ({first_line(error)})"
            raise OutputError(problem, "choose another place") from error
        except BaseException:
            self._let_go()
            raise
        hwaccel = self.encoder.hwaccel
        video = self._output.add_stream(self.encoder.codec, self._rate, hwaccel=hwaccel, time_base=self._ticks)
        assert isinstance(video, VideoStream)
        self._video = video
        self._converter = FrameConverter(size, matrix)
        self._converter.describe(self._video.codec_context)
        self.encoder.configure(self._video.codec_context, self._rate)
        self._durations: deque[int] = deque()
        self._distances: deque[int] = deque([0], maxlen=8)
        self._last: int | None = None
        self._last_duration = max(1, round(1 / (self._rate * time_base)))
        self._key_pts = 0
        self._end_pts = 0
        self._timeline = _Timeline()
        self._cut_to_s: Fraction | None = None
        self._left_out = 0
        self._longest = int(min(LONGEST_GAP_S / time_base, MOST_TICKS * self._ticks / time_base))
        self._open = True

    def continue_from(self, source_s: Fraction) -> None:
        """Continue the sound from `source_s` of the source, where the next frame lies whatever its pts."""
        self._cut_to_s = source_s

    def write(self, picture: NDArray[np.uint8] | Planes, pts: int, duration: int = 0) -> None:
        """Append one frame.

        Args:
            picture: (H, W, 3) uint8 RGB or planes, of the recorder's size; not to be written to afterwards.
            pts: source time in ticks of `time_base`, above the last frame's.
            duration: ticks the source shows it, if it is the last; 0 where unknown.

        Raises:
            OutputError: another size, time running backwards, or the disk is full; the partial file stays.
        """
        size = picture.size if isinstance(picture, Planes) else picture.shape[:2]
        if size != self._size:
            raise OutputError(
                f"{self.path}: got a frame of {size[0]}x{size[1]} (height x width) but the recording is "
                f"{format_size(self._size)}; record sources of one size"
            )
        if self._last is not None and pts - self._left_out <= self._last:
            last = self._last + self._left_out
            raise OutputError(f"{self.path}: got a frame at tick {pts} after one at {last}; times must rise")
        frame = self._converter.frame(picture)
        pts = self._without_gap(pts)
        with self._writing():
            if self._last is not None:
                self._last_duration = pts - self._last
                self._distances.append(self._last_duration)
                self._mux_sound(pts * self._time_base)
            cut_to_s, self._cut_to_s = self._cut_to_s, None
            if cut_to_s is not None:
                self._timeline = replace(self._timeline, sound_offset_s=pts * self._time_base - cut_to_s)
            if self._last is None:
                self._begin(pts)
            elif cut_to_s is not None and self._sound is not None:
                self._sound.skip_to(cut_to_s)
            self._encode(frame, pts, duration if 0 < duration <= self._longest else self._last_duration)
        self._last = pts
        self.frames += 1

    def _without_gap(self, pts: int) -> int:
        """Return a frame's time without the gaps that are left out, this one too if it is too long to be a pause."""
        source_pts, pts = pts, pts - self._left_out
        if self._last is not None and pts - self._last > self._longest:
            gap = pts - self._last - max(1, round(1 / (self._rate * self._time_base)))
            log.log(
                logging.INFO if self._left_out else logging.WARNING,  # once is enough of a clock that goes mad
                "%s: the source's clock jumps by %.0f s; the jump is left out",
                self.path,
                gap * self._time_base,
            )
            self._left_out += gap
            pts -= gap
            if self._cut_to_s is None:
                self.continue_from(source_pts * self._time_base)
        return pts

    def close(self, *, cut_audio: bool | None = None) -> None:
        """Finish the mp4 and give it its name; without any frame leave nothing. May be called twice.

        Args:
            cut_audio: replaces the constructor's: True when the recording ends before its source does.

        Raises:
            OutputError: it cannot be written; the partial file stays and plays.
        """
        if not self._open:
            return
        if self._last is None:
            self.abort()
            return
        cut = self._cut_audio if cut_audio is None else cut_audio
        with self._writing():
            self._mux(self._video.encode(None))
            self._mux_sound(self._end_pts * self._time_base if cut else None, last=True)
            self._output.close()
            remux(self.partial, self.path, self._timeline.file_delay_s)
            self.partial.unlink()
        self._leave()

    def abort(self) -> None:
        """Delete the recording. May be called twice; does nothing after `close`."""
        if self._open:
            self._leave()
            self.partial.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> Literal[False]:
        self.close(cut_audio=True if error is not None else None)
        return False

    def _begin(self, pts: int) -> None:
        """Place the recording's zero at its first picture, or at whole sound that starts before it."""
        zero_s = pts * self._time_base
        delay_s, sound_offset_s = Fraction(0), self._timeline.sound_offset_s
        if self._sound is not None:
            if self._cut_audio:
                self._sound.skip_to(zero_s - sound_offset_s)
            sound_s = self._sound.begin(self._output)
            if sound_s is not None:
                sound_s += sound_offset_s
                # What lies below 0 is an encoder's run-in, which players skip.
                if not self._cut_audio:
                    zero_s = min(zero_s, max(sound_s, Fraction(0))) // self._ticks * self._ticks
                # So late that whatever lies below 0 comes at 0 or after.
                delay_s = max(0, -((sound_s - zero_s) // self._ticks)) * self._ticks
        self._timeline = _Timeline(sound_offset_s, file_offset_s=delay_s - zero_s, file_delay_s=delay_s)

    def _encode(self, picture: VideoFrame, pts: int, duration: int) -> None:
        """Encode a frame, as key frame if the next one may come too late for it.

        When the next one comes is not known yet, as a kill would take a frame that waits for it. In the file, frames
        last until the next one whatever they say: `duration` counts for the last one.
        """
        self._end_pts = pts + duration
        next_pts = pts + max(duration, *self._distances)
        if self._last is None or (next_pts - self._key_pts) * self._time_base > KEY_FRAMES_S:
            picture.pict_type = PictureType.I
            self._key_pts = pts
            os.stat(self.partial)  # who removes the folder is told now, not after a month
        picture.pts = round((pts * self._time_base + self._timeline.file_offset_s) / self._ticks)
        picture.time_base = self._ticks
        self._durations.append(round(duration * self._time_base / self._ticks))
        self._mux(self._video.encode(picture))

    def _mux(self, packets: Iterable[Packet]) -> None:
        for packet in packets:
            packet.duration = self._durations.popleft()
            self._output.mux(packet)

    def _mux_sound(self, end_s: Fraction | None, *, last: bool = False) -> None:
        """Write the sound up to `end_s` of the pictures' time, None for all of it; `last` if that is the end."""
        if self._sound is not None:
            offset_s = self._timeline.sound_offset_s
            end_s = None if end_s is None else end_s - offset_s
            for packet in self._sound.packets_until(end_s, offset_s + self._timeline.file_offset_s):
                self._output.mux(packet)
            for packet in self._sound.last_packets() if last else ():
                self._output.mux(packet)

    def _refuse(self, overwrite: bool, inputs: list[str]) -> None:
        if self.path.suffix.lower() != ".mp4":
            raise OutputError(f"{self.path}: recordings are mp4", "choose a name that ends in .mp4")
        if not self.path.parent.is_dir():
            raise OutputError(f"{self.path}: there is no folder {self.path.parent}", "make it first")
        for file in (self.path, self.partial):
            if file.is_dir():
                raise OutputError(f"{file}: is a folder", "choose another name")
            if file.exists() and any(Path(i).exists() and file.samefile(i) for i in inputs):
                raise OutputError(f"{file}: is the input itself", "choose another name for the recording")
        if overwrite:
            return
        if self.path.exists():
            raise OutputError(f"{self.path}: exists already", "choose another name or pass --overwrite")
        if self.partial.exists() or self.partial.is_symlink():
            raise OutputError(f"{self.partial}: is left of an interrupted recording", what_to_do_about(self.partial))

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Turn failures inside into one line that names what is kept."""
        try:
            yield
        except (FFmpegError, OSError) as error:
            self._leave()
            full, gone = error.errno == errno.ENOSPC, not self.partial.exists()
            why = "the disk is full" if full else error.strerror or type(error).__name__
            why = f"{self.partial} was removed or moved" if gone else why
            kept = f"; what was recorded so far is kept in {self.partial}" if self.frames and not gone else ""
            raise OutputError(f"{self.path}: cannot be written ({why}){kept}") from error

    def _leave(self) -> None:
        """Close both files."""
        self._open = False
        if self._sound is not None:
            self._sound.close()
        with suppress(FFmpegError, OSError):
            self._output.close()
        self._let_go()
