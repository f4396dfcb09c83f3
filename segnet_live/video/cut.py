"""Cut clips out of a video without encoding anything again: packets are copied, pictures and sound stay as they are."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
from av.container import InputContainer, OutputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.stream import Stream
from av.video.stream import VideoStream

from segnet_live.errors import OutputError, SourceError, first_line
from segnet_live.system.files import replace_atomically
from segnet_live.video.container import open_container, reason, stream_length_s, video_stream

SAME_CONTAINER = (".mp4", ".m4v", ".mov", ".mkv", ".webm")
"""Suffixes whose containers take back what they held; clips of others become Matroska, which takes everything."""
_FORMATS = {".m4v": "mp4", ".mkv": "matroska"}
_BACK_S = (0, 2, 10, 60)
"""How much earlier to look when a container's index lands behind the wanted time."""


def clip_suffix(video: Path) -> str:
    """Return the suffix that clips of `video` have."""
    suffix = video.suffix.lower()
    return suffix if suffix in SAME_CONTAINER else ".mkv"


def cut_clip(video: Path, start_s: float, end_s: float, clip: Path) -> tuple[float, float]:
    """Copy `start_s` to `end_s` of a video to `clip`, whole or not at all; begin at the key frame before.

    Sound is cut with the pictures; subtitles and data are left out.

    Args:
        start_s, end_s: source time in seconds.

    Returns:
        Source time at which the clip begins, and how many seconds of pictures it holds.

    Raises:
        SourceError: the video cannot be read there.
        OutputError: the clip cannot be written.
    """
    suffix = clip.suffix.lower()
    with open_container(str(video)) as source, replace_atomically(clip) as scratch:
        pictures = video_stream(source, str(video))
        landed_s = _land(source, pictures, start_s)
        if landed_s is None:
            raise SourceError(f"{video}: no key frame before {start_s:.2f} s", "cut it with another program")
        key_s = float(landed_s)
        try:
            with av.open(f"file:{scratch}", "w", format=_FORMATS.get(suffix, suffix[1:])) as output:
                return key_s, _copy(source, output, pictures, key_s, end_s)
        except (FFmpegError, ValueError) as error:
            what = reason(error) if isinstance(error, FFmpegError) else first_line(error)
            raise OutputError(f"{clip} cannot be written ({what})", "choose another place for --cut") from error


def borders(video: Path, piece_s: float) -> list[Fraction]:
    """Return where to cut a video into pieces of about `piece_s` seconds: source times of key frames, rising.

    Empty for a video that is not half as long again, or that tells no length. Only some packets before each border
    are read.

    Raises:
        SourceError: the video cannot be opened.
    """
    with open_container(str(video)) as source:
        pictures = video_stream(source, str(video))
        length_s = stream_length_s(source, pictures) or 0.0
        count = round(length_s / piece_s)
        if count < 2 or pictures.time_base is None:
            return []
        first_s = (pictures.start_time or 0) * pictures.time_base
        wanted = [float(first_s) + length_s * number / count for number in range(1, count)]
        found = {key_s for at_s in wanted if (key_s := _land(source, pictures, at_s)) is not None}
        return sorted(key_s for key_s in found if key_s > first_s)


def _land(source: InputContainer, pictures: VideoStream, start_s: float) -> Fraction | None:
    """Place the container at the last key frame at or before `start_s`; return its time, None if there is none."""
    assert pictures.time_base is not None
    for back_s in _BACK_S:
        ticks = int((start_s - back_s) / pictures.time_base)
        found: Fraction | None = None
        try:
            source.seek(ticks, stream=pictures)
            for packet in source.demux(pictures):
                if packet.pts is None:
                    continue
                time_s = packet.pts * pictures.time_base
                if packet.is_keyframe and time_s <= start_s + 1e-6:
                    found = time_s
                if (packet.dts or packet.pts) * pictures.time_base > start_s:
                    break
            if found is not None:
                source.seek(round(found / pictures.time_base), stream=pictures)
                return found
        except (FFmpegError, OverflowError, IndexError):  # damaged there, or a time that no container counts to
            continue
    return None


def _copy(source: InputContainer, output: OutputContainer, pictures: VideoStream, key_s: float, end_s: float) -> float:
    """Copy packets from `key_s` to `end_s`, so that the first picture is at 0; return the seconds of pictures."""
    sounds = [stream for stream in source.streams.audio if stream.codec_context is not None][:1]
    copies: dict[int, Stream] = {s.index: output.add_stream_from_template(s, opaque=True) for s in (pictures, *sounds)}
    last_s = key_s
    for packet in _with_dts(_wanted(source, [pictures, *sounds], pictures, key_s, end_s)):
        assert packet.time_base is not None
        assert packet.pts is not None
        assert packet.dts is not None
        if packet.stream_index == pictures.index:
            last_s = max(last_s, float((packet.pts + (packet.duration or 0)) * packet.time_base))
        lead = round(Fraction(key_s) / packet.time_base)
        packet.pts -= lead
        packet.dts -= lead
        packet.stream = copies[packet.stream_index]
        output.mux(packet)
    return last_s - key_s


def _wanted(
    source: InputContainer, streams: list[Stream], pictures: VideoStream, key_s: float, end_s: float
) -> Iterator[Packet]:
    """Yield the packets of the clip, in the file's order."""
    going = {stream.index for stream in streams}
    last_s: float | None = None
    for packet in source.demux(*streams):
        if packet.pts is None or packet.time_base is None or packet.stream_index not in going:
            continue
        time_s = float(packet.pts * packet.time_base)
        decoded_s = float((packet.dts if packet.dts is not None else packet.pts) * packet.time_base)
        over = decoded_s >= end_s
        if packet.stream_index == pictures.index:
            # Pictures shown before the key frame lean on ones that are not in the clip.
            if time_s < key_s - 1e-6 or (last_s is None and not packet.is_keyframe):
                continue
            # Those shown before one that is in the clip come behind it: they complete the clip, so that no gap is left.
            over = over and last_s is not None and time_s > last_s
            last_s = time_s if last_s is None else max(last_s, time_s)
        elif time_s < key_s:
            continue
        if over:
            going.discard(packet.stream_index)
            if not going:
                return
            continue
        yield packet


def _with_dts(packets: Iterator[Packet]) -> Iterator[Packet]:
    """Give packets the decoding times that Matroska leaves out behind a seek, counted back from the first it states."""
    waiting: dict[int, list[Packet]] = {}
    known: set[int] = set()
    for packet in packets:
        stream = packet.stream_index
        if packet.dts is None and stream not in known:
            waiting.setdefault(stream, []).append(packet)
            continue
        known.add(stream)
        if packet.dts is None:
            packet.dts = packet.pts
        yield from _counted_back(waiting.pop(stream, []), packet.dts)
        yield packet
    for held in waiting.values():
        last = min((p.pts for p in held if p.pts is not None), default=0) + sum(p.duration or 1 for p in held)
        yield from _counted_back(held, last)


def _counted_back(packets: list[Packet], following: int | None) -> list[Packet]:
    for packet in reversed(packets):
        following = (following or 0) - max(1, packet.duration or 1)
        packet.dts = following
    return packets
