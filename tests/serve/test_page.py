"""The page in a real browser: a picture tried and saved, a source watched, by keyboard, from phone to desktop."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from segnet_live.card import Card
from tests.support.browser import Browser, browser, needs_chromium
from tests.support.clips import Clip, make
from tests.support.serving import Served, serving

pytestmark = needs_chromium
READY = "document.documentElement.dataset.ready === 'yes'"


@pytest.fixture(scope="module")
def served(tiny_card: Card) -> Iterator[Served]:
    with serving(tiny_card) as running:
        yield running


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as opened:
        yield opened


def wait(chromium: Browser, condition: str) -> None:
    deadline_s = time.monotonic() + 240
    while not chromium.run(f"return {condition}"):
        assert time.monotonic() < deadline_s, (condition, chromium.complaints())
        time.sleep(0.05)


def drawn(chromium: Browser, x: float) -> list[int]:
    """The colour in the middle row of the drawn picture, at a part of its width."""
    return chromium.run(
        "const c = document.getElementById('picture'); const copy = new OffscreenCanvas(c.width, c.height)"
        ".getContext('2d', {willReadFrequently: true}); copy.drawImage(c, 0, 0);"
        f"const p = copy.getImageData(Math.floor({x} * (c.width - 1)), c.height >> 1, 1, 1).data;"
        "return [p[0], p[1], p[2]]"
    )


@pytest.mark.parametrize(("width", "dark"), [(1280, True), (1280, False), (390, True)])
def test_a_picture_is_tried_and_a_source_watched(chromium: Browser, served: Served, width: int, dark: bool) -> None:
    chromium.show(f"{served.address}/?{width}{dark}", dark=dark, width=width, height=844)
    wait(chromium, READY)
    chromium.run("document.querySelectorAll('#strip button')[0].click()")
    wait(chromium, "!document.getElementById('frame').hidden")
    rows = chromium.run("return [...document.querySelectorAll('#legend button')].map(row => row.textContent)")
    assert len(rows) == 11
    assert chromium.run("return document.getElementById('said').textContent").count("ms") == 1
    before, left = drawn(chromium, 0.9), drawn(chromium, 0.1)
    chromium.run("const o = document.getElementById('opacity'); o.value = 100; o.dispatchEvent(new Event('input'))")
    assert drawn(chromium, 0.9) != before
    assert drawn(chromium, 0.1) == left, "left of the wiper is the picture"
    chromium.run("document.querySelectorAll('#legend button').forEach(row => row.click())")
    chromium.run("const w = document.getElementById('wiper'); w.value = 0; w.dispatchEvent(new Event('input'))")
    assert drawn(chromium, 0.1) == left, "no class is shown, so nothing is laid over"
    chromium.run("document.querySelector('input[value=confidence]').click()")
    assert drawn(chromium, 0.1) != left
    narrow = "return document.documentElement.scrollWidth"
    assert chromium.run(narrow) <= width, "nothing sticks out sideways"
    pixels = cv2.imdecode(np.frombuffer(chromium.picture(), np.uint8), cv2.IMREAD_COLOR)
    assert pixels is not None
    assert (pixels[-3:].mean() < 60) == dark
    chromium.run("location.hash = '#live'")
    wait(chromium, "document.getElementById('live-picture').width === 640")
    wait(chromium, "/[1-9]\\d* pictures shown to you, \\d+ dropped/.test(document.getElementById('drops').textContent)")
    wait(chromium, "document.getElementById('hud-text').textContent.includes('latency')")
    assert chromium.run(narrow) <= width
    chromium.run("location.hash = '#api'")
    wait(chromium, "document.getElementById('curl-json').textContent.startsWith('curl')")
    wait(chromium, "!document.getElementById('part-api').hidden && document.getElementById('part-live').hidden")
    assert chromium.run(narrow) <= width
    deadline_s = time.monotonic() + 240
    while served.parts.watching.channels[0].viewers:
        assert time.monotonic() < deadline_s, "who turns to another part watches no more"
        time.sleep(0.05)
    assert not chromium.complaints(), "the policy forbids nothing that the page does"


def test_a_refusal_is_shown_and_the_page_goes_on(chromium: Browser, served: Served) -> None:
    chromium.show(f"{served.address}/?refused", width=1280)
    wait(chromium, READY)
    paste(chromium, b"no picture", "letter.jpg", "image/jpeg")
    wait(chromium, "document.getElementById('problem').textContent.includes('JPEG, PNG or WebP')")
    chromium.run("document.querySelectorAll('#strip button')[1].click()")
    wait(chromium, "!document.getElementById('frame').hidden")
    assert chromium.run("return document.getElementById('problem').hidden")
    chromium.complaints()  # Chromium writes down that the server answered 415


def paste(chromium: Browser, data: bytes, name: str, kind: str) -> None:
    chromium.run(
        f"const bytes = Uint8Array.from(atob('{base64.b64encode(data).decode()}'), (letter) => letter.charCodeAt(0));"
        f"const given = new DataTransfer(); given.items.add(new File([bytes], '{name}', {{type: '{kind}'}}));"
        "dispatchEvent(new ClipboardEvent('paste', {clipboardData: given}))"
    )


def slide(chromium: Browser, opacity: int) -> None:
    chromium.run(
        f"const o = document.getElementById('opacity'); o.value = {opacity}; o.dispatchEvent(new Event('input'))"
    )


def colour_of(chromium: Browser, video: str) -> np.ndarray:
    """The mean colour of a video's picture of this moment, once there is one: before, nothing is drawn."""
    drawn = (
        f"const v = document.getElementById('{video}'); const c = new OffscreenCanvas(1, 1).getContext('2d');"
        "c.imageSmoothingQuality = 'high'; c.drawImage(v, 0, 0, 1, 1); return [...c.getImageData(0, 0, 1, 1).data]"
    )
    wait(chromium, f"(() => {{ {drawn} }})()[3] === 255")
    return np.array(chromium.run(drawn)[:3], float)


