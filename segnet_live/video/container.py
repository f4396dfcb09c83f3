"""Open containers with PyAV, and say in one line why one cannot be used."""

from __future__ import annotations

import re
from collections.abc import Collection
from fractions import Fraction
from pathlib import Path

import av
from av.audio.stream import AudioStream
from av.codec.hwaccel import HWAccel
from av.container import InputContainer
from av.error import ExitError, FFmpegError
from av.stream import Disposition, Stream
from av.video.stream import VideoStream

from segnet_live.display_text import fit_to_show
from segnet_live.errors import SourceError, first_line
from segnet_live.video.decoders import Device
from segnet_live.video.location import URL_SCHEMES, is_url, scheme
from segnet_live.video.picture_size import MOST_PIXELS
from segnet_live.video.playlist import check_playlist, is_playlist

CONNECT_TIMEOUT_S = 10.0
READ_TIMEOUT_S = 10.0
LIST_TIMEOUT_S = 5.0
"""For playlists on disk: one without an end is looked at again for ever. Other files may lie on a slow disk."""
_FROM_A_FILE = "file"
"""What a file may make libavformat open: a playlist from a stranger must not send this machine's requests anywhere."""
_FROM_THE_NETWORK = "http,https,httpproxy,tcp,tls,udp,rtp,rtsp,rtmp,rtmps"
"""What an address may: no local file, to which a playlist there could point, and nothing that joins, decrypts or cuts.
httpproxy is how libavformat reaches https through the proxy that the user's environment names."""
OWN_FILES = {"protocol_whitelist": _FROM_A_FILE, "format_whitelist": "mov"}
"""How recordings of this program are opened: a playlist that somebody put in the place of one leads nowhere."""
_LIMITS = {"max_pixels": str(MOST_PIXELS)}
"""What decoders refuse: a file of 300 KiB can hold pictures of a GiB."""
_TEXT_FORMATS = {"tty", "lrc", "srt", "webvtt", "ass", "subviewer", "microdvd"}
"""libavformat plays any text file as a terminal session."""


def open_container(
    location: str, device: Device | None = None, *, formats: Collection[str] | None = None
) -> InputContainer:
    """Return an open container with its streams probed. Blocks, for URLs at most about twice the connect timeout.

    Args:
        device: decodes the pictures, None for the CPU; opening fails where it does not open or knows no stream.
        formats: the only demuxers that may read a file, by libavformat's names; None for all, playlists too.

    Raises:
        SourceError: missing, a folder, empty, or no container that libavformat knows.
    """
    title = fit_to_show(location)
    hwaccel = HWAccel(device, allow_software_fallback=False) if device else None
    if is_url(location):
        if scheme(location) not in URL_SCHEMES:
            known = ", ".join(f"{name}://" for name in URL_SCHEMES)
            raise SourceError(
                f"{title}: cannot be opened: no such kind of address",
                f"give a file, or {known}",
            )
        options = _LIMITS | {"protocol_whitelist": _FROM_A_FILE if scheme(location) == "file" else _FROM_THE_NETWORK}
        if scheme(location) in ("rtsp", "rtsps"):
            # TCP first: UDP loses packets, and so pictures, on most home networks.
            options["rtsp_flags"] = "prefer_tcp"
        timeout = (CONNECT_TIMEOUT_S, READ_TIMEOUT_S)
        try:
            return av.open(location, "r", options=options, timeout=timeout, metadata_errors="replace", hwaccel=hwaccel)
        except FFmpegError as error:
            # Not chained: the cause's text holds the URL with its password.
            raise SourceError(f"{title}: cannot be opened ({reason(error)})", "check address and network") from None
    path = Path(location)
    try:
        if path.is_dir():
            raise SourceError(f"{title}: is a folder", "name a video file, or pass a folder of pictures with --images")
        if not path.exists():
            raise SourceError(f"{title}: no such file", "check the path")
        if path.is_file() and path.stat().st_size == 0:
            raise SourceError(f"{title}: the file is empty; nothing to play")
        list_timeout = (LIST_TIMEOUT_S, LIST_TIMEOUT_S) if is_playlist(path) else None
    except OSError as error:
        raise SourceError(f"{title}: cannot be read ({first_line(error)})", "name a video file") from error
    if list_timeout is not None:
        check_playlist(path)
    try:
        # A bare name may look like one of libavformat's protocols ("a:b.mp4").
        options = _LIMITS | {"protocol_whitelist": _FROM_A_FILE}
        if formats is not None:
            options["format_whitelist"] = ",".join(formats)
        container = av.open(
            f"file:{path}", "r", options=options, timeout=list_timeout, metadata_errors="replace", hwaccel=hwaccel
        )
    except FFmpegError as error:
        raise SourceError(
            f"{title}: not a video that can be read ({reason(error)}); expected mp4, mkv, avi, mov or webm"
        ) from error
    if container.format.name in _TEXT_FORMATS:
        container.close()
        raise SourceError(f"{title}: is text, not a video; expected mp4, mkv, avi, mov or webm")
    return container


