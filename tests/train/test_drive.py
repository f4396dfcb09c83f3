"""The painter: reproducible, fully labelled, and the maker of assets/drive.mp4 and its label track."""

from __future__ import annotations

import av
import numpy as np
import pytest
from av.video.reformatter import ColorRange, Colorspace

from segnet_live.classes import CAMVID, CAMVID_NAMES
from segnet_live.video.synthetic import CLIP, LABELS
from train.drive import scene
from train.drive.render import RATE, SHIPPED_FRAMES, SHIPPED_SEED, SHIPPED_SIZE, render


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
    for index in range(0, SHIPPED_FRAMES, 25):
        seen |= set(np.flatnonzero(np.bincount(render(SHIPPED_SEED, index, SHIPPED_SIZE)[1].ravel()) >= 20).tolist())
    assert seen == set(range(len(CAMVID)))


def test_clip_is_short_small_and_has_sound():
    assert CLIP.stat().st_size <= 2 * 1024**2
    with av.open(str(CLIP)) as container:
        video, sound = container.streams.video[0], container.streams.audio[0]
        assert (video.height, video.width) == SHIPPED_SIZE
        assert video.average_rate == RATE
        assert 5 <= float(video.duration * video.time_base) <= 10
        assert float(sound.duration * sound.time_base) == pytest.approx(SHIPPED_FRAMES / RATE, abs=0.1)
        assert video.codec_context.pix_fmt == "yuv420p"
        assert (video.codec_context.name, sound.codec_context.name) == ("h264", "aac")
        levels = np.concatenate([frame.to_ndarray()[0] for frame in container.decode(sound)])
        assert 0.01 < np.sqrt(np.mean(levels**2)) < 0.3


def test_clip_holds_the_frames_that_the_renderer_makes():
    with av.open(str(CLIP)) as container:
        decoded = list(container.decode(video=0))
    assert len(decoded) == SHIPPED_FRAMES
    for index in (0, SHIPPED_FRAMES // 2, SHIPPED_FRAMES - 1):
        picture = decoded[index].reformat(
            format="rgb24", src_colorspace=Colorspace.ITU709, src_color_range=ColorRange.MPEG
        )
        difference = picture.to_ndarray().astype(float) - render(SHIPPED_SEED, index, SHIPPED_SIZE)[0]
        psnr_db = 10 * np.log10(255**2 / np.mean(difference**2))
        assert psnr_db > 28, (
            f"frame {index}: {psnr_db:.1f} dB; after a renderer change run `python assets/make_drive.py`"
        )
        assert np.abs(difference.mean((0, 1))).max() < 1.5


def test_label_track_holds_the_truth_that_the_painter_knows():
    assert LABELS.stat().st_size <= 2**20
    with av.open(str(LABELS)) as container:
        decoded = [frame.to_ndarray() for frame in container.decode(video=0)]
    assert len(decoded) == SHIPPED_FRAMES
    for index in (0, 77, SHIPPED_FRAMES - 1):
        np.testing.assert_array_equal(decoded[index], render(SHIPPED_SEED, index, SHIPPED_SIZE)[1])
