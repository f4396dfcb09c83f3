"""A question means what a person reads in it; one that means nothing is refused with the place of the fault."""

from __future__ import annotations

import numpy as np
import pytest

from segnet_live.classes import CAMVID
from segnet_live.drives.moments import find_moments
from segnet_live.drives.query import parse
from segnet_live.errors import UsageError
from tests.support.drives import drive_index

INDEX = drive_index(
    {
        "Pedestrian": [0.00, 0.03, 0.03, 0.03, 0.00, 0.03, 0.00, 0.00, 0.01, 0.00],
        "Car": [0.10, 0.10, 0.10, 0.10, 0.10, 0.10, 0.40, 0.50, 0.60, 0.20],
    },
    motion=[0, 0.01, 0.01, 0.01, 0.01, 0.01, 0.30, 0.01, 0.01, 0.01],
)


def frames(question: str) -> list[int]:
    """The numbers of the frames that `question` means."""
    return np.flatnonzero(parse(question, CAMVID).answer(INDEX)).tolist()


@pytest.mark.parametrize(
    ("question", "meant"),
    [
        ("Pedestrian > 2%", [1, 2, 3, 5]),
        ("pedestrian>0.02", [1, 2, 3, 5]),
        ("PEDESTRIAN >= 3 %", [1, 2, 3, 5]),
        ("Pedestrian > 2% for 0.3s", [1, 2, 3]),
        ("Pedestrian > 2% for 300ms", [1, 2, 3]),
        ("Pedestrian > 0.02 for 0.3s AND Car > 0.05", [1, 2, 3]),
        ("Pedestrian > 2% for 0.4s", []),
        ("Pedestrian > 2% for 0.1s and Car < 20%", [1, 2, 3, 5]),
        ("Car > 30% or Pedestrian > 2% and time < 0:00.25", [1, 2, 6, 7, 8]),
        ("(Car > 30% or Pedestrian > 2%) and time < 250ms", [1, 2]),
        ("not Pedestrian > 0% for 0.2s", [6, 7]),
        ("not (Pedestrian > 0% or Car > 30%)", [0, 4, 9]),
        ("Car + Pedestrian > 60%", [8]),
        ("cut", [6]),
        ("cut or Car ≥ 60%", [6, 8]),
        ("'Car' > 55% && \"Pedestrian\" > 0.5%", [8]),
        ("confidence < 50%", []),
        ("motion > 20%", [6]),
    ],
)
def test_a_question_means_frames(question: str, meant: list[int]) -> None:
    assert frames(question) == meant


@pytest.mark.parametrize(
    ("question", "said"),
    [
        ("", "empty"),
        ("Pedestrain > 2%", "did you mean Pedestrian?"),
        ("Unicorn > 2%", "it has Sky, Building"),
        ("Car > 2", "write 2%"),
        ("Car > 120%", "100% at most"),
        ("Car > 2s", "a share such as 2%"),
        ("Car", "> or < and a value"),
        ("Car = 2%", "no share is exact"),
        ("Car > ", "a share such as 2%"),
        ("Car > 2% for", "a time such as 1s"),
        ("Car > 2% for 1%", "a time such as 1s"),
        ("Car > 2% Road < 3%", "at character 10"),
        ("(Car > 2%", '")"'),
        ("Car > 2%)", "at character 9"),
        ("and Car > 2%", "a class"),
        ("Car; Road > 2%", "';' at character 4"),
        ("__import__('os').system('true')", "at character"),
        ("time + Car > 1s", "time alone"),
        ("(" * 30 + "cut" + ")" * 30, "nested"),
        ("cut or " * 100 + "cut", "characters"),
    ],
)
def test_what_is_no_question_is_refused_in_one_line(question: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(question, CAMVID)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_moments_join_over_a_blink_and_show_their_best_frame() -> None:
    moments = find_moments(INDEX, parse("Pedestrian > 0.5%", CAMVID), join_s=0.15)
    assert [(round(m.start_s, 2), round(m.end_s, 2)) for m in moments] == [(0.1, 0.6), (0.8, 0.9)]
    [busy] = find_moments(INDEX, parse("Car > 30%", CAMVID))
    assert round(busy.best_s, 2) == 0.8
    assert busy.figures == pytest.approx({"Car": 0.6})


def test_a_moment_at_the_end_of_a_drive_ends_with_it() -> None:
    [moment] = find_moments(INDEX, parse("time >= 0.9s", CAMVID))
    assert moment.end_s == pytest.approx(1.0)


def test_a_gap_in_the_pictures_is_not_counted_as_seen() -> None:
    index = drive_index({"Car": [0.5] * 6}, rate=10)
    index.pts_s[3:] += 60.0
    assert not parse("Car > 10% for 62s", CAMVID).answer(index).any()


def test_confidence_that_nobody_measured_is_no_answer() -> None:
    with pytest.raises(UsageError, match="no confidence"):
        find_moments(INDEX, parse("confidence < 50% or Car > 1%", CAMVID))
    sure = drive_index({"Car": [0.1] * 3}, confidence=[0.9, 0.4, 0.9])
    assert len(find_moments(sure, parse("confidence < 50%", CAMVID))) == 1
