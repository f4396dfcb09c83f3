"""Opening containers with PyAV, and saying in one line why one cannot be used."""

from __future__ import annotations

from pathlib import Path

import av
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.error import ExitError, FFmpegError
from av.stream import Disposition, Stream
from av.video.stream import VideoStream

from segnet_live.errors import SourceError
from segnet_live.video.source import is_url, mask_password

CONNECT_TIMEOUT_S = 10.0
READ_TIMEOUT_S = 10.0
_TEXT_FORMATS = {"tty", "lrc", "srt", "webvtt", "ass", "subviewer", "microdvd"}
"""libavformat plays any text file as a terminal session."""


def open_container(location: str) -> InputContainer:
    """An open container with its streams probed. Blocks, for URLs at most about twice the connect timeout.

    Raises:
        SourceError: missing, a folder, empty, or no container that libavformat knows.
    """
    title = mask_password(location)
    if is_url(location):
        # TCP first: UDP loses packets, and so pictures, on most home networks.
        options = {"rtsp_flags": "prefer_tcp"} if location.lower().startswith("rtsp") else {}
        try:
            return av.open(location, "r", options=options, timeout=(CONNECT_TIMEOUT_S, READ_TIMEOUT_S))
        except FFmpegError as error:
            # Not chained: the cause's text holds the URL with its password.
            raise SourceError(f"{title}: cannot be opened ({reason(error)}); check address and network") from None
    path = Path(location)
    if path.is_dir():
        raise SourceError(f"{title}: is a folder; name a video file, or pass a folder of pictures with --images")
    if not path.exists():
        raise SourceError(f"{title}: no such file; check the path")
    if path.is_file() and path.stat().st_size == 0:
        raise SourceError(f"{title}: the file is empty; nothing to play")
    try:
        # File names may look like options or protocols of libavformat ("-", "a:b.mp4").
        # genpts: AVI stores only decoding times, which differ from the shown ones where pictures are reordered.
        container = av.open(f"file:{path}", "r", options={"fflags": "+genpts"}, metadata_errors="replace")
    except FFmpegError as error:
        raise SourceError(
            f"{title}: not a video that can be read ({reason(error)}); expected mp4, mkv, avi, mov or webm"
        ) from error
    if container.format.name in _TEXT_FORMATS:
        container.close()
        raise SourceError(f"{title}: is text, not a video; expected mp4, mkv, avi, mov or webm")
    return container


def video_stream(container: InputContainer, title: str) -> VideoStream:
    """The main moving picture; cover art is none.

    Raises:
        SourceError: there is none, or no decoder for it.
    """
    streams = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
    if not streams:
        what = "only sound" if container.streams.audio else "no video track"
        raise SourceError(f"{title}: holds {what}; name a file with moving pictures")
    best = container.streams.best("video")
    stream = next((s for s in streams if best is not None and s.index == best.index), streams[0])
    if stream.codec_context is None:
        raise SourceError(f"{title}: its video codec is unknown here; convert it to H.264 first")
    return stream


def audio_stream(container: InputContainer) -> AudioStream | None:
    """The main sound track that can be decoded, or None."""
    best = container.streams.best("audio")
    return best if isinstance(best, AudioStream) and best.codec_context is not None else None


def stream_length_s(container: InputContainer, stream: Stream) -> float | None:
    """Seconds the container promises for `stream`, None where it says nothing."""
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    return container.duration / av.time_base if container.duration else None


def promised_pictures(container: InputContainer, stream: VideoStream) -> int:
    """Pictures that the container's own index lists, so what a truncated file has lost; 0 where it has none."""
    if "mp4" in container.format.name:
        return len(stream.index_entries)
    return stream.frames if container.format.name == "avi" else 0


def reason(error: FFmpegError) -> str:
    """Why libav refused, without the location it repeats (a URL there still has its password)."""
    if isinstance(error, ExitError):
        return f"no answer within {CONNECT_TIMEOUT_S:g} s"
    return (error.strerror or type(error).__name__).strip()
