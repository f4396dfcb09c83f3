"""What the car itself takes of the picture is found where there is some, nowhere else, and then counts for nothing."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from segnet_live.classes import CAMVID
from segnet_live.cli import main
from segnet_live.drives.bonnet import Bonnet, chosen_bonnet, find_bonnet, read_bonnet
from segnet_live.errors import DataError, SourceError
from segnet_live.frame import RGB, Frame, FrameResult, SourceInfo
from segnet_live.metrics import Metrics
from segnet_live.pipeline.inference import Inference
from tests.support.engines import ROAD, HalfEngine

SIZE = (120, 192)


def world(number: int) -> RGB:
    """A picture of blobs that is another one in every frame."""
    noise = np.random.default_rng(number).integers(0, 255, (12, 18, 3), np.uint8)
    return cv2.resize(noise, SIZE[::-1], interpolation=cv2.INTER_CUBIC)  # type: ignore[return-value]


def with_bonnet(rgb: RGB) -> RGB:
    """The picture with a dark bonnet whose rim is an arc, 30 % of the height at most, and faint reflections in it."""
    inside = np.zeros(SIZE, np.uint8)
    cv2.ellipse(inside, (96, 132), (150, 48), 0, 0, 360, 255, -1)
    out = rgb.copy()
    out[inside > 0] = rgb[::-1][inside > 0] // 12 + 15
    return out


def drive(path: Path, pictures: list[RGB]) -> Path:
    with av.open(str(path), "w") as output:
        video = output.add_stream("mpeg4", rate=10, width=SIZE[1], height=SIZE[0], pix_fmt="yuv420p")
        video.bit_rate = 4_000_000
        for rgb in pictures:
            output.mux(video.encode(av.VideoFrame.from_ndarray(rgb, format="rgb24")))
        output.mux(video.encode(None))
    return path


@pytest.fixture(scope="module")
def bonneted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return drive(tmp_path_factory.mktemp("bonnet") / "drive.mp4", [with_bonnet(world(i)) for i in range(24)])


def test_a_bonnet_is_found_where_it_is(bonneted: Path) -> None:
    bonnet = find_bonnet(bonneted)
    assert bonnet is not None
    truth = np.zeros(SIZE, np.uint8)
    cv2.ellipse(truth, (96, 132), (150, 48), 0, 0, 360, 1, -1)
    found, wanted = bonnet.at(SIZE), truth > 0
    assert (found & wanted).sum() / (found | wanted).sum() > 0.9
    assert 0.65 < bonnet.top < 0.75


def test_a_bonnet_in_which_the_scene_is_mirrored_is_found(tmp_path: Path) -> None:
    truth = np.zeros(SIZE, np.uint8)
    cv2.ellipse(truth, (96, 132), (150, 48), 0, 0, 360, 1, -1)

    def mirrored(rgb: RGB) -> RGB:
        seen = cv2.GaussianBlur(rgb[::-1].astype(np.float32), (0, 0), 6) * 0.4 + 25  # 76 on average, the road 127
        return np.where(truth[..., None] > 0, seen, rgb).astype(np.uint8)

    bonnet = find_bonnet(drive(tmp_path / "drive.mp4", [mirrored(world(i)) for i in range(32)]))
    assert bonnet is not None
    found = bonnet.at(SIZE)
    assert (found & (truth > 0)).sum() / (found | (truth > 0)).sum() > 0.85


def test_a_date_stamp_is_found(tmp_path: Path) -> None:
    def stamped(rgb: RGB) -> RGB:
        out = cv2.resize(rgb, (384, 240))
        out[222:238, 4:150] = 0
        cv2.putText(out, "2026-05-01", (6, 236), cv2.FONT_HERSHEY_SIMPLEX, 0.7, (255, 255, 255), 2)
        return cv2.resize(out, SIZE[::-1], interpolation=cv2.INTER_AREA)  # type: ignore[return-value]

    bonnet = find_bonnet(drive(tmp_path / "drive.mp4", [stamped(world(i)) for i in range(24)]))
    assert bonnet is not None
    at = bonnet.at(SIZE)
    assert at[112:118, 6:70].mean() > 0.8
    assert not at[:100].any()
    assert not at[:, 100:].any()


def test_nothing_is_found_where_everything_moves_or_nothing_does(tmp_path: Path) -> None:
    assert find_bonnet(drive(tmp_path / "moves.mp4", [world(i) for i in range(24)])) is None
    still = drive(tmp_path / "parked.mp4", [with_bonnet(world(1))] * 24)
    with pytest.raises(SourceError, match="hardly moves"):
        find_bonnet(still)
    told: list[str] = []
    assert chosen_bonnet("auto", still, told.append) is None
    assert "hardly moves" in told[0], "a parked drive in a folder of drives is no reason to stop"


def test_the_example_drive_has_no_bonnet() -> None:
    from segnet_live.system.paths import assets_dir

    assert find_bonnet(assets_dir() / "drive.mp4") is None


def test_it_is_void_in_label_maps_and_no_part_of_shares() -> None:
    mask = np.zeros((60, 96), np.uint8)
    mask[45:, 48:] = 255
    inference = Inference(Metrics())
    inference.bonnet = Bonnet(mask)
    info = SourceInfo("drive", SIZE, None, Fraction(1, 10), None, None, live=False, seekable=False, audio=False)
    frame = Frame(world(1), 0, 0, Fraction(1, 10))
    captured = FrameResult.unlabelled(frame, info, CAMVID)
    engine = HalfEngine("m", "torch", (40, 64))
    result = inference.segment(captured, engine, CAMVID)
    assert (result.labels[92:, 98:] == CAMVID.void_id).all()
    assert (result.labels[:88] != CAMVID.void_id).all()
    assert result.class_shares.sum() == pytest.approx(1, abs=0.01)
    assert result.class_shares[ROAD] == pytest.approx(0.5 / 0.875, abs=0.01)
    inference.bonnet = None
    assert (inference.segment(captured, engine, CAMVID).labels != CAMVID.void_id).all()


def test_it_can_be_made_higher_and_lower_and_kept_as_a_picture(
    bonneted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, look = tmp_path / "bonnet.png", tmp_path / "look.jpg"
    assert main(["bonnet", str(bonneted), "-o", str(out), "--show", str(look)]) == 0
    assert "is left out" in capsys.readouterr().out
    kept = read_bonnet(out)
    found = find_bonnet(bonneted)
    assert found is not None
    assert abs(kept.share - found.share) < 0.01
    assert cv2.imread(str(look)).shape == (*SIZE, 3)
    assert main(["bonnet", str(bonneted), "-o", str(out)]) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert main(["bonnet", str(bonneted), "-o", str(out), "--below", "20", "--grow", "5", "--overwrite"]) == 0
    assert read_bonnet(out).share == pytest.approx(0.25, abs=0.01)
    video = bonneted.read_bytes()
    (tmp_path / "again.png").symlink_to(bonneted)
    assert main(["bonnet", str(bonneted), "-o", str(tmp_path / "again.png"), "--below", "20", "--overwrite"]) == 2
    assert "is the video itself" in capsys.readouterr().err
    assert bonneted.read_bytes() == video
    assert found.grown(0.1).top < found.top < found.grown(-0.1).top
    assert found.grown(0.0) is found


@pytest.mark.parametrize("arguments", ["--below -5", "--below 81", "--below nan", "--grow -51"])
def test_a_height_that_no_bonnet_has_is_one_line(arguments: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bonnet", "a.mp4", *arguments.split()]) == 2
    error = capsys.readouterr().err
    assert f"{arguments.split()[0]} got" in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(("content", "said"), [(b"", "no picture"), (b"junk", "no picture"), (None, "cannot be read")])
def test_a_picture_that_is_none_is_one_line(tmp_path: Path, content: bytes | None, said: str) -> None:
    path = tmp_path / "bonnet.png"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=said):
        read_bonnet(path)
    cv2.imwrite(str(path), np.full((10, 10), 255, np.uint8))
    with pytest.raises(DataError, match="100% of the picture"):
        read_bonnet(path)


def test_two_bonnets_are_told_apart() -> None:
    a, b = np.zeros((8, 8), np.bool_), np.zeros((8, 8), np.bool_)
    b[7] = True
    assert Bonnet(a).sha256 != Bonnet(b).sha256
    assert Bonnet(b).sha256 == Bonnet(b.copy()).sha256
