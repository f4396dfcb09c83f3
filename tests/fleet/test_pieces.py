"""Long files in pieces: joined again they are what a run of the whole file makes; none of this needs Ray."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from segnet_live.card import Card
from segnet_live.config import RunConfig, SourceSpec
from segnet_live.drives.index import beside, read_index
from segnet_live.errors import OutputError
from segnet_live.fleet.pieces import Piece, clear, cut, join, save_joined_index
from segnet_live.pipeline.headless.tasks import Task, plan
from segnet_live.pipeline.headless.worker import Done, KeptEngines, annotate
from segnet_live.video.cut import borders
from segnet_live.video.join import join_videos
from tests.support.clips import Clip, make, packets, times

FRAMES = 110


def long_clip(folder: Path, name: str = "long.mp4") -> Path:
    """4.4 s with a key frame each second, that begin late and have sound of another length."""
    pts = [n * 512 + 12800 for n in range(FRAMES)]
    clip = Clip(
        name=name,
        frames=FRAMES,
        pts=pts,
        time_base=Fraction(1, 12800),
        noise=30,
        options={"g": "25", "sc_threshold": "0"},
    )
    clip.audio, clip.audio_s, clip.audio_start_s = "aac", 4.9, 0.8
    return Path(make(folder, clip))


def job(card: Card, folder: Path, out: Path, **options: object) -> RunConfig:
    fields = {"headless": True, "backend": "openvino", "precision": "fp32", "size": (32, 32), "ray": "auto"} | options
    source = SourceSpec("video", str(folder))
    return RunConfig(source=source, record=out, model=str(card.folder), **fields)  # type: ignore[arg-type]


def done_in_pieces(config: RunConfig, opening: KeptEngines) -> tuple[list[Piece], list[Done], Task]:
    (task,) = plan(config)[0]
    pieces = cut(task, config, 0)
    done = []
    for piece in pieces:
        clear(piece)
        became = annotate(piece.config, opening.open, lambda _: True, piece.part)
        assert became is not None
        piece.keep(became)
        done.append(became)
    return pieces, done, task


def pictures(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


@pytest.mark.timeout(120)
def test_joined_pieces_are_what_the_whole_file_becomes(tiny_card: Card, tmp_path: Path) -> None:
    drives, engines = tmp_path / "drives", KeptEngines()
    drives.mkdir()
    video = long_clip(drives)
    extra = {"smooth": True, "index": "beside", "hide": ("Car",), "hide_hold": 3, "piece_s": 1.4}
    folders = {kind: tmp_path / kind for kind in ("masks", "stats", "confidence")}
    whole = job(tiny_card, drives, tmp_path / "whole", **extra, **{k: p / "whole" for k, p in folders.items()})
    (task,) = plan(whole)[0]
    assert annotate(task.config(whole), engines.open, lambda _: True) is not None
    task.finish()
    index = read_index(beside(video))

    config = job(tiny_card, drives, tmp_path / "joined", **extra, **{k: p / "joined" for k, p in folders.items()})
    pieces, done, task = done_in_pieces(config, engines)
    assert [each.frames for each in done] == [25, 25, 60]  # borders are key frames
    assert all(cut(task, config, 0)[n].kept == each for n, each in enumerate(done))  # a restart finds them done
    assert [piece.kept for piece in cut(task, job(tiny_card, drives, tmp_path / "joined", piece_s=1.4), 0)] == [
        None
    ] * 3
    assert join(pieces, done).frames == FRAMES
    save_joined_index(pieces, config)
    task.finish()

    assert not task.pieces.exists()
    name = "long.mp4"
    assert times(tmp_path / "joined" / name) == times(tmp_path / "whole" / name)
    assert packets(tmp_path / "joined" / name, "audio") == packets(tmp_path / "whole" / name, "audio")
    ours, theirs = (pictures(tmp_path / folder / name) for folder in ("joined", "whole"))
    assert len(ours) == len(theirs) == FRAMES
    assert (
        max(float(np.abs(a.astype(int) - b).mean()) for a, b in zip(ours, theirs, strict=True)) < 8
    )  # x264 made other bits
    for kind in ("masks", "confidence"):
        whole_maps = sorted((folders[kind] / "whole" / "long").iterdir())
        joined_maps = sorted((folders[kind] / "joined" / "long").iterdir())
        assert [p.name for p in joined_maps] == [p.name for p in whole_maps]
        assert [p.read_bytes() for p in joined_maps] == [p.read_bytes() for p in whole_maps]
    rows = [
        [line.split(",") for line in (folders["stats"] / folder / "long.csv").read_text().splitlines()]
        for folder in ("joined", "whole")
    ]
    assert [row[:2] + row[3:] for row in rows[0]] == [row[:2] + row[3:] for row in rows[1]]
    joined = read_index(beside(video))
    assert joined.facts.whole
    for column in ("pts_s", "shares", "confidence", "motion", "change"):
        np.testing.assert_array_equal(getattr(joined, column), getattr(index, column))


def test_borders_are_key_frames_and_short_files_have_none(tmp_path: Path) -> None:
    video = long_clip(tmp_path)
    assert borders(video, 1.4) == [2, 3]
    assert borders(video, 3.0) == []
    # Matroska states where the sound ends
    assert borders(long_clip(tmp_path, "long.mkv"), 1.4) == [2, 3, 4]


def test_a_part_or_a_container_without_times_is_not_cut(tiny_card: Card, tmp_path: Path) -> None:
    for name, start_s in (("a.mp4", 1.0), ("b.avi", 0.0)):
        folder = tmp_path / name
        folder.mkdir()
        make(folder, Clip(name=name, frames=60, options={"g": "10"}))
        config = job(tiny_card, folder, tmp_path / "out", piece_s=0.5)
        assert config.source is not None
        config = replace(config, source=replace(config.source, start_s=start_s))
        (piece,) = cut(plan(config)[0][0], config, 0)
        assert piece.part.is_whole


def test_pieces_of_different_encoders_are_not_joined(tmp_path: Path) -> None:
    made = [Path(make(tmp_path, Clip(name=f"{size}.mp4", size=(size, 64)))) for size in (48, 64)]
    with pytest.raises(OutputError, match=r"encoded otherwise.*--encoder x264"):
        join_videos(made, [Fraction(0), Fraction(1)], Fraction(1, 12800), str(made[0]), tmp_path / "out.mp4")
    assert not (tmp_path / "out.mp4").exists()
