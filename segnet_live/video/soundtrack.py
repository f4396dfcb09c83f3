"""The sound of a recording: the source's packets where a browser plays them in mp4, else re-encoded to AAC."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction

import av
from av.audio.codeccontext import AudioCodecContext
from av.audio.stream import AudioStream
from av.bitstream import BitStreamFilterContext
from av.container import InputContainer, OutputContainer
from av.error import FFmpegError
from av.packet import Packet

from segnet_live.video.container import audio_stream, open_container

_COPIED = {"aac", "mp3", "mp3float"}
_AAC_RATES = {96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000}
_BIT_RATE = 160_000


class Soundtrack:
    """One file's main sound track, read in step with the pictures. One thread, the recorder's; reading blocks."""

    def __init__(self, container: InputContainer, stream: AudioStream) -> None:
        self._container = container
        self._stream = stream
        self._copied = stream.codec_context.name in _COPIED
        self._packets = self._demux()
        self._early: Packet[AudioStream] | None = None

    @classmethod
    def open(cls, location: str) -> Soundtrack | None:
        """The sound of `location`, or None where it has none.

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
        """Leave out the packets that end before `time_s` of source time; call before `begin`."""
        assert self._stream.time_base is not None
        with suppress(FFmpegError):  # what cannot seek is read from its beginning
            self._container.seek(int(time_s / self._stream.time_base), stream=self._stream)
        self._packets = itertools.dropwhile(
            lambda p: _begin_s(p) + (p.duration or 0) * p.time_base <= time_s, self._demux()
        )

    def begin(self, output: OutputContainer) -> Fraction | None:
        """Add the sound to `output`; gives its first packet's source time, or None if there is no sound left."""
        first = next(self._packets, None)
        if first is None:
            return None
        start_s = _begin_s(first)
        packets = itertools.chain([first], self._packets)
        if self._copied:
            self._out = output.add_stream_from_template(self._stream, opaque=True)
            self._packets = packets
            if self._stream.codec_context.name == "aac" and not self._stream.codec_context.extradata:
                self._packets = self._without_adts(packets)
            return start_s
        source = self._stream.codec_context
        rate = source.sample_rate if source.sample_rate in _AAC_RATES else 48000
        layout = "mono" if source.layout.nb_channels == 1 else "stereo"
        self._out = output.add_stream("aac", rate=rate, layout=layout, bit_rate=_BIT_RATE)
        self._packets = self._reencoded(packets)
        return start_s - Fraction(1024, rate)  # the encoder's run-in

    def packets_until(self, end_s: Fraction | None, shift_s: Fraction) -> Iterator[Packet[AudioStream]]:
        """Packets not given yet that begin before `end_s` of source time (None: all), `shift_s` later, ready to mux."""
        while True:
            packet = next(self._packets, None) if self._early is None else self._early
            self._early = None
            if packet is None:
                return
            if end_s is not None and _begin_s(packet) >= end_s:
                self._early = packet
                return
            ticks = round(shift_s / packet.time_base)
            assert packet.pts is not None
            assert packet.dts is not None
            packet.pts += ticks
            packet.dts += ticks
            packet.stream = self._out
            yield packet

    def close(self) -> None:
        self._container.close()

    def _demux(self) -> Iterator[Packet[AudioStream]]:
        """Packets with rising times; damage leaves a gap or ends the sound, never the recording."""
        last: int | None = None
        source = self._stream
        known = source.start_time is not None and source.duration is not None
        end = source.start_time + source.duration if known else None  # type: ignore[operator]
        with suppress(FFmpegError):
            for packet in self._container.demux(self._stream):
                if packet.pts is not None and packet.dts is not None and (last is None or packet.dts > last):
                    last = packet.dts
                    # An edit list may end the sound within its last packet.
                    if end is not None and packet.duration and packet.pts < end < packet.pts + packet.duration:
                        packet.duration = end - packet.pts
                    yield packet

    def _without_adts(self, packets: Iterator[Packet[AudioStream]]) -> Iterator[Packet[AudioStream]]:
        """Transport streams describe AAC in every packet, mp4 once, in a header written before the first."""
        bare = BitStreamFilterContext("aac_adtstoasc", self._stream)
        stripped = itertools.chain.from_iterable(map(bare.filter, packets))
        first = next(stripped)
        self._out.codec_context.extradata = bytes(first.get_sidedata("new_extradata"))
        return itertools.chain([first], stripped)

    def _reencoded(self, packets: Iterator[Packet[AudioStream]]) -> Iterator[Packet[AudioStream]]:
        encoder = self._out.codec_context
        assert isinstance(encoder, AudioCodecContext)
        resampler = av.AudioResampler(encoder.format, encoder.layout, encoder.sample_rate, frame_size=1024)
        for packet in packets:
            try:
                decoded = packet.decode()
            except FFmpegError:
                continue
            for samples in decoded:
                for block in resampler.resample(samples):
                    yield from self._out.encode(block)
        for block in resampler.resample(None):
            yield from self._out.encode(block)
        yield from self._out.encode(None)


def _begin_s(packet: Packet[AudioStream]) -> Fraction:
    assert packet.pts is not None
    return packet.pts * packet.time_base
