"""Parity: agreement with fp32 eager is measured, kept, shown, and enforced."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from segnet_live.card import Card
from segnet_live.engine import eager, parity
from segnet_live.engine.base import EngineInfo
from segnet_live.engine.eager import EagerEngine
from segnet_live.engine.nvidia import device as gpu
from segnet_live.engine.parity import Parity
from segnet_live.errors import EngineError
from segnet_live.frame import RGB, LabelMap
from tests.support.cards import write_card
from tests.support.stand_ins import pictures

SIZE = (32, 48)


class Spoilt:
    """Eager, but a share of its rows gets another class."""

    def __init__(self, card: Card, rows: int, class_id: int = 3) -> None:
        self._eager = EagerEngine(card, SIZE, device="cpu")
        self._rows, self._class_id = rows, class_id
        self.info = EngineInfo("tensorrt", "no GPU", "fp16", card.name, SIZE)

    def segment(self, rgb: NDArray[np.uint8]) -> LabelMap:
        labels = self._eager.segment(rgb)
        labels[: self._rows] = self._class_id
        return labels

    def close(self) -> None:
        self._eager.close()


def test_eager_agrees_with_itself(tiny_card: Card) -> None:
    found = parity.measure(Spoilt(tiny_card, 0), tiny_card, pictures())
    assert found.overall == 1
    assert {share for share in found.per_class if share is not None} == {1.0}
    assert found.frames == 2
    parity.require(found, Spoilt(tiny_card, 0).info, tiny_card)


def test_overflow_shows_as_one_class_everywhere_and_is_refused(tiny_card: Card) -> None:
    engine = Spoilt(tiny_card, SIZE[0], class_id=0)  # what the arg max of NaN logits gives
    found = parity.measure(engine, tiny_card, pictures())
    assert found.overall < 0.995
    with pytest.raises(
        EngineError, match=r"tensorrt fp16 for tiny at 32x48 agrees .* 99.5% are needed; use --precision fp32"
    ):
        parity.require(found, engine.info, tiny_card)


def test_not_a_number_is_refused(tiny_card: Card) -> None:
    info = Spoilt(tiny_card, 0).info
    with pytest.raises(EngineError):
        parity.require(Parity(float("nan"), (1.0,) * len(tiny_card.classes), 1), info, tiny_card)


def test_a_label_that_is_no_class_is_refused(tiny_card: Card) -> None:
    with pytest.raises(EngineError, match="class id 200 of"):
        parity.measure(Spoilt(tiny_card, 1, class_id=200), tiny_card, pictures())


def test_a_gpu_that_is_full_leaves_the_reference_to_the_cpu(tiny_card: Card, monkeypatch: pytest.MonkeyPatch) -> None:
    made_on: list[str] = []

    class Full(eager.EagerEngine):
        def __init__(self, *arguments: Any, device: str = "", **more: Any) -> None:
            made_on.append(device)
            super().__init__(*arguments, device="cpu", **more)
            self._full_after = 1 if device == "cuda" else 9

        def segment(self, rgb: RGB) -> LabelMap:
            self._full_after -= 1
            if self._full_after < 0:
                raise gpu.OutOfMemory("PyTorch on cuda stopped: the GPU is out of memory")
            return super().segment(rgb)

    expected = list(parity.reference_labels(tiny_card, SIZE, pictures()))
    monkeypatch.setattr(gpu, "best_device", lambda: "cuda")
    monkeypatch.setattr(eager, "EagerEngine", Full)
    found = list(parity.reference_labels(tiny_card, SIZE, pictures()))
    assert made_on == ["cuda", "cpu"]
    assert all((a == b).all() for a, b in zip(found, expected, strict=True))
    assert len(found) == 2


def test_figures_are_kept_by_engine(tmp_path: Path) -> None:
    card = write_card(tmp_path / "tiny", seed=7)
    info = Spoilt(card, 0).info
    other = EngineInfo("openvino", "a CPU", "bf16", "tiny", SIZE)
    found = Parity(0.9987, (None, *[0.5] * (len(card.classes) - 1)), 8)
    assert parity.known(card, info) is None
    parity.remember(card, info, found)
    assert parity.known(card, info) == found
    assert parity.known(card, other) is None
    parity.remember(card, other, found)
    assert [kept.backend for kept, _ in parity.recorded(card)] == ["openvino", "tensorrt"]
    assert found.words(card) == ("99.87%", f"{min(card.classes.names[1:])} 50.00%")


def test_without_the_clip_the_reason_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(parity, "assets_dir", lambda: tmp_path)
    with pytest.raises(EngineError, match=r"drive\.mp4 cannot be read .* reinstall"):
        parity.reference_frames()


def test_reference_frames_are_spread_over_the_clip() -> None:
    first, second = parity.reference_frames(2)
    assert first.shape == second.shape
    assert first.dtype == np.uint8
    assert (first != second).any()
