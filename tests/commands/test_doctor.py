"""`segnet-live doctor`, `compile` and `cache`: useful without a GPU, and honest in their exit codes."""

from __future__ import annotations

import ctypes
import importlib.metadata
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path

import pynvml
import pytest

from segnet_live import cli
from segnet_live.card import Card
from segnet_live.commands import compile as compile_command
from segnet_live.commands import doctor, doctor_engines
from segnet_live.engine import parity
from segnet_live.engine.artifacts import ENGINE, ArtifactStore
from segnet_live.engine.eager import EagerEngine
from segnet_live.engine.nvidia import inductor
from segnet_live.engine.open import open_engine
from segnet_live.frame import RGB, LabelMap
from segnet_live.system.paths import cache_dir
from tests.support.stand_ins import pictures

EVERYTHING = [
    "system",
    "GPU",
    "CUDA",
    "PyTorch",
    "Triton",
    "TensorRT",
    "TensorRT-RTX",
    "OpenVINO",
    "OpenCV",
    "PyAV",
    "encoders",
    "Qt",
    "cameras",
    "models",
    "cache",
]


@pytest.fixture
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables are not folded."""
    monkeypatch.setenv("COLUMNS", "240")


@pytest.fixture
def without_engines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor_engines, "trials", lambda: iter(()))


def test_everything_is_looked_at() -> None:
    findings = list(doctor.machine())
    assert [finding.what for finding in findings] == EVERYTHING
    assert all(finding.advice for finding in findings if finding.state == "failed")


def test_a_broken_library_does_not_end_the_report(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> doctor.Finding:
        raise OSError("libGL.so.1: cannot open shared object file\nand more")

    monkeypatch.setattr(doctor, "_opencv", broken)
    findings = {finding.what: finding for finding in doctor.machine()}
    assert set(findings) == set(EVERYTHING)
    assert findings["OpenCV"].state == "failed"
    assert findings["OpenCV"].found == "OSError: libGL.so.1: cannot open shared object file"


def test_a_library_that_qt_misses_is_named_with_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(name: str) -> object:
        if name == "libxcb-cursor.so.0":
            raise OSError(name)
        return object()

    monkeypatch.setattr(doctor.sys, "platform", "linux")
    monkeypatch.setattr(doctor, "QT_PROBE", "raise SystemExit(1)")
    monkeypatch.setattr(ctypes, "CDLL", load)
    monkeypatch.setenv("DISPLAY", ":7")
    monkeypatch.setenv("QT_QPA_PLATFORM", "xcb")
    finding = doctor._qt()
    assert finding.state == "failed"
    assert "libxcb-cursor.so.0 is missing" in finding.found
    assert "apt install libxcb-cursor0 (Fedora" in finding.advice
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    assert doctor._qt().state == "absent", "a server without a display lacks nothing"


def test_two_flavours_of_opencv_are_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    version = importlib.metadata.version
    both = {"opencv-python", "opencv-python-headless"}
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "5" if name in both else version(name))
    finding = next(finding for finding in doctor.machine() if finding.what == "OpenCV")
    assert finding.state == "failed"
    assert "pip uninstall" in finding.advice


@pytest.mark.parametrize(
    ("fault", "state"),
    [
        (pynvml.NVML_ERROR_LIBRARY_NOT_FOUND, "absent"),
        (pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH, "failed"),
        (pynvml.NVML_ERROR_DRIVER_NOT_LOADED, "failed"),
    ],
)
def test_a_driver_that_does_not_run_is_no_missing_one(
    monkeypatch: pytest.MonkeyPatch, fault: int, state: doctor.State
) -> None:
    def broken() -> None:
        raise pynvml.NVMLError(fault)

    monkeypatch.setattr(pynvml, "nvmlInit", broken)
    for finding in (doctor._gpu(), doctor._cuda()):
        assert finding.state == state
        assert ("install its driver" in finding.advice) == (state == "absent")


def test_triton_counts_whatever_its_package_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    """Our own advice on Windows, triton-windows, was a failure: "reinstall it"."""
    monkeypatch.setattr(inductor, "toolchain_problem", lambda: None)
    monkeypatch.setitem(sys.modules, "triton", types.SimpleNamespace(__version__="3.7.0.post1"))
    assert doctor._compiler() == doctor.Finding("Triton", "ok", "3.7.0.post1")


@pytest.mark.parametrize(("right", "state"), [(0.95, "ok"), (0.3, "failed")])
def test_fp16_is_tried_for_what_a_gpu_can_do_and_not_for_what_it_rounds(
    monkeypatch: pytest.MonkeyPatch, right: float, state: doctor.State
) -> None:
    class Rounds(EagerEngine):
        def segment(self, rgb: RGB) -> LabelMap:
            labels = super().segment(rgb)
            labels[round(right * len(labels)) :] ^= 1
            return labels

    def engines(card: Card, folder: object) -> Iterator[tuple[str, Callable[[], None], Callable[[], Rounds]]]:
        yield doctor_engines.HALF, lambda: None, lambda: Rounds(card, doctor_engines.SIZE, device="cpu")

    monkeypatch.setattr(doctor_engines, "_engines", engines)
    assert [finding.state for finding in doctor_engines.trials()] == ["ok", state]


@pytest.mark.usefixtures("without_engines", "wide")
@pytest.mark.parametrize(("state", "code"), [("ok", 0), ("absent", 0), ("failed", 1)])
def test_exit_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], state: doctor.State, code: int
) -> None:
    finding = doctor.Finding("GPU", state, "something", "pip install 'segnet-live[tensorrt]'")
    monkeypatch.setattr(doctor, "machine", lambda: iter([finding]))
    assert cli.main(["doctor"]) == code
    assert "pip install 'segnet-live[tensorrt]'" in capsys.readouterr().out


def test_engines_of_this_machine_agree_with_eager() -> None:
    findings = {finding.what: finding for finding in doctor_engines.trials()}
    assert list(findings) == [
        "torch on the CPU",
        "openvino",
        "torch on the GPU",
        "CUDA graph in fp16",
        "inductor",
        "tensorrt",
        "tensorrt-rtx",
    ]
    assert findings["openvino"].state == "ok"
    assert not [finding for finding in findings.values() if finding.state == "failed"]


def test_an_engine_that_disagrees_or_crashes_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    class Wrong:
        def segment(self, rgb: object) -> object:
            return doctor_engines.picture()[..., 0] * 0 + 77

    def crash() -> object:
        raise RuntimeError("CUDA error: an illegal memory access\nmore")

    ready: Callable[[], None] = lambda: None  # noqa: E731
    wrong = Wrong()
    wrong.info, wrong.close = None, lambda: None  # type: ignore[attr-defined]
    engines = [("broken", crash, crash), ("wrong", ready, lambda: wrong), ("crash", ready, crash)]
    monkeypatch.setattr(doctor_engines, "_engines", lambda card, folder: iter(engines))
    findings = {finding.what: finding for finding in doctor_engines.trials()}
    assert "only 0.00% of pixels agree" in findings["wrong"].found
    assert findings["broken"].state == "failed", "it does not even say why it cannot run"
    assert findings["crash"].found == "RuntimeError: CUDA error: an illegal memory access"


@pytest.mark.usefixtures("wide")
def test_compile_makes_engines_and_shows_their_parity(
    tiny_card: Card, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(parity, "reference_frames", pictures)
    options = ["--backend", "openvino", "--precision", "fp32", "--size", "32x48", "--size", "64x32"]
    assert cli.main(["compile", "--model", str(tiny_card.folder), *options]) == 0
    said = capsys.readouterr().out
    assert "32x48" in said
    assert "64x32" in said
    kept = {info.input_size: found for info, found in parity.recorded(tiny_card) if info.backend == "openvino"}
    assert kept[32, 48].overall > 0.99
    assert cli.main(["cache", "list"]) == 0
    assert "openvino" in capsys.readouterr().out
    assert cli.main(["models", "--dir", str(tiny_card.folder.parent)]) == 0
    assert f"{kept[32, 48].overall:.2%}" in capsys.readouterr().out
    engine = open_engine(tiny_card, backend="openvino", precision="fp32", size=(32, 48))
    assert engine.info.parity == kept[32, 48].overall
    engine.close()


@pytest.mark.parametrize("size", ["352", "0x0", "16x16", "ax480", "352x"])
def test_compile_refuses_sizes_that_are_none(size: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["compile", "--size", size]) == 2
    assert "HEIGHTxWIDTH" in capsys.readouterr().err


def test_the_fastest_backend_without_a_gpu_is_openvino() -> None:
    assert compile_command.fastest() == "openvino"


@pytest.mark.usefixtures("wide")
def test_cache_lists_engines_and_deletes_all(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.setenv(name, str(tmp_path))
    assert cli.main(["cache", "list"]) == 0
    assert "nothing is kept" in capsys.readouterr().out
    fields = {"model": "segnet", "size": [352, 480], "precision": "fp16", "name": "a GPU", "tensorrt": "11.0"}
    ArtifactStore.of("tensorrt").save(fields, {"parity": {"overall": 0.9987}}, {ENGINE: b"engine"})
    (cache_dir("openvino") / "ab.json").write_text("damaged")
    assert cli.main(["cache", "list"]) == 0
    said = capsys.readouterr().out
    for expected in ("segnet", "352x480", "a GPU, TensorRT 11.0", "99.87%", "damaged"):
        assert expected in said
    assert cli.main(["cache", "clear"]) == 0
    assert "deleted 3 files" in capsys.readouterr().out
    assert cli.main(["cache", "list"]) == 0
    assert "nothing is kept" in capsys.readouterr().out
