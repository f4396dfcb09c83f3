"""Read where a drive went: from a GPX file, whose times are matched by clock, or from the video's own telemetry."""

from __future__ import annotations

import contextlib
import math
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from av.error import FFmpegError
from numpy.typing import NDArray

from segnet_live.errors import DataError, UsageError, first_line
from segnet_live.system.files import read_regular
from segnet_live.video.container import open_container, video_stream

LARGEST = 1 << 25
DEEPEST = 100
"""Elements of a GPX file and boxes of a camera's telemetry are nested by a handful."""
_LONGEST_TIME = 100
EARTH_M = 6_371_000.0
LONGEST_GAP_S = 15.0
"""Between two fixes further apart than this nobody knows where the car was."""
_RMC = re.compile(
    rb"\$G[PNL]RMC,[\d.]*,A,(\d{1,2})(\d\d\.\d+),([NS]),(\d{1,3})(\d\d\.\d+),([EW])",
)
_NAMED = re.compile(
    rb"latitude\s*[:=]\s*(-?\d+\.\d+).{0,40}?long?t?itude\s*[:=]\s*(-?\d+\.\d+)", re.IGNORECASE | re.DOTALL
)


@dataclass(frozen=True, eq=False)
class Track:
    """Where the car was, at which time of the video.

    Attributes:
        time_s: (M,) float64 seconds from the video's first frame, ascending.
        latitude, longitude: (M,) float64 degrees, WGS 84.
        origin: what it was read from, for people.
    """

    time_s: NDArray[np.float64]
    latitude: NDArray[np.float64]
    longitude: NDArray[np.float64]
    origin: str

    def __len__(self) -> int:
        return len(self.time_s)

    @property
    def steps_m(self) -> NDArray[np.float64]:
        """(M - 1,) metres between neighbours, on a sphere."""
        lat, lon = np.radians(self.latitude), np.radians(self.longitude)
        half = np.sin(np.diff(lat) / 2) ** 2 + np.cos(lat[1:]) * np.cos(lat[:-1]) * np.sin(np.diff(lon) / 2) ** 2
        return np.asarray(2 * EARTH_M * np.arcsin(np.sqrt(np.clip(half, 0, 1))), np.float64)

    @property
    def joined(self) -> NDArray[np.bool_]:
        """(M - 1,) whether neighbours are close enough in time to draw a line between them."""
        return np.diff(self.time_s) <= LONGEST_GAP_S

    @property
    def length_m(self) -> float:
        """Metres driven, gaps left out."""
        return float(self.steps_m[self.joined].sum())

    @property
    def speed_kmh(self) -> float:
        """Mean speed where it is known; 0 where the car stood or nothing is known."""
        time_s = float(np.diff(self.time_s)[self.joined].sum())
        return self.length_m / time_s * 3.6 if time_s else 0.0

    def within(self, end_s: float) -> Track:
        """Return the part from the first frame to `end_s`."""
        inside = (self.time_s >= 0) & (self.time_s <= end_s)
        return Track(self.time_s[inside], self.latitude[inside], self.longitude[inside], self.origin)


def parse_clock(text: str) -> datetime:
    """Return the time that `text` states, ISO 8601; without a zone it is UTC.

    Raises:
        UsageError: it states none.
    """
    try:
        time = datetime.fromisoformat(text.strip())
    except ValueError:
        raise UsageError(f"--clock got {text!r}", "give the first frame's time, such as 2026-05-01T12:00:00Z") from None
    return time if time.tzinfo is not None else time.replace(tzinfo=UTC)


def read_clock(video: Path) -> datetime | None:
    """Return when the video says that it was begun, None where it does not say."""
    with open_container(str(video)) as container:
        stated = container.metadata.get("creation_time") or video_stream(container, str(video)).metadata.get(
            "creation_time"
        )
    try:
        return parse_clock(stated) if stated else None
    except UsageError:
        return None


def read_gpx(path: Path, begun: datetime) -> Track:
    """Return the track in a GPX file; times count from `begun`, when the video's first frame was taken.

    Raises:
        DataError: it cannot be read, is no GPX, or has no point with a time.
    """
    try:
        found = _Points()
        parser = ElementTree.XMLParser(target=found)
        parser.feed(read_regular(path, LARGEST))
        parser.close()
    except (OSError, ElementTree.ParseError, LookupError, ValueError) as error:  # the last two: of an odd encoding
        raise DataError(f"{path} cannot be read as GPX ({first_line(error)})", "export the track as GPX 1.1") from error
    fixes = sorted(fix for point in found.points if (fix := _point(*point, begun)) is not None)
    if not fixes:
        raise DataError(f"{path} has no track point with a time", "export the track with times")
    return _track(fixes, path.name)


