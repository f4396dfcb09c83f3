"""Short clips and a small network that runs from the cache."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.clips import striped_clip


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 frames of 96x64 in 2 s, with sound."""
    return striped_clip(tmp_path_factory.mktemp("clips") / "drive.mp4")
