"""How old is what a viewer sees: JPEGs as the page shows them, the same as an image, and fragmented MP4.

pytest -m bench -s tests/serve/test_latency.py
"""

from __future__ import annotations

import contextlib
import itertools
import time
from fractions import Fraction

import cv2
import numpy as np
import pytest
from starlette.routing import Route

from segnet_live.card import DEFAULT_MODEL, find_card
from segnet_live.config import SourceSpec
from segnet_live.errors import SourceError
from segnet_live.frame import RGB, Frame, SourceInfo
from segnet_live.pipeline.live.engine_switch import EngineChoice
from segnet_live.serve.live import Channel, LiveView
from segnet_live.system.paths import assets_dir
from segnet_live.video.file import FileSource
from segnet_live.video.source import VideoSource
from tests.serve.fragmented import MP4, PLAYER
from tests.support.browser import Browser, browser, needs_chromium
from tests.support.serving import serving

RATE = 25
BITS = 16
BLOCK_PX = 32
LENGTH_S = 8.0
SIZES = ((360, 640), (720, 1280))
ROUNDS = 3


class Numbered:
    """The example drive to and fro as a camera gives it, with each frame's number in blocks at the top.

    Attributes:
        given_ms: Unix time at which each frame left the source.
    """

    def __init__(self, pictures: list[RGB]) -> None:
        self.corrupt = 0
        size = pictures[0].shape[0], pictures[0].shape[1]
        self.info = SourceInfo("numbered", size, Fraction(RATE), Fraction(1, RATE), None, None, True, False, False)
        self.given_ms: list[float] = []
        self._pictures = itertools.cycle([*pictures, *pictures[-2:0:-1]])
        self._began_s = time.perf_counter()

    def read(self) -> Frame | None:
        number = len(self.given_ms)
        rgb = next(self._pictures).copy()
        for i in range(2 * BITS):  # each bit, and after them each bit's opposite
            bit = (number >> i % BITS & 1) ^ (i >= BITS)
            at = rgb.shape[1] // (2 * BITS) * i
            rgb[:BLOCK_PX, at : at + rgb.shape[1] // (2 * BITS)] = 255 * bit
        time.sleep(max(0.0, self._began_s + number / RATE - time.perf_counter()))
        self.given_ms.append(time.time() * 1e3)
        return Frame(rgb, number, number, self.info.time_base, capture_s=time.perf_counter(), decode_ms=0.0)

    def seek(self, time_s: float) -> None:
        raise SourceError("a camera does not seek")

    def close(self) -> None:
        pass


class Image(Channel):
    """The product's channel on such a source, which counts what a viewer is sent; a browser's <img> shows it."""

    source: Numbered
    sent_bytes = 0

    def _open_source(self, spec: SourceSpec) -> VideoSource:
        return self.source

    def _offer(self, jpegs: dict[LiveView, bytes]) -> None:
        self.sent_bytes += sum(map(len, jpegs.values()))
        super()._offer(jpegs)


class Page(Image):
    """The same, shown as the page does it: decoded and drawn by its script."""


class Fragments(MP4):
    """The other way on such a source."""

    source: Numbered

    def _open_source(self, spec: SourceSpec) -> VideoSource:
        return self.source


def pictures(size: tuple[int, int]) -> list[RGB]:
    source = FileSource(str(assets_dir() / "drive.mp4"))
    with contextlib.closing(source):
        frames = [source.read() for _ in range(100)]
    return [cv2.resize(f.rgb, size[::-1], interpolation=cv2.INTER_CUBIC) for f in frames if f is not None]  # type: ignore[misc]


WATCH_IMAGE = """
const image = document.createElement('img');
document.getElementById('screen').append(image);
image.src = '/live/0?view=original&viewer=bench';
window.shown = image;
"""
WATCH_AS_THE_PAGE = """
const canvas = document.createElement('canvas');
document.getElementById('screen').append(canvas);
window.shown = canvas;
import('/page/pictures.js').then(({showPictures}) =>
  showPictures('/live/0?view=original&viewer=bench', canvas, new AbortController().signal, () => {}));
"""
READ_PIXELS = """
document.getElementById('screen').style.minHeight = '0';
window.seen = [];
const small = new OffscreenCanvas(2 * BITS, 1).getContext('2d', {willReadFrequently: true});
let last = -1;
const look = () => {
  requestAnimationFrame(look);
  const width = shown.naturalWidth || shown.videoWidth || shown.width;
  if (!width) return;
  const step = width / (2 * BITS);
  const now = Date.now();
  small.imageSmoothingEnabled = false;
  small.drawImage(shown, 0, BLOCK_PX / 2, width, 1, 0, 0, 2 * BITS, 1);
  const {data} = small.getImageData(0, 0, 2 * BITS, 1);
  let number = 0;
  for (let i = 0; i < BITS; i++) {
    const [bit, opposite] = [data[4 * i] > 127, data[4 * (i + BITS)] > 127];
    if (bit === opposite) return;
    number |= bit << i;
  }
  if (number !== last) window.seen.push([number, now]);
  last = number;
};
look();
"""


SCRIPTS: dict[type[Image] | type[Fragments], str] = {Page: WATCH_AS_THE_PAGE, Image: WATCH_IMAGE, Fragments: PLAYER}


def constants(script: str) -> str:
    return script.replace("BITS", str(BITS)).replace("BLOCK_PX", str(BLOCK_PX)).replace("RATE", str(RATE))


def watched(chromium: Browser, channel: Image | Fragments) -> tuple[list[float], float, float]:
    """Watch for a while; return each seen picture's age in ms, the share of pictures seen, and bytes a second."""
    routes = [Route("/mp4", channel.answer)] if isinstance(channel, Fragments) else []
    script = SCRIPTS[type(channel)]
    with serving(find_card(DEFAULT_MODEL), channel=channel, routes=routes) as served:
        chromium.show(served.address, width=1300)
        chromium.run(constants(script + READ_PIXELS))
        deadline_s = time.monotonic() + 240
        while not chromium.run("return seen.length > 25 && (seen = [], true)"):
            assert time.monotonic() < deadline_s, chromium.complaints()
            time.sleep(0.2)
        begun, bytes_before = len(channel.source.given_ms), channel.sent_bytes
        time.sleep(LENGTH_S)
        seen = chromium.run("return seen")
        given, sent = len(channel.source.given_ms) - begun, channel.sent_bytes - bytes_before
        chromium.show("about:blank")
    ages = [at_ms - channel.source.given_ms[number] for number, at_ms in seen]
    return ages, len(ages) / given, sent / LENGTH_S


@pytest.mark.bench
@needs_chromium
@pytest.mark.timeout(600)
def test_age_of_what_a_viewer_sees() -> None:
    choice, spec = EngineChoice(find_card(DEFAULT_MODEL)), SourceSpec("camera", "0")
    with browser() as chromium:
        for size in SIZES:
            base = pictures(size)
            for kind in [*SCRIPTS] * ROUNDS:
                channel = kind(spec, choice)
                channel.source = Numbered(base)
                ages, share, rate = watched(chromium, channel)
                p50, p95 = np.percentile(ages, (50, 95))
                print(
                    f"\n{size[1]}x{size[0]} {kind.__name__:9} p50 {p50:5.0f} ms, p95 {p95:5.0f} ms, "
                    f"{share:.2f} of the pictures seen, {rate / 1e6:.2f} MB/s, n {len(ages)}",
                    end="",
                )
                assert min(ages) > 0, "a picture is not seen before it is there"
