"""Measure a packaged model as users get it: through an engine of the app, smoothed or not."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from segnet_live.card import Card
from segnet_live.config import Backend, Precision, SourceSpec, format_size
from segnet_live.engine.base import Engine, EngineInfo
from segnet_live.engine.open import fixed_backend, open_engine
from segnet_live.engine.resize import network_size
from segnet_live.engine.smoothing import SmoothedEngine
from segnet_live.errors import UsageError
from segnet_live.frame import Size
from segnet_live.learning.data import Sample
from segnet_live.learning.depth import through_network
from segnet_live.learning.evaluate import clip_flicker, evaluate, on_samples, print_evaluation, through
from segnet_live.video.open import open_source
from train.deciles import as_json, by_confidence, print_deciles


@dataclass(frozen=True, slots=True)
class Through:
    """The engine to measure through, and what comes after it.

    Attributes:
        size: the network's (height, width); None for what the app takes for such images.
        smooth: labels smoothed over time.
        confidence: the engine also says how sure it is.
        dense_crf: PyTorch on the CPU with a dense CRF after it, in place of the app's engine.
    """

    backend: Backend = "auto"
    precision: Precision = "auto"
    size: Size | None = None
    smooth: bool = False
    dense_crf: bool = False
    confidence: bool = False

    def opened(self, card: Card, source: Size) -> Engine:
        """Open the engine, for frames of `source` (height, width).

        Raises:
            UsageError: the dense CRF lacks its library, or is wanted on a backend.
        """
        if self.dense_crf:
            if (self.backend, self.precision) not in (("auto", "auto"), ("torch", "auto"), ("torch", "fp32")):
                raise UsageError("the dense CRF has no --backend or --precision of its own", "drop them")
            if self.confidence:
                raise UsageError("the dense CRF gives no confidence", "drop --dense-crf or --confidence")
            from train.dense_crf import DenseCRFEngine  # brings torch, which other engines may not need

            engine: Engine = DenseCRFEngine(card, self.size or network_size(source, card.pixels))
        else:
            engine = open_engine(
                card,
                backend=fixed_backend(self.backend),
                precision=self.precision,
                size=self.size,
                source_size=source,
                confidence=self.confidence,
            )
        return SmoothedEngine(engine, card.classes) if self.smooth else engine

    def require_plain(self, card: Card) -> None:
        """Check that nothing is asked for that a network with depth has not: PyTorch in fp32 runs it, and no engine.

        Raises:
            UsageError: something is.
        """
        if self.backend not in ("auto", "torch") or self.precision not in ("auto", "fp32"):
            raise UsageError(f"{card.name} takes depth: PyTorch runs it, in fp32", "drop --backend and --precision")
        if self.smooth or self.dense_crf or self.confidence:
            raise UsageError(
                f"{card.name} takes depth, and is measured as it is", "drop --smooth, --dense-crf and --confidence"
            )


def measured(card: Card, samples: Sequence[Sample], via: Through, pictures: Path | None = None) -> dict[str, Any]:
    """Print and return the figures of `card` on images of one size, with depth where its network takes that.

    With `pictures`, see `evaluate`.

    `measured_with` tells the engine: backend, precision, network_size and image_size (height, width), smooth, and
    dense_crf where one came after it.
    """
    source = (samples[0].rgb.shape[0], samples[0].rgb.shape[1])
    if card.channels == 4:
        via.require_plain(card)
        size = via.size or network_size(source, card.pixels)
        info = EngineInfo("torch", "", "fp32", card.name, size, "RGB and depth")
        result = evaluate(through_network(card, size), samples, card.classes, pictures=pictures)
    else:
        with closing(via.opened(card, source)) as engine:
            result = evaluate(on_samples(through(engine)), samples, card.classes, pictures=pictures)
            info = engine.info
    smooth = (", dense CRF" if via.dense_crf else "") + (", smoothed over time" if via.smooth else "")
    sizes = f"network at {format_size(info.input_size)}, images {format_size(source)}"
    print_evaluation(result, f"{card.name}: {info.backend} {info.precision}{smooth}, {sizes}")
    measured_with = {
        "backend": info.backend,
        "precision": info.precision,
        "network_size": list(info.input_size),
        "image_size": list(source),
        "smooth": via.smooth,
        **({"dense_crf": True} if via.dense_crf else {}),
    }
    return result.as_json() | {"measured_with": measured_with}


def measured_confidence(card: Card, samples: Sequence[Sample], via: Through) -> dict[str, Any]:
    """Print and return how right `card` is on images of one size where it is how sure."""
    if card.channels == 4:
        replace(via, confidence=True).require_plain(card)
    source = (samples[0].rgb.shape[0], samples[0].rgb.shape[1])
    with closing(replace(via, confidence=True).opened(card, source)) as engine:
        deciles = by_confidence(engine, samples, len(card.classes))
        info = engine.info
    print_deciles(deciles, f"{card.name}: {info.backend} {info.precision}, temperature {card.temperature:g}")
    return as_json(deciles)


def measured_on_clip(card: Card, clip: Path, via: Through) -> dict[str, Any]:
    """Print and return the flicker of `card` on a video without labels."""
    with closing(open_source(SourceSpec("video", str(clip)))) as source:
        size = source.info.size
    with closing(via.opened(card, size)) as engine:
        value, pairs = clip_flicker(through(engine), clip, card.classes)
    print(f"{card.name} on {clip.name}: flicker {value:.4f} over {pairs} pairs of frames")
    return {"clip": clip.name, "flicker": value, "pairs": pairs}
