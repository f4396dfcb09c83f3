"""How sure engines say they are: the margin of the class probabilities, on every engine that gives it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from segnet_live.card import Card, read_card
from segnet_live.classes import CAMVID
from segnet_live.config import Backend
from segnet_live.engine import parity
from segnet_live.engine.base import Engine, EngineInfo, EngineOutput, RequestedOutputs, run_engine
from segnet_live.engine.eager import EagerEngine
from segnet_live.engine.governed import GovernedEngine
from segnet_live.engine.governor import Step, Target
from segnet_live.engine.nvidia.graphed import CudaGraphEngine
from segnet_live.engine.nvidia.progressive import ProgressiveEngine, Stage
from segnet_live.engine.open import open_engine
from segnet_live.engine.openvino import OpenVINOEngine
from segnet_live.engine.smoothing import SmoothedEngine
from segnet_live.errors import CardError, EngineError
from segnet_live.frame import RGB, LabelMap
from segnet_live.nets.bayesian import Samples
from segnet_live.nets.confidence import as_bytes, margin, margin_of_probabilities
from segnet_live.nets.deploy import deploy
from segnet_live.nets.load import load_network
from tests.support.cards import write_card

SIZE = (45, 59)
TEMPERATURE = 1.7


def scene(seed: int = 0, size: tuple[int, int] = SIZE) -> RGB:
    noise = np.random.default_rng(seed).integers(0, 255, (9, 12, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(noise, size[::-1], interpolation=cv2.INTER_CUBIC), np.uint8)


@pytest.fixture(scope="module", params=["segnet-basic", "segnet-fast"])
def card(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Card:
    folder = tmp_path_factory.mktemp("confidence") / request.param
    return write_card(folder, request.param, calibration={"temperature": TEMPERATURE})


def normalised(card: Card, rgb: RGB) -> torch.Tensor:
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (card.mean, card.std))
    return (torch.from_numpy(rgb).permute(2, 0, 1)[None] / 255 - mean) / std


def reference(card: Card, rgb: RGB) -> NDArray[np.float64]:
    """255 times the margin, from the network's logits in double precision."""
    with torch.inference_mode():
        logits = load_network(card)(normalised(card, rgb)).double()
    largest = (logits / card.temperature).softmax(1).topk(2, 1).values[0]
    return 255 * (largest[0] - largest[1]).numpy()


def eager(card: Card) -> Engine:
    return EagerEngine(card, SIZE, device="cpu", confidence=True)


ENGINES: dict[str, Callable[[Card], Engine]] = {
    "torch": eager,
    "openvino": lambda card: OpenVINOEngine(card, SIZE, precision="fp32", confidence=True),
    "a CUDA graph": lambda card: CudaGraphEngine(
        card, SIZE, precision="fp32", device="cpu", maps=RequestedOutputs(confidence=True)
    ),
    "progressive": lambda card: ProgressiveEngine(Stage("torch", lambda _: eager(card)), []),
    "governed": lambda card: GovernedEngine(lambda _: eager(card), Target(fps=1), [Step(SIZE)]),
    "smoothed": lambda card: SmoothedEngine(eager(card), card.classes),
}


@pytest.fixture(scope="module")
def opened(card: Card) -> Iterator[Callable[[str], Engine]]:
    """Engines with confidence by name, each opened once."""
    engines: dict[str, Engine] = {}

    def get(name: str) -> Engine:
        if name not in engines:
            engines[name] = ENGINES[name](card)
        return engines[name]

    yield get
    for engine in engines.values():
        engine.close()


@pytest.mark.parametrize("name", ENGINES)
def test_confidence_is_the_margin_of_the_two_most_probable_classes(
    card: Card, opened: Callable[[str], Engine], name: str
) -> None:
    engine = opened(name)
    found = run_engine(engine, scene())
    assert found.confidence is not None
    assert (found.confidence.shape, found.confidence.dtype) == (SIZE, np.uint8)
    assert np.abs(found.confidence - reference(card, scene())).max() <= 1.0
    assert engine.info.confidence


