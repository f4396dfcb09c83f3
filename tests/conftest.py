"""Fixtures all tests share: an offscreen Qt, private cache and settings folders, and a small model card."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
# Before torch is imported: tests run one beside the other, and OpenMP's threads, which wait by spinning, make a busy
# machine ten times slower.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from segnet_live.card import Card
from tests.support.cards import write_card


def pytest_configure(config: pytest.Config) -> None:
    """Unless marks are asked for, a GPU is hidden: rounding and speed there are other matters."""
    if "not gpu" in str(config.getoption("markexpr")):
        os.environ["CUDA_VISIBLE_DEVICES"] = ""


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Share the whole suite among the cores; single files, and what needs the machine to itself, get one process.

    One process more than there are cores: some test always waits for a window or a stream.
    """
    whole = config.args == config.getini("testpaths") and "not bench" in str(config.getoption("markexpr"))
    return (os.cpu_count() or 1) + 1 if whole else 0


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a test marked `own_process` in one: it sends signals, which ended a long run on a CPU with AMX.

    There OpenVINO leaves a thread that had several Cores a signal stack that is unmapped (see `engine.openvino.core`).
    The app has one; tests of OpenVINO itself may have more.
    """
    if pyfuncitem.get_closest_marker("own_process") is None or "SEGNET_LIVE_TEST_CHILD" in os.environ:
        return None
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", pyfuncitem.nodeid],
        cwd=pyfuncitem.config.rootpath,
        env=os.environ | {"SEGNET_LIVE_TEST_CHILD": "1"},
        capture_output=True,
        text=True,
        timeout=250,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return True


@pytest.fixture(autouse=True, scope="session")
def private_folders(tmp_path_factory: pytest.TempPathFactory) -> None:
    """No test reads or writes the cache and settings of the person who runs it; subprocesses inherit this."""
    names = ("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_VIDEOS_DIR")
    for name in (*names, "LOCALAPPDATA", "APPDATA"):
        os.environ[name] = str(tmp_path_factory.mktemp(name.lower()))


@pytest.fixture(scope="session")
def tiny_card(tmp_path_factory: pytest.TempPathFactory) -> Card:
    """A segnet-fast card with random weights."""
    return write_card(tmp_path_factory.mktemp("models") / "tiny")
