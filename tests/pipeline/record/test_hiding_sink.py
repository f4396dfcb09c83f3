"""Hidden classes are unrecognisable where the network found them, and around that in space and time."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from segnet_live.classes import CAMVID
from segnet_live.config import HideWith, RunConfig, SourceSpec
from segnet_live.errors import OutputError, UsageError
from segnet_live.frame import Frame, FrameResult, SourceInfo
from segnet_live.pipeline.record.hiding_sink import HidingSink
from segnet_live.render.hiding import Hiding, hide
from tests.support.sinks import FakeSink

SIZE = (180, 320)
NETWORK = (90, 160)
PERSON = CAMVID.names.index("Pedestrian")
INFO = SourceInfo("drive", SIZE, Fraction(25), Fraction(1, 25), 1.0, 25, live=False, seekable=False, audio=False)


def checked(number: int = 0) -> np.ndarray:
    """A chess board of single pixels: what is blurred loses all of it."""
    rgb = np.zeros((*SIZE, 3), np.uint8)
    rgb[(np.arange(SIZE[0])[:, None] + np.arange(SIZE[1])) % 2 == 0] = 255
    rgb[0, 0] = number
    return rgb


def labels(*, person: bool, at: int = 80) -> np.ndarray:
    found = np.full(NETWORK, 3, np.uint8)
    if person:
        found[40:60, at : at + 8] = PERSON
    return found


def result(number: int, *, person: bool, at: int = 80) -> FrameResult:
    blank = FrameResult.unlabelled(Frame(checked(number), number, number, Fraction(1, 25)), INFO, CAMVID)
    return blank.with_labels(labels(person=person, at=at), CAMVID, 1.0)


def changed(rgb: np.ndarray) -> np.ndarray:
    """(H, W) bool: where a picture is no chess board."""
    return (np.abs(rgb.astype(int) - checked().astype(int)) > 30).any(axis=2)


@pytest.mark.parametrize("style", ["blur", "fill"])
def test_the_class_and_its_surroundings_lose_every_detail_and_nothing_else_does(style: HideWith) -> None:
    hiding = Hiding(frozenset({PERSON}), style)
    picture = checked()
    out = hide(picture, hiding.mask(labels(person=True)), style)
    assert (picture == checked()).all(), "the frame itself is never written to"
    person = np.zeros(SIZE, np.bool_)
    person[80:120, 160:176] = True
    part = out[78:122, 158:178].astype(int)
    assert (np.abs(np.diff(part, axis=1)) < 40).all(), "no edge of the board is left"
    assert changed(out)[person].all()
    far = np.ones(SIZE, np.bool_)
    far[66:134, 146:190] = False
    assert not changed(out)[far].any()


def test_a_picture_without_the_class_is_handed_on_as_it_is() -> None:
    picture = checked()
    assert hide(picture, Hiding(frozenset({PERSON})).mask(labels(person=False)), "blur") is picture


@pytest.mark.parametrize("hold", [0, 3])
def test_a_find_is_held_before_and_after(hold: int) -> None:
    sink = FakeSink()
    hiding = HidingSink(sink, Hiding(frozenset({PERSON}), "fill", hold))
    for number in range(20):
        hiding.write(result(number, person=number == 10))
    hiding.close(whole=True)
    assert [r.frame.index for r in sink.taken] == list(range(20))
    assert sink.closed == [True]
    covered = [r.frame.index for r in sink.taken if changed(r.rgb)[100, 168]]
    assert covered == list(range(10 - hold, 10 + hold + 1))


def test_what_the_network_is_unsure_of_is_hidden_but_not_the_borders_between_classes() -> None:
    confidence = np.full(NETWORK, 250, np.uint8)
    confidence[20:32, 30:40] = 10
    confidence[:, 120] = 10
    confidence[40:44, 90:93] = confidence[0:4, 90:93] = 90
    hiding = Hiding(frozenset({PERSON}), grow=0.0)
    mask = hiding.mask(labels(person=False), confidence)
    assert mask[22:30, 32:38].all()
    assert not mask[:, 100:].any(), "a border"
    assert not Hiding(frozenset({PERSON}), unsure=0.0).mask(labels(person=False), confidence).any()
    beside = hiding.mask(labels(person=True), confidence)
    assert beside[40:60, 80:88].all()
    assert beside[41:43, 91].all(), "near a person less doubt is enough"
    assert not beside[0:3, 91].any()


def test_a_person_who_walks_is_hidden_along_the_way() -> None:
    sink = FakeSink()
    hiding = HidingSink(sink, Hiding(frozenset({PERSON}), "fill", 2))
    for number in range(5):
        hiding.write(result(number, person=True, at=40 + 16 * number))
    hiding.close(whole=True)
    middle = changed(sink.taken[2].rgb)
    assert all(middle[100, 2 * (40 + 16 * n) + 8] for n in range(5))


@pytest.mark.parametrize("style", ["blur", "fill"])
@pytest.mark.parametrize("size", [(1, 1), (4, 1), (2, 3)])
def test_a_picture_of_a_few_pixels_is_hidden_too(size: tuple[int, int], style: HideWith) -> None:
    hiding = Hiding(frozenset({PERSON}), style)
    picture = np.full((*size, 3), 200, np.uint8)
    mask = hiding.mask(np.full(size, PERSON, np.uint8), np.zeros(size, np.uint8))
    assert (mask == 255).all()
    out = hide(picture, mask, style)
    assert (out == (200 if style == "blur" else 40)).all(), "a blur keeps the one colour that there is"
    unsure = hiding.mask(np.full(size, 3, np.uint8), np.zeros(size, np.uint8))
    assert (unsure == 255).all(), "no confidence anywhere"


def test_the_sink_is_closed_once_also_after_it_failed() -> None:
    def fail(index: int) -> None:
        raise OutputError("disk full")

    sink = FakeSink(before=fail)
    hiding = HidingSink(sink, Hiding(frozenset({PERSON}), hold=1))
    hiding.write(result(0, person=True))
    with pytest.raises(OutputError):
        hiding.write(result(1, person=True))
    hiding.close(whole=False)
    assert sink.closed == [False]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"record": None}, "--record"),
        ({"hide": ("",)}, "empty"),
        ({"hide_hold": 1000}, "--hide-hold"),
        ({"hide_unsure": 1.5}, "--hide-unsure"),
    ],
)
def test_hiding_that_would_hide_nothing_is_refused(fields: dict[str, object], said: str) -> None:
    from pathlib import Path

    good: dict[str, object] = {
        "source": SourceSpec("video", "drive.mp4"), "record": Path("out.mp4"), "headless": True, "hide": ("Car",)
    }  # fmt: skip
    RunConfig(**good)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=said):
        RunConfig(**{**good, **fields})  # type: ignore[arg-type]


def test_in_the_window_recordings_may_be_begun_later() -> None:
    hiding = RunConfig(hide=("Car",), hide_hold=2, hide_with="fill").hiding
    assert (hiding.names, hiding.hold, hiding.style) == (("Car",), 2, "fill")