def test_a_clip_is_recorded_at_the_opacity_that_was_chosen(chromium: Browser, served: Served, tmp_path: Path) -> None:
    chromium.show(f"{served.address}/?clip", width=1280)
    wait(chromium, READY)
    clip = Path(make(tmp_path, Clip(frames=6, size=(72, 128), rate=Fraction(6)))).read_bytes()
    told = "document.getElementById('said').textContent.includes('opacity\\u00a0{}\\u00a0%')"
    slide(chromium, 0)
    paste(chromium, clip, "drive.mp4", "video/mp4")
    wait(chromium, told.format(0))
    original = colour_of(chromium, "clip-original")
    assert np.abs(colour_of(chromium, "clip-annotated") - original).max() < 12, "nothing is laid over"
    assert chromium.run("return document.getElementById('redo').hidden")
    slide(chromium, 100)
    assert not chromium.run("return document.getElementById('redo').hidden")
    chromium.run("document.getElementById('redo').click()")
    wait(chromium, told.format(100))
    assert chromium.run("return document.getElementById('redo').hidden")
    assert np.abs(colour_of(chromium, "clip-annotated") - original).max() > 40, "the classes' colours alone"
    slide(chromium, 25)
    assert float(chromium.run("return document.getElementById('clip-annotated').style.opacity")) == 0.25
    assert not chromium.complaints()


def test_everything_is_reached_by_keyboard_and_has_a_name(chromium: Browser, served: Served) -> None:
    chromium.show(f"{served.address}/?keys", width=1280)
    wait(chromium, READY)
    press = {"key": "Tab", "code": "Tab", "windowsVirtualKeyCode": 9}
    reached = []
    for _ in range(16):
        for kind in ("keyDown", "keyUp"):
            chromium.devtools("Input.dispatchKeyEvent", type=kind, **press)
        reached.append(
            chromium.run(
                "const e = document.activeElement; if (e === document.body) return ['', true];"
                "const s = getComputedStyle(e.matches('.choice input') ? "
                "e.nextElementSibling : e); return [e.id || e.textContent.trim() || e.getAttribute('aria-label') || "
                "e.value, s.outlineStyle !== 'none']"
            )
        )
    names = [name for name, _ in reached]
    assert {"choose", "wiper", "opacity", "API", "overlay"} <= set(names), names
    assert [name for name, visible in reached if not visible] == []
    nameless = (
        "return [...document.querySelectorAll('button, input, select, img, canvas, video')].filter(e => "
        "!(e.getAttribute('aria-label') || e.getAttribute('alt') !== null || e.textContent.trim() || "
        "(e.labels && e.labels.length))).map(e => e.outerHTML)"
    )
    assert chromium.run(nameless) == []


def test_the_token_in_the_address_lets_a_browser_in_and_leaves_it(chromium: Browser, tiny_card: Card) -> None:
    with serving(tiny_card, open_to_all=True) as locked:
        chromium.show(locked.address, width=1280)
        assert "token" in chromium.run("return document.body.textContent")
        chromium.complaints()
        chromium.show(f"{locked.address}/?token=a-token-for-tests", width=1280)
        wait(chromium, READY)
        assert "token" not in chromium.run("return location.href")
        chromium.run("location.hash = '#live'")
        wait(chromium, "document.getElementById('live-picture').width === 640")
        wait(chromium, "document.getElementById('hud-text').textContent.includes('latency')")
        assert not chromium.complaints()
        chromium.run("location.hash = '#try'")
