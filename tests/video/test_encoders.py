"""What encodes a recording: hardware that opens, else x264 as thorough as its share of the cores; faked hardware."""

from __future__ import annotations

from fractions import Fraction

import pytest

from segnet_live.config import Encoder, Encoding
from segnet_live.errors import UsageError
from segnet_live.video import encoders

HD = (1080, 1920)
RATE = Fraction(30000, 1001)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> tuple[dict[Encoder, str], list[Encoder]]:
    """Two cores with hardware encoders that say why they do not open, "" if they do; and what was tried."""
    problems: dict[Encoder, str] = {}
    tried: list[Encoder] = []

    def problem(name: Encoder, size: tuple[int, int]) -> str:
        tried.append(name)
        return problems[name]

    monkeypatch.setattr(encoders, "problem", problem)
    monkeypatch.setattr(encoders, "_worth_trying", lambda: tuple(problems))
    monkeypatch.setattr(encoders, "cores", lambda: 2)
    return problems, tried


def test_hardware_that_opens_is_taken(machine: tuple[dict[Encoder, str], list[Encoder]]) -> None:
    problems, _ = machine
    problems |= {"nvenc": "no driver", "qsv": ""}
    chosen = encoders.choose(Encoding(quality=24), HD, RATE)
    assert (chosen.name, chosen.codec) == ("qsv", "h264_qsv")
    assert chosen.options["global_quality"] == "24"


def test_x264_stands_in_and_says_what_was_tried(machine: tuple[dict[Encoder, str], list[Encoder]]) -> None:
    problems, _ = machine
    problems |= {"nvenc": "no driver", "vaapi": "no device"}
    chosen = encoders.choose(Encoding(), HD, RATE)
    assert (chosen.name, chosen.options["crf"]) == ("x264", "20")
    assert chosen.missing == (("nvenc", "no driver"), ("vaapi", "no device"))


def test_x264_that_is_asked_for_tries_no_hardware(machine: tuple[dict[Encoder, str], list[Encoder]]) -> None:
    problems, tried = machine
    problems |= {"nvenc": ""}
    assert encoders.choose(Encoding("x264"), HD, RATE).name == "x264"
    assert not tried


def test_an_encoder_that_is_asked_for_and_does_not_open_is_an_error(
    machine: tuple[dict[Encoder, str], list[Encoder]],
) -> None:
    machine[0]["vaapi"] = "no device"
    with pytest.raises(UsageError, match=r"--encoder vaapi does not open here \(no device\); use --encoder auto"):
        encoders.choose(Encoding("vaapi"), HD, RATE)


@pytest.mark.parametrize(
    ("size", "rate", "cores", "preset"),
    [
        ((540, 960), 25, 2, "veryfast"),
        ((1080, 1920), 30, 2, "ultrafast"),
        ((2160, 3840), 30, 2, "ultrafast"),
        ((1080, 1920), 30, 8, "ultrafast with CABAC"),
        ((1080, 1920), 30, 16, "veryfast"),
    ],
)
def test_the_preset_fits_the_cores(size: tuple[int, int], rate: int, cores: int, preset: str) -> None:
    assert encoders.preset_for(size, Fraction(rate), cores).title == preset


def test_every_encoder_is_tried_with_a_frame_and_x264_works() -> None:
    problems = encoders.tried((64, 96))
    assert set(problems) == {"x264", "nvenc", "qsv", "vaapi", "videotoolbox"}
    assert problems["x264"] == ""


def test_a_quicker_preset_is_given_what_makes_its_pictures_as_good(monkeypatch: pytest.MonkeyPatch) -> None:
    for cores, crf, extra in ((1, "20", "deblock"), (8, "21", "subme=1"), (16, "20", "bframes=0")):
        monkeypatch.setattr(encoders, "cores", lambda cores=cores: cores)
        chosen = encoders.choose(Encoding("x264", 20), HD, RATE)
        assert chosen.options["crf"] == crf
        assert extra in chosen.options["x264-params"]
    monkeypatch.setattr(encoders, "cores", lambda: 8)
    assert encoders.choose(Encoding("x264", 51), HD, RATE).options["crf"] == "51"
