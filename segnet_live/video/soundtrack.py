"""Carry sound into a recording: the source's packets where a browser plays them in mp4, else re-encoded to AAC."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction
from typing import Protocol

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.bitstream import BitStreamFilterContext
from av.container import InputContainer, OutputContainer
from av.error import FFmpegError
from av.packet import Packet
from numpy.typing import NDArray

from segnet_live.video.container import audio_stream, open_container

_COPIED = {"aac", "mp3", "mp3float"}
_AAC_RATES = {96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000}
_AAC_BLOCK = 1024
_BIT_RATE = 160_000
LONGEST_GAP_S = 3600
"""A longer gap in a file's times is no pause but damage, or a clock that was set."""
_JITTER_S = Fraction(1, 50)
"""Times of neighbouring packets are rounded to the container's ticks; only beyond this they tell of a gap."""


class Soundtrack:
    """The main sound track of one file, read in step with the pictures. One thread, the recorder's; reading blocks."""

    def __init__(self, container: InputContainer, stream: AudioStream) -> None:
        self._container = container
        self._stream = stream
        self._packets = self._demux()
        self._early: Packet[AudioStream] | None = None
        self._track: AudioTrack | None = None

    @classmethod
    def open(cls, location: str) -> Soundtrack | None:
        """Return the sound of `location`, or None where it has none.

        Raises:
            SourceError: the file cannot be opened.
        """
        container = open_container(location)
        stream = audio_stream(container)
        if stream is None:
            container.close()
            return None
        return cls(container, stream)

    def skip_to(self, time_s: Fraction) -> None:
        """Seek to the first packet that lasts beyond `time_s` of source time, back or ahead."""
        assert self._stream.time_base is not None
        with suppress(FFmpegError, OverflowError):  # what cannot seek is read on
            self._container.seek(int(time_s / self._stream.time_base), stream=self._stream)
        self._early = None
        self._packets = itertools.dropwhile(lambda p: _end_s(p) <= time_s, self._demux())
        if self._track is not None:
            self._track.cut()

    def begin(self, output: OutputContainer) -> Fraction | None:
        """Add the sound to `output`; return its first packet's source time, None if there is none from here on."""
        first = next(self._packets, None)
        if first is not None:
            self._packets = itertools.chain([first], self._packets)
        example = self._first_of_all() if first is None else first
        if example is None:
            return None
        kind = Passthrough if self._stream.codec_context.name in _COPIED else Transcode
        self._track = kind(self._stream, output, example)
        return None if first is None else _begin_s(first) - self._track.run_in_s

    def packets_until(self, end_s: Fraction | None, shift_s: Fraction) -> Iterator[Packet[AudioStream]]:
        """Yield packets to mux, `shift_s` later: those not given yet that begin before `end_s` (None: all)."""
        while self._track is not None:
            packet = next(self._packets, None) if self._early is None else self._early
            self._early = None
            if packet is None:
                return
            if end_s is not None and _begin_s(packet) >= end_s:
                self._early = packet
                return
            yield from self._track.feed(packet, shift_s)

    def last_packets(self) -> Iterator[Packet[AudioStream]]:
        """Return what an encoder still holds back, when there will be no more."""
        if self._track is not None:
            yield from self._track.finish()

    def close(self) -> None:
        self._container.close()

    def _first_of_all(self) -> Packet[AudioStream] | None:
        """Return the track's first packet; what was being read ends."""
        with suppress(FFmpegError):
            self._container.seek(0)
        first = next(self._demux(), None)
        self._packets = iter(())
        return first

    def _demux(self) -> Iterator[Packet[AudioStream]]:
        """Yield packets with rising times; damage leaves a gap or ends the sound, never the recording."""
        last: int | None = None
        end_s: Fraction | None = None
        source = self._stream
        known = source.start_time is not None and source.duration is not None
        end = source.start_time + source.duration if known else None  # type: ignore[operator]
        with suppress(FFmpegError, IndexError):  # see FileSource: a track that begins in the middle
            for packet in self._container.demux(self._stream):
                if packet.pts is not None and packet.dts is not None and (last is None or packet.dts > last):
                    if end_s is not None and _begin_s(packet) > end_s + LONGEST_GAP_S:
                        continue  # hours of silence would be encoded
                    last, end_s = packet.dts, _end_s(packet)
                    # An edit list may end the sound within its last packet.
                    if end is not None and packet.duration and packet.pts < end < packet.pts + packet.duration:
                        packet.duration = end - packet.pts
                    yield packet


class AudioTrack(Protocol):
    """A way to turn packets of a source into packets of the recording.

    Attributes:
        run_in_s: how much earlier than the sound itself its first packet begins.
    """

    run_in_s: Fraction

    def feed(self, packet: Packet[AudioStream], shift_s: Fraction) -> Iterator[Packet[AudioStream]]:
        """Take the next packet, which belongs `shift_s` later than the source has it; return what is ready to mux."""
        ...

    def cut(self) -> None:
        """Start a new run of sound, which does not continue the packets before."""
        ...

    def finish(self) -> Iterator[Packet[AudioStream]]: ...


