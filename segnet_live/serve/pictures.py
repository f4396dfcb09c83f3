"""Label pictures one after the other in one thread, with a bound on how many wait."""

from __future__ import annotations

import asyncio
import base64
import json
import math
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from segnet_live.card import Card
from segnet_live.config import Backend, Precision, format_size
from segnet_live.engine.resize import network_size
from segnet_live.errors import EngineError
from segnet_live.frame import RGB, ConfidenceMap, LabelMap, Size
from segnet_live.labels import class_shares, mean_confidence, unsure_share
from segnet_live.library import Segmenter
from segnet_live.pipeline.record.sinks import LabelMaps
from segnet_live.serve.engines import OPENING
from segnet_live.serve.json_values import class_facts
from segnet_live.serve.limits import Refused
from segnet_live.serve.sniff import picture_size
from segnet_live.video.opencv import quiet

T = TypeVar("T")

SHAPES: tuple[Size, ...] = ((360, 720), (360, 640), (360, 480), (480, 480), (480, 360), (640, 360), (720, 360))
"""The shapes for which engines are opened: guests must not be able to have one made for every odd picture."""
MOST_SEGMENTERS = 4
PNG_OPTIONS = (cv2.IMWRITE_PNG_COMPRESSION, 1)


@dataclass(frozen=True, slots=True, eq=False)
class Labelled:
    """A picture's labels, and how they were made.

    Attributes:
        facts: what the API tells in words and numbers; everything of it can be written as JSON.
    """

    labels: LabelMap
    confidence: ConfidenceMap | None
    facts: dict[str, Any] = field(default_factory=dict)

    def as_json(self, *, with_confidence: bool) -> bytes:
        """Return the facts with the label map, and if asked for the confidence map, as PNGs in base64."""
        maps: dict[str, Any] = {"labels": _base64(png(self.labels, LabelMaps.options))}
        if with_confidence and self.confidence is not None:
            maps["confidence_map"] = _base64(png(self.confidence, PNG_OPTIONS))
        return json.dumps(self.facts | maps).encode()


def decode(data: bytes, most_pixels: int) -> RGB:
    """Return the (H, W, 3) uint8 RGB picture in a JPEG, PNG or WebP, turned as EXIF says.

    Raises:
        Refused: it is none of them, too large, or damaged.
    """
    picture_size(data, most_pixels)
    try:
        with quiet():
            bgr = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error:
        bgr = None
    if bgr is None:
        raise Refused(422, "the picture is damaged and cannot be decoded; send another one")
    return cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB).astype(np.uint8, copy=False)


def png(array: NDArray[np.uint8], options: tuple[int, ...]) -> bytes:
    """Return a (H, W) uint8 array as an 8-bit grey PNG."""
    return cv2.imencode(".png", array, options)[1].tobytes()


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


class Labeller:
    """The segmenters behind the API, at most MOST_SEGMENTERS of them open at a time. One thread.

    Args:
        cards: the models that guests may choose, by name.
    """

    def __init__(self, cards: Mapping[str, Card], backend: Backend, precision: Precision) -> None:
        self._cards, self._backend, self._precision = cards, backend, precision
        self._open: OrderedDict[tuple[str, Size], Segmenter] = OrderedDict()

    def label(self, model: str, data: bytes, most_pixels: int) -> Labelled:
        """Return the labels of a picture as it was uploaded.

        Raises:
            Refused: it cannot be decoded.
            EngineError: no engine opens or runs.
        """
        began_s = time.perf_counter()
        rgb = decode(data, most_pixels)
        decode_ms = (time.perf_counter() - began_s) * 1e3
        segmenter = self._segmenter(model, (rgb.shape[0], rgb.shape[1]))
        began_s = time.perf_counter()
        labels = segmenter(rgb)
        label_ms = (time.perf_counter() - began_s) * 1e3
        return Labelled(
            labels, segmenter.confidence, _facts(model, segmenter, labels, {"decode": decode_ms, "label": label_ms})
        )

    def _segmenter(self, model: str, picture: Size) -> Segmenter:
        """Return an open segmenter for pictures of this shape."""
        card = self._cards[model]
        aspect = math.log(picture[1] / picture[0])
        shape = min(SHAPES, key=lambda shape: abs(math.log(shape[1] / shape[0]) - aspect))
        key = model, shape
        if key not in self._open:
            while len(self._open) >= MOST_SEGMENTERS:
                self._open.popitem(last=False)[1].close()
            self._open[key] = self._opened(card, network_size(shape, card.pixels))
        self._open.move_to_end(key)
        return self._open[key]

    def _opened(self, card: Card, size: Size) -> Segmenter:
        """Open a segmenter that says how sure it is, if there is such an engine."""
        blank = np.zeros((*size, 3), np.uint8)
        for confidence in (True, False):
            segmenter = Segmenter(
                card.folder, self._backend, precision=self._precision, size=size, confidence=confidence
            )
            try:
                with OPENING:
                    segmenter(blank)  # opens the engine, and its first picture takes longest
            except EngineError:
                segmenter.close()
                if not confidence:
                    raise
            else:
                return segmenter
        raise AssertionError("the second try returned or raised")

    def warm_up(self, model: str) -> None:
        """Open the engine for 16:9, so that the first guest need not wait for it."""
        self._segmenter(model, (360, 640))

    def close(self) -> None:
        while self._open:
            self._open.popitem()[1].close()


def _facts(model: str, segmenter: Segmenter, labels: LabelMap, ms: Mapping[str, float]) -> dict[str, Any]:
    shares, confidence, info = class_shares(labels, len(segmenter.names)), segmenter.confidence, segmenter.info
    assert info is not None
    return {
        "width": labels.shape[1],
        "height": labels.shape[0],
        "model": model,
        "engine": f"{info.backend} {info.precision} on {info.device}",
        "input": format_size(info.input_size),
        "ms": {name: round(value, 2) for name, value in ms.items()},
        "classes": class_facts(segmenter.classes, shares),
        "void_id": segmenter.classes.void_id,
        "confidence": None
        if confidence is None
        else {"mean": round(mean_confidence(confidence), 4), "unsure": round(unsure_share(confidence), 4)},
    }


class Line:
    """A queue in front of one thread. `run` belongs to the event loop.

    Args:
        most: how many may wait or run.
        usual_s: seconds that one takes, until it is known better.
    """

    def __init__(self, most: int, usual_s: float) -> None:
        self._most, self._usual_s = most, usual_s
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="serve pictures")
        self.waiting = 0

    async def run(self, work: Callable[[], T]) -> T:
        """Return what `work` returns in the thread, when its turn has come. If cancelled before, it is left out.

        Raises:
            Refused: with 503, too many wait.
            Exception: whatever `work` raises.
        """
        if self.waiting >= self._most:
            line = f"{self.waiting} pictures wait already; try again in a moment"
            raise Refused(503, line, retry_s=self.waiting * self._usual_s)
        self.waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, self._timed, work)
        finally:
            self.waiting -= 1

    def _timed(self, work: Callable[[], T]) -> T:
        began_s = time.monotonic()
        try:
            return work()
        finally:
            self._usual_s += 0.1 * (time.monotonic() - began_s - self._usual_s)

    def close(self) -> None:
        """Wait for what runs, and leave out what waits."""
        self._thread.shutdown(cancel_futures=True)
