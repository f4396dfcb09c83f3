"""Two engines on one frame: both label it, at sizes that suit them, and neither is left behind."""

from __future__ import annotations

import numpy as np
import pytest

from segnet_live.card import Card
from segnet_live.classes import CAMVID
from segnet_live.config import EngineSpec, parse_engine
from segnet_live.engine.base import Engine, run_engine
from segnet_live.engine.governed import GovernedEngine
from segnet_live.engine.governor import Step, Target
from segnet_live.engine.paired import PairedEngine, open_pair, other_engine
from segnet_live.engine.smoothing import SmoothedEngine
from segnet_live.errors import EngineError, UsageError
from segnet_live.frame import Size
from tests.support.cards import write_card
from tests.support.engines import ROAD, SKY, HalfEngine

FRAME = np.full((64, 96, 3), 90, np.uint8)


def pair(**second: object) -> tuple[PairedEngine, HalfEngine, HalfEngine]:
    engines = HalfEngine("a", "openvino", (32, 48)), HalfEngine("b", "torch", (16, 24))
    for name, value in second.items():
        setattr(engines[1], name, value)
    return PairedEngine(*engines), *engines


def test_both_label_the_frame_and_both_are_named_and_closed() -> None:
    engine, first, second = pair()
    found = run_engine(engine, FRAME)
    assert found.other is not None
    assert (found.labels.shape, found.other.shape) == ((32, 48), (16, 24))
    assert engine.info.model == "a"
    assert engine.info.other == second.info
    engine.close()
    assert first.closed == second.closed == 1


def test_a_pair_is_settled_when_both_are() -> None:
    engine, first, second = pair(settled=False)
    assert not engine.settled  # a governor would take a smaller size while it is still slower
    second.settled = True  # type: ignore[attr-defined]
    assert engine.settled
    first.settled = False  # type: ignore[attr-defined]
    assert not engine.settled


def test_a_failure_of_the_second_names_it() -> None:
    engine, *_ = pair(fail=RuntimeError("no more memory"))
    with pytest.raises(EngineError, match="b on torch fp32, the second one of the comparison, stopped: no more memory"):
        run_engine(engine, FRAME)


def test_both_label_maps_are_smoothed_and_carried_over_a_skipped_frame() -> None:
    engine, first, second = pair()
    skip = iter([False, True])
    smoothed = SmoothedEngine(engine, CAMVID, skips=lambda: next(skip))
    run_engine(smoothed, FRAME)
    first.fail = second.fail = RuntimeError("the second frame is skipped")
    found = run_engine(smoothed, FRAME)
    assert found.other is not None
    for labels in (found.labels, found.other):
        assert labels[8, 2] == ROAD
        assert labels[8, -2] == SKY


def test_a_governor_runs_both_smaller(tiny_card: Card, tmp_path_factory: pytest.TempPathFactory) -> None:
    small = write_card(tmp_path_factory.mktemp("models") / "small", input_size=[180, 240])
    opened: list[tuple[str, Size | None]] = []

    def opens(name: str) -> object:
        def open_at(size: Size | None) -> Engine:
            opened.append((name, size))
            return HalfEngine(name, "openvino", size or (32, 48))

        return open_at

    def open_at(size: Size) -> Engine:
        cards = tiny_card, small
        return open_pair(opens("a"), opens("b"), cards, (360, 480), size, fixed=False)  # type: ignore[arg-type]

    steps = (Step((360, 480)), Step((180, 240)))
    governed = GovernedEngine(open_at, Target(fps=10), steps)
    open_at((180, 240))
    assert opened[:2] == [("a", (360, 480)), ("b", (192, 256))]
    assert opened[2:] == [("a", (180, 240)), ("b", (96, 128))]
    governed.close()


def test_the_first_is_closed_when_the_second_cannot_be_opened(tiny_card: Card) -> None:
    first = HalfEngine("a", "openvino", (32, 48))

    def refuse(size: Size | None) -> Engine:
        raise EngineError("no such backend")

    with pytest.raises(EngineError, match="no such backend"):
        open_pair(lambda _: first, refuse, (tiny_card, tiny_card), (64, 96), None, fixed=False)
    assert first.closed == 1


def test_models_of_other_classes_are_not_compared(tiny_card: Card, tmp_path_factory: pytest.TempPathFactory) -> None:
    classes = [{"name": f"class {i}", "colour": [i, i, i]} for i in range(11)]
    strange = write_card(tmp_path_factory.mktemp("models") / "strange", classes=classes)
    with pytest.raises(UsageError, match="compare models of the same classes"):
        other_engine(EngineSpec(str(strange.folder)), tiny_card)
    assert other_engine(parse_engine(":torch:fp32"), tiny_card).card is tiny_card


@pytest.mark.parametrize(
    ("text", "model", "backend", "precision"),
    [
        ("segnet-fast", "segnet-fast", "auto", "auto"),
        ("segnet-fast:fp32", "segnet-fast", "auto", "fp32"),
        ("segnet-fast:torch:bf16", "segnet-fast", "torch", "bf16"),
        ("segnet-fast:bf16:torch", "segnet-fast", "torch", "bf16"),
        (":int8", None, "auto", "int8"),
        ("C:\\models\\own", "C:\\models\\own", "auto", "auto"),
        ("C:\\models\\own:torch", "C:\\models\\own", "torch", "auto"),
    ],
)
def test_a_side_is_model_backend_precision(text: str, model: str | None, backend: str, precision: str) -> None:
    spec = parse_engine(text)
    assert (spec.model, spec.backend, spec.precision) == (model, backend, precision)
    assert parse_engine(str(spec)) == spec


@pytest.mark.parametrize("text", ["", " ", "a:fp32:bf16", ":torch:openvino"])
def test_a_side_that_names_nothing_or_too_much_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="MODEL\\[:BACKEND\\]\\[:PRECISION\\]"):
        parse_engine(text)