class _Points:
    """What the XML parser tells: the track points alone are kept, since a tree takes thirty times the file's size.

    Attributes:
        points: the texts of latitude, longitude and time.
    """

    def __init__(self) -> None:
        self.points: list[tuple[str, str, str]] = []
        self._depth = 0
        self._point_depth = 0
        self._place = "", ""
        self._time: list[str] | None = None
        self._stated = ""

    def doctype(self, name: str, public: str | None, system: str | None) -> None:
        raise ValueError("it declares XML entities, which GPX has no use for")

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        if self._depth > DEEPEST:
            raise ValueError(f"its elements are nested more than {DEEPEST} deep")
        name = tag.rpartition("}")[2]
        if name == "trkpt" and not self._point_depth:
            self._point_depth = self._depth
            self._place = attributes.get("lat", ""), attributes.get("lon", "")
            self._stated = ""
        elif name == "time" and self._point_depth and self._depth == self._point_depth + 1 and not self._stated:
            self._time = []

    def data(self, text: str) -> None:
        if self._time is not None and len(self._time) < _LONGEST_TIME:
            self._time.append(text[:_LONGEST_TIME])

    def end(self, tag: str) -> None:
        if self._time is not None and self._depth == self._point_depth + 1:
            self._stated, self._time = "".join(self._time).strip(), None
        if self._depth == self._point_depth:
            self.points.append((*self._place, self._stated))
            self._point_depth = 0
        self._depth -= 1

    def close(self) -> None:
        """Do nothing: the parser calls it at the end."""


def _point(lat: str, lon: str, stated: str, begun: datetime) -> tuple[float, float, float] | None:
    """Return (seconds, latitude, longitude) of a track point, None where one is missing."""
    try:
        latitude, longitude = float(lat), float(lon)
        time = datetime.fromisoformat(stated)
    except ValueError:
        return None
    time = time if time.tzinfo is not None else time.replace(tzinfo=UTC)
    if not (abs(latitude) <= 90 and abs(longitude) <= 180):
        return None
    return (time - begun).total_seconds(), latitude, longitude


def _track(fixes: list[tuple[float, float, float]], origin: str) -> Track:
    columns = np.array(fixes, np.float64)
    first = np.concatenate([[True], np.diff(columns[:, 0]) > 0])
    return Track(columns[first, 0], columns[first, 1], columns[first, 2], origin)


def read_telemetry(video: Path) -> Track | None:
    """Return the track that a camera wrote into its video, as far as FFmpeg hands it out; None where there is none.

    Known are NMEA sentences and named coordinates in subtitles (many dashcams, DJI) and GoPro's GPS5. These were tested
    on streams made for the purpose, not on each camera.
    """
    fixes: list[tuple[float, float, float]] = []
    with open_container(str(video)) as container, contextlib.suppress(FFmpegError):  # what was read until then counts
        pictures = video_stream(container, str(video))
        start_s = float((pictures.start_time or 0) * (pictures.time_base or 0))
        streams = [*container.streams.subtitles, *container.streams.data]
        for packet in container.demux(*streams) if streams else ():
            if packet.pts is not None and packet.time_base is not None and packet.size:
                at_s, length_s = (
                    float(packet.pts * packet.time_base) - start_s,
                    float((packet.duration or 0) * packet.time_base),
                )
                found = list(_coordinates(bytes(packet)))
                fixes += [(at_s + length_s * i / len(found), lat, lon) for i, (lat, lon) in enumerate(found)]
    good = sorted(fix for fix in fixes if abs(fix[1]) <= 90 and abs(fix[2]) <= 180 and (fix[1] or fix[2]))
    return _track(good, "the camera's telemetry") if len(good) > 1 else None


def _coordinates(content: bytes) -> Iterator[tuple[float, float]]:
    """Yield (latitude, longitude) of everything in a packet that states some."""
    if content[:4] == b"DEVC":
        yield from _gopro(content)
        return
    for north, minutes, ns, east, more_minutes, ew in _RMC.findall(content):
        latitude, longitude = int(north) + float(minutes) / 60, int(east) + float(more_minutes) / 60
        yield (-latitude if ns == b"S" else latitude), (-longitude if ew == b"W" else longitude)
    for latitude, longitude in _NAMED.findall(content):
        yield float(latitude), float(longitude)


def _gopro(content: bytes, depth: int = 0) -> Iterator[tuple[float, float]]:
    """Yield the positions in a GPMF payload (github.com/gopro/gpmf-parser): nested key, type, size, count, values."""
    scales: list[int] = []
    at = 0
    while at + 8 <= len(content):
        key, kind, size = content[at : at + 4], content[at + 4 : at + 5], content[at + 5]
        count = struct.unpack(">H", content[at + 6 : at + 8])[0]
        values = content[at + 8 : at + 8 + size * count]
        at += 8 + math.ceil(size * count / 4) * 4
        if kind == b"\0":
            if depth < DEEPEST:
                yield from _gopro(values, depth + 1)
        elif key == b"SCAL" and kind in b"sl":
            width = 2 if kind == b"s" else 4
            whole = values[: len(values) // width * width]
            scales = [value for (value,) in struct.iter_unpack(">h" if kind == b"s" else ">i", whole)]
        elif key == b"GPS5" and size == 20 and len(scales) >= 2 and all(scales[:2]):
            for fix in struct.iter_unpack(">5i", values[: len(values) // 20 * 20]):
                yield fix[0] / scales[0], fix[1] / scales[1]
