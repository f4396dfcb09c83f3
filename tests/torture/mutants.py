"""Damage files where their structure is, not only anywhere: box sizes, element lengths, NAL types, times, fields."""

from __future__ import annotations

import json
import random
import struct
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np

from tests.support.clips import Clip, make, numbered

BOXES = (
    b"ftyp moov mvhd trak tkhd mdia mdhd hdlr minf stbl stsd stts stsc stsz stco co64 ctts stss edts elst mdat moof "
    b"mfhd traf tfhd tfdt trun sidx avc1 avcC esds mp4a udta meta ilst free colr pasp"
).split()
EBML = tuple(bytes.fromhex(mark) for mark in ("1a45dfa3", "18538067", "1549a966", "1654ae6b", "1f43b675", "a3"))
CHUNKS = (b"RIFF", b"LIST", b"avih", b"strh", b"strf", b"movi", b"00dc", b"01wb", b"idx1", b"JUNK")
ODD = (0, 1, 2, 7, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF)
NUMBERS = (0, -1, 1, 2**31, 2**63, -(2**63), 1e308, -1e308, 1e-300, 10**30)
OTHERS = (True, None, "", "nan", [], {}, [[]], "a" * 5000, "../../etc/passwd", "\x1b[31m<b>")

Mutation = Callable[[bytearray, random.Random], None]


def marked(data: bytearray, marks: Sequence[bytes], before: int, width: int, dice: random.Random) -> None:
    """Put an odd number where the size or the field stands that belongs to one of `marks`."""
    places = [at for mark in marks for at in _find(data, mark)]
    if places:
        at = dice.choice(places) + before
        if 0 <= at <= len(data) - width:
            odd = dice.choice(ODD) & ((1 << 8 * width) - 1)
            data[at : at + width] = odd.to_bytes(width, "big" if dice.random() < 0.5 else "little")


def _find(data: bytearray, mark: bytes) -> list[int]:
    places, at = [], data.find(mark)
    while at >= 0:
        places.append(at)
        at = data.find(mark, at + 1)
    return places


def box_size(data: bytearray, dice: random.Random) -> None:
    marked(data, BOXES, -4, 4, dice)


def box_field(data: bytearray, dice: random.Random) -> None:
    marked(data, BOXES, 4 + 4 * dice.randrange(24), 4, dice)


def element_length(data: bytearray, dice: random.Random) -> None:
    marked(data, EBML, dice.choice((1, 2, 3, 4, 5)), dice.choice((1, 2, 4)), dice)


def chunk(data: bytearray, dice: random.Random) -> None:
    marked(data, CHUNKS, dice.choice((4, 8, 12, 16, 20, 24, 32, 36)), 4, dice)


def nal_type(data: bytearray, dice: random.Random) -> None:
    places = _find(data, b"\x00\x00\x01") + _find(data, b"\x00\x00\x00\x01")
    at = dice.choice(places) + 4 if places else dice.randrange(len(data))
    if at < len(data):
        data[at] = dice.randrange(256)


