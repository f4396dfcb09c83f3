"""Look into a playlist on disk before libavformat does, which waits for pipes and follows one that names itself."""

from __future__ import annotations

import re
import shlex
import stat
from collections.abc import Iterator
from pathlib import Path

from segnet_live.display_text import fit_to_show
from segnet_live.errors import SourceError, first_line
from segnet_live.system.files import open_regular, read_regular

MOST_BYTES = 1 << 22
MOST_PLAYLISTS = 100
"""That one may name, and those name in turn."""
_MARKS = (b"#EXTM3U", b"ffconcat")
_URI = re.compile(r'URI="([^"]*)"')


def is_playlist(path: Path) -> bool:
    """Return whether a file begins as a playlist does.

    Raises:
        OSError: it cannot be read, or is no file.
    """
    with open_regular(path) as file:
        return file.read(64).removeprefix(b"\xef\xbb\xbf").lstrip().startswith(_MARKS)


def check_playlist(path: Path) -> tuple[Path, ...]:
    """Check that all a playlist names are files, however deep, and none is a playlist that names itself.

    Returns:
        The files that are there.

    Raises:
        SourceError: they are not, or there is no end to them.
    """
    seen = 0
    files: list[Path] = []

    def look(playlist: Path, above: tuple[Path, ...]) -> None:
        nonlocal seen
        seen += 1
        if seen > MOST_PLAYLISTS:
            raise ValueError(f"it leads to more than {MOST_PLAYLISTS} playlists")
        text = read_regular(playlist, MOST_BYTES).decode("utf-8", "surrogateescape")
        for name in dict.fromkeys(_named(text)):
            named = playlist.parent / name.removeprefix("file:")
            try:
                mode = named.stat().st_mode
            except (OSError, ValueError):  # libavformat says what is missing
                continue
            if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
                raise ValueError(f"it names {name}, a pipe or a device, no file")
            files.append(named)
            if stat.S_ISREG(mode) and is_playlist(named):
                real = named.resolve()
                if real in above:
                    raise ValueError(f"{name} names itself")
                look(named, (*above, real))

    try:
        look(path, (path.resolve(),))
    except (OSError, ValueError) as error:
        raise SourceError(
            f"{fit_to_show(str(path))}: a playlist that cannot be played ({first_line(error)})"
        ) from error
    return tuple(files)


def _named(text: str) -> Iterator[str]:
    """Yield the names in an HLS playlist or a list of libavformat's concat."""
    is_hls = text.lstrip("\ufeff \t\r\n").startswith("#EXTM3U")
    for line in map(str.strip, text.splitlines()):
        if is_hls:
            yield from _URI.findall(line) if line.startswith("#") else [line] if line else []
        elif line.startswith("file"):
            try:
                words = shlex.split(line, posix=True)
            except ValueError:  # quotes that do not end
                words = line.split(None, 1)
            yield from words[1:2]
