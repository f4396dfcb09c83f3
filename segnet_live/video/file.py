"""Read video files and network streams through PyAV: upright square-pixel RGB frames with the source's own times."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from fractions import Fraction
from itertools import chain

import cv2
from av.error import FFmpegError
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from segnet_live.config import Decoder
from segnet_live.display_text import fit_to_show
from segnet_live.errors import SegnetLiveError, SourceError, SourceLost, first_line
from segnet_live.frame import RGB, Frame, Size
from segnet_live.planes import Planes
from segnet_live.video.colour import PictureConverter
from segnet_live.video.container import (
    audio_stream,
    open_container,
    pictures_missing,
    reason,
    stream_length_s,
    video_stream,
)
from segnet_live.video.decoders import Device, devices, note_failure
from segnet_live.video.location import is_url
from segnet_live.video.picture_size import MOST_PIXELS
from segnet_live.video.source import SourceInfo

NOMINAL_RATE = Fraction(25)
"""Where a stream tells no rate."""
_MAX_READ_ERRORS = 100
"""In a row: a damaged container may answer every further read with an error."""
_SLACK_S = 1.0
"""How much shorter than stated a source on the network may be: sound often outlasts the pictures, and servers round."""
_EPSILON_S = 1e-6
"""Seek times come as floats; a frame this much before one still is at it."""


class FileSource:
    """A video file or URL as a `VideoSource`. One thread reads; the constructor, `read` and `seek` block.

    Files end with None. A URL without a stated length is live. What stops on the network, though it is live or its
    stated end is not reached, is lost: `read` raises SourceLost. Pictures that are damaged or do not decode at all are
    counted in `corrupt`; whatever decodes is delivered.
    """

    _pending: tuple[VideoFrame, int] | None
    _pictures: Iterator[VideoFrame]

    def __init__(
        self, location: str, *, start_s: float = 0.0, duration_s: float | None = None, decoder: Decoder = "auto"
    ) -> None:
        """Open `location` and decode its first picture.

        Args:
            location: path or URL.
            start_s: seconds to leave out, counted from the first frame.
            duration_s: seconds to deliver, None for all.
            decoder: what decodes; "auto" is hardware where it opens.

        Raises:
            SourceError: missing, a folder, empty, no video, or not one picture that decodes.
        """
        self._location = location
        self._url = is_url(location)
        self._title = fit_to_show(location)
        self._corrupt = 0
        self._index = 0
        self._decoder: Decoder = decoder
        self._open()
        if self._pending is None:
            self.close()
            why = "the file is damaged"
            if not self._stream.width:
                why += f", or its pictures have more than {MOST_PIXELS / 1e6:.0f} million pixels"
            raise SourceError(f"{self._title}: not one picture of its video track can be decoded; {why}")
        picture, origin = self._pending
        self._origin_s: float = float(origin * self._time_base)
        self._start_s: float = self._origin_s + start_s
        self._end_s: float = math.inf if duration_s is None else self._start_s + duration_s
        self._info: SourceInfo = self._describe(picture)
        self._reached_s = self._start_s
        self._told_s = self._stated_end_s()
        self._owed_s = self._told_s - max(_SLACK_S, 2 / float(self._rate or NOMINAL_RATE))
        if start_s and not self._go_to(self._start_s):
            self.close()
            raise SourceError(f"{self._title}: ends before {start_s:g} s", "choose an earlier start")

    @property
    def info(self) -> SourceInfo:
        return self._info

    @property
    def corrupt(self) -> int:
        """The number of pictures lost or damaged so far."""
        return self._corrupt

    def read(self) -> Frame | None:
        began = time.perf_counter()
        if self._pending is None:
            self._pending = self._next()
        if self._pending is None:
            if self._live:
                raise SourceLost(f"{self._title}: the stream stopped")
            if self._reached_s < self._owed_s:
                raise SourceLost(f"{self._title}: the stream stopped {self._told_s - self._reached_s:.1f} s early")
            return None
        if self._pending_s() >= self._end_s - _EPSILON_S:
            return None
        (picture, pts), self._pending = self._pending, None
        if self._live:
            began = time.perf_counter()  # until now it waited for the network
        upright = self._converter.picture(picture, self._pixel_aspect)
        size = _size_of(upright)
        if size != self._info.size:
            if self._live:
                change = f"{self._info.size} to {size} (height, width)"
                raise SourceLost(f"{self._title}: the picture size changed from {change}", "open it again")
            rgb = upright.rgb if isinstance(upright, Planes) else upright
            upright = cv2.resize(rgb, self._info.size[::-1], interpolation=cv2.INTER_LINEAR)  # type: ignore[assignment]
        self._index += 1
        interval_s = 1 / float(self._rate or NOMINAL_RATE)
        self._reached_s = float(pts * self._time_base) + max(
            interval_s, float((picture.duration or 0) * self._time_base)
        )
        return Frame(
            picture=upright,
            index=self._index - 1,
            pts=pts,
            time_base=self._time_base,
            capture_s=began,
            decode_ms=(time.perf_counter() - began) * 1e3,
            duration=picture.duration if self._time_base == picture.time_base else 0,
        )

    def seek(self, time_s: float) -> None:
        """Continue with the first frame at or after `time_s`, found by decoding on from the key frame before it."""
        if not self._info.seekable:
            raise SourceError(f"{self._title}: a live stream cannot seek", "record it to a file first")
        self._reached_s = max(time_s, self._start_s)
        self._go_to(self._reached_s)

    def close(self) -> None:
        self._owed_s = -math.inf
        self._pending, self._pictures = None, iter(())
        self._container.close()

    def _go_to(self, time_s: float) -> bool:
        """Stand before the first frame at or after `time_s`; False if there is none."""
        # Containers index by decoding time, some only roughly, so a landing may be late: step back, at last start over.
        for back_s in (0.0, 2.0, 10.0, 60.0):
            if self._land(time_s - back_s) and self._pending is not None and self._pending_s() <= time_s + _EPSILON_S:
                break
        else:
            self._container.close()
            self._open()
        while self._pending is not None and self._pending_s() < time_s - _EPSILON_S:
            self._pending = self._next()
        return self._pending is not None

    @property
    def device(self) -> Device | None:
        """What decodes the pictures, None for the CPU."""
        return self._device

    def _open(self) -> None:
        """Open container and decoder, and decode the first picture: on a device if one does, else on the CPU."""
        failed: list[tuple[Device, str]] = []
        for device in devices(self._decoder):
            try:
                self._open_on(device)
            except (FFmpegError, SegnetLiveError, RuntimeError, NotImplementedError) as error:
                failed.append((device, first_line(error)))
                continue
            if self._pending is not None:
                return
            self._container.close()
            failed.append((device, "not one picture"))
        self._corrupt = 0
        self._open_on(None)  # raises what is wrong with the source itself
        for device, why in failed:
            note_failure(device, why)
            if device == self._decoder:
                self.close()
                raise SourceError(f"{self._title}: --decoder {device} does not open ({why})", "use --decoder auto")

    def _open_on(self, device: Device | None) -> None:
        self._device = device
        self._container = open_container(self._location, device)
        try:
            self._stream = video_stream(self._container, self._title)
            assert self._stream.time_base is not None
            self._live = self._url and self._container.duration is None
            self._rtsp = self._container.format.name == "rtsp"
            # Frame threads hold pictures back; a live picture is wanted at once.
            self._stream.thread_type = "SLICE" if self._live else "AUTO"
            # Motion-JPEG over HTTP carries no times: its demuxer numbers pictures as if there were 25 a second.
            self._wallclock = self._live and self._container.format.name in ("mpjpeg", "mjpeg")
            self._time_base = Fraction(1, 90_000) if self._wallclock else self._stream.time_base
            self._rate = self._stream.average_rate or self._stream.guessed_rate or None
            self._pixel_aspect = self._stream.sample_aspect_ratio or Fraction(1)
            self._converter = PictureConverter()
            self._packets_read = 0
            self._first_dts: int | None = None
            self._lag: int | None = None
            self._untimed = False
            self._restart(whole=True)
        except BaseException:
            self._container.close()
            raise

    def _describe(self, picture: VideoFrame) -> SourceInfo:
        length_s = None if self._live else stream_length_s(self._container, self._stream)
        frames = self._stream.frames or (round(length_s * self._rate) if length_s and self._rate else None)
        if length_s is not None:
            shown_s = max(0.0, min(self._origin_s + length_s, self._end_s) - self._start_s)
            frames = None if frames is None else round(frames * shown_s / length_s)
            length_s = shown_s
        return SourceInfo(
            title=self._title,
            size=_size_of(self._converter.picture(picture, self._pixel_aspect)),
            rate=None if self._wallclock else self._rate,
            time_base=self._time_base,
            duration_s=length_s,
            frames=frames,
            live=self._live,
            seekable=not self._live,
            audio=not self._live and audio_stream(self._container) is not None,
            start_s=self._start_s,
            location=self._location,
        )

    def _stated_end_s(self) -> float:
        """Return the source time at which a source on the network says that its pictures end; -inf where none does."""
        length_s = stream_length_s(self._container, self._stream) if self._url and not self._live else None
        # a container's length may be its sound's; RTSP states the one length of all that it sends
        is_pictures = bool(self._stream.duration) or self._rtsp
        if length_s is None or not (is_pictures or audio_stream(self._container) is None):
            return -math.inf
        return min(self._origin_s + length_s, self._end_s)

    def _land(self, time_s: float) -> bool:
        """Jump to the key frame before `time_s`; False where only counting from the beginning tells the time."""
        if self._untimed or time_s <= self._origin_s:
            return False
        try:
            self._container.seek(math.floor(time_s / self._time_base), stream=self._stream)
        except (FFmpegError, OverflowError):  # a time beyond what a container can count
            return False
        self._restart(whole=False)
        timed = self._pending is None or self._rtsp or self._stamp(self._pending[0]) is not None
        # Pictures shown before the key frame may lean on ones that were jumped over.
        while self._pending is not None and not self._pending[0].key_frame:
            self._pending = self._next()
        return timed

    def _restart(self, *, whole: bool) -> None:
        """Decode from where the container stands; `whole` if that is its beginning."""
        self._whole = whole
        self._pictures = self._decode()
        self._last: int | None = None
        self._expected = Fraction(0)
        self._shift = 0
        if self._rtsp and not whole:
            self._time_by_second()
        self._pending = self._next()

    def _time_by_second(self) -> None:
        """Time the first picture after a jump by the one after it: libavformat's RTSP gives the first none."""
        first, second = next(self._pictures, None), next(self._pictures, None)
        if second is not None and second.pts is not None:
            self._expected = second.pts - 1 / ((self._rate or NOMINAL_RATE) * self._time_base)
        self._pictures = chain([picture for picture in (first, second) if picture is not None], self._pictures)

    def _pending_s(self) -> float:
        assert self._pending is not None
        return float(self._pending[1] * self._time_base)

    def _next(self) -> tuple[VideoFrame, int] | None:
        """Return the next picture and its time in ticks."""
        picture = next(self._pictures, None)
        if picture is None:
            return None
        self._corrupt += picture.is_corrupt
        pts = self._time_of(picture)
        self._last = pts if self._last is None else max(pts, self._last + 1)
        return picture, self._last

    def _time_of(self, picture: VideoFrame) -> int:
        """Return the ticks a picture states; count on at the rate where it states none or its clock went back."""
        if self._wallclock:
            return round(Fraction(time.perf_counter()) / self._time_base)
        stamp = self._stamp(picture)
        if stamp is None:
            pts = round(self._expected)
        else:
            pts = stamp + self._shift
            if self._last is not None and (self._last - pts) * self._time_base > 1:
                # Joined recordings restart their clock: go on from here rather than squeeze all that follows.
                self._shift += round(self._expected) - pts
                pts = round(self._expected)
            self._expected = Fraction(pts)
        self._expected += 1 / ((self._rate or NOMINAL_RATE) * self._time_base)
        return pts

    def _stamp(self, picture: VideoFrame) -> int | None:
        """Return the picture's own time, None where the container gives none."""
        if self._lag is None:  # the first picture
            self._untimed = picture.pts is None and picture.dts is None and not self._rtsp
            self._lag = (picture.dts or 0) - (self._first_dts or 0)
        # AVI numbers pictures in decoding order and libavformat guesses the rest, wrongly for H.264. A decoder stamps
        # them with the dts at which they came out: a constant lag behind the time they are shown.
        if picture.pts is not None and self._container.format.name != "avi":
            return picture.pts
        return None if picture.dts is None else picture.dts - self._lag

    def _decode(self) -> Iterator[VideoFrame]:
        for packet in self._packets():
            try:
                yield from self._stream.decode(packet)
            except FFmpegError:
                # A stream is joined between key frames: what comes before the first picture is no loss.
                self._corrupt += not self._live or self._last is not None
        if self._whole:
            end_s = float(self._expected * self._time_base)
            rate = self._rate or NOMINAL_RATE
            self._corrupt += pictures_missing(self._container, self._stream, self._packets_read, end_s, rate)

    def _packets(self) -> Iterator[Packet[VideoStream] | None]:
        """Yield packets to the end, last the one that flushes the decoder; count and pass read errors of files."""
        errors = 0
        while errors < _MAX_READ_ERRORS:
            try:
                for packet in self._container.demux(self._stream):
                    self._packets_read += packet.size > 0
                    if self._first_dts is None:
                        self._first_dts = packet.dts
                    errors = 0
                    self._corrupt += packet.is_corrupt
                    # A packet cut short at the end of a file would make the decoder drop the good pictures it still
                    # holds; in a transport stream the mark means a few bytes lost, which the decoder conceals.
                    if not packet.is_corrupt or self._container.format.name == "mpegts":
                        yield packet
                return
            except IndexError:
                errors += 1  # PyAV 18 has no place for a track that begins in the middle; its packets are left out
            except FFmpegError as error:
                if self._url:
                    raise SourceLost(f"{self._title}: the stream broke off ({reason(error)})") from None
                errors += 1
                self._corrupt += errors == 1
        yield None


def _size_of(picture: RGB | Planes) -> Size:
    return picture.size if isinstance(picture, Planes) else (picture.shape[0], picture.shape[1])
