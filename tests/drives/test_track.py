"""A track lies where the car was at the time of each picture, whether a GPX file or the camera tells it."""

from __future__ import annotations

import struct
import tracemalloc
from datetime import UTC, datetime
from pathlib import Path

import av
import numpy as np
import pytest

from segnet_live.drives.track import parse_clock, read_clock, read_gpx, read_telemetry
from segnet_live.errors import DataError, UsageError
from tests.support.clips import striped_clip

BEGUN = datetime(2026, 5, 1, 12, 0, 0, tzinfo=UTC)


def gpx(*points: str, version: str = 'xmlns="http://www.topografix.com/GPX/1/1"') -> str:
    return f'<?xml version="1.0"?><gpx {version}><trk><trkseg>{"".join(points)}</trkseg></trk></gpx>'


def point(time: str, latitude: float, longitude: float) -> str:
    return f'<trkpt lat="{latitude}" lon="{longitude}"><ele>3</ele><time>{time}</time></trkpt>'


def test_times_are_matched_by_clock_across_zones_and_out_of_order(tmp_path: Path) -> None:
    path = tmp_path / "drive.gpx"
    path.write_text(
        gpx(
            point("2026-05-01T12:00:20Z", 52.002, 13.0),
            point("2026-05-01T14:00:10+02:00", 52.001, 13.0),
            point("2026-05-01T12:00:20Z", 52.5, 13.0),
            point("2026-05-01T11:59:50Z", 52.0, 13.0),
            '<trkpt lat="52.1" lon="13"/>',
            point("2026-05-01T12:00:30Z", 152.0, 13.0),
        )
    )
    track = read_gpx(path, BEGUN)
    assert track.time_s.tolist() == [-10, 10, 20]
    assert track.latitude.tolist() == [52.0, 52.001, 52.002]
    within = track.within(60)
    assert len(within) == 2
    assert within.length_m == pytest.approx(111.2, abs=0.2)
    assert within.speed_kmh == pytest.approx(40, abs=0.5)


def test_a_gap_without_a_fix_is_no_way(tmp_path: Path) -> None:
    path = tmp_path / "drive.gpx"
    path.write_text(gpx(*(point(f"2026-05-01T12:{m:02d}:00Z", 52 + m / 1000, 13.0) for m in (0, 1)), version=""))
    track = read_gpx(path, BEGUN)
    assert not track.joined.any()
    assert track.length_m == 0
    assert track.speed_kmh == 0


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("not XML at all", "cannot be read as GPX"),
        (gpx(), "no track point"),
        ('<!DOCTYPE gpx [<!ENTITY a "aaaa">]><gpx>&a;</gpx>', "entities"),
    ],
)
def test_what_is_no_track_is_one_line(tmp_path: Path, content: str, said: str) -> None:
    (tmp_path / "drive.gpx").write_text(content)
    with pytest.raises(DataError, match=said) as caught:
        read_gpx(tmp_path / "drive.gpx", BEGUN)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("encoding", ["foo", "gb2312", "utf-7", "idna", "punycode", "undefined", "hex"])
def test_an_odd_encoding_is_one_line(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "drive.gpx").write_text(gpx().replace('"1.0"', f'"1.0" encoding="{encoding}"'))
    with pytest.raises(DataError, match=r"cannot be read as GPX|no track point"):
        read_gpx(tmp_path / "drive.gpx", BEGUN)


def test_a_document_type_is_refused_in_every_encoding(tmp_path: Path) -> None:
    text = '<!DOCTYPE gpx [<!ENTITY a "aaaa">]>' + gpx(point("2026-05-01T12:00:20Z", 52, 13)).partition("?>")[2]
    for encoding in ("utf-8", "utf-16", "latin-1"):
        (tmp_path / "drive.gpx").write_bytes(f'<?xml version="1.0" encoding="{encoding}"?>{text}'.encode(encoding))
        with pytest.raises(DataError, match="entities"):
            read_gpx(tmp_path / "drive.gpx", BEGUN)


def test_a_file_of_empty_elements_takes_little_memory(tmp_path: Path) -> None:
    (tmp_path / "drive.gpx").write_text(gpx("<a/>" * 300_000, point("2026-05-01T12:00:20Z", 52, 13)))
    tracemalloc.start()
    assert len(read_gpx(tmp_path / "drive.gpx", BEGUN)) == 1
    assert tracemalloc.get_traced_memory()[1] < 8e6
    tracemalloc.stop()
    (tmp_path / "drive.gpx").write_text("<a>" * 100_000)
    with pytest.raises(DataError, match="nested"):
        read_gpx(tmp_path / "drive.gpx", BEGUN)


