"""Clips to order."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.clips import Clip, make


@pytest.fixture
def clip(tmp_path: Path) -> Callable[..., str]:
    """Makes a clip in the test's folder: `clip(codec="mjpeg", name="a.avi")`; see `Clip`."""
    return lambda **fields: make(tmp_path, Clip(**fields))
