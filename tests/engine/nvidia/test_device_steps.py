"""What GPUs do of the host's work, run on the CPU: it gives what the host's own steps give, within stated bounds."""

from __future__ import annotations

from fractions import Fraction

import cv2
import numpy as np
import pytest
import torch

from segnet_live.card import Card
from segnet_live.classes import CAMVID
from segnet_live.drives.bonnet import Bonnet
from segnet_live.engine.base import RequestedOutputs, run_engine
from segnet_live.engine.eager import EagerEngine
from segnet_live.engine.nvidia.device_steps import Enlarge, Shrink, form_of, lay_out
from segnet_live.engine.nvidia.graphed import CudaGraphEngine
from segnet_live.engine.resize import fit_input, picture_for
from segnet_live.engine.smoothing import SmoothedEngine
from segnet_live.frame import RGB, Frame, FrameResult, SourceInfo
from segnet_live.labels import labels_at
from segnet_live.metrics import Metrics
from segnet_live.pipeline.inference import Inference
from segnet_live.planes import Colours, Planes

SIZES = [((360, 640), (320, 544)), ((720, 1280), (320, 544)), ((1080, 1920), (320, 544)), ((194, 322), (45, 59))]
NET = (32, 48)


def scene(size: tuple[int, int]) -> RGB:
    """A picture with smooth parts, edges and noise."""
    random = np.random.default_rng(0)
    small = random.integers(0, 255, (9, 12, 3), dtype=np.uint8)
    picture = np.array(cv2.resize(small, size[::-1], interpolation=cv2.INTER_CUBIC), np.uint8)
    picture[size[0] // 3 : size[0] // 2, ::7] = random.integers(0, 255, 3)
    picture[-size[0] // 4 :] = random.integers(0, 255, picture[-size[0] // 4 :].shape)
    return picture


def planes(size: tuple[int, int], *, apart: bool = False) -> Planes:
    made, picture = Planes.blank(size, Colours("bt709")), scene(size)
    made.y[:] = 16 + picture[..., 1] * 0.85
    made.u[:], made.v[:] = (64 + picture[::2, ::2, channel] * 0.5 for channel in (0, 2))
    return Planes(made.y.copy(), made.u.copy(), made.v.copy(), made.colours) if apart else made


def on_device(picture: RGB | Planes, size: tuple[int, int], dtype: torch.dtype) -> RGB:
    form = form_of(picture, size)
    assert form is not None
    laid = torch.zeros(form.shape, dtype=torch.uint8)
    lay_out(picture, laid.numpy())
    return np.asarray(Shrink(form, size, dtype)(laid)[0].numpy())


@pytest.mark.parametrize(("source", "size"), SIZES)
@pytest.mark.parametrize("kind", ["rgb", "planes", "planes apart"])
def test_a_picture_shrunk_on_the_device_is_the_host_s(
    source: tuple[int, int], size: tuple[int, int], kind: str
) -> None:
    picture = scene(source) if kind == "rgb" else planes(source, apart="apart" in kind)
    host = fit_input(picture, size).astype(int)
    for dtype in (torch.float32, torch.float16):
        difference = np.abs(on_device(picture, size, dtype) - host)
        assert difference.max() <= 3
        assert difference.mean() <= 1


@pytest.mark.parametrize(("source", "size"), SIZES)
def test_labels_enlarged_on_the_device_are_the_host_s_but_where_two_classes_nearly_tie(
    source: tuple[int, int], size: tuple[int, int]
) -> None:
    coarse = np.random.default_rng(3).integers(0, 11, (9, 12), dtype=np.uint8)
    labels = np.array(cv2.resize(coarse, size[::-1], interpolation=cv2.INTER_NEAREST), np.uint8)
    labels[::5, ::9] = 7
    members = [cv2.resize((labels == k).astype(np.float32), source[::-1]) for k in range(11)]
    largest = np.sort(np.stack(members), axis=0)
    ties = largest[-1] - largest[-2] < 0.01
    for dtype in (torch.float32, torch.float16):
        found = Enlarge(11, source, dtype)(torch.from_numpy(labels)[None])[0].numpy()
        assert found.dtype == np.uint8
        differs = found != labels_at(labels, source)
        assert not (differs & ~ties).any()
        assert differs.mean() < 0.01


def test_only_what_is_larger_on_both_sides_is_shrunk_on_the_device() -> None:
    assert form_of(scene((45, 200)), (45, 59)) is None
    assert form_of(scene((20, 30)), (45, 59)) is None
    assert form_of(scene((46, 60)), (45, 59)) is not None


@pytest.fixture
def engine(tiny_card: Card) -> CudaGraphEngine:
    """The engine that GPUs have in seconds, without a GPU: it shrinks and enlarges all the same."""
    return CudaGraphEngine(tiny_card, NET, precision="fp32", device="cpu", maps=RequestedOutputs(at_source=True))


def captured(picture: RGB | Planes) -> FrameResult:
    frame = Frame(picture, 0, 0, Fraction(1, 25))
    info = SourceInfo("a test", frame.size, None, Fraction(1, 25), None, None, live=False, seekable=False, audio=False)
    return FrameResult.unlabelled(frame, info, CAMVID)


def test_the_pipeline_hands_whole_pictures_over_and_takes_labels_of_their_size(
    engine: CudaGraphEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture, inference = planes((96, 160)), Inference(Metrics())
    with monkeypatch.context() as forbidden:
        forbidden.setattr(Planes, "rgb_at", lambda *_: pytest.fail("the host shrinks"))
        forbidden.setattr("segnet_live.frame.labels_at", lambda *_: pytest.fail("the host enlarges"))
        found = inference.segment(captured(picture), engine, CAMVID)
        inference.submit(captured(picture), engine)
        later = inference.wait(engine, CAMVID)
        assert found.labels.shape == (96, 160)
        assert (later.labels == found.labels).all()
    assert (found.network_labels == engine.segment(on_device(picture, NET, torch.float32))).all()
    assert (found.labels != labels_at(found.network_labels, (96, 160))).mean() < 0.01


def test_labels_that_the_host_changes_are_enlarged_by_the_host(engine: CudaGraphEngine) -> None:
    picture, inference = planes((96, 160)), Inference(Metrics())
    mask = np.zeros(NET, bool)
    mask[20:] = True
    inference.bonnet = Bonnet(mask)
    found = inference.segment(captured(picture), engine, CAMVID)
    assert (found.labels == labels_at(found.network_labels, (96, 160))).all()
    assert (found.labels[70:] == CAMVID.void_id).all()


@pytest.mark.parametrize("skipped", [False, True])
def test_smoothing_follows_whole_pictures_as_well(engine: CudaGraphEngine, skipped: bool) -> None:
    skips = iter([False, skipped, skipped])
    smoothed = SmoothedEngine(engine, CAMVID, skips=lambda: next(skips))
    picture = planes((96, 160))
    plain = engine.segment(on_device(picture, NET, torch.float32))
    assert smoothed.shrinks
    for _ in range(3):
        found = run_engine(smoothed, picture_for(smoothed, captured(picture).frame))
        assert (found.labels == plain).all()
        assert found.at_source is None


def test_a_whole_picture_that_another_engine_gets_is_shrunk_by_the_host(tiny_card: Card) -> None:
    picture, eager = planes((96, 160)), EagerEngine(tiny_card, NET, device="cpu")
    assert (eager.segment(picture) == eager.segment(fit_input(picture, NET))).all()  # type: ignore[arg-type]
    eager.close()
