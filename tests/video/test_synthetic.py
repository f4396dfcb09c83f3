"""The rendered drive: reproducible, seekable, fully labelled, and the same pictures as in assets/drive.mp4."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.reformatter import ColorRange, Colorspace

from segnet_live.classes import CAMVID, CAMVID_NAMES
from segnet_live.errors import SourceError
from segnet_live.video.drive import scene
from segnet_live.video.drive.render import render
from segnet_live.video.synthetic import DRIVE, DriveParameters, SyntheticDrive

CLIP = Path(__file__).parents[2] / "assets" / "drive.mp4"
SMALL = DriveParameters(seed=3, size=(90, 160), rate=Fraction(30000, 1001), duration_s=0.5)


def test_same_arguments_give_the_same_pixels_even_after_the_scene_was_forgotten():
    rgb, truth = render(11, 37, (96, 128))
    render(12, 0, (96, 128))
    scene.build.cache_clear()
    again, truth_again = render(11, 37, (96, 128))
    np.testing.assert_array_equal(rgb, again)
    np.testing.assert_array_equal(truth, truth_again)


def test_another_seed_or_another_index_is_another_picture():
    rgb, _ = render(11, 0, (96, 128))
    for other, _ in (render(12, 0, (96, 128)), render(11, 5, (96, 128))):
        assert np.abs(rgb.astype(int) - other).mean() > 2


@pytest.mark.parametrize("size", [(90, 160), (97, 131), (240, 180), (17, 16)])
def test_picture_and_truth_have_the_size_asked_for(size):
    rgb, truth = render(5, 3, size)
    assert rgb.shape == (*size, 3)
    assert rgb.dtype == truth.dtype == np.uint8
    assert truth.shape == size
    assert truth.max() < len(CAMVID)


def test_street_is_where_a_street_is_for_many_seeds():
    names = {name: i for i, name in enumerate(CAMVID_NAMES)}
    for seed in range(4):
        _, truth = render(seed, 20, (90, 160))
        assert (truth[-8:, 60:100] == names["Road"]).mean() > 0.5
        assert 0.15 < (truth == names["Road"]).mean() < 0.6
        assert not (truth[60:] == names["Sky"]).any()


def test_truth_barely_changes_with_resolution():
    _, coarse = render(7, 50, (90, 160))
    _, fine = render(7, 50, (360, 640))
    assert (coarse == fine[2::4, 2::4]).mean() > 0.93


def test_drive_shows_all_eleven_classes():
    seen: set[int] = set()
    for index in range(0, DRIVE.frames, 25):
        seen |= set(np.flatnonzero(np.bincount(render(DRIVE.seed, index, DRIVE.size)[1].ravel()) >= 20).tolist())
    assert seen == set(range(len(CAMVID)))


def test_source_delivers_what_it_announces():
    source = SyntheticDrive(SMALL)
    frames = list(source)
    assert source.info.size == SMALL.size
    assert source.info.rate == Fraction(30000, 1001)
    assert source.info.time_base == Fraction(1001, 30000)
    assert source.info.frames == len(frames) == 15
    assert source.info.seekable
    assert not source.info.live
    assert not source.info.audio
    assert source.corrupt == 0
    pts = [frame.pts for frame in frames]
    assert pts == sorted(set(pts))
    assert frames[3].pts_s == pytest.approx(3 * 1001 / 30000)
    assert all(frame.truth is not None and frame.truth.shape == frame.size for frame in frames)
    assert source.read() is None
    assert source.read() is None


def test_seeking_gives_the_frame_that_reading_on_gives():
    frames = list(SyntheticDrive(SMALL))
    source = SyntheticDrive(SMALL)
    for index in (9, 2, 14, 0):
        source.seek(frames[index].pts_s)
        frame = source.read()
        assert frame is not None
        assert frame.index == index
        np.testing.assert_array_equal(frame.rgb, frames[index].rgb)
    source.seek(frames[4].pts_s + 0.001)
    frame = source.read()
    assert frame is not None
    assert frame.index == 5
    source.seek(99)
    assert source.read() is None
    source.seek(0)
    source.close()
    source.close()
    assert source.read() is None


@pytest.mark.parametrize(
    "wrong", [{"size": (8, 64)}, {"rate": Fraction(0)}, {"duration_s": 0}, {"duration_s": float("inf")}]
)
def test_impossible_drives_are_refused(wrong):
    with pytest.raises(SourceError, match="got a drive of"):
        DriveParameters(seed=1, **wrong)


def test_clip_is_short_small_and_has_sound():
    assert CLIP.stat().st_size <= 2 * 1024**2
    with av.open(str(CLIP)) as container:
        video, sound = container.streams.video[0], container.streams.audio[0]
        assert (video.height, video.width) == DRIVE.size
        assert video.average_rate == DRIVE.rate
        assert 5 <= float(video.duration * video.time_base) <= 10
        assert float(sound.duration * sound.time_base) == pytest.approx(DRIVE.duration_s, abs=0.1)
        assert video.codec_context.pix_fmt == "yuv420p"
        assert (video.codec_context.name, sound.codec_context.name) == ("h264", "aac")
        levels = np.concatenate([frame.to_ndarray()[0] for frame in container.decode(sound)])
        assert 0.01 < np.sqrt(np.mean(levels**2)) < 0.3


def test_clip_holds_the_frames_that_the_renderer_makes():
    with av.open(str(CLIP)) as container:
        decoded = list(container.decode(video=0))
    assert len(decoded) == DRIVE.frames
    for index in (0, DRIVE.frames // 2, DRIVE.frames - 1):
        picture = decoded[index].reformat(
            format="rgb24", src_colorspace=Colorspace.ITU709, src_color_range=ColorRange.MPEG
        )
        difference = picture.to_ndarray().astype(float) - render(DRIVE.seed, index, DRIVE.size)[0]
        psnr_db = 10 * np.log10(255**2 / np.mean(difference**2))
        assert psnr_db > 28, (
            f"frame {index}: {psnr_db:.1f} dB; after a renderer change run `python assets/make_drive.py`"
        )
        assert np.abs(difference.mean((0, 1))).max() < 1.5
