"""Fixtures all tests share: an offscreen Qt, private cache and settings folders, and a small model card."""

from __future__ import annotations

import os

import pytest

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

from segnet_live.card import Card
from tests.support.cards import write_card


def pytest_configure(config: pytest.Config) -> None:
    """Unless marks are asked for, a GPU is hidden: rounding and speed there are other matters."""
    if "not gpu" in str(config.getoption("markexpr")):
        os.environ["CUDA_VISIBLE_DEVICES"] = ""


@pytest.fixture(autouse=True, scope="session")
def private_folders(tmp_path_factory: pytest.TempPathFactory) -> None:
    """No test reads or writes the cache and settings of the person who runs it; subprocesses inherit this."""
    for name in ("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_VIDEOS_DIR", "LOCALAPPDATA", "APPDATA"):
        os.environ[name] = str(tmp_path_factory.mktemp(name.lower()))


@pytest.fixture(scope="session")
def tiny_card(tmp_path_factory: pytest.TempPathFactory) -> Card:
    """A segnet-fast card with random weights."""
    return write_card(tmp_path_factory.mktemp("models") / "tiny")
