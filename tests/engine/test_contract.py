"""What every engine keeps to (`segnet_live.engine.base.Engine`), on a fixed seed and at odd sizes.

Those that need a GPU run with `pytest -m gpu`; inductor is compiled for the CPU here, which needs a C++ compiler.
"""

from __future__ import annotations

import functools
import shutil
from collections.abc import Callable, Iterator
from typing import get_args

import cv2
import numpy as np
import pytest
import torch

from segnet_live.card import Card, find_card
from segnet_live.config import Backend, Precision
from segnet_live.engine import parity
from segnet_live.engine.base import Engine
from segnet_live.engine.eager import EagerEngine
from segnet_live.engine.governed import GovernedEngine
from segnet_live.engine.governor import Step, Target
from segnet_live.engine.nvidia.inductor import InductorEngine
from segnet_live.engine.nvidia.progressive import ProgressiveEngine, Stage
from segnet_live.engine.open import open_engine
from segnet_live.engine.openvino import OpenVINOEngine
from segnet_live.engine.resize import network_size
from segnet_live.engine.smoothing import SmoothedEngine
from segnet_live.errors import EngineError
from segnet_live.frame import RGB
from segnet_live.nets.load import load_network
from segnet_live.system.cores import cores
from tests.support.cards import write_card

SIZE = (45, 59)
EXACT = 1.0
# Another order of summation decides pixels whose two best classes tie, and random weights make many of those.
REORDERED = 0.998


def eager(card: Card) -> Engine:
    return EagerEngine(card, SIZE, device="cpu")


ENGINES: dict[str, tuple[Callable[[Card], Engine], float]] = {
    "torch": (eager, EXACT),
    "torch, a given network": (
        lambda card: EagerEngine(card, SIZE, device="cpu", network=load_network(card)),
        EXACT,
    ),
    "openvino": (lambda card: OpenVINOEngine(card, SIZE, precision="fp32"), REORDERED),
    "openvino, a given network": (
        lambda card: OpenVINOEngine(card, SIZE, precision="fp32", network=load_network(card)),
        REORDERED,
    ),
    "inductor": (lambda card: InductorEngine(card, SIZE, precision="fp32", device="cpu"), REORDERED),
    "governed": (lambda card: GovernedEngine(lambda _: eager(card), Target(fps=1), [Step(SIZE)]), EXACT),
    "progressive": (lambda card: ProgressiveEngine(Stage("torch", lambda _: eager(card)), []), EXACT),
    # nothing is smoothed in the first frame, and these frames have nothing in common
    "smoothed": (lambda card: SmoothedEngine(eager(card), card.classes), EXACT),
    "torch on the GPU": (lambda card: EagerEngine(card, SIZE, device="cuda"), REORDERED),
    "inductor on the GPU": (lambda card: open_engine(card, backend="inductor", size=SIZE, precision="fp32"), REORDERED),
    "tensorrt": (lambda card: open_engine(card, backend="tensorrt", size=SIZE, precision="fp32"), REORDERED),
    "tensorrt-rtx": (lambda card: open_engine(card, backend="tensorrt-rtx", size=SIZE, precision="fp32"), REORDERED),
}
NO_COMPILER = not (shutil.which("g++") or shutil.which("clang++"))
MARKS = {
    "inductor": [
        pytest.mark.skipif(NO_COMPILER, reason="no C++ compiler"),
        pytest.mark.filterwarnings("ignore"),
    ],
    **{name: [pytest.mark.gpu, pytest.mark.filterwarnings("ignore")] for name in ENGINES if name.endswith("GPU")},
    "tensorrt": [pytest.mark.gpu, pytest.mark.filterwarnings("ignore")],
    "tensorrt-rtx": [pytest.mark.gpu, pytest.mark.filterwarnings("ignore")],
}
NAMES = [pytest.param(name, marks=MARKS.get(name, [])) for name in ENGINES]


