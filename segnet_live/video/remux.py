"""Make an ordinary mp4 of the fragmented file in which a recording grows: at its end, or after it was cut off."""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path

import av
from av.error import FFmpegError
from av.packet import Packet

from segnet_live.errors import OutputError, first_line
from segnet_live.system.files import make_new
from segnet_live.video.container import OWN_FILES, reason

_RUN_IN_S = Fraction(1, 5)
"""Sound that begins less than this before the first picture is an encoder's run-in, or the rest of a packet."""


def remux(fragmented: Path, finished: Path, lead_s: Fraction) -> int:
    """Copy every whole packet of `fragmented` to a fast-start mp4, `lead_s` earlier, and put it at `finished` at once.

    Returns:
        The number of pictures.

    Raises:
        FFmpegError, OSError: reading or writing failed; `finished` is as it was.
    """
    growing = finished.with_name(f".{finished.name}.{os.getpid()}.part")
    pictures = 0
    try:
        make_new(growing)
        with (
            av.open(f"file:{fragmented}", "r", options=OWN_FILES) as source,
            av.open(f"file:{growing}", "w", format="mp4", options={"movflags": "+faststart"}) as output,
        ):
            streams = {s.index: output.add_stream_from_template(s, opaque=True) for s in source.streams}
            for packet in source.demux():
                if packet.pts is None or packet.dts is None or packet.is_corrupt:
                    continue
                pictures += packet.stream.type == "video"
                lead = round(lead_s / packet.time_base)
                packet.pts -= lead
                packet.dts -= lead
                packet.stream = streams[packet.stream_index]
                output.mux(packet)
        with growing.open("r+b") as file:
            os.fsync(file.fileno())
        growing.replace(finished)
    finally:
        growing.unlink(missing_ok=True)
    return pictures


def repair(partial: Path, finished: Path) -> tuple[int, float]:
    """Make an mp4 at `finished` of a recording that was cut off, pictures and sound as far as they are whole.

    Returns:
        The number of pictures, and the seconds they last.

    Raises:
        OutputError: not one picture in `partial` is whole, or `finished` cannot be written; nothing is changed.
    """
    try:
        first_s: dict[str, Fraction] = {}
        last_s = Fraction(0)
        with av.open(f"file:{partial}", "r", options=OWN_FILES) as source:
            for packet in source.demux():
                if packet.pts is None or packet.is_corrupt:
                    continue
                time_s = _time_s(packet)
                first_s.setdefault(packet.stream.type, time_s)
                if packet.stream.type == "video":
                    last_s = time_s + (packet.duration or 0) * packet.time_base
        if "video" not in first_s:
            raise OutputError(f"{partial}: holds no whole picture; nothing can be repaired")
        picture_s, earliest_s = first_s["video"], min(first_s.values())
        lead_s = picture_s if picture_s - earliest_s < _RUN_IN_S else earliest_s
        return remux(partial, finished, lead_s), float(last_s - picture_s)
    except FFmpegError as error:
        raise OutputError(f"{partial}: cannot be repaired ({reason(error)}); it is left as it is") from error
    except OSError as error:
        problem = f"{finished} cannot be written ({first_line(error)}); {partial} is left as it is"
        raise OutputError(problem, "free disk space, or pass --output") from error


def _time_s(packet: Packet) -> Fraction:
    assert packet.pts is not None
    return packet.pts * packet.time_base
