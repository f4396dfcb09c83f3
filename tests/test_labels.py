"""Bringing label maps to a size: quick edges are the edges of whole pictures of each class."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from segnet_live.labels import LabelsAt, _plan, labels_at


def blobs(height: int, width: int, classes: int = 11) -> NDArray[np.uint8]:
    """Return label regions as round as a network's."""
    noise = np.random.default_rng(5).normal(size=(classes, height, width)).astype(np.float32)
    return np.stack([cv2.GaussianBlur(plane, (0, 0), height / 20) for plane in noise]).argmax(0).astype(np.uint8)


def by_whole_pictures(labels: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """The definition: each class's membership interpolated, the largest wins, of equal ones the smallest id."""
    members = [
        cv2.resize((labels == i).astype(np.uint8) * np.uint8(255), size[::-1], interpolation=cv2.INTER_LINEAR)
        for i in range(12)
    ]
    return np.stack(members).argmax(0).astype(np.uint8)


@pytest.mark.parametrize(
    "size", [(320, 544), (540, 960), (640, 1088), (1080, 1920), (769, 1365), (321, 545)], ids=lambda size: f"{size[0]}"
)
def test_enlarged_labels_are_those_of_whole_pictures(size: tuple[int, int]) -> None:
    labels = blobs(320, 544)
    assert (labels_at(labels, size) == by_whole_pictures(labels, size)).mean() >= 0.999


def test_a_table_gives_what_it_holds_for_each_label() -> None:
    labels = blobs(64, 96)
    table = np.random.default_rng(1).permutation(256).astype(np.uint8)
    for size in ((64, 96), (200, 333), (40, 50), (128, 50)):
        assert (LabelsAt(labels, size).look_up(table) == table[labels_at(labels, size)]).all()


def test_one_label_fills_any_size() -> None:
    assert (labels_at(np.full((1, 1), 255, np.uint8), (31, 47)) == 255).all()
    assert (labels_at(np.full((3, 5), 4, np.uint8), (9, 5)) == 4).all()


def test_a_single_label_is_prepared_for_no_size() -> None:
    """A frame without labels has one void label, whatever the size of the window."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("segnet_live.labels._winners", lambda *_: pytest.fail("nothing is to be prepared"))
        assert (labels_at(np.full((1, 1), 11, np.uint8), (555, 987)) == 11).all()


def test_sizes_without_a_common_measure_have_bounded_tables_and_true_edges() -> None:
    """A window that is dragged has such sizes, one after the other."""
    for size in ((437, 776), (1087, 1933)):
        assert _plan((320, 544), size).corners.nbytes <= 20_000_000
        labels = blobs(320, 544)
        assert (labels_at(labels, size) == by_whole_pictures(labels, size)).mean() >= 0.998
