"""TensorRT-RTX engines: found, built, refused. Its builder is a stand-in here; tests/contracts has the real one."""

from __future__ import annotations

import sys
import types
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from segnet_live.card import Card
from segnet_live.cli import main
from segnet_live.engine import parity
from segnet_live.engine.artifacts import ENGINE, Artifact, ArtifactStore
from segnet_live.engine.base import EngineInfo
from segnet_live.engine.nvidia import device, tensorrt_rtx
from segnet_live.engine.nvidia.device import GPU
from segnet_live.errors import EngineError, UsageError
from tests.support.cards import write_card

SIZE = (32, 48)


@pytest.fixture
def card(tmp_path: Path) -> Card:
    return write_card(tmp_path / "models" / "rtx", seed=int.from_bytes(tmp_path.name.encode()[-4:]))


@pytest.fixture
def rtx(monkeypatch: pytest.MonkeyPatch) -> types.SimpleNamespace:
    """An installed TensorRT-RTX, whose engines are the names of what they were built for."""
    module = types.SimpleNamespace(__version__="1.7", __spec__=object())
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", module)
    monkeypatch.setattr(tensorrt_rtx, "gpu", lambda: GPU("RTX 4060", "8.9", "13.0", "580"))
    monkeypatch.setattr(tensorrt_rtx, "cuda_problem", lambda: None)
    monkeypatch.setattr(
        tensorrt_rtx, "serialised", lambda deploy, size, trt, *, targets: f"{trt.__version__} {targets}".encode()
    )
    return module


def test_generations_are_checked() -> None:
    assert tensorrt_rtx.parse_generations("SM120, sm75,sm75") == ("sm75", "sm120")
    with pytest.raises(UsageError, match=r"--for got 'sm90'; choose from sm75 \(RTX 20\), "):
        tensorrt_rtx.parse_generations("sm90")


@pytest.mark.usefixtures("rtx")
def test_an_engine_for_several_generations_is_found_for_each_of_them(card: Card) -> None:
    tensorrt_rtx.build(card, SIZE, "auto", ("sm75", "sm89"))
    found = tensorrt_rtx.find(card, SIZE, "fp16", "sm89")
    assert found is not None
    assert found.files[ENGINE] == b"1.7 ['SM75', 'SM89']"
    assert tensorrt_rtx.find(card, SIZE, "fp16", "sm120") is None
    assert tensorrt_rtx.find(card, (32, 32), "fp16", "sm89") is None


def test_an_engine_of_another_version_is_left_with_one_line(
    card: Card, rtx: types.SimpleNamespace, caplog: pytest.LogCaptureFixture
) -> None:
    tensorrt_rtx.build(card, SIZE, "fp16", ("sm89",))
    rtx.__version__ = "1.8"
    assert tensorrt_rtx.find(card, SIZE, "fp16", "sm89") is None
    assert caplog.messages == ["engines of TensorRT-RTX 1.7 are not used: 1.8 is installed"]


