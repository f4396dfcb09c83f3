"""Pictures from strangers: their size is known before they are decoded, and no library writes to the terminal."""

from __future__ import annotations

import os
import struct
import threading
import zlib
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from segnet_live.drafts.folder import read_labels
from segnet_live.drives.bonnet import read_bonnet
from segnet_live.errors import DataError, SourceError
from segnet_live.video.colour import PictureConverter
from segnet_live.video.file import FileSource
from segnet_live.video.images import ImageSource
from segnet_live.video.opencv import _quiet_decoders, decode_picture
from segnet_live.video.picture_size import stated_size

PICTURE = np.arange(48 * 64 * 3, dtype=np.uint8).reshape(48, 64, 3)


def png_that_claims(width: int, height: int, rows: bytes = b"") -> bytes:
    """A grey PNG of 1 bit a pixel."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".bmp", ".tif", ".ppm", ".pgm"])
def test_the_size_that_a_header_states_is_that_of_the_picture(suffix: str) -> None:
    picture = PICTURE[..., 0] if suffix == ".pgm" else PICTURE
    content = cv2.imencode(suffix, picture)[1].tobytes()
    assert stated_size(content) == (48, 64)
    for end in range(0, min(len(content), 200), 7):
        stated_size(content[:end])  # which never raises


def test_sizes_of_rare_kinds() -> None:
    assert stated_size(b"BM" + bytes(12) + struct.pack("<IHH", 12, 64, 48)) == (48, 64)
    assert stated_size(b"BM" + bytes(12) + struct.pack("<Iii", 40, 64, -48)) == (48, 64)
    entries = struct.pack(">HHQHxxxxxx", 256, 3, 1, 64) + struct.pack(">HHQIxxxx", 257, 4, 1, 48)
    assert stated_size(b"MM\0+\0\x08\0\0" + struct.pack(">QQ", 16, 2) + entries) == (48, 64)
    assert stated_size(b"P6 # a comment\n# another\n64 48\n255\n") == (48, 64)
    assert stated_size(b"II*\0" + struct.pack("<I", 1 << 31)) is None


@pytest.mark.parametrize("side", [16_000, 40_000, 2**31 - 1])
def test_a_picture_of_huge_size_is_one_line(tmp_path: Path, side: int) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(png_that_claims(side, side, bytes(16)))
    with pytest.raises(DataError, match=f"{side} x {side} pixels; at most 67 million"):
        read_bonnet(path)
    with pytest.raises(DataError, match="at most 67 million"):
        read_labels(path)
    with pytest.raises(SourceError, match=r"none of 1 files .* at most 67 million"):
        ImageSource(str(path))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes with names")
def test_a_pipe_is_no_picture(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.png")
    for read in (read_bonnet, read_labels):
        with pytest.raises(DataError, match="a pipe or a device"):
            read(tmp_path / "a.png")


def test_damaged_pictures_say_nothing_on_the_terminal(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    png, jpeg = (cv2.imencode(suffix, PICTURE)[1].tobytes() for suffix in (".png", ".jpg"))
    tiff = cv2.imencode(".tif", PICTURE[..., 0].astype(np.float32))[1].tobytes()
    for number, content in enumerate((png[:-40], png[:60], jpeg[: len(jpeg) // 2], tiff, tiff[:-50], png[:50] + png)):
        path = tmp_path / f"{number}.png"
        path.write_bytes(content)
        for flags in (cv2.IMREAD_COLOR, cv2.IMREAD_GRAYSCALE, cv2.IMREAD_UNCHANGED):
            try:
                decode_picture(path, flags)
            except ValueError:
                continue
    assert capfd.readouterr().err == ""


def test_what_others_say_meanwhile_is_not_lost(capfd: pytest.CaptureFixture[str]) -> None:
    def inside() -> None:
        with _quiet_decoders:
            os.write(2, b"libpng error: nonsense\nsomething else\n")
            together.wait()

    together = threading.Barrier(2)
    threads = [threading.Thread(target=inside) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    os.write(2, b"after\n")
    assert capfd.readouterr().err == "something else\nsomething else\nafter\n"


@pytest.mark.parametrize(("codec", "name"), [("png", "a.mov"), ("ffv1", "a.mkv")])
def test_a_video_of_huge_pictures_is_refused_before_they_are_decoded(tmp_path: Path, codec: str, name: str) -> None:
    path = tmp_path / name
    with av.open(str(path), "w") as output:
        video = output.add_stream(codec, rate=25, width=9000, height=9000, pix_fmt="gray")
        picture = av.VideoFrame(9000, 9000, "gray")
        picture.planes[0].update(bytes(picture.planes[0].buffer_size))
        output.mux(video.encode(picture))
        output.mux(video.encode(None))
    assert path.stat().st_size < 1 << 20
    with pytest.raises(SourceError, match="67 million"):
        FileSource(str(path))


def test_pixels_that_are_not_square_make_no_huge_picture(tmp_path: Path) -> None:
    wide = av.VideoFrame(8192, 2048, "gray")
    assert PictureConverter().rgb(wide, Fraction(7)).shape == (2048, 8192, 3)
    assert PictureConverter().rgb(av.VideoFrame(64, 48, "gray"), Fraction(7)).shape == (48, 448, 3)