@pytest.mark.parametrize("backend", ["torch", "openvino"])
def test_labels_are_the_same_with_confidence_and_without_and_off_gives_none(
    card: Card, opened: Callable[[str], Engine], backend: Backend
) -> None:
    with_it = opened(backend)
    without = open_engine(card, backend=backend, size=SIZE, precision="fp32")
    for seed in range(3):
        on, off = run_engine(with_it, scene(seed)), run_engine(without, scene(seed))
        assert (on.labels == off.labels).all()
        assert off.confidence is None
    assert not without.info.confidence
    assert (run_engine(without, scene()).labels == without.segment(scene())).all()


def test_confidence_maps_are_the_caller_s_own(opened: Callable[[str], Engine]) -> None:
    engine = opened("openvino")
    first = run_engine(engine, scene(1)).confidence
    assert first is not None
    kept = first.copy()
    run_engine(engine, scene(2))
    assert (first == kept).all()
    first[:] = 0


def test_margins_of_extreme_logits_neither_overflow_nor_wrap() -> None:
    far = torch.zeros(1, 3, 2, 2, dtype=torch.float16)
    far[:, 1] = 60000
    far[:, 2, 0] = 60000
    bytes_ = as_bytes(margin(far, 0.05))
    assert bytes_.tolist() == [[[0, 0], [255, 255]]]


def test_two_ways_to_the_margin_agree() -> None:
    logits = torch.randn(2, 11, 7, 5, generator=torch.Generator().manual_seed(0)) * 3
    torch.testing.assert_close(margin(logits, 1.3), margin_of_probabilities((logits / 1.3).softmax(1)))


@pytest.mark.parametrize("temperature", [0, -1, "warm", float("nan")])
def test_a_card_with_a_senseless_temperature_is_refused(tmp_path: Path, temperature: object) -> None:
    write_card(tmp_path / "good")
    text = (tmp_path / "good" / "card.json").read_text()
    shown = '"warm"' if temperature == "warm" else "NaN" if temperature != temperature else str(temperature)
    calibration = '{"calibration": {"temperature": ' + shown + "}, "
    (tmp_path / "good" / "card.json").write_text(calibration + text[1:])
    with pytest.raises(CardError, match="damaged"):
        read_card(tmp_path / "good")


# Samples


@pytest.fixture(scope="module")
def bayesian(tmp_path_factory: pytest.TempPathFactory) -> Card:
    """SegNet-Basic with dropout: Bayesian SegNet's structure at a hundredth of the time."""
    folder = tmp_path_factory.mktemp("samples") / "basic"
    return write_card(folder, "segnet-basic", arguments={"dropout": 0.5})


def test_samples_give_labels_confidence_and_variance(bayesian: Card) -> None:
    engine = open_engine(bayesian, size=SIZE, samples=6)
    assert (engine.info.backend, engine.info.samples, engine.info.confidence) == ("torch", 6, True)
    found = run_engine(engine, scene())
    assert found.confidence is not None
    assert found.variance is not None
    for map_, dtype in ((found.labels, np.uint8), (found.confidence, np.uint8), (found.variance, np.float32)):
        assert (map_.shape, map_.dtype) == (SIZE, dtype)
    assert 0 < found.variance.mean() < 0.25
    assert (run_engine(engine, scene()).variance != found.variance).any(), "each frame has its own passes"


def test_samples_come_from_a_cuda_graph_too_and_may_be_under_way_while_the_host_goes_on(bayesian: Card) -> None:
    maps = RequestedOutputs(samples=6)
    engine = CudaGraphEngine(bayesian, SIZE, precision="fp32", device="cpu", maps=maps)
    assert (engine.info.samples, engine.info.confidence) == (6, True)
    assert parity.checked(engine, bayesian, [scene()]) is None  # what is drawn agrees with nothing
    engine.submit(scene())
    engine.submit(scene(1))
    first, second = engine.wait(), engine.wait()
    for found in (first, second):
        assert found.confidence is not None
        assert found.variance is not None
        assert (found.confidence.dtype, found.variance.dtype) == (np.uint8, np.float32)
        assert 0 < found.variance.mean() < 0.25
    engine.close()


