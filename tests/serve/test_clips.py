"""Clips: annotated as the library does it, in a child of their own, refused if they lead elsewhere, and not kept."""

from __future__ import annotations

import asyncio
import json
import math
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from io import BytesIO
from pathlib import Path
from typing import Literal

import av
import pytest

from segnet_live.card import Card
from segnet_live.errors import SourceError
from segnet_live.serve import clips
from segnet_live.serve.limits import Limits
from segnet_live.video.container import open_container
from tests.support.clips import Clip, make
from tests.support.serving import Served, serving

PLAYLIST = b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n"


@dataclass
class Place:
    served: Served
    folder: Path


@pytest.fixture(scope="module")
def place(tiny_card: Card, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("uploads")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(folder))
        patch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path_factory.mktemp("inductor")))  # which PyTorch makes there
        with serving(tiny_card, Limits(clip_bytes=2_000_000, clip_s=2.0, queue=4)) as running:
            yield Place(running, folder)


def test_a_clip_comes_back_annotated_and_nothing_of_it_is_kept(place: Place, tmp_path: Path) -> None:
    clip = make(tmp_path, Clip(frames=8, size=(72, 128), rate=Fraction(8), audio="aac"))
    answer = place.served.ask("POST", "/clip?opacity=0.7", Path(clip).read_bytes())
    assert answer.status == 200
    *_, last = (json.loads(line) for line in answer.body.split(b"\n") if line.startswith(b'{"'))
    assert (last["frames"], last["of"]) == (8, 8)
    assert sum(each["share"] for each in last["classes"]) == pytest.approx(1, abs=0.01)
    mp4 = answer.body[-last["bytes"] :]
    with av.open(BytesIO(mp4)) as video:
        assert len(video.streams.audio) == 1
        assert sum(1 for _ in video.decode(video=0)) == 8
    assert not list(place.folder.iterdir())
    assert place.served.parts.clips.under_way == 0


class Taken(asyncio.Lock):
    """A turn that others have for so many heartbeats."""

    def __init__(self, heartbeats: float) -> None:
        super().__init__()
        self.heartbeats = heartbeats

    async def acquire(self) -> Literal[True]:
        self.heartbeats -= 1
        if self.heartbeats >= 0:
            await asyncio.sleep(3600)
        return await super().acquire()


def test_a_guest_whose_clip_waits_or_runs_hears_that_it_is_not_forgotten(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clips, "HEARTBEAT_S", 0.05)
    monkeypatch.setattr(place.served.parts.clips, "_turn", Taken(3))
    answer = place.served.ask("POST", "/clip", Path(make(tmp_path, Clip(frames=4, rate=Fraction(8)))).read_bytes())
    *told, last = (json.loads(line) for line in answer.body.split(b"\n") if line.startswith(b'{"'))
    assert told[:4] == [{"frames": 0, "of": 4}] * 4
    assert last["frames"] == 4


def test_a_clip_that_is_not_taken_is_refused_before_its_turn(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(place.served.parts.clips, "_turn", Taken(math.inf))
    answer = place.served.ask("POST", "/clip", Path(make(tmp_path, Clip(frames=8, rate=Fraction(2)))).read_bytes())
    assert answer.status == 413
    assert place.served.parts.clips.under_way == 0


def test_too_long_a_clip_is_refused_with_its_length(place: Place, tmp_path: Path) -> None:
    clip = make(tmp_path, Clip(frames=8, rate=Fraction(2)))
    answer = place.served.ask("POST", "/clip", Path(clip).read_bytes())
    assert answer.status == 413
    assert "4.0 s long; the most is 2 s" in json.loads(answer.body)["error"]
    assert not list(place.folder.iterdir())


@pytest.mark.parametrize(
    ("body", "status"),
    [(PLAYLIST, 415), (b"ffconcat version 1.0\nfile /etc/passwd\n", 415), (b"", 415), (bytes(2_100_000), 413)],
)
def test_what_is_no_clip_does_not_reach_a_decoder(place: Place, body: bytes, status: int) -> None:
    answer = place.served.ask("POST", "/clip", body)
    assert answer.status == status
    assert json.loads(answer.body)["error"]
    assert not list(place.folder.iterdir())


def test_no_playlist_is_opened_whatever_its_name(tmp_path: Path) -> None:
    make(tmp_path, Clip(name="secret.mp4"))
    playlist = tmp_path / "upload.mp4"
    playlist.write_bytes(PLAYLIST.replace(b"/etc/passwd", str(tmp_path / "secret.mp4").encode()))
    with pytest.raises(SourceError):
        open_container(str(playlist), formats=clips.FORMATS)
    with open_container(str(tmp_path / "secret.mp4"), formats=clips.FORMATS) as container:
        assert container.streams.video


def test_more_clips_than_there_is_room_for_are_told_to_come_again(place: Place) -> None:
    under_way = place.served.parts.clips
    under_way._under_way = 9
    try:
        answer = place.served.ask("POST", "/clip", b"\0\0\0\x20ftypisom" + bytes(100))
    finally:
        under_way._under_way = 0
    assert answer.status == 503
    assert answer.headers["retry-after"] == "60"
