"""Measure parity: on how many pixels an engine agrees with fp32 eager, on reference frames that ship with the app.

A GPU engine below `MINIMUM` is refused: fp16 overflow, NaN and wrong kernels all show as wrong labels. A CPU engine
in bf16 or int8 is judged by its mIoU instead; its agreement is only shown.
"""

from __future__ import annotations

import contextlib
import logging
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from segnet_live.card import Card
from segnet_live.config import format_size
from segnet_live.engine.artifacts import ArtifactStore, Fields
from segnet_live.engine.base import Engine, EngineInfo, run_engine
from segnet_live.errors import EngineError
from segnet_live.frame import RGB, LabelMap, Size
from segnet_live.quality import Confusion
from segnet_live.system.paths import assets_dir

log = logging.getLogger(__name__)

MINIMUM = 0.995
MINIMUM_INT8 = 0.97
"""Of an engine on a GPU in int8: enough to tell a wrong one, whose accuracy is judged by its mIoU."""
FRAMES = 8
ADVICE = "reinstall segnet-live"


class Disagreement(EngineError):
    """An engine's labels are not the network's."""


@dataclass(frozen=True, slots=True)
class Parity:
    """An engine's agreement with fp32 eager.

    Attributes:
        overall: share 0..1 of all pixels.
        per_class: share of each class's pixels in eager's label maps; None for a class that they do not show.
        frames: how many were compared.
    """

    overall: float
    per_class: tuple[float | None, ...]
    frames: int

    def words(self, card: Card) -> tuple[str, str]:
        """Return the figures in words: the overall share, and the class that agrees least with its share."""
        shares = zip(self.per_class, card.classes.names, strict=True)
        share, name = min((share, name) for share, name in shares if share is not None)
        return f"{self.overall:.2%}", f"{name} {share:.2%}"


def reference_frames(count: int = FRAMES) -> list[RGB]:
    """Return `count` frames spread over the clip that ships with the app, (H, W, 3) uint8 each.

    Raises:
        EngineError: the clip is missing or damaged.
    """
    import av
    import av.error

    path = assets_dir() / "drive.mp4"
    try:
        with av.open(str(path)) as container:
            total = container.streams.video[0].frames
            wanted = {round(i * (total - 1) / max(1, count - 1)) for i in range(count)}
            pictures = enumerate(container.decode(video=0))
            found = [picture.to_ndarray(format="rgb24") for index, picture in pictures if index in wanted]
    except (OSError, av.error.FFmpegError, IndexError) as error:
        raise EngineError(f"parity cannot be measured: {path} cannot be read ({error})", ADVICE) from error
    if not found:
        raise EngineError(f"parity cannot be measured: {path} holds no frames", ADVICE)
    return [np.asarray(frame, np.uint8) for frame in found]


def reference_labels(card: Card, size: Size, frames: Iterable[RGB]) -> Iterator[LabelMap]:
    """Yield the label map of fp32 eager for each frame, made on the GPU where there is one that does it.

    Raises:
        CardError: see `load_network`.
    """
    from segnet_live.engine.eager import EagerEngine
    from segnet_live.engine.nvidia.device import best_device

    device = best_device()
    with contextlib.ExitStack() as opened:
        eager: EagerEngine | None = None
        for frame in frames:
            while True:
                try:
                    if eager is None:
                        eager = EagerEngine(card, size, device=device, precision="fp32")
                        opened.callback(eager.close)
                    labels = eager.segment(frame)
                    break
                except EngineError as error:
                    if device == "cpu":
                        raise
                    log.info("the reference is made on the CPU: %s", error)  # it may be full of the engine itself
                    device, eager = "cpu", None
                    opened.close()
            yield labels


def measure(engine: Engine, card: Card, frames: Sequence[RGB] | None = None) -> Parity:
    """Return the engine's agreement with fp32 eager on `frames`, or on the reference frames.

    Raises:
        Disagreement: the engine gave a label that is no class.
        EngineError: there are no reference frames.
        CardError: the weights are damaged.
    """
    frames = reference_frames() if frames is None else frames
    confusion = Confusion(len(card.classes))
    for frame, truth in zip(frames, reference_labels(card, engine.info.input_size, frames), strict=True):
        labels = engine.segment(frame)
        if labels.max() >= len(card.classes):
            raise Disagreement(
                f"{_name(engine.info)} gave class id {labels.max()} of {len(card.classes)}", "do not use it"
            )
        confusion.add(truth, labels)
    scores = confusion.scores()
    per_class = tuple(None if math.isnan(share) else float(share) for share in scores.accuracy)
    return Parity(scores.global_accuracy, per_class, len(frames))


