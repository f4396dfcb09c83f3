"""Tell from its first bytes what an upload is and how large, before any decoder sees it."""

from __future__ import annotations

from segnet_live.frame import Size
from segnet_live.serve.limits import Refused

SMALLEST_SIDE = 16
LONGEST_SIDE = 20_000
_MOST_SCANS = 100
"""Of a progressive JPEG: a few bytes each, and each costs the decoder a pass over the whole picture. Photos have 10."""
_START_OF_FRAME = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_WITHOUT_LENGTH = {0x01, *range(0xD0, 0xD9)}


def picture_size(data: bytes, most_pixels: int) -> Size:
    """Return (height, width) as a JPEG, PNG or WebP states them, before EXIF turns it.

    Raises:
        Refused: 415 for anything else, 413 for more than `most_pixels`, 422 for a header that cannot be.
    """
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        size = _png(data)
    elif data.startswith(b"\xff\xd8\xff"):
        size = _jpeg(data)
    elif data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        size = _webp(data)
    elif not data:
        raise Refused(422, "the body is empty; send the bytes of a picture, as curl --data-binary @photo.jpg does")
    else:
        what = "a form; send the picture's bytes alone" if data.startswith(b"--") else "no JPEG, PNG or WebP"
        raise Refused(415, f"got {what}; send the bytes of a JPEG, PNG or WebP as the body")
    if size is None:
        raise Refused(422, "the picture is damaged: its header states no size; send another one")
    height, width = size
    if height * width > most_pixels or max(size) > LONGEST_SIDE:
        most = f"{most_pixels / 1e6:.3g} million pixels and sides of {LONGEST_SIDE}"
        raise Refused(413, f"the picture is {width} x {height}; the most are {most}: send a smaller one")
    if min(size) < SMALLEST_SIDE:
        raise Refused(422, f"the picture is {width} x {height}; both sides must be {SMALLEST_SIDE} pixels or more")
    return size


def clip_suffix(first: bytes) -> str:
    """Return the file suffix of a clip that begins with these bytes (at least 16, if it has so many).

    Raises:
        Refused: 415, it is no mp4, mov, mkv, webm or avi: playlists and descriptions of other files least of all.
    """
    if first[4:8] in (b"ftyp", b"moov", b"wide", b"mdat", b"free", b"skip"):
        return ".mp4"
    if first.startswith(b"\x1a\x45\xdf\xa3"):
        return ".mkv"
    if first[:4] == b"RIFF" and first[8:12] == b"AVI ":
        return ".avi"
    raise Refused(415, "got no clip that is taken here; send an mp4, mov, mkv, webm or avi")


def _png(data: bytes) -> Size | None:
    if data[12:16] != b"IHDR" or len(data) < 24:
        return None
    return int.from_bytes(data[20:24]), int.from_bytes(data[16:20])


def _jpeg(data: bytes) -> Size | None:
    if data.count(b"\xff\xda") > _MOST_SCANS:
        raise Refused(422, f"the picture has more than {_MOST_SCANS} scans; save it again as an ordinary JPEG")
    at = 2
    while at + 9 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:  # a fill byte
            at += 1
        elif marker in _WITHOUT_LENGTH:
            at += 2
        elif marker in _START_OF_FRAME:
            return int.from_bytes(data[at + 5 : at + 7]), int.from_bytes(data[at + 7 : at + 9])
        elif marker in (0xD9, 0xDA):
            return None
        else:
            at += 2 + int.from_bytes(data[at + 2 : at + 4])
    return None


def _webp(data: bytes) -> Size | None:
    kind = data[12:16]
    if len(data) < 30:
        return None
    if kind == b"VP8X":
        return int.from_bytes(data[27:30], "little") + 1, int.from_bytes(data[24:27], "little") + 1
    if kind == b"VP8 ":
        return int.from_bytes(data[28:30], "little") & 0x3FFF, int.from_bytes(data[26:28], "little") & 0x3FFF
    if kind == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        return (bits >> 14 & 0x3FFF) + 1, (bits & 0x3FFF) + 1
    return None
