"""Crops aimed at classes: rare ones come up as often as common ones, and where they are in the picture."""

from __future__ import annotations

from collections import Counter

import numpy as np

from train.focus import PictureDraw
from train.pictures import Picture

ROAD, SKY, CYCLIST = 0, 1, 2


def picture(name: str, cyclists: int, sure: int = 255) -> Picture:
    """Return a road under a sky with so many cyclists, each 4x4 soft labels of 20x20, or 8x8 pixels of 40x40."""
    soft = np.zeros((3, 20, 20), np.uint8)
    soft[SKY, :10], soft[ROAD, 10:] = 255, 255
    for i in range(cyclists):
        soft[:, 12:16, 5 * i : 5 * i + 4] = 0
        soft[CYCLIST, 12:16, 5 * i : 5 * i + 4] = sure
    return Picture(name, np.zeros((40, 40, 3), np.uint8), soft)


def drawn(pictures: list[Picture], uniform: float, times: int = 600) -> tuple[Counter[str], list[tuple[int, int]]]:
    """Return how often each picture was drawn, and the picture and class of each place that a crop was aimed at."""
    draw = PictureDraw(pictures, uniform, seed=0)
    rng = np.random.default_rng(1)
    names: Counter[str] = Counter()
    aimed = []
    for _ in range(times):
        index, focus = draw.draw(rng)
        names[pictures[index].name] += 1
        if focus is not None:
            aimed.append((index, int(pictures[index].soft[:, int(focus[0] / 2), int(focus[1] / 2)].argmax())))
    return names, aimed


def test_a_class_that_one_picture_of_ten_shows_is_in_a_third_of_the_crops_when_three_classes_are_drawn_evenly() -> None:
    pictures = [picture(f"roads_{i}", cyclists=0) for i in range(9)] + [picture("roads_9", cyclists=2)]
    names, aimed = drawn(pictures, uniform=1.0)
    of_class = Counter(class_id for _, class_id in aimed)
    assert len(aimed) == 600
    assert all(150 < of_class[class_id] < 250 for class_id in (ROAD, SKY, CYCLIST))
    assert names["roads_9"] > 200
    assert {index for index, class_id in aimed if class_id == CYCLIST} == {9}


def test_without_it_every_picture_of_a_source_is_drawn_alike_and_no_crop_is_aimed() -> None:
    pictures = [picture(f"roads_{i}", cyclists=0) for i in range(9)] + [picture("roads_9", cyclists=2)]
    names, aimed = drawn(pictures, uniform=0.0)
    assert aimed == []
    assert all(30 < names[p.name] < 100 for p in pictures)


def test_what_teachers_are_unsure_of_and_specks_are_not_aimed_at() -> None:
    speck = picture("roads_1", cyclists=1)  # 16 pixels, of the 20 it takes
    unsure = picture("roads_2", cyclists=3, sure=120)
    _, aimed = drawn([speck, unsure], uniform=1.0)
    assert {class_id for _, class_id in aimed} == {ROAD, SKY}
