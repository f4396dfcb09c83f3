"""Join recordings of the pieces of one video without encoding them again: pictures at their times, with its sound."""

from __future__ import annotations

import os
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
from av.container import InputContainer, OutputContainer
from av.error import FFmpegError
from av.video.stream import VideoStream

from segnet_live.errors import OutputError, first_line
from segnet_live.system.files import replace_atomically
from segnet_live.video.container import OWN_FILES, reason
from segnet_live.video.recorder import FINEST_TICK
from segnet_live.video.soundtrack import Soundtrack


def join_videos(
    pieces: Sequence[Path], starts_s: Sequence[Fraction], tick_s: Fraction, sound_from: str, joined: Path
) -> None:
    """Copy the pictures of silent recordings one behind the other, and the sound of their source beside them.

    The result has the times that one recording of the whole source would have.

    Args:
        starts_s: source time of each piece's first picture, in seconds.
        tick_s: the source's time base, in seconds.
        sound_from: the source.

    Raises:
        SourceError: the source cannot be read.
        OutputError: the pieces differ in how they are encoded, or the result cannot be written.
    """
    sound = Soundtrack.open(sound_from)
    try:
        with replace_atomically(joined) as scratch:
            with av.open(f"file:{scratch}", "w", format="mp4", options={"movflags": "+faststart"}) as output:
                _join(pieces, starts_s, max(tick_s, FINEST_TICK), sound, output, joined)
            with scratch.open("r+b") as file:
                os.fsync(file.fileno())
    except FFmpegError as error:
        raise OutputError(f"{joined} cannot be joined ({reason(error)})", "free disk space, or run again") from error
    except ValueError as error:
        raise OutputError(f"{joined} cannot be joined ({first_line(error)})", "run again") from error
    finally:
        if sound is not None:
            sound.close()


def _join(
    pieces: Sequence[Path],
    starts_s: Sequence[Fraction],
    tick_s: Fraction,
    sound: Soundtrack | None,
    output: OutputContainer,
    joined: Path,
) -> None:
    pictures: VideoStream | None = None
    zero_s = starts_s[0]
    described = b""
    for piece, start_s in zip(pieces, starts_s, strict=True):
        with _opened(piece) as source:
            stream = source.streams.video[0]
            if pictures is None:
                described = stream.codec_context.extradata or b""
                pictures = output.add_stream_from_template(stream, opaque=True)
                sound_s = sound.begin(output) if sound is not None else None
                if sound_s is not None:  # whole sound that starts before the first picture, as in `Recorder`
                    zero_s = min(zero_s, max(sound_s, Fraction(0))) // tick_s * tick_s
            elif (stream.codec_context.extradata or b"") != described:
                problem = f"{joined}: {piece.name} was encoded otherwise than the pieces before"
                raise OutputError(problem, "the machines differ: name one encoder for all, such as --encoder x264")
            for packet in source.demux(stream):
                if packet.pts is None or packet.dts is None:
                    continue
                shift = round((start_s - zero_s) / packet.time_base)
                packet.pts += shift
                packet.dts += shift
                packet.stream = pictures
                end_s = (packet.pts + (packet.duration or 0)) * packet.time_base
                output.mux(packet)
                if sound is not None:
                    for heard in sound.packets_until(end_s + zero_s, -zero_s):
                        output.mux(heard)
    if sound is not None:
        for heard in (*sound.packets_until(None, -zero_s), *sound.last_packets()):
            output.mux(heard)


def _opened(piece: Path) -> InputContainer:
    return av.open(f"file:{piece}", "r", options=OWN_FILES)
