"""What segnet-live keeps or is given beside videos: written whole, damaged, and read as the program reads it."""

from __future__ import annotations

import io
import os
import random
import struct
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from segnet_live.classes import CAMVID
from tests.torture import mutants

BEGUN = datetime(2026, 5, 1, 12, tzinfo=UTC)


def _settings(path: Path, dice: random.Random) -> None:
    from segnet_live.ui.settings import Settings, save_settings

    save_settings(Settings(recent=("video:a.mp4",), size=(32, 64)), path)
    path.write_bytes(mutants.damaged_json(path.read_bytes(), dice))


def _read_settings(path: Path) -> None:
    from segnet_live.ui.settings import load_settings, save_settings

    settings, _ = load_settings(path)
    assert not save_settings(settings, path)


def _cache(path: Path, dice: random.Random) -> None:
    from segnet_live.engine.artifacts import ArtifactStore

    manifest = ArtifactStore(path).save({"a": 1}, {"parity": {"overall": 1.0}}, {".xml": b"<net/>", ".bin": bytes(100)})
    assert manifest is not None
    victim = manifest if dice.random() < 0.7 else manifest.with_suffix(".bin")
    damage = mutants.damaged_json if victim is manifest else lambda data, d: mutants.damaged(data, ".bin", d)
    victim.write_bytes(damage(victim.read_bytes(), dice))


def _read_cache(path: Path) -> None:
    from segnet_live.engine.artifacts import ArtifactStore

    store = ArtifactStore(path)
    store.load({"a": 1})
    store.entries()


def _index(path: Path, dice: random.Random) -> None:
    """An index beside its video: the archive is damaged, or one array or the header inside a good one."""
    from segnet_live.drives.index import beside, save_index
    from tests.support.drives import drive_index

    path.write_bytes(bytes(range(256)))
    save_index(drive_index({"Road": [0.5, 0.7, 0.2] * 10}), path, "beside")
    file = beside(path)
    if dice.random() < 0.3:
        file.write_bytes(mutants.damaged(file.read_bytes(), ".npz", dice))
        return
    with zipfile.ZipFile(file) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    name = dice.choice(sorted(members))
    if name == "header.npy" and dice.random() < 0.7:
        text = np.load(io.BytesIO(members[name])).tobytes()
        changed = io.BytesIO()
        np.save(changed, np.frombuffer(mutants.damaged_json(text, dice), np.uint8))
        members[name] = changed.getvalue()
    elif dice.random() < 0.3:
        changed = io.BytesIO()
        np.save(changed, dice.choice((np.zeros(0), np.full(30, np.nan), np.full(30, 1e300), np.zeros((30, 3), "U4"))))
        members[name] = changed.getvalue()
    else:
        members[name] = mutants.damaged(members[name], ".npy", dice)
    with zipfile.ZipFile(file, "w") as archive:
        for member, content in members.items():
            archive.writestr(member, content)


def _read_index(path: Path) -> None:
    from segnet_live.drives.index import load_index
    from segnet_live.drives.moments import find_moments
    from segnet_live.drives.query import parse

    index = load_index(path, {"smooth": False})
    if index is not None:
        find_moments(index, parse("Road > 60% or cut or flicker > 1%", index.classes))


def _drafts(path: Path, dice: random.Random) -> None:
    from segnet_live.drafts.folder import DraftFolder, Record

    folder = DraftFolder(path)
    labels = (np.arange(48 * 64, dtype=np.uint8).reshape(48, 64)) % 12
    folder.add("a_1", np.full((48, 64, 3), 90, np.uint8), labels, CAMVID, Record(source="a.mp4", time_s=1.0))
    victim = dice.choice(sorted(p for p in path.rglob("*") if p.suffix in (".png", ".json")))
    damage = mutants.damaged_json if victim.suffix == ".json" else lambda data, d: mutants.damaged(data, ".png", d)
    victim.write_bytes(damage(victim.read_bytes(), dice))


def _read_drafts(path: Path) -> None:
    from segnet_live.drafts.folder import DraftFolder
    from segnet_live.export.annotations import label_files, write_annotations

    folder = DraftFolder(path)
    for draft in folder.drafts():
        draft.rgb()
        folder.save(draft, draft.labels(), done=True)
    for to in ("coco", "cvat"):
        list(write_annotations(to, label_files(path), CAMVID, path / "annotations"))


