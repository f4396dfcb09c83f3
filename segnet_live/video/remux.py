"""Make a finished recording of the fragmented file it grew in."""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path

import av


def remux(fragmented: Path, finished: Path, lead_s: Fraction) -> None:
    """Copy every packet of `fragmented` to a fast-start mp4, `lead_s` earlier, and put it at `finished` in one step.

    Raises:
        FFmpegError, OSError: reading or writing failed; `finished` is as it was.
    """
    growing = finished.with_name(f".{finished.name}.part")
    try:
        with (
            av.open(f"file:{fragmented}", "r") as source,
            av.open(f"file:{growing}", "w", format="mp4", options={"movflags": "+faststart"}) as output,
        ):
            streams = {s.index: output.add_stream_from_template(s, opaque=True) for s in source.streams}
            for packet in source.demux():
                if packet.pts is None or packet.dts is None:
                    continue
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
