"""The figures of a packaged model as users get it: through an engine of the app, steadied or not."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segnet_live.card import Card
from segnet_live.config import SourceSpec
from segnet_live.engine.base import Engine
from segnet_live.engine.open import open_engine, runs_on_gpu
from segnet_live.engine.smoothing import SmoothedEngine
from segnet_live.frame import Size
from segnet_live.video.open import open_source
from train.data import Sample
from train.evaluate import clip_flicker, evaluate, print_evaluation, through


@dataclass(frozen=True, slots=True)
class Through:
    """What to measure through.

    Attributes:
        size: the network's (height, width); None for what the app takes for such images.
        smooth: labels steadied over time.
    """

    backend: str = "auto"
    precision: str = "auto"
    size: Size | None = None
    smooth: bool = False

    def opened(self, card: Card, source: Size) -> Engine:
        """The engine, for frames of `source` (height, width)."""
        # `auto` changes engines in mid-run on a GPU, and a figure is of one engine
        backend = "torch" if self.backend == "auto" and runs_on_gpu("auto") else self.backend
        engine = open_engine(card, backend=backend, precision=self.precision, size=self.size, source_size=source)
        return SmoothedEngine(engine, card.classes) if self.smooth else engine


def measured(card: Card, samples: Sequence[Sample], via: Through, pictures: Path | None = None) -> dict[str, Any]:
    """The figures of `card` on images of one size, printed and returned; with `pictures`, see `evaluate`."""
    source = (samples[0].rgb.shape[0], samples[0].rgb.shape[1])
    with closing(via.opened(card, source)) as engine:
        result = evaluate(through(engine), samples, card.classes, pictures=pictures)
        info = engine.info
    height, width = info.input_size
    steadied = ", steadied over time" if via.smooth else ""
    at = f"{info.backend} {info.precision}{steadied}, network at {height}x{width}, images {source[0]}x{source[1]}"
    print_evaluation(result, f"{card.name}: {at}")
    return result.as_json() | {"measured_with": at}


def measured_on_clip(card: Card, clip: Path, via: Through) -> dict[str, Any]:
    """The flicker of `card` on a video without labels, printed and returned."""
    with closing(open_source(SourceSpec("video", str(clip)))) as source:
        size = source.info.size
    with closing(via.opened(card, size)) as engine:
        value, pairs = clip_flicker(through(engine), clip, card.classes)
    print(f"{card.name} on {clip.name}: flicker {value:.4f} over {pairs} pairs of frames")
    return {"clip": clip.name, "flicker": value, "pairs": pairs}