def _track(path: Path, dice: random.Random) -> None:
    points = "".join(
        f'<trkpt lat="{52 + i / 1000}" lon="13"><ele>3</ele><time>2026-05-01T12:00:{i:02d}Z</time></trkpt>'
        for i in range(20)
    )
    space = 'xmlns="http://www.topografix.com/GPX/1/1"'
    text = f'<?xml version="1.0"?><gpx {space}><trk><trkseg>{points}</trkseg></trk></gpx>'
    if dice.random() < 0.1:
        encoding = dice.choice(("foo", "gb2312", "utf-7", "idna", "utf-16", "utf-8", "latin-1", "punycode"))
        kind = dice.choice(("", '<!DOCTYPE gpx [<!ENTITY a "aaaa">]>', "<a>" * 200, "<a/>" * 10_000))
        changed = text.replace("?>", f' encoding="{encoding}"?>{kind}', 1)
        path.write_bytes(changed.encode("utf-16" if encoding == "utf-16" else "utf-8"))
    elif dice.random() < 0.5:
        old = dice.choice(("52.003", "2026-05-01T12:00:05Z", "13", "3", "trkpt", space))
        new = dice.choice(
            ("", "nan", "inf", "-1e308", "9999-12-31T23:59:59+23:59", "0001-01-01T00:00:00-23:59", "&lt;")
        )
        path.write_text(text.replace(old, new, dice.choice((1, -1))))
    else:
        path.write_bytes(mutants.damaged(text.encode(), ".gpx", dice))


def _read_track(path: Path) -> None:
    from segnet_live.drives.track import read_gpx

    track = read_gpx(path, BEGUN).within(60)
    if len(track):
        float(track.length_m), float(track.speed_kmh)


def _gopro(path: Path, dice: random.Random) -> None:
    """GoPro's boxes whose sizes, kinds or nesting lie."""

    def box(key: bytes, kind: bytes, size: int, values: bytes) -> bytes:
        count = min(65535, len(values) // max(1, size))
        return key + kind + bytes([size]) + struct.pack(">H", count) + values + bytes(-len(values) % 4)

    fixes = struct.pack(">10i", 520000000, 130000000, 1, 2, 3, 520010000, 130000000, 1, 2, 3)
    content = box(b"SCAL", b"l", 4, struct.pack(">5i", *[10_000_000] * 5)) + box(b"GPS5", b"l", 20, fixes)
    for _ in range(dice.choice((2, 2, 50, 1500))):
        content = box(b"DEVC", b"\0", dice.choice((1, 1, 255)), content)
    path.write_bytes(mutants.damaged(content, ".gpmf", dice))


def _read_gopro(path: Path) -> None:
    from segnet_live.drives.track import _coordinates

    list(_coordinates(path.read_bytes()))


def _pipe(path: Path, dice: random.Random) -> None:
    """A model folder, drafts and settings in which one file is a pipe, or larger than any disk."""
    for name in ("card.json", "weights.safetensors", "settings.json", "labels.png", "drive.gpx", "list.m3u8"):
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        if dice.random() < 0.5 and hasattr(os, "mkfifo"):
            os.mkfifo(path / name)
        else:
            with (path / name).open("wb") as huge:
                huge.truncate(1 << dice.choice((30, 34, 40)))


def _read_pipe(path: Path) -> None:
    from segnet_live.card import read_card
    from segnet_live.drafts.folder import read_labels
    from segnet_live.drives.track import read_gpx
    from segnet_live.errors import SegnetLiveError
    from segnet_live.ui.settings import load_settings
    from segnet_live.video.container import open_container

    readers: tuple[Callable[[], object], ...] = (
        lambda: read_card(path),
        lambda: read_labels(path / "labels.png"),
        lambda: read_gpx(path / "drive.gpx", BEGUN),
        lambda: open_container(str(path / "list.m3u8")),
    )
    load_settings(path / "settings.json")
    for read in readers:
        try:
            read()
        except SegnetLiveError:
            continue
        raise AssertionError("it was read")


KEPT: dict[str, tuple[Callable[[Path, random.Random], None], Callable[[Path], None]]] = {
    "settings": (_settings, _read_settings),
    "cache": (_cache, _read_cache),
    "index": (_index, _read_index),
    "drafts": (_drafts, _read_drafts),
    "track": (_track, _read_track),
    "gopro": (_gopro, _read_gopro),
    "pipes": (_pipe, _read_pipe),
}
"""By kind: what writes a damaged one to a path, and what reads it as the program does."""
