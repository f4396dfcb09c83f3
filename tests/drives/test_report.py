"""A report is one page that shows what the index holds, needs nothing from elsewhere, and looks right in a browser."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest

from segnet_live.card import Card
from segnet_live.cli import main
from segnet_live.drives.index import DriveIndex, key_of, save_index
from segnet_live.drives.report.facts import binned, class_facts, hardest
from segnet_live.drives.report.page import Picture, Report, page
from segnet_live.drives.stills import jpeg
from segnet_live.drives.track import Track
from tests.support.browser import Browser, browser, needs_chromium
from tests.support.clips import striped_clip
from tests.support.drives import drive_index

NASTY = "<script>alert('x')</script>&\"drive\".mp4"


def example(title: str = "drive.mp4") -> DriveIndex:
    """A minute with traffic that comes and goes, one scene cut, and one moment of doubt."""
    t = np.arange(600) / 10
    car = 0.15 + 0.1 * np.sin(t / 5)
    confidence, motion, change = np.full(600, 0.9), np.full(600, 0.02), np.full(600, 0.01)
    confidence[200:210], change[200:210], motion[400] = 0.3, 0.2, 0.5
    shares = {"Sky": np.full(600, 0.2), "Car": car, "Tree": 0.2 + 0.1 * np.cos(t / 9), "Pedestrian": (t > 50) * 0.03}
    lists = {name: values.tolist() for name, values in shares.items()}
    return drive_index(
        lists, confidence=confidence.tolist(), motion=motion.tolist(), change=change.tolist(), title=title
    )


def track() -> Track:
    t = np.arange(0, 60.0)
    return Track(t, 52 + 0.002 * np.sin(t / 20), 13 + t * 1e-4, "drive.gpx")


def report(title: str = "drive.mp4") -> Report:
    picture = jpeg(np.full((90, 160, 3), (90, 140, 60), np.uint8))
    pictures = [Picture(picture, f"0:{i:02d}.0", "confidence 30%, 20.0% of the pixels changed class") for i in range(5)]
    return Report(
        example(title), pictures, track(), "Car", [("Model", "segnet-fast"), ("Command", f"report '{title}'")]
    )


class _Page(HTMLParser):
    """What a page refers to, and whether its elements are closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.addresses: list[str] = []
        self.tags: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "action", "data", "srcset")]
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)


def test_the_page_needs_nothing_from_elsewhere_and_runs_nothing() -> None:
    text = page(report(NASTY))
    parsed = _Page(text)
    assert not parsed.open
    assert all(address.startswith("data:image/jpeg;base64,") for address in parsed.addresses)
    assert len(parsed.addresses) == 5
    assert "script" not in parsed.tags
    assert "<script" not in text
    assert "&lt;script&gt;alert" in text
    assert not re.search(r"url\(|@import|https?://", text)


def test_facts_are_those_of_the_index() -> None:
    index = example()
    facts = {fact.name: fact for fact in class_facts(index)}
    assert facts["Sky"].mean == pytest.approx(0.2)
    assert facts["Pedestrian"].in_sight_s == pytest.approx(9.9, abs=0.11)
    assert facts["Car"].most == pytest.approx(0.25, abs=1e-3)
    assert facts["Car"].most_s in (pytest.approx(5 * np.pi / 2, abs=0.2), pytest.approx(25 * np.pi / 2, abs=0.2))
    shares = binned(index, index.shares, 60)
    assert shares.shape == (60, 11)
    np.testing.assert_allclose(shares[:, 0], 0.2, atol=1e-6)
    np.testing.assert_allclose(binned(drive_index({"Car": [0.5]}), np.array([0.5], np.float32)), [0.5])


def test_the_hardest_moments_are_the_unsure_ones_and_lie_apart() -> None:
    moments = hardest(example(), 4)
    assert any(20 <= moment.pts_s < 21.2 for moment in moments)
    assert all(b.pts_s - a.pts_s >= 1 for a, b in pairwise(moments))
    assert not hardest(drive_index({"Car": [0.1] * 50}), 4), "nothing stands out of a drive that never changes"
    assert hardest(example(), 0) == []


