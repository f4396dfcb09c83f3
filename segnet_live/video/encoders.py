"""Choose what encodes a recording: a hardware encoder where one opens, else x264 as thorough as the cores allow."""

from __future__ import annotations

import logging
import sys
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from av.codec.codec import codecs_available
from av.codec.context import CodecContext
from av.codec.hwaccel import HWAccel
from av.error import FFmpegError
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame

from segnet_live.config import ENCODERS, Encoder, Encoding
from segnet_live.errors import UsageError, first_line
from segnet_live.system import nvidia
from segnet_live.system.cores import cores

log = logging.getLogger(__name__)

KEY_FRAMES_S = 1
"""Source time from one key frame to the next, at most, but where a source pauses that never did before."""
SHARE = 0.105
"""The most of the cores' time, at the source's rate, that x264 may need; the fastest preset may need more."""

_LOOKAHEAD_S = Fraction(1, 3)
"""What x264 may hold back to choose better; it is lost when the process is killed."""
_CODECS: dict[Encoder, str] = {
    "x264": "libx264",
    "nvenc": "h264_nvenc",
    "qsv": "h264_qsv",
    "vaapi": "h264_vaapi",
    "videotoolbox": "h264_videotoolbox",
}


class _Preset(NamedTuple):
    """One of the ways in which x264 encodes, the most thorough first; see the table in bench/README.md.

    Attributes:
        ns: nanoseconds on one core for a pixel (a Xeon with AVX-512).
        coarser: what to add to the quality that was asked for: pictures are then as like their originals as veryfast's.
        more: parameters beside those of x264's own preset.
    """

    title: str
    preset: str
    ns: float
    coarser: int = 0
    more: str = ""


_PRESETS = (
    _Preset("veryfast", "veryfast", 16.0),
    # Of the same size as superfast's at the same likeness, in five sixths of its time.
    _Preset("ultrafast with CABAC", "ultrafast", 8.3, coarser=1, more=":cabac=1:deblock=0,0:subme=1"),
    _Preset("ultrafast", "ultrafast", 5.7, more=":deblock=0,0"),
)


@dataclass(frozen=True, slots=True)
class Opened:
    """An encoder that opens, and how.

    Attributes:
        name: as `--encoder` takes it.
        title: for people: the name and, of x264, the preset.
        missing: why hardware encoders that were tried do not open, by name.
    """

    name: Encoder
    codec: str
    options: dict[str, str]
    title: str
    missing: tuple[tuple[Encoder, str], ...] = ()

    @property
    def hwaccel(self) -> HWAccel | None:
        """The device that the encoder takes its frames from; None where it takes them from memory."""
        return HWAccel("vaapi") if self.name == "vaapi" else None

    def configure(self, context: VideoCodecContext, rate: Fraction) -> None:
        """Set options, threads and, where the encoder asks for it, the pixel format."""
        context.options = dict(self.options)
        if self.name == "x264":
            context.thread_count = _threads(cores()) if rate >= 10 else 1
            # Slices, PyAV's default, wait for each other at the end of every frame.
            context.thread_type = "FRAME"
        else:
            context.gop_size = max(1, round(rate * KEY_FRAMES_S))
            context.pix_fmt = "nv12" if self.name in ("qsv", "vaapi") else context.pix_fmt


def choose(encoding: Encoding, size: tuple[int, int], rate: Fraction) -> Opened:
    """Return the encoder for pictures of `size`, (height, width), at `rate` frames a second.

    Raises:
        UsageError: the encoder that was asked for does not open here.
    """
    if encoding.encoder not in ("auto", "x264"):
        why = problem(encoding.encoder, size)
        if why:
            raise UsageError(f"--encoder {encoding.encoder} does not open here ({why})", "use --encoder auto")
        return _hardware(encoding.encoder, encoding.quality)
    missing: list[tuple[Encoder, str]] = []
    for name in _worth_trying() if encoding.encoder == "auto" else ():
        why = problem(name, size)
        if not why:
            return _hardware(name, encoding.quality)
        missing.append((name, why))
    preset = preset_for(size, rate, cores())
    return Opened("x264", "libx264", _x264(preset, encoding, rate), f"x264 {preset.title}", tuple(missing))


