"""Tell URLs, files and pictures apart, and name a source as people see it: the one place of suffixes and schemes."""

from __future__ import annotations

import re
from pathlib import Path

from segnet_live.config import SourceSpec
from segnet_live.shown import fit_to_show

VIDEO_SUFFIXES = (
    *(".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg"),
    *(".ts", ".mts", ".m2ts", ".wmv", ".flv", ".3gp"),
)
"""Suffixes of videos, the commonest first: a folder is searched for them, and the window's dialog offers them."""
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".ppm", ".pgm")
"""Suffixes of pictures; a folder of them is a source of its own kind."""
_FILE_SCHEMES = ("http", "https", "file")
STREAM_SCHEMES = ("rtsp", "rtsps", "rtmp", "rtmps", "udp", "tcp", "tls", "rtp")
URL_SCHEMES = (*_FILE_SCHEMES, *STREAM_SCHEMES)
"""The URLs that are opened; libavformat's others (concat, subfile, data, pipe, unix ...) read what nobody named."""


def is_url(value: str) -> bool:
    """Return whether `value` names something on a network rather than a file (a drive letter is no scheme)."""
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", value) is not None


def scheme(url: str) -> str:
    """Return a URL's scheme in lower case, "" for what is none."""
    return url.partition("://")[0].lower() if is_url(url) else ""


def is_stream(value: str) -> bool:
    """Return whether `value` is a URL of a protocol for streams (RTSP, RTMP, UDP ...), not one for files."""
    return scheme(value) in STREAM_SCHEMES


def display_name(spec: SourceSpec) -> str:
    """Return a source's name in few words: a file's name, an address without its password, a camera's number."""
    if spec.kind in ("video", "images"):
        return fit_to_show(spec.value if is_url(spec.value) else Path(spec.value).name or spec.value)
    return f"Camera {spec.value}" if spec.kind == "camera" else "Example drive"
