"""Tracing a network: one thread at a time, in small steps, and whatever the GPU says."""

from __future__ import annotations

import sys
import threading
import types
import warnings
from collections.abc import Callable

import pytest
import torch

from segnet_live.card import Card
from segnet_live.engine import exporting, openvino
from segnet_live.engine.nvidia import inductor, trt_network
from segnet_live.errors import EngineError
from segnet_live.export import network as exported
from segnet_live.nets.deploy import Deploy
from segnet_live.nets.load import load_network
from segnet_live.nets.pooling import MASK

SIZE = (32, 48)


class Traced(Exception):
    pass


def deployed(card: Card) -> Deploy:
    return Deploy(load_network(card), card.mean, card.std, pooling=MASK)


def by_openvino(card: Card) -> None:
    openvino._converted(card, load_network(card), SIZE, False)


def by_tensorrt(card: Card) -> None:
    names = ("UINT8", "INT8", "INT32", "INT64", "BOOL", "HALF", "FLOAT", "BF16")
    types_of = types.SimpleNamespace(**dict.fromkeys(names))
    trt_network.write_down(deployed(card), SIZE, None, types.SimpleNamespace(DataType=types_of))


def by_inductor(card: Card) -> None:
    inductor.InductorEngine(card, SIZE, precision="fp32", device="cpu")


def for_others(card: Card) -> None:
    exported._program(deployed(card), SIZE)


@pytest.mark.parametrize("traces", [by_openvino, by_tensorrt, by_inductor, for_others])
def test_whoever_traces_a_network_holds_the_lock_and_lets_frames_through(
    tiny_card: Card, monkeypatch: pytest.MonkeyPatch, traces: Callable[[Card], None]
) -> None:
    found: list[tuple[bool, float]] = []
    usual = sys.getswitchinterval()

    def trace(*_: object, **__: object) -> None:
        found.append((exporting._EXPORT_LOCK._is_owned(), sys.getswitchinterval()))  # type: ignore[attr-defined]
        raise Traced

    monkeypatch.setattr(torch.export, "export", trace)
    monkeypatch.setattr(inductor, "looped", trace)
    with pytest.raises((Traced, EngineError)):  # an engine gives it as its own
        traces(tiny_card)
    assert found == [(True, pytest.approx(exporting.SMALL_STEP_S))]
    assert sys.getswitchinterval() == usual


def export() -> None:
    with exporting.exporting(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.export 2.13 warns of its own deprecated internals
        torch.export.export(torch.nn.Conv2d(3, 4, 3), (torch.zeros(1, 3, 8, 8),), strict=False)


def test_two_threads_may_trace_networks() -> None:
    """Both failed: "Trying to pop empty mode stack"."""
    wrong: list[BaseException] = []

    def trace() -> None:
        try:
            export()
        except BaseException as error:
            wrong.append(error)

    threads = [threading.Thread(target=trace) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(240)
    assert wrong == []


def test_a_lost_gpu_does_not_keep_a_network_from_being_converted_for_the_cpu(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def lost(*_: object) -> None:
        raise torch.cuda.DeferredCudaCallError("CUDA call failed lazily at initialization")

    def there() -> bool:
        return True

    for name in ("get_device_capability", "get_rng_state", "_lazy_init"):
        monkeypatch.setattr(torch.cuda, name, lost)
    monkeypatch.setattr(torch.cuda, "is_available", there)
    export()
    assert torch.cuda.is_available is there