def test_a_time_below_an_extension_is_not_the_points(tmp_path: Path) -> None:
    inner = "<extensions><time>2026-05-01T12:59:00Z</time></extensions><time>2026-05-01T12:00:05Z</time>"
    (tmp_path / "drive.gpx").write_text(gpx(f'<trkpt lat="52" lon="13">{inner}</trkpt>'))
    assert read_gpx(tmp_path / "drive.gpx", BEGUN).time_s.tolist() == [5]


def test_the_clock_is_what_the_video_says_or_what_was_given(tmp_path: Path) -> None:
    clip = striped_clip(tmp_path / "drive.mp4")
    assert read_clock(clip) is None
    with av.open(str(clip)) as source, av.open(str(tmp_path / "dated.mp4"), "w") as output:
        output.metadata["creation_time"] = "2026-05-01T12:00:00.000000Z"
        copy = output.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = copy
                output.mux(packet)
    assert read_clock(tmp_path / "dated.mp4") == BEGUN
    assert parse_clock("2026-05-01 12:00") == BEGUN
    with pytest.raises(UsageError, match="--clock"):
        parse_clock("noon")


def with_data(clip: Path, out: Path, texts: list[bytes]) -> Path:
    """The clip with one subtitle a half second, as cameras write telemetry."""
    lines = [f"{i + 1}\n00:00:0{i / 2:.3f} --> 00:00:0{i / 2 + 0.5:.3f}\n" for i in range(len(texts))]
    words = out.with_suffix(".srt")
    words.write_bytes(b"\n\n".join(a.replace(".", ",").encode() + text for a, text in zip(lines, texts, strict=True)))
    with av.open(str(clip)) as source, av.open(str(words)) as said, av.open(str(out), "w") as output:
        streams = [(source, source.streams.video[0]), (said, said.streams.subtitles[0])]
        copies = [output.add_stream_from_template(stream) for _, stream in streams]
        for (container, stream), copy in zip(streams, copies, strict=True):
            for packet in container.demux(stream):
                if packet.dts is not None:
                    packet.stream = copy
                    output.mux(packet)
    return out


def test_telemetry_in_subtitles_is_read(tmp_path: Path) -> None:
    clip = striped_clip(tmp_path / "drive.mp4", sound=False)
    nmea = [f"$GPRMC,12{i:02d}00.00,A,5200.{i}00,N,01300.000,W,30.0,90,010526,,,A*00".encode() for i in range(4)]
    track = read_telemetry(with_data(clip, tmp_path / "nmea.mkv", nmea))
    assert track is not None
    np.testing.assert_allclose(track.time_s, [0, 0.5, 1, 1.5], atol=0.01)
    np.testing.assert_allclose(track.latitude, [52 + i / 600 for i in range(4)])
    np.testing.assert_allclose(track.longitude, -13.0)
    named = [f"[iso: 100] [latitude: 52.{i}] [longtitude: -13.5] [altitude: 3]".encode() for i in range(3)]
    track = read_telemetry(with_data(clip, tmp_path / "named.mkv", named))
    assert track is not None
    np.testing.assert_allclose(track.latitude, [52.0, 52.1, 52.2])
    assert read_telemetry(clip) is None


def test_a_gopro_payload_is_read_as_its_specification_says() -> None:
    from segnet_live.drives.track import _coordinates

    def field(key: bytes, kind: bytes, size: int, count: int, values: bytes) -> bytes:
        return key + kind + bytes([size]) + struct.pack(">H", count) + values + bytes(-len(values) % 4)

    scales = field(b"SCAL", b"l", 4, 5, struct.pack(">5i", 10_000_000, 10_000_000, 1000, 1000, 100))
    fixes = field(
        b"GPS5", b"l", 20, 2, struct.pack(">10i", 520000000, 130000000, 1, 2, 3, 520010000, 130000000, 1, 2, 3)
    )
    stream = scales + fixes
    device = field(b"STRM", b"\0", 1, len(stream), stream)
    payload = field(b"DEVC", b"\0", 1, len(device), device)
    assert list(_coordinates(payload)) == [(52.0, 13.0), (52.001, 13.0)]
    assert list(_coordinates(payload[:40])) == []
    assert list(_coordinates(b"DEVC" + bytes(4) + b"SCALs\x01\0\x03abc\0")) == []
    nested = b""
    for _ in range(1500):
        nested = b"DEVC\0\xff" + struct.pack(">H", min(65535, len(nested) // 255 + 1)) + nested
    assert list(_coordinates(nested)) == []