def require(parity: Parity, info: EngineInfo, card: Card) -> None:
    """Check that an engine agrees with the network.

    Raises:
        Disagreement: it does on less than `MINIMUM` of all pixels, or `MINIMUM_INT8`.
    """
    minimum = MINIMUM_INT8 if info.precision == "int8" else MINIMUM
    if not parity.overall >= minimum:  # a NaN is refused, too
        overall, least = parity.words(card)
        raise Disagreement(
            f"{_name(info)} agrees with fp32 eager on {overall} of pixels (least: {least}), {minimum:.1%} are needed",
            "use --precision fp32",
        )


def checked(engine: Engine, card: Card, frames: Sequence[RGB] | None = None, *, kept: bool = False) -> Parity | None:
    """Measure, require and remember an engine's agreement with fp32 eager; close the engine if it is refused.

    Args:
        frames: see `measure`.
        kept: take a figure that was measured on this device before, as when a frame is waiting.

    Returns:
        None for an engine that samples: its labels are drawn, and only have to be classes and numbers.

    Raises:
        Disagreement: it disagrees.
        EngineError: see `measure`.
        CardError: the weights are damaged.
    """
    try:
        if engine.info.samples:
            _require_numbers(engine, card, frames)
            return None
        found = (known(card, engine.info) if kept else None) or measure(engine, card, frames)
        require(found, engine.info, card)
    except Exception:
        engine.close()
        raise
    remember(card, engine.info, found)
    return found


def _require_numbers(engine: Engine, card: Card, frames: Sequence[RGB] | None) -> None:
    found = run_engine(engine, (frames or reference_frames(1))[0])
    finite = found.variance is not None and np.isfinite(found.variance).all() and found.variance.any()
    if not finite or found.labels.max() >= len(card.classes):
        raise Disagreement(f"{_name(engine.info)} gave samples that are no probabilities", "use --precision fp32")


def _name(info: EngineInfo) -> str:
    return f"{info.backend} {info.precision} for {info.model} at {format_size(info.input_size)}"


def _key_fields(card: Card, info: EngineInfo) -> Fields:
    """Return what makes the figure one of this engine on this device."""
    return {
        "weights": card.network_id,
        "mean": card.mean,
        "std": card.std,
        "backend": info.backend,
        "device": info.device,
        "precision": info.precision,
        "size": info.input_size,
        **({"confidence": True} if info.confidence else {}),
    }


def remember(card: Card, info: EngineInfo, parity: Parity) -> None:
    """Keep the figure for `known` and `recorded`; a folder that cannot be written costs a log line."""
    ArtifactStore.of("parity").save(_key_fields(card, info), {"info": asdict(info), "parity": asdict(parity)})


def known(card: Card, info: EngineInfo) -> Parity | None:
    """Return what `remember` kept of this engine on this device."""
    found = ArtifactStore.of("parity").load(_key_fields(card, info))
    read = _read(found.metadata) if found else None
    return read[1] if read else None


def recorded(card: Card) -> list[tuple[EngineInfo, Parity]]:
    """Return every engine of this card whose parity was measured on this machine, by backend."""
    entries = ArtifactStore.of("parity").entries()
    of_card = [_read(entry.metadata) for entry in entries if entry.key_fields.get("weights") == card.network_id]
    return sorted(filter(None, of_card), key=lambda pair: (pair[0].backend, pair[0].input_size))


def _read(metadata: Fields) -> tuple[EngineInfo, Parity] | None:
    try:
        info = EngineInfo(**{**metadata["info"], "input_size": tuple(metadata["info"]["input_size"])})
        parity = metadata["parity"]
        return info, Parity(parity["overall"], tuple(parity["per_class"]), parity["frames"])
    except (KeyError, TypeError):
        return None  # another version's: measured again when next compiled