def video_stream(container: InputContainer, title: str) -> VideoStream:
    """Return the main moving picture; cover art is none.

    Raises:
        SourceError: there is none, no decoder for it, or more than MOST_PIXELS in a picture.
    """
    streams = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
    if not streams:
        what = "only sound" if container.streams.audio else "no video track"
        raise SourceError(f"{title}: holds {what}", "name a file with moving pictures")
    best = container.streams.best("video")
    stream = next((s for s in streams if best is not None and s.index == best.index), streams[0])
    if stream.codec_context is None:
        raise SourceError(f"{title}: its video codec is unknown here", "convert it to H.264 first")
    if stream.width * stream.height > MOST_PIXELS:
        size = f"{stream.width} x {stream.height}"
        most = f"at most {MOST_PIXELS / 1e6:.0f} million are decoded"
        raise SourceError(f"{title}: its pictures have {size} pixels; {most}", "make it smaller first")
    stream.codec_context.options = {**stream.codec_context.options, **_LIMITS}
    return stream


def audio_stream(container: InputContainer) -> AudioStream | None:
    """Return the main sound track that can be decoded, or None."""
    best = container.streams.best("audio")
    return best if isinstance(best, AudioStream) and best.codec_context is not None else None


def stream_length_s(container: InputContainer, stream: Stream) -> float | None:
    """Return the seconds that the container promises for `stream`, None where it says nothing."""
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    if not container.duration:
        return None
    # Matroska states where it ends, counted from 0; the others how long they are.
    skipped = container.start_time or 0 if "matroska" in container.format.name else 0
    return (container.duration - skipped) / av.time_base


def pictures_missing(container: InputContainer, stream: VideoStream, got: int, end_s: float, rate: Fraction) -> int:
    """Count pictures that the container promises beyond the `got` packets up to `end_s` of source time."""
    name = container.format.name
    if "mp4" in name:  # an edit list may leave out pictures that the header counts; the index holds what is shown
        return max(0, len(stream.index_entries) - got)
    tag = re.match(r"(\d+):(\d+):([\d.]+)", stream.metadata.get("DURATION", ""))
    listed, slack_s = 0, float(1 / rate)
    if name == "avi":  # entries without bytes repeat the picture before
        listed = sum(entry.size > 0 for entry in stream.index_entries) - got
        promised_s = float(stream.frames * (stream.time_base or 0))
    elif "matroska" in name and tag:
        promised_s = int(tag[1]) * 3600 + int(tag[2]) * 60 + float(tag[3])
    elif "matroska" in name and container.duration:
        promised_s, slack_s = container.duration / av.time_base, 1.0  # sound may last longer than the pictures
    else:
        return 0
    missing_s = promised_s - end_s
    return max(0, listed, round(missing_s * rate) if missing_s > slack_s / 2 else 0)


def reason(error: FFmpegError) -> str:
    """Return libav's reason without the location that it repeats (a URL there still has its password)."""
    if isinstance(error, ExitError):
        return f"no answer within {CONNECT_TIMEOUT_S:g} s"
    return (error.strerror or type(error).__name__).strip()
