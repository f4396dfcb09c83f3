"""Tell from its first bytes what an upload is and how large, before any decoder sees it."""

from __future__ import annotations

from segnet_live.frame import Size
from segnet_live.serve.limits import Refused
from segnet_live.video.picture_size import stated_size

SMALLEST_SIDE = 16
LONGEST_SIDE = 20_000
_MOST_SCANS = 100
"""Of a progressive JPEG: a few bytes each, and each costs the decoder a pass over the whole picture. Photos have 10."""


def picture_size(data: bytes, most_pixels: int) -> Size:
    """Return (height, width) as a JPEG, PNG or WebP states them, before EXIF turns it.

    Raises:
        Refused: 415 for anything else, 413 for more than `most_pixels`, 422 for a header that cannot be.
    """
    is_jpeg = data.startswith(b"\xff\xd8\xff")
    if not data:
        raise Refused(422, "the body is empty; send the bytes of a picture, as curl --data-binary @photo.jpg does")
    if not (is_jpeg or data.startswith(b"\x89PNG\r\n\x1a\n") or (data[:4] == b"RIFF" and data[8:12] == b"WEBP")):
        what = "a form; send the picture's bytes alone" if data.startswith(b"--") else "no JPEG, PNG or WebP"
        raise Refused(415, f"got {what}; send the bytes of a JPEG, PNG or WebP as the body")
    if is_jpeg and data.count(b"\xff\xda") > _MOST_SCANS:
        raise Refused(422, f"the picture has more than {_MOST_SCANS} scans; save it again as an ordinary JPEG")
    size = stated_size(data)
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
