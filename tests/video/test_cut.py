"""A clip holds the very pictures and sound of the part, from the key frame before it, and plays from 0."""

from __future__ import annotations

from pathlib import Path

import pytest

from segnet_live.errors import OutputError
from segnet_live.video.cut import clip_suffix, cut_clip
from segnet_live.video.file import FileSource
from tests.support.clips import Clip, ends, make, number_in, packets, times


def source(tmp_path: Path, name: str, **more: object) -> Path:
    """A clip of 100 numbered frames in 4 s, a key frame each second, with B-frames and sound."""
    options = {"g": "25", "bf": "2", "sc_threshold": "0"}
    return Path(make(tmp_path, Clip(name=name, frames=100, audio="aac", options=options, **more)))  # type: ignore[arg-type]


def numbers(clip: Path) -> list[int]:
    """The numbers of the pictures that a clip shows."""
    video, shown = FileSource(str(clip)), []
    while (frame := video.read()) is not None:
        shown.append(number_in(frame.rgb))
    assert not video.corrupt
    video.close()
    return shown


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov"])
def test_a_clip_begins_at_the_key_frame_before_and_ends_behind_the_part(tmp_path: Path, suffix: str) -> None:
    video, clip = source(tmp_path, f"drive{suffix}"), tmp_path / f"clip{suffix}"
    start_s, length_s = cut_clip(video, 1.5, 2.4, clip)
    assert start_s == pytest.approx(1.0, abs=0.01)
    assert length_s == pytest.approx(1.4, abs=0.13)
    shown = numbers(clip)
    assert shown[0] == 25
    assert shown == list(range(25, 25 + len(shown)))
    assert 59 <= shown[-1] <= 63
    assert float(times(clip)[0]) == pytest.approx(0, abs=0.1)
    assert abs(float(ends(clip, "audio")) - float(ends(clip))) < 0.15


def test_pictures_and_sound_are_copied_not_encoded_again(tmp_path: Path) -> None:
    video, clip = source(tmp_path, "drive.mp4"), tmp_path / "clip.mp4"
    cut_clip(video, 2.0, 3.0, clip)
    for kind in ("video", "audio"):
        whole = {content for _, _, content in packets(video, kind)}
        assert {content for _, _, content in packets(clip, kind)} <= whole


def test_the_whole_of_a_video_can_be_a_clip(tmp_path: Path) -> None:
    video, clip = source(tmp_path, "drive.mp4"), tmp_path / "clip.mp4"
    cut_clip(video, 0.0, 60.0, clip)
    assert numbers(clip) == list(range(100))


def test_what_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    video = source(tmp_path, "drive.mp4")
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError):
        cut_clip(video, 1.0, 2.0, tmp_path / "file" / "clip.mp4")
    with pytest.raises(OutputError, match="cannot be written"):
        cut_clip(video, 1.0, 2.0, tmp_path / "clip.webm")  # WebM takes no H.264
    assert sorted(p.name for p in tmp_path.iterdir()) == ["drive.mp4", "file"]


def test_clips_have_a_container_that_takes_what_the_video_holds() -> None:
    assert clip_suffix(Path("a.MP4")) == ".mp4"
    assert clip_suffix(Path("a.avi")) == ".mkv"
    assert clip_suffix(Path("a.mts")) == ".mkv"