def preset_for(size: tuple[int, int], rate: Fraction, cores: int) -> _Preset:
    """Return the most thorough of x264's presets that needs no more than its share of the cores."""
    pixels_s = size[0] * size[1] * float(rate)
    return next((preset for preset in _PRESETS if pixels_s * preset.ns * 1e-9 <= SHARE * cores), _PRESETS[-1])


@lru_cache(maxsize=32)
def problem(name: Encoder, size: tuple[int, int]) -> str:
    """Return why an encoder does not work for pictures of `size`; "" if it does. Tries it once, with one frame."""
    codec = _CODECS[name]
    if codec not in codecs_available:
        return f"FFmpeg here has no {codec}"
    height, width = size[0] + size[0] % 2, size[1] + size[1] % 2
    opened = _hardware(name, 20) if name != "x264" else Opened(name, codec, {"preset": "ultrafast"}, name)
    try:
        context = CodecContext.create(codec, "w", opened.hwaccel)
        assert isinstance(context, VideoCodecContext)
        context.width, context.height, context.pix_fmt = width, height, "yuv420p"
        context.time_base, context.framerate = Fraction(1, 30), Fraction(30)
        opened.configure(context, Fraction(30))
        grey = VideoFrame.from_ndarray(np.full((height * 3 // 2, width), 128, np.uint8), format="yuv420p")
        grey.pts = 0
        packets = [*context.encode(grey), *context.encode(None)]
    except (FFmpegError, OSError, ValueError, RuntimeError, NotImplementedError) as error:
        log.info("%s does not open: %s", codec, error)
        return (error.strerror if isinstance(error, FFmpegError) else None) or first_line(error)
    return "" if packets else "it gives no packet"


def tried(size: tuple[int, int]) -> dict[Encoder, str]:
    """Return for every encoder why it does not work, "" where it does."""
    return {name: problem(name, size) for name in ENCODERS if name != "auto"}


def _worth_trying() -> tuple[Encoder, ...]:
    """Return the hardware encoders that this kind of machine may have, the best first."""
    if sys.platform == "darwin":
        return ("videotoolbox",)
    nvenc: tuple[Encoder, ...] = ("nvenc",) if nvidia.has_gpu() else ()
    if sys.platform == "win32":
        return (*nvenc, "qsv")
    return (*nvenc, "qsv", "vaapi") if Path("/dev/dri").exists() else nvenc


def _hardware(name: Encoder, quality: int) -> Opened:
    """Return a hardware encoder at the quality of its own nearest to x264's CRF; no B-frames, see `_x264`."""
    options = {
        "nvenc": {"preset": "p4", "rc": "vbr", "cq": str(quality), "b": "0", "bf": "0", "forced-idr": "1"},
        "qsv": {"global_quality": str(quality), "bf": "0", "look_ahead": "0", "forced_idr": "1"},
        "vaapi": {"rc_mode": "CQP", "qp": str(quality), "bf": "0"},
        # 0 to 100, higher is better, in units of FF_QP2LAMBDA.
        "videotoolbox": {"flags": "+qscale", "global_quality": str(118 * max(1, 105 - 2 * quality)), "bf": "0"},
    }[name]
    return Opened(name, _CODECS[name], options, name)


def _x264(preset: _Preset, encoding: Encoding, rate: Fraction) -> dict[str, str]:
    # Two threads and a look-ahead hold back frames, which at low rates are seconds.
    hold = encoding.look_ahead and rate >= 10
    lookahead = min(10, int(rate * _LOOKAHEAD_S)) if hold and preset.preset == "veryfast" else 0
    # Else each frame waits for the next one's time, by which x264 weighs its bits.
    at_once = "" if hold else ":force-cfr=1"
    return {
        "preset": preset.preset,
        "crf": str(min(encoding.quality + preset.coarser, 51)),
        "forced-idr": "1",
        # No B-frames: decoding order is display order, so that no file needs an edit list to start at 0.
        "x264-params": f"bframes=0:rc-lookahead={lookahead}:sync-lookahead=0:keyint=infinite{at_once}{preset.more}",
    }


def _threads(cores: int) -> int:
    return min(max(2, cores // 2), 6)