def transport_header(data: bytearray, dice: random.Random) -> None:
    """A field of a transport stream's packet: sync, PID, counter, adaptation field, a time stamp."""
    at = 188 * dice.randrange(max(1, len(data) // 188)) + dice.randrange(20)
    if at < len(data):
        data[at] = dice.choice((0, 0xFF, 0x47, dice.randrange(256)))


def flip_bits(data: bytearray, dice: random.Random) -> None:
    for _ in range(dice.choice((1, 1, 4, 16, 64))):
        at = dice.randrange(len(data))
        data[at] ^= 1 << dice.randrange(8)


def header_bits(data: bytearray, dice: random.Random) -> None:
    for _ in range(dice.choice((1, 2, 4))):
        data[dice.randrange(min(len(data), 600))] = dice.choice((0, 0xFF, dice.randrange(256)))


def cut(data: bytearray, dice: random.Random) -> None:
    del data[dice.randrange(len(data)) :]


def drop_piece(data: bytearray, dice: random.Random) -> None:
    at = dice.randrange(len(data))
    del data[at : at + dice.choice((1, 4, 100, 5000))]


def double_piece(data: bytearray, dice: random.Random) -> None:
    at = dice.randrange(len(data))
    data[at:at] = data[at : at + dice.choice((1, 8, 188, 4000))]


def swap_pieces(data: bytearray, dice: random.Random) -> None:
    size = dice.choice((8, 188, 1000))
    a, b = dice.randrange(len(data)), dice.randrange(len(data))
    data[a : a + size], data[b : b + size] = data[b : b + size], data[a : a + size]


def rubbish(data: bytearray, dice: random.Random) -> None:
    data[dice.randrange(len(data)) :] = dice.randbytes(dice.choice((0, 5, 3000)))


ANYWHERE: tuple[Mutation, ...] = (flip_bits, header_bits, cut, drop_piece, double_piece, swap_pieces, rubbish)
STRUCTURE: dict[str, tuple[Mutation, ...]] = {
    ".mp4": (box_size, box_field, nal_type),
    ".mov": (box_size, box_field),
    ".m4v": (box_size, box_field),
    ".mkv": (element_length,),
    ".webm": (element_length,),
    ".avi": (chunk,),
    ".ts": (transport_header, nal_type),
    ".png": (header_bits,),
}


def damaged(good: bytes, suffix: str, dice: random.Random) -> bytes:
    """One to three mutations, half of them where the container's structure is."""
    data = bytearray(good)
    for _ in range(dice.choice((1, 1, 2, 3))):
        if not data:
            break
        known = STRUCTURE.get(suffix, ())
        dice.choice(known if known and dice.random() < 0.6 else ANYWHERE)(data, dice)
    return bytes(data)


def damaged_json(good: bytes, dice: random.Random) -> bytes:
    """A value of the wrong kind or size somewhere, a field lost or doubled, or plain damage."""
    if dice.random() < 0.3:
        return damaged(good, ".json", dice)
    tree = json.loads(good)
    places: list[tuple[object, object]] = []

    def collect(node: object) -> None:
        items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
        for key, value in items:
            places.append((node, key))
            collect(value)

    collect(tree)
    if not places:
        return b"[]"
    for _ in range(dice.choice((1, 1, 2))):
        node, key = dice.choice(places)
        try:
            if isinstance(node, dict) and dice.random() < 0.3:
                node.pop(key, None)
            else:
                node[key] = dice.choice((*NUMBERS, *OTHERS))  # type: ignore[index]
        except (IndexError, KeyError):
            continue
    return json.dumps(tree).encode()


def damaged_tensors(good: bytes, dice: random.Random) -> bytes:
    """A safetensors file whose header lies: its length, a shape, an offset, a type, a name."""
    (length,) = struct.unpack("<Q", good[:8])
    if dice.random() < 0.25:
        return struct.pack("<Q", dice.choice((0, 1, length - 1, length + 1, 2**31, 2**63, 2**64 - 1))) + good[8:]
    if dice.random() < 0.4:
        return damaged(good, ".safetensors", dice)
    header = damaged_json(good[8 : 8 + length], dice)
    return struct.pack("<Q", len(header)) + header + good[8 + length :]


def sources(folder: Path) -> list[Path]:
    """One small video of every container and codec that is claimed, and pictures."""
    made = [
        Clip(name="h264.mp4", audio="aac"),
        Clip(name="fragmented.mp4", container_options={"movflags": "frag_keyframe+empty_moov"}, audio="aac"),
        Clip(name="b.mov", codec="mpeg4", audio="pcm_s16le"),
        Clip(name="mp3.mp4", codec="mpeg4", audio="mp3"),
        Clip(name="h265.mkv", codec="libx265", options={"x265-params": "log-level=none"}, audio="libopus"),
        Clip(name="h264.mkv", audio="flac"),
        Clip(name="vp8.webm", codec="libvpx", audio="libopus"),
        Clip(name="vp9.webm", codec="libvpx-vp9", options={"cpu-used": "8"}),
        Clip(name="mjpeg.avi", codec="mjpeg", pix_fmt="yuvj420p", audio="mp3"),
        Clip(name="mpeg4.avi", codec="mpeg4", audio="ac3"),
        Clip(name="mpeg2.ts", codec="mpeg2video", audio="mp2"),
        Clip(name="h264.ts", audio="aac"),
        Clip(name="mpeg.mpg", codec="mpeg2video", audio="mp2"),
        Clip(name="flv.flv", codec="flv", audio="mp3", audio_rate=44100),
        Clip(name="wmv.wmv", codec="wmv2", audio="mp3"),
        Clip(name="h263.3gp", codec="h263", size=(144, 176)),
    ]
    files = [Path(make(folder, clip)) for clip in made]
    picture = numbered(5, 48, 64)
    for suffix in (".png", ".jpg", ".webp", ".bmp", ".tif", ".ppm"):
        file = folder / f"picture{suffix}"
        file.write_bytes(cv2.imencode(suffix, picture)[1].tobytes())
        files.append(file)
    labels = folder / "labels.png"
    labels.write_bytes(cv2.imencode(".png", np.arange(48 * 64, dtype=np.uint8).reshape(48, 64) % 12)[1].tobytes())
    return [*files, labels]