def test_kernels_go_with_their_engine_and_with_the_driver_that_they_were_made_for(
    card: Card, rtx: types.SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = ArtifactStore.of("tensorrt-rtx")

    def of(entry: Artifact) -> list[str]:
        own = tensorrt_rtx.kernels_of(entry).key_fields[tensorrt_rtx.KERNELS_OF]
        kernels = [e.key_fields for e in store.entries() if e.key_fields.get(tensorrt_rtx.KERNELS_OF) == own]
        return [fields["driver"] for fields in kernels]

    engine, other = (tensorrt_rtx.build(card, SIZE, "fp16", (target,)) for target in ("sm89", "sm120"))
    for entry in (engine, other):
        tensorrt_rtx.kernels_of(entry).save(b"kernels")
    monkeypatch.setattr(tensorrt_rtx, "gpu", lambda: GPU("RTX 4060", "8.9", "13.0", "581"))
    tensorrt_rtx.kernels_of(engine).save(b"others")
    assert (of(engine), of(other)) == (["581"], ["580"])
    rtx.__version__ = "1.8"
    tensorrt_rtx.build(card, SIZE, "fp16", ("sm89",))
    assert (of(engine), of(other)) == ([], ["580"])


@pytest.mark.usefixtures("rtx")
def test_engines_travel_with_a_model_folder_and_damage_is_seen(card: Card) -> None:
    asked = ["compile", "--model", str(card.folder), "--backend", "tensorrt-rtx", "--size", "32x48"]
    assert main([*asked, "--for", "sm89,sm120", "--beside-weights"]) == 0
    assert not any(e.key_fields.get("weights") == card.sha256 for e in ArtifactStore.of("tensorrt-rtx").entries())
    assert tensorrt_rtx.find(card, SIZE, "fp16", "sm120") is not None
    [engine] = (card.folder / "engines").glob(f"*{ENGINE}")
    engine.write_bytes(b"damaged")
    assert tensorrt_rtx.find(card, SIZE, "fp16", "sm120") is None


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--backend", "openvino", "--for", "sm89"], "builds for this machine; add --backend tensorrt-rtx"),
        (["--backend", "tensorrt-rtx", "--for", "rtx4060"], "--for got 'rtx4060'"),
        (["--backend", "tensorrt-rtx", "--beside-weights"], "add --for"),
    ],
)
def test_options_that_do_not_fit_are_refused(options: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compile", *options]) == 2
    assert said in capsys.readouterr().err


def test_what_is_missing_or_not_listed_is_named(rtx: types.SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    assert tensorrt_rtx.rtx_problem() is None
    monkeypatch.setattr(tensorrt_rtx, "gpu", lambda: GPU("H100", "9.0", "13.0", "580"))
    assert "does not run on this GPU (sm90; it knows sm75, " in str(tensorrt_rtx.rtx_problem())
    monkeypatch.delitem(sys.modules, "tensorrt_rtx")
    monkeypatch.setattr(tensorrt_rtx.importlib.util, "find_spec", lambda _: None)
    assert "pip install 'segnet-live[rtx]'" in str(tensorrt_rtx.rtx_problem())


class Opened:
    """Stands in for TensorRTEngine; `refuses` names contents that the runtime does not take."""

    refuses: tuple[bytes, ...] = ()
    seen: tuple[bytes, ...] = ()

    def __init__(
        self, card: Card, size: Any, entry: Artifact, *, reason: str, runtime: Any, cache: Any, **_: Any
    ) -> None:
        blob = entry.files[ENGINE]
        Opened.seen = (*Opened.seen, blob)
        if blob in self.refuses:
            raise EngineError("TensorRT cannot read the engine")
        cache.save(b"kernels")
        self.info = EngineInfo("tensorrt-rtx", "RTX 4060", "fp16", card.name, size, reason)

    def agrees(self, found: parity.Parity) -> None:
        self.info = replace(self.info, parity=found.overall)

    def close(self) -> None:
        pass


@pytest.mark.usefixtures("rtx")
def test_a_refused_engine_is_built_anew_and_one_seen_before_is_not_measured_again(
    card: Card, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    measured: list[object] = []

    def measure(engine: object, *_: object) -> parity.Parity:
        measured.append(engine)
        return parity.Parity(0.999, (None,) * 11, 8)

    monkeypatch.setattr(tensorrt_rtx, "TensorRTEngine", Opened)
    monkeypatch.setattr(tensorrt_rtx.parity, "measure", measure)
    tensorrt_rtx.build(card, SIZE, "fp16", ("sm75", "sm89"))
    monkeypatch.setattr(Opened, "refuses", (b"1.7 ['SM75', 'SM89']",))
    monkeypatch.setattr(Opened, "seen", ())
    serialised = tensorrt_rtx.serialised

    def alone(*a: Any, **k: Any) -> bytes:
        assert device._COMPILE_LOCK._is_owned()  # type: ignore[attr-defined]  # one build at a time,
        assert sys.getswitchinterval() < 0.001  # and frames in between
        return serialised(*a, **k)

    monkeypatch.setattr(tensorrt_rtx, "serialised", alone)
    engine = tensorrt_rtx.open_rtx(card, SIZE, "auto", "asked for")
    assert Opened.seen == (b"1.7 ['SM75', 'SM89']", b"1.7 ['SM89']")
    assert engine.info.parity == 0.999
    assert "a TensorRT-RTX engine is not used: TensorRT cannot read the engine" in caplog.messages
    monkeypatch.setattr(Opened, "refuses", ())
    tensorrt_rtx.open_rtx(card, SIZE, "auto", "asked for")
    tensorrt_rtx.open_rtx(card, SIZE, "auto", "asked for")
    assert len(measured) <= 2  # the kernels that the first opening left say that this GPU has been here
    monkeypatch.setattr(Opened, "refuses", (b"1.7 ['SM89']", b"1.7 ['SM75', 'SM89']"))
    with pytest.raises(EngineError, match="cannot read the engine"):
        tensorrt_rtx.open_rtx(card, SIZE, "auto", "asked for")