def scene(size: tuple[int, int] = SIZE, seed: int = 0) -> RGB:
    """A smooth random picture."""
    noise = np.random.default_rng(seed).integers(0, 255, (9, 12, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(noise, (size[1], size[0]), interpolation=cv2.INTER_CUBIC), np.uint8)


@pytest.fixture(scope="module")
def card(tmp_path_factory: pytest.TempPathFactory) -> Card:
    """SegNet-Basic: the smallest network with the paper's pooling indices."""
    return write_card(tmp_path_factory.mktemp("contract") / "basic", "segnet-basic")


@pytest.fixture(scope="module")
def opened(card: Card) -> Iterator[Callable[[str], Engine]]:
    """Engines by name, each opened once: inductor takes its time."""
    engines: dict[str, Engine] = {}

    def get(name: str) -> Engine:
        if name not in engines:
            engines[name] = ENGINES[name][0](card)
        return engines[name]

    yield get
    for engine in engines.values():
        engine.close()


@pytest.mark.parametrize("name", NAMES)
def test_labels_are_those_of_eager_on_frames_of_any_size(
    card: Card, opened: Callable[[str], Engine], name: str
) -> None:
    engine = opened(name)
    reference = eager(card)
    frames = [scene(size, seed) for seed, size in enumerate((SIZE, (33, 71), (200, 300), (45, 60)))]
    frames.append(scene((90, 118), 9)[::2, ::-2])  # a view: not contiguous
    for rgb in frames:
        labels = engine.segment(rgb)
        assert (labels.shape, labels.dtype) == (SIZE, np.uint8)
        assert labels.max() < len(card.classes)
        assert (labels == reference.segment(rgb)).mean() >= ENGINES[name][1]
    reference.close()


@pytest.mark.skipif(cores() < 2, reason="two frames at a time take two cores")
def test_frames_that_overlap_are_labelled_as_each_alone(card: Card) -> None:
    engine = OpenVINOEngine(card, SIZE, precision="fp32", overlap=True)
    frames = [scene(seed=seed) for seed in range(5)]
    alone = [engine.segment(rgb) for rgb in frames]
    assert engine.overlaps
    engine.submit(frames[0])
    together = []
    for rgb in frames[1:]:
        rgb.flags.writeable = False
        engine.submit(rgb)
        together.append(engine.wait().labels)
    engine.submit(frames[4])
    with pytest.raises(EngineError, match="two frames"):
        engine.submit(frames[4])
    together.append(engine.wait().labels)
    assert all((a == b).all() for a, b in zip(alone, together, strict=True))
    assert (engine.wait().labels == alone[4]).all()
    engine.close()
    with pytest.raises(EngineError, match="closed"):
        engine.submit(frames[0])


@pytest.mark.parametrize("name", NAMES)
def test_a_label_map_is_the_caller_s_own(opened: Callable[[str], Engine], name: str) -> None:
    engine = opened(name)
    first = engine.segment(scene(seed=1))
    kept = first.copy()
    engine.segment(scene(seed=2))
    assert (first == kept).all(), "no later call writes to it"
    first[:] = 0  # nor is it read-only


@pytest.mark.parametrize("name", NAMES)
def test_the_frame_is_left_as_it_is(opened: Callable[[str], Engine], name: str) -> None:
    rgb = scene(seed=3)
    rgb.flags.writeable = False
    opened(name).segment(rgb)
    assert (rgb == scene(seed=3)).all()


@pytest.mark.parametrize("name", NAMES)
def test_info_says_what_runs_and_never_auto(card: Card, opened: Callable[[str], Engine], name: str) -> None:
    info = opened(name).info
    assert info.backend in set(get_args(Backend)) - {"auto"}
    assert info.precision in set(get_args(Precision)) - {"auto"}
    assert (info.model, info.input_size) == (card.name, SIZE)
    assert info.device


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.filterwarnings("ignore")
def test_closing_twice_is_closing_and_a_closed_engine_says_so(
    card: Card, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if name == "inductor":  # what it compiles to has no part in this
        monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="eager"))
    engine = ENGINES[name][0](card)
    engine.close()
    engine.close()
    with pytest.raises(EngineError, match="closed"):
        engine.segment(scene())


@pytest.mark.parametrize(("precision", "least"), [("bf16", 0.98), ("int8", 0.96)])
def test_fewer_bits_change_labels_along_the_edges_only(precision: Precision, least: float) -> None:
    card = find_card("segnet-fast")
    frames = parity.reference_frames(2)
    size = network_size(frames[0].shape[:2], 180 * 320)
    try:
        fast = OpenVINOEngine(card, size, precision=precision)
    except EngineError as error:
        pytest.skip(str(error))
    assert fast.info.precision == precision
    assert parity.measure(fast, card, frames).overall >= least
    fast.close()