@pytest.mark.parametrize("frames", [1, 2, 40])
def test_short_drives_have_a_page_too(frames: int) -> None:
    text = page(Report(drive_index({"Car": [0.2] * frames})))
    assert "nan" not in text.lower().replace("navigation", "")
    assert "<polygon" in text


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as opened:
        yield opened


@needs_chromium
@pytest.mark.parametrize("width", [1200, 375])
def test_a_browser_shows_the_page_without_a_complaint(chromium: Browser, tmp_path: Path, width: int) -> None:
    path = tmp_path / "report.html"
    path.write_text(page(report(NASTY)), encoding="utf-8")
    grounds = []
    for dark in (False, True):
        chromium.show(path, dark=dark, width=width)
        assert chromium.run("return document.title").startswith(NASTY)
        assert chromium.run("return document.documentElement.scrollWidth") <= width, "nothing sticks out sideways"
        loaded = "return [...document.images].every(i => i.complete && i.naturalWidth > 0)"
        assert chromium.run(loaded)
        sizes = "return [...document.querySelectorAll('svg')].map(s => s.getBoundingClientRect().height)"
        heights = chromium.run(sizes)
        assert len(heights) == 5
        assert min(heights) > 40
        small = "return Math.min(...[...document.querySelectorAll('p, span, td, th, dd, figcaption')]"
        assert chromium.run(f"{small}.map(e => parseFloat(getComputedStyle(e).fontSize)))") >= 12
        pixels = cv2.imdecode(np.frombuffer(chromium.picture(), np.uint8), cv2.IMREAD_COLOR)
        assert pixels is not None
        grounds.append(float(pixels[:4].mean()))
    assert grounds[0] > 230 > 40 > grounds[1], "light on request, dark on request"
    assert (
        chromium.run("return performance.getEntriesByType('resource').filter(e => !e.name.startsWith('data:')).length")
        == 0
    )
    assert not chromium.complaints()


@needs_chromium
def test_it_prints_dark_on_white_on_a_few_pages(chromium: Browser, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text(page(report()), encoding="utf-8")
    chromium.show(path, dark=True)
    pdf = chromium.pdf()
    assert pdf.startswith(b"%PDF")
    assert 1 <= len(re.findall(rb"/Type\s*/Page\b", pdf)) <= 4


def test_the_command_writes_a_page_with_pictures_and_a_map(
    tiny_card: Card, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clip, out = striped_clip(tmp_path / "drive.mp4"), tmp_path / "report.html"
    change = [0.01] * 24
    change[10] = 0.5
    index = drive_index({"Car": np.linspace(0, 0.5, 24).tolist()}, rate=12, change=change)
    save_index(replace(index, key=key_of(clip, tiny_card, size=(32, 64), smooth=False)), clip, "cache")
    points = "".join(
        f'<trkpt lat="{52 + s / 1e4}" lon="13"><time>2026-05-01T12:00:0{s}Z</time></trkpt>' for s in range(4)
    )
    (tmp_path / "drive.gpx").write_text(f"<gpx><trk><trkseg>{points}</trkseg></trk></gpx>")
    arguments = ["report", str(clip), "-o", str(out), "--model", str(tiny_card.folder), "--size", "32x64"]
    gpx = ["--gpx", str(tmp_path / "drive.gpx")]
    assert main([*arguments, *gpx]) == 2
    assert "--clock" in capsys.readouterr().err
    assert not out.exists()
    assert main([*arguments, *gpx, "--clock", "2026-05-02T12:00:00Z"]) == 2
    assert "by clock it goes from" in capsys.readouterr().err
    assert main([*arguments, *gpx, "--clock", "2026-05-01T12:00:00Z", "--hardest", "2", "--colour-by", "car"]) == 0
    text = out.read_text(encoding="utf-8")
    assert "coloured by Car" in text
    assert text.count("data:image/jpeg") >= 1
    assert main(arguments) == 2
    assert "--overwrite" in capsys.readouterr().err