def test_an_engine_whose_samples_are_no_numbers_is_refused(bayesian: Card) -> None:
    class Broken:
        info = EngineInfo("tensorrt", "a test", "fp16", "basic", SIZE, confidence=True, samples=4)
        closed = False

        def segment_with_confidence(self, rgb: RGB) -> EngineOutput:
            empty = np.zeros(SIZE, np.uint8)
            return EngineOutput(empty, empty, np.full(SIZE, np.nan, np.float32))

        def close(self) -> None:
            self.closed = True

    broken = Broken()
    with pytest.raises(EngineError, match=r"gave samples that are no probabilities; use --precision fp32"):
        parity.checked(broken, bayesian, [scene()])  # type: ignore[arg-type]
    assert broken.closed


def test_labels_confidence_and_variance_are_those_of_the_mean_over_the_passes(bayesian: Card) -> None:
    network = load_network(bayesian)
    frames = torch.from_numpy(scene())[None]
    torch.manual_seed(1)
    with torch.inference_mode():
        labels, confidence, variance = deploy(network, bayesian.mean, bayesian.std, samples=6)(frames)
        torch.manual_seed(1)
        mean, spread = Samples(network, 6)(normalised(bayesian, scene()))
    assert (labels == mean.argmax(1)).float().mean() > 0.998
    assert (confidence - 255 * margin_of_probabilities(mean)).abs().max() <= 1.0
    torch.testing.assert_close(variance, spread.mean(1), rtol=1e-3, atol=1e-5)


def test_a_network_without_dropout_and_an_engine_without_samples_refuse_them(card: Card, bayesian: Card) -> None:
    with pytest.raises(EngineError, match=r"has no dropout.*segnet-bayesian"):
        open_engine(card, size=SIZE, samples=4)
    with pytest.raises(EngineError, match=r"openvino draws no samples; take --backend torch"):
        open_engine(bayesian, backend="openvino", size=SIZE, samples=4)
    with pytest.raises(EngineError, match="no variance; ask for 2 or more"):
        open_engine(bayesian, size=SIZE, samples=1)


# Over time


class Sure:
    """Labels a frame as a test says, with full confidence."""

    info = EngineInfo("torch", "a test", "fp32", "none", (64, 96), confidence=True)

    def __init__(self) -> None:
        self.labels = np.full(self.info.input_size, 3, np.uint8)

    def segment(self, rgb: RGB) -> LabelMap:
        return self.labels.copy()

    def segment_with_confidence(self, rgb: RGB) -> EngineOutput:
        return EngineOutput(self.labels.copy(), np.full_like(self.labels, 255))

    def close(self) -> None:
        pass


def still() -> RGB:
    return cv2.resize(scene(), (192, 128), interpolation=cv2.INTER_CUBIC).astype(np.uint8)


def test_where_smoothing_keeps_another_class_than_the_network_s_nothing_is_sure() -> None:
    inner = Sure()
    engine = SmoothedEngine(inner, CAMVID)
    for _ in range(4):
        assert (run_engine(engine, still()).confidence == 255).all()
    inner.labels[20:40, 30:60] = 5  # for one frame: smoothing shows class 3 there
    found = run_engine(engine, still())
    assert found.confidence is not None
    assert (found.labels == 3).all()
    assert (found.confidence[20:40, 30:60] == 0).all()
    assert (found.confidence == 255).sum() == found.confidence.size - 20 * 30


@pytest.mark.parametrize("smooth", [True, False])
def test_a_skipped_frame_carries_confidence_along_and_knows_nothing_of_what_came_in(smooth: bool) -> None:
    skip = [False, True, True]
    engine = SmoothedEngine(Sure(), CAMVID, smooth=smooth, skips=lambda: skip.pop(0))
    seen = run_engine(engine, still())
    assert (seen.confidence == 255).all()
    carried = run_engine(engine, still())
    assert (carried.labels == 3).all()
    assert carried.confidence is not None
    assert (carried.confidence == 255).mean() > 0.95
    cut = run_engine(engine, 255 - still())  # nothing of the last picture is in this one
    assert cut.confidence is not None
    assert (cut.confidence == 0).all()