class Passthrough:
    """A copy, packet by packet and bit for bit. A cut leaves out packets that would lie over the ones before."""

    run_in_s = Fraction(0)

    def __init__(self, source: AudioStream, output: OutputContainer, first: Packet[AudioStream]) -> None:
        self._out = output.add_stream_from_template(source, opaque=True)
        self._bare: BitStreamFilterContext | None = None
        self._cut = False
        self._last_end_s = Fraction(0)
        if source.codec_context.name == "aac" and not source.codec_context.extradata:
            # Transport streams describe AAC in every packet, mp4 once, in a header written before the first.
            self._bare = BitStreamFilterContext("aac_adtstoasc", source)
            (bare,) = BitStreamFilterContext("aac_adtstoasc", source).filter(Packet(bytes(first)))
            self._out.codec_context.extradata = bytes(bare.get_sidedata("new_extradata"))

    def feed(self, packet: Packet[AudioStream], shift_s: Fraction) -> Iterator[Packet[AudioStream]]:
        if self._cut and _begin_s(packet) + shift_s < self._last_end_s:
            return
        self._cut = False
        self._last_end_s = _end_s(packet) + shift_s
        for ready in [packet] if self._bare is None else self._bare.filter(packet):
            ticks = round(shift_s / ready.time_base)
            assert ready.pts is not None
            assert ready.dts is not None
            ready.pts += ticks
            ready.dts += ticks
            ready.stream = self._out
            yield ready

    def cut(self) -> None:
        self._cut = True

    def finish(self) -> Iterator[Packet[AudioStream]]:
        yield from ()


class Transcode:
    """Sound decoded and encoded to AAC as one run of samples: gaps become silence, overlaps are left out."""

    def __init__(self, source: AudioStream, output: OutputContainer, first: Packet[AudioStream]) -> None:
        context = source.codec_context
        self._rate = context.sample_rate if context.sample_rate in _AAC_RATES else 48000
        self._layout = "mono" if context.layout.nb_channels == 1 else "stereo"
        self._out = output.add_stream("aac", rate=self._rate, layout=self._layout, bit_rate=_BIT_RATE)
        self._source = source
        self._resampler = self._new_resampler()
        self._waiting = np.zeros((1 if self._layout == "mono" else 2, 0), np.float32)
        self._position: int | None = None
        self._cut = False
        self.run_in_s = Fraction(_AAC_BLOCK, self._rate)

    def feed(self, packet: Packet[AudioStream], shift_s: Fraction) -> Iterator[Packet[AudioStream]]:
        try:
            decoded = packet.decode()
        except FFmpegError:
            return  # a gap, which the next packet fills with silence
        for frame in decoded:
            for samples in self._resampler.resample(frame):
                yield from self._append(samples, shift_s)

    def cut(self) -> None:
        # What decoder and resampler hold back is the beginning of sound that was cut off.
        self._source.codec_context.flush_buffers()
        self._resampler = self._new_resampler()
        self._cut = True

    def finish(self) -> Iterator[Packet[AudioStream]]:
        for samples in self._resampler.resample(None):
            self._add(_values(samples))
        yield from self._encode(all_of_it=True)
        yield from self._out.encode(None)

    def _new_resampler(self) -> av.AudioResampler:
        return av.AudioResampler("fltp", self._layout, self._rate)

    def _append(self, frame: AudioFrame, shift_s: Fraction) -> Iterator[Packet[AudioStream]]:
        """Put `frame` where its time says, after all that came before."""
        samples = _values(frame)
        if frame.pts is not None and frame.time_base is not None:
            begin = round((frame.pts * frame.time_base + shift_s) * self._rate)
            if self._position is None:
                self._position = begin
            end = self._position + self._waiting.shape[1]
            if self._cut or abs(begin - end) > _JITTER_S * self._rate:
                samples = samples[:, max(0, end - begin) :]
                for position in range(end, begin, self._rate):  # a second at a time: it may be a long silence
                    self._add(np.zeros((samples.shape[0], min(self._rate, begin - position)), np.float32))
                    yield from self._encode()
            self._cut = False
        self._add(samples)
        yield from self._encode()

    def _add(self, samples: NDArray[np.float32]) -> None:
        self._waiting = np.concatenate([self._waiting, samples], axis=1)

    def _encode(self, *, all_of_it: bool = False) -> Iterator[Packet[AudioStream]]:
        while self._waiting.shape[1] >= (1 if all_of_it else _AAC_BLOCK):
            block = np.ascontiguousarray(self._waiting[:, :_AAC_BLOCK])
            self._waiting = self._waiting[:, _AAC_BLOCK:]
            frame = AudioFrame.from_ndarray(block, format="fltp", layout=self._layout)
            frame.sample_rate, frame.time_base = self._rate, Fraction(1, self._rate)
            frame.pts, self._position = self._position, (self._position or 0) + block.shape[1]
            yield from self._out.encode(frame)


def _values(frame: AudioFrame) -> NDArray[np.float32]:
    return np.asarray(frame.to_ndarray(), np.float32)


def _begin_s(packet: Packet[AudioStream]) -> Fraction:
    assert packet.pts is not None
    return packet.pts * packet.time_base


def _end_s(packet: Packet[AudioStream]) -> Fraction:
    return _begin_s(packet) + (packet.duration or 0) * packet.time_base
