"""Rendered training images: what a run asks for is what it gets, also from the file of an earlier run."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from train import rendered


@pytest.fixture
def painted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Seeds of the pictures that were painted; a picture holds its street's number."""
    seeds: list[int] = []

    def render(seed: int, index: int, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        seeds.append(seed)
        return np.full((4, 6, 3), seed % 251, np.uint8), np.zeros((4, 6), np.uint8)

    monkeypatch.setattr(rendered, "render", render)
    monkeypatch.setattr(rendered, "ProcessPoolExecutor", lambda workers, context: ThreadPoolExecutor(1))
    return seeds


def test_the_same_request_is_read_from_the_file(painted: list[int], tmp_path: Path) -> None:
    first = rendered.rendered_samples(10, 1, tmp_path / "rendered.npz")
    count = len(painted)
    again = rendered.rendered_samples(10, 1, tmp_path / "rendered.npz")
    assert len(painted) == count
    assert [s.name for s in again] == [s.name for s in first]
    assert all((a.rgb == b.rgb).all() for a, b in zip(first, again, strict=True))


@pytest.mark.parametrize(("count", "seed"), [(20, 1), (10, 2), (4, 1)])
def test_another_count_or_seed_is_rendered_anew(painted: list[int], tmp_path: Path, count: int, seed: int) -> None:
    kept = tmp_path / "rendered.npz"
    rendered.rendered_samples(10, 1, kept)
    samples = rendered.rendered_samples(count, seed, kept)
    assert len(samples) == count
    assert all(s.name.startswith(f"rendered{seed:03d}") for s in samples)
    assert [p.name for p in tmp_path.iterdir()] == ["rendered.npz"]
