"""A cache folder that is full or cannot be written: the default engine runs without it and says so in one line."""

from __future__ import annotations

import logging
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from segnet_live.card import Card, find_card
from segnet_live.commands import doctor
from segnet_live.config import Precision
from segnet_live.engine import parity
from segnet_live.engine.open import open_engine
from segnet_live.engine.parity import Parity

SIZE = (64, 96)
RGB = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), np.uint8)


@pytest.fixture
def no_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache's place lies under a file: nobody can make it, root included."""
    (tmp_path / "file").touch()
    for name in ("XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.setenv(name, str(tmp_path / "file" / "cache"))
    return tmp_path / "file"


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What a user reads: no one else's traces."""
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_the_default_engine_runs_without_a_cache(
    precision: Precision, request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture
) -> None:
    card = find_card("segnet-fast")
    kept = open_engine(card, backend="openvino", size=SIZE, precision=precision)
    expected = kept.segment(RGB)
    kept.close()
    assert said(caplog) == []
    request.getfixturevalue("no_cache")
    engine = open_engine(card, size=SIZE, precision=precision)
    assert engine.info.backend == "openvino"
    assert (engine.segment(RGB) == expected).all()
    engine.close()
    [line] = said(caplog)
    assert re.search(r"it works but is not kept: .*\.json.*Not a directory.*; free or repair", line)


@pytest.mark.skipif(sys.platform == "win32", reason="limits the size of files as POSIX can")
def test_a_disk_that_gets_full_on_the_way_ends_nothing(tiny_card: Card, tmp_path: Path) -> None:
    script = (
        "import resource, signal, sys; from pathlib import Path; import numpy as np\n"
        "from segnet_live.card import read_card; from segnet_live.engine.open import open_engine\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        f"card = read_card(Path({str(tiny_card.folder)!r}))\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), resource.RLIM_INFINITY))\n"
        "engine = open_engine(card, backend='openvino', size=(64, 96), precision='fp32')\n"
        "print(engine.segment(np.zeros((64, 96, 3), np.uint8)).shape)\n"
    )
    environment = {"XDG_CACHE_HOME": str(tmp_path), "PYTHONPATH": str(Path(__file__).parents[2]), "PATH": ""}

    def run(largest_file: int) -> tuple[str, list[str]]:
        command = [sys.executable, "-c", script, str(largest_file)]
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
        return done.stdout.strip(), done.stderr.splitlines()

    assert run(1 << 30) == ("(64, 96)", []), "there is room"
    folder = tmp_path / "segnet-live" / "openvino"
    for path in (folder / "compiled").iterdir():
        path.unlink()
    assert run(10_000)[0] == "(64, 96)", "room for no compiled form: OpenVINO writes what it can, in silence"
    assert run(1 << 30) == ("(64, 96)", []), "the half of a compiled form is no obstacle"
    for path in folder.glob("*.json"):
        path.unlink()
    shape, lines = run(10_000)
    assert shape == "(64, 96)", "room for no converted network"
    assert len(lines) == 1
    assert "not kept" in lines[0]


@pytest.mark.usefixtures("no_cache")
def test_parity_is_neither_kept_nor_missed(tiny_card: Card, caplog: pytest.LogCaptureFixture) -> None:
    engine = open_engine(tiny_card, backend="torch", size=SIZE)
    parity.remember(tiny_card, engine.info, Parity(0.999, (0.5,), 8))
    assert parity.known(tiny_card, engine.info) is None
    assert parity.recorded(tiny_card) == []
    assert len(said(caplog)) == 1
    engine.close()


@pytest.mark.usefixtures("no_cache")
def test_doctor_names_the_folder_and_the_reason() -> None:
    found = next(finding for finding in doctor.machine() if finding.what == "cache")
    assert found.state == "failed"
    assert "segnet-live cannot be written (Not a directory)" in found.found
    assert found.advice == "make it writable, or compiling is repeated at every start"
