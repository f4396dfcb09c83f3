"""`segnet-live --headless` from its arguments to its files, through the real command and a real engine."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from segnet_live.card import Card
from segnet_live.cli import main
from segnet_live.errors import SourceLost
from segnet_live.pipeline.headless import job as headless_job
from segnet_live.pipeline.headless.run import signals
from segnet_live.render.confidence import colourise
from segnet_live.video.synthetic import SyntheticSource
from tests.support.cards import write_card
from tests.support.clips import STRIPED_FRAMES, STRIPED_RATE, striped_clip
from tests.support.engines import FakeEngine
from tests.support.sources import FakeSource, fail_at

SMALL = ("--backend", "openvino", "--size", "32x64", "--headless")


@pytest.fixture(scope="module", autouse=True)
def compiled(tiny_card: Card) -> None:
    """The small network is in the cache, so that later runs start at once and without torch."""
    from segnet_live.engine.open import open_engine

    open_engine(tiny_card, backend="openvino", size=(32, 64)).close()


def one_line(capsys: pytest.CaptureFixture[str]) -> str:
    error = capsys.readouterr().err
    assert error.startswith("segnet-live: ")
    assert error.count("\n") == 1, error
    return error


def seconds_and_frames(path: Path) -> tuple[float, list[float]]:
    with av.open(str(path)) as video:
        stream = video.streams.video[0]
        times = [float(frame.pts * stream.time_base) for frame in video.decode(stream)]
        return float(stream.duration * stream.time_base), times


def test_every_output_of_one_run_agrees(
    clip: Path, tiny_card: Card, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record, masks, stats = tmp_path / "out.mp4", tmp_path / "labels", tmp_path / "s.csv"
    outputs = ["--record", str(record), "--masks", str(masks), "--stats", str(stats)]
    assert main(["--video", str(clip), "--model", str(tiny_card.folder), *SMALL, *outputs]) == 0
    said = capsys.readouterr().out
    written = f"{STRIPED_FRAMES} frames"
    for fact in ("96x64", "openvino", "32x64", written, "0 skipped", "0 corrupt", *map(str, outputs[1::2])):
        assert fact in said

    duration_s, times = seconds_and_frames(record)
    assert duration_s == pytest.approx(STRIPED_FRAMES / STRIPED_RATE, abs=1e-3)
    assert times == pytest.approx([index / STRIPED_RATE for index in range(STRIPED_FRAMES)], abs=1e-3)
    with av.open(str(record)) as video:
        assert video.streams.video[0].codec_context.name == "h264"
        assert video.streams.audio[0].codec_context.name == "aac"
        assert (video.streams.video[0].height, video.streams.video[0].width) == (64, 96)

    labels = [cv2.imread(str(masks / f"{index:06d}.png"), cv2.IMREAD_UNCHANGED) for index in range(STRIPED_FRAMES)]
    assert len(list(masks.iterdir())) == STRIPED_FRAMES
    assert all(label.shape == (64, 96) and label.dtype == np.uint8 and label.max() < 11 for label in labels)
    with stats.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["pts_s"]) for row in rows] == pytest.approx(times, abs=1e-3)
    for label, row in zip(labels, rows, strict=True):
        for class_id, name in enumerate(tiny_card.classes.names):
            assert float(row[name]) == pytest.approx((label == class_id).mean(), abs=1e-5)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["labels", "out.mp4", "s.csv"]


def test_confidence_is_kept_as_pictures_and_as_columns_and_belongs_to_the_same_frames(
    clip: Path, tiny_card: Card, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    maps, stats = tmp_path / "maps", tmp_path / "s.csv"
    run = ["--video", str(clip), "--model", str(tiny_card.folder), *SMALL, "--duration", "0.5"]
    assert main([*run, "--confidence", str(maps), "--stats", str(stats)]) == 0
    said = capsys.readouterr().out
    assert "with confidence" in said
    assert f"6 confidence maps in {maps}" in said
    pictures = [cv2.imread(str(path), cv2.IMREAD_UNCHANGED) for path in sorted(maps.iterdir())]
    assert {(picture.shape, picture.dtype) for picture in pictures} == {((64, 96), np.dtype(np.uint8))}
    with stats.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0])[-2:] == ["confidence", "unsure"]
    for picture, row in zip(pictures, rows, strict=True):
        assert float(row["confidence"]) == pytest.approx(picture.mean() / 255, abs=0.01)
        assert float(row["unsure"]) == pytest.approx((picture < 128).mean(), abs=0.05)
    assert main([*run, "--stats", str(stats), "--overwrite"]) == 0
    assert "confidence" not in stats.read_text(), "not asked for"
    assert main([*run, "--samples", "4", "--stats", str(stats), "--overwrite"]) == 2
    assert "openvino draws no samples" in one_line(capsys)
    assert main([*run, "--confidence", str(maps)]) == 2
    assert f"--confidence {maps} is not empty" in one_line(capsys)
    assert main([*run, "--confidence", str(tmp_path / "same"), "--masks", str(tmp_path / "same")]) == 2
    assert "a folder of its own" in one_line(capsys)


def test_a_recorded_confidence_view_is_the_map_in_colours(clip: Path, tiny_card: Card, tmp_path: Path) -> None:
    maps = tmp_path / "maps"
    options = ["--duration", "0.2", "--view", "confidence", "--confidence", str(maps)]
    pictures = recorded(clip, tiny_card, tmp_path / "out.mp4", *options)
    for picture, path in zip(pictures, sorted(maps.iterdir()), strict=True):
        drawn = colourise(np.asarray(cv2.imread(str(path), cv2.IMREAD_UNCHANGED), np.uint8))
        assert np.abs(picture.mean(-1) - drawn.mean(-1)).mean() < 8


def recorded(clip: Path, card: Card, to: Path, *options: str) -> list[NDArray[np.uint8]]:
    """The pictures of a recording of `clip` made with `options`."""
    assert main(["--video", str(clip), "--model", str(card.folder), *SMALL, "--record", str(to), *options]) == 0
    with av.open(str(to)) as video:
        return [frame.to_ndarray(format="rgb24") for frame in video.decode(video=0)]


def test_a_part_of_a_clip_side_by_side(clip: Path, tiny_card: Card, tmp_path: Path) -> None:
    options = ["--view", "side-by-side", "--opacity", "0", "--start", "0.5", "--duration", "1"]
    pictures = recorded(clip, tiny_card, tmp_path / "out.mp4", *options)
    assert len(pictures) == STRIPED_RATE
    assert pictures[0].shape == (64, 192, 3)
    assert np.abs(pictures[0][:, :96].astype(int) - pictures[0][:, 96:]).mean() < 6


def test_original_and_wiper_can_be_recorded(clip: Path, tiny_card: Card, tmp_path: Path) -> None:
    original = recorded(clip, tiny_card, tmp_path / "original.mp4", "--view", "original")[0].astype(int)
    wiper = recorded(clip, tiny_card, tmp_path / "wiper.mp4", "--view", "wiper", "--opacity", "1")[0].astype(int)
    with av.open(str(clip)) as video:
        source = next(video.decode(video=0)).to_ndarray(format="rgb24").astype(int)
    assert np.abs(original - source).mean() < 8
    assert np.abs(wiper[:, :44] - source[:, :44]).mean() < 8
    assert np.abs(wiper[:, 52:] - source[:, 52:]).mean() > 20
    layers = ["--view", "side-by-side", "--layers", "labels,original"]
    pair = recorded(clip, tiny_card, tmp_path / "pair.mp4", *layers)[0].astype(int)
    assert np.abs(pair[:, :96] - source).mean() > 20
    assert np.abs(pair[:, 96:] - source).mean() < 8


def test_figures_are_burnt_in_only_if_asked(clip: Path, tiny_card: Card, tmp_path: Path) -> None:
    plain = recorded(clip, tiny_card, tmp_path / "plain.mp4", "--opacity", "0")[0]
    burnt = recorded(clip, tiny_card, tmp_path / "burnt.mp4", "--opacity", "0", "--burn-hud")[0]
    with av.open(str(clip)) as video:
        source = next(video.decode(video=0)).to_ndarray(format="rgb24")
    assert np.abs(plain.astype(int) - source).mean() < 8
    assert np.abs(burnt[:24].astype(int) - source[:24]).mean() > 20


def test_images_keep_their_names_and_their_sizes(
    tiny_card: Card, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos, masks = tmp_path / "photos", tmp_path / "labels"
    photos.mkdir()
    sizes = {"0001TP_000030": (48, 64), "b": (64, 48), "c.d": (33, 47)}
    for name, size in sizes.items():
        cv2.imwrite(str(photos / f"{name}.png"), np.full((*size, 3), 90, np.uint8))
    given = ["--images", str(photos), "--model", str(tiny_card.folder), "--backend", "openvino", "--size", "32x64"]
    assert main([*given, "--masks", str(masks)]) == 0
    assert {p.stem: cv2.imread(str(p), cv2.IMREAD_UNCHANGED).shape for p in masks.iterdir()} == sizes
    assert "3 label maps" in capsys.readouterr().out
    assert main([*given, "--headless", "--record", str(tmp_path / "out.mp4")]) == 2
    assert "one size" in one_line(capsys)
    assert len(seconds_and_frames(tmp_path / "out.mp4")[1]) == 1
    shutil.copy(photos / "b.png", photos / "b.jpg")
    assert main([*given, "--masks", str(tmp_path / "again")]) == 2
    assert "stem" in one_line(capsys)
    assert not (tmp_path / "again").exists()


def write_text(path: Path) -> None:
    path.write_text("this is no video\n" * 50)


def write_sound(path: Path) -> None:
    with av.open(str(path), "w", format="mp4") as output:
        audio = output.add_stream("aac", rate=8000, layout="mono")
        block = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        block.sample_rate = 8000
        output.mux([*audio.encode(block), *audio.encode(None)])


def write_no_frames(path: Path) -> None:
    with av.open(str(path), "w", format="mp4") as output:
        output.add_stream("mpeg4", rate=10, width=32, height=32, pix_fmt="yuv420p")
        output.start_encoding()


BAD_INPUTS = {
    "missing": lambda path: None,
    "empty": Path.touch,
    "text": write_text,
    "sound only": write_sound,
    "no frames": write_no_frames,
    "folder": Path.mkdir,
}


@pytest.mark.parametrize("what", BAD_INPUTS)
def test_bad_input_is_one_line_and_leaves_the_outputs_alone(
    what: str, tiny_card: Card, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, record = tmp_path / "in.mp4", tmp_path / "out.mp4"
    record.write_bytes(b"a good recording")
    BAD_INPUTS[what](source)
    given = ["--video", str(source), "--model", str(tiny_card.folder), *SMALL]
    outputs = ["--record", str(record), "--masks", str(tmp_path / "labels"), "--stats", str(tmp_path / "s.csv")]
    assert main([*given, *outputs, "--overwrite"]) == 2
    assert str(source) in one_line(capsys)
    assert record.read_bytes() == b"a good recording"
    assert {p.name for p in tmp_path.iterdir()} <= {"in.mp4", "out.mp4"}


def test_bad_images_and_start_beyond_the_end_are_one_line(
    clip: Path, tiny_card: Card, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "none").mkdir()
    for source in (["--images", str(tmp_path / "none")], ["--video", str(clip), "--start", "99"]):
        assert main([*source, "--model", str(tiny_card.folder), *SMALL, "--record", str(tmp_path / "out.mp4")]) == 2
        one_line(capsys)
        assert not (tmp_path / "out.mp4").exists()


def card_with_nan(folder: Path) -> Path:
    """A model whose file is whole, sha256 and all, but holds one number that is none."""
    path = write_card(folder, seed=4).weights_path
    weights = load_file(path)
    next(iter(weights.values())).flat[0] = np.nan
    save_file(weights, path)
    card = json.loads((folder / "card.json").read_text())
    card["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    (folder / "card.json").write_text(json.dumps(card))
    return folder


def test_bad_model_and_class_are_one_line(
    clip: Path, tiny_card: Card, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(model: Path | str, *more: str) -> str:
        assert (
            main(["--video", str(clip), "--model", str(model), *SMALL, *more, "--record", str(tmp_path / "o.mp4")]) == 2
        )
        assert not (tmp_path / "o.mp4").exists()
        return one_line(capsys)

    assert "unknown model" in fails("segnet-9000")
    assert "unknown class 'Lorry'" in fails(tiny_card.folder, "--classes", "Road,Lorry")
    assert "card.json" in fails(tmp_path)
    changed = tmp_path / "changed"
    shutil.copytree(tiny_card.folder, changed)
    data = bytearray((changed / "weights.safetensors").read_bytes())
    data[-1] ^= 1
    (changed / "weights.safetensors").write_bytes(data)
    assert "sha256" in fails(changed), "also where the cache has the good weights' model"
    wrong = write_card(tmp_path / "wrong", seed=3)
    sky = '{"name": "Sky", "colour": [128, 128, 128]}, '
    card = (wrong.folder / "card.json").read_text()
    assert sky in card
    (wrong.folder / "card.json").write_text(card.replace(sky, ""))
    assert "10 classes" in fails(wrong.folder)
    assert "NaN" in fails(card_with_nan(tmp_path / "nan"))


def test_an_existing_output_is_kept(
    clip: Path, tiny_card: Card, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = tmp_path / "out.mp4"
    record.write_bytes(b"a good recording")
    given = ["--video", str(clip), "--model", str(tiny_card.folder), *SMALL, "--record", str(record)]
    assert main(given) == 2
    assert "--overwrite" in one_line(capsys)
    assert record.read_bytes() == b"a good recording"
    assert main([*given, "--overwrite"]) == 0
    assert len(seconds_and_frames(record)[1]) == STRIPED_FRAMES


def test_the_input_is_never_overwritten(
    clip: Path, tiny_card: Card, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mine = tmp_path / "drive.mp4"
    shutil.copy(clip, mine)
    given = ["--video", str(mine), "--model", str(tiny_card.folder), *SMALL, "--overwrite", "--record"]
    assert main([*given, str(mine)]) == 2
    assert "input" in one_line(capsys)
    assert mine.read_bytes() == clip.read_bytes()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full to play a full disk")
def test_a_full_disk_is_one_line_and_keeps_the_good_recording(
    clip: Path, tiny_card: Card, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    record = tmp_path / "out.mp4"
    record.write_bytes(b"a good recording")
    monkeypatch.setattr("segnet_live.video.recorder.make_new", lambda path: None)  # which would delete the link
    (tmp_path / "out.partial.mp4").symlink_to("/dev/full")
    given = ["--video", str(clip), "--model", str(tiny_card.folder), *SMALL, "--overwrite"]
    assert main([*given, "--record", str(record), "--masks", str(tmp_path / "labels")]) == 2
    assert "full" in one_line(capsys)
    assert record.read_bytes() == b"a good recording"


def test_a_truncated_file_gives_what_can_be_decoded_and_tells_the_loss(
    tiny_card: Card, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = striped_clip(tmp_path / "whole.mp4", sound=False, movflags="faststart")
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(whole.read_bytes()[: whole.stat().st_size * 3 // 4])
    record = tmp_path / "out.mp4"
    assert main(["--video", str(broken), "--model", str(tiny_card.folder), *SMALL, "--record", str(record)]) == 0
    frames = len(seconds_and_frames(record)[1])
    assert STRIPED_FRAMES // 4 < frames < STRIPED_FRAMES
    said = re.search(r"(\d+) frames in .* (\d+) corrupt", capsys.readouterr().out)
    assert said is not None
    assert int(said[1]) == frames
    assert int(said[2]) == STRIPED_FRAMES - frames


def test_openvino_from_the_cache_needs_no_torch_and_reports_nothing(
    clip: Path, tiny_card: Card, tmp_path: Path
) -> None:
    outputs = ["--record", str(tmp_path / "o.mp4"), "--masks", str(tmp_path / "m"), "--stats", str(tmp_path / "s.csv")]
    arguments = ["--video", str(clip), "--model", str(tiny_card.folder), *SMALL, *outputs, "--burn-hud"]
    code = (
        "import sys\nfrom segnet_live.cli import main\n"
        f"assert main({arguments!r}) == 0\n"
        "unwanted = 'torch', 'PyQt6', 'openvino_telemetry', 'openvino.tools.ovc', 'rich'\n"
        "print('loaded', [name for name in unwanted if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "loaded []"


def test_ctrl_c_finalises_and_names_what_is_done_even_if_pressed_again(tiny_card: Card, tmp_path: Path) -> None:
    long = striped_clip(tmp_path / "long.mp4", frames=12 * 120)
    record, stats = tmp_path / "out.mp4", tmp_path / "s.csv"
    command = [sys.executable, "-m", "segnet_live", "--video", str(long), "--model", str(tiny_card.folder), *SMALL]
    running = subprocess.Popen(
        [*command, "--record", str(record), "--stats", str(stats)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    partial = tmp_path / "out.partial.mp4"
    deadline = time.monotonic() + 60
    while not (partial.exists() and partial.stat().st_size) and time.monotonic() < deadline and running.poll() is None:
        time.sleep(0.02)
    running.send_signal(signal.SIGINT)
    time.sleep(0.02)
    running.send_signal(signal.SIGINT)
    said, error = running.communicate(timeout=240)
    assert running.returncode == 130, error
    assert str(record) in said
    assert error == ""
    duration_s, times = seconds_and_frames(record)
    assert 0 < len(times) < 12 * 120
    with av.open(str(record)) as video:
        audio = video.streams.audio[0]
        assert float(audio.duration * audio.time_base) == pytest.approx(duration_s, abs=0.3)
    assert len(stats.read_text().splitlines()) == len(times) + 1
    assert not partial.exists()


@pytest.mark.own_process
def test_termination_is_handled_alike(tiny_card: Card, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the process's own handlers are back afterwards."""
    before = signal.getsignal(signal.SIGTERM)
    read = threading.Event()
    source = FakeSource(10**6, before_read=lambda index: (time.sleep(0.001), read.set() if index == 5 else None))
    monkeypatch.setattr(headless_job, "open_source", lambda spec: source)
    monkeypatch.setattr(headless_job, "open_engine", lambda card, **options: FakeEngine(lambda index: None))
    threading.Thread(target=lambda: (read.wait(10), os.kill(os.getpid(), signal.SIGTERM)), daemon=True).start()
    record = tmp_path / "out.mp4"
    given = ["--synthetic", "--model", str(tiny_card.folder), "--headless", "--record", str(record)]
    assert main(given) == 128 + signal.SIGTERM
    assert len(seconds_and_frames(record)[1]) >= 4
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.own_process
@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="Windows closes no terminal")
def test_what_nohup_ignores_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with signals() as caught:
            os.kill(os.getpid(), signal.SIGHUP)
            time.sleep(0.01)
        assert caught == []
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_stream_that_is_lost_ends_with_a_whole_recording(
    tiny_card: Card, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def paced(index: int) -> None:
        time.sleep(0.02)
        fail_at(10, SourceLost("camera 0: unplugged"))(index)

    source = FakeSource(10**6, live=True, before_read=paced)
    monkeypatch.setattr(headless_job, "open_source", lambda spec: source)
    monkeypatch.setattr(headless_job, "open_engine", lambda card, **options: FakeEngine(lambda index: time.sleep(0.05)))
    record = tmp_path / "out.mp4"
    given = ["--camera", "0", "--model", str(tiny_card.folder), "--headless", "--record", str(record)]
    assert main([*given, "--no-reconnect"]) == 2
    captured = capsys.readouterr()
    assert captured.err == "segnet-live: camera 0: unplugged\n"
    assert " 0 skipped" not in captured.out
    frames = len(seconds_and_frames(record)[1])
    assert 2 <= frames < 10
    assert f"{frames} frames in" in captured.out


def test_the_example_drive_tells_how_well_the_model_agrees_with_its_truth(
    tiny_card: Card, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    truth = SyntheticSource().read().truth  # type: ignore[union-attr]

    class KnowsTheFirst(FakeEngine):
        def segment(self, rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
            super().segment(rgb)
            assert truth is not None
            return truth

    monkeypatch.setattr(headless_job, "open_engine", lambda card, **options: KnowsTheFirst())
    given = ["--synthetic", "--headless", "--no-smooth", "--duration", "0.04", "--model", str(tiny_card.folder)]
    assert main(given) == 0
    said = capsys.readouterr().out
    assert "against the drive's truth: G 100.0%, mIoU 100.0%" in said
    assert "nothing will be written" in said


def test_two_precisions_side_by_side_with_the_share_on_which_they_differ(
    tiny_card: Card, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clip = striped_clip(tmp_path / "clip.mp4")
    out, stats = tmp_path / "both.mp4", tmp_path / "both.csv"
    folder = str(tiny_card.folder)
    arguments = ["--headless", "--video", str(clip), "--size", "32x64", "--no-smooth"]
    arguments += ["--compare", f"{folder}:openvino:fp32", ":torch:fp32", "--record", str(out), "--stats", str(stats)]
    assert main(arguments) == 0
    assert "beside it: tiny on torch" in capsys.readouterr().out
    with av.open(str(out)) as video, av.open(str(clip)) as source:
        assert video.streams.video[0].width == 2 * source.streams.video[0].width
    rows = list(csv.DictReader(stats.read_text().splitlines()))
    assert len(rows) == STRIPED_FRAMES
    assert all(float(row["disagreement"]) < 0.01 for row in rows), "one network in one precision"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--compare", "segnet-fast", "segnet-basic", "--model", "segnet"], "--model and --compare contradict"),
        (["--view", "disagreement"], "--compare A B"),
        (["--layers", "overlay,other"], "--compare A B"),
        (["--compare", "segnet-fast", "no-such-model"], "no-such-model"),
    ],
)
def test_a_comparison_that_cannot_be_is_one_line(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--headless", "--synthetic", *arguments]) == 2
    assert said in one_line(capsys)
