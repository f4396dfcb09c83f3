"""Tell URLs, files and pictures apart, find a folder's videos, and name a source as people see it.

The one place of suffixes and schemes.
"""

from __future__ import annotations

from pathlib import Path

from segnet_live.config import SourceSpec, local_name
from segnet_live.config import is_url as is_url
from segnet_live.display_text import fit_to_show
from segnet_live.errors import SourceError, UsageError
from segnet_live.system.files import why_no_name

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


def scheme(url: str) -> str:
    """Return a URL's scheme in lower case, "" for what is none."""
    return url.partition("://")[0].lower() if is_url(url) else ""


def is_stream(value: str) -> bool:
    """Return whether `value` is a URL of a protocol for streams (RTSP, RTMP, UDP ...), not one for files."""
    return scheme(value) in STREAM_SCHEMES


def source_for(place: str) -> SourceSpec:
    """Return the source that a name alone stands for: a URL, a video, a folder of pictures, a pattern or a picture.

    A pattern has *, ? or [ in it, and no file is called so.

    Raises:
        UsageError: it is empty, or neither a URL nor a name that a file can have.
    """
    name = local_name(place)
    path = Path(name)
    if not is_url(name) and (why := why_no_name(path)):
        raise UsageError(f"no source can be called {name[:60]!r} ({why})", "check the path")
    pattern = any(character in name for character in "*?[") and not path.exists()
    pictures = not is_url(name) and (path.is_dir() or path.suffix.lower() in IMAGE_SUFFIXES or pattern)
    return SourceSpec("images" if pictures and name else "video", name)


def videos_in(folder: Path) -> list[Path]:
    """Return the videos of a folder, by name; those of folders within are left out.

    So are hidden ones: macOS leaves a `._a.mp4`, which is no video, beside each `a.mp4` of a memory card.

    Raises:
        SourceError: there is none.
    """
    named = (p for p in folder.iterdir() if p.suffix.lower() in VIDEO_SUFFIXES and not p.name.startswith("."))
    videos = sorted(p for p in named if p.is_file())
    if not videos:
        raise SourceError(f"{folder} holds no video", "expected files such as *.mp4, *.mkv, *.avi, *.mov or *.webm")
    return videos


def display_name(spec: SourceSpec) -> str:
    """Return a source's name in few words: a file's name, an address without its password, a camera's number."""
    if spec.kind in ("video", "images"):
        return fit_to_show(spec.value if is_url(spec.value) else Path(spec.value).name or spec.value)
    return f"Camera {spec.value}" if spec.kind == "camera" else "Example drive"
