"""Return the index of a drive: the one that is kept; what is missing of it is made by a run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from segnet_live.card import DEFAULT_MODEL, find_card
from segnet_live.config import Backend, IndexPlace, Precision, RunConfig, SourceSpec
from segnet_live.drives.index import DriveIndex, key_of, load_index
from segnet_live.drives.indexer import Indexer
from segnet_live.engine.open import runs_on_gpu
from segnet_live.errors import SourceError, UsageError
from segnet_live.frame import Size
from segnet_live.pipeline.headless.job import prepare
from segnet_live.pipeline.headless.run import POLL_S
from segnet_live.pipeline.record.sinks import Sink
from segnet_live.video.source import SourceInfo

Watch = Callable[[int, int | None], bool]
"""Called ten times a second with frames done and expected (None where unknown); False stops the run."""


@dataclass(frozen=True, slots=True)
class IndexOptions:
    """How a drive is labelled for its index.

    Attributes:
        model: an installed model's name or a model folder; None takes the default model.
        size: (height, width) of the network input; None follows the video's shape.
        bonnet: what is left out of the picture: "auto", a picture's path, or None.
        place: where a new index is kept.
        fresh: make it anew even if there is one.
    """

    model: str | None = None
    backend: Backend = "auto"
    precision: Precision = "auto"
    size: Size | None = None
    bonnet: str | None = None
    place: IndexPlace = "cache"
    fresh: bool = False


def kept_index(video: Path, options: IndexOptions) -> DriveIndex | None:
    """Return the index of a drive that an earlier run left, whole or not, or None.

    Labels are not smoothed for an index of its own; one that a recording left with smoothed labels serves as well.

    Raises:
        SegnetLiveError: no such video or model.
    """
    card = find_card(options.model or DEFAULT_MODEL)
    keys = [key_of(video, card, size=options.size, smooth=smooth, bonnet=options.bonnet) for smooth in (False, True)]
    found = [load_index(video, key) for key in keys]
    whole = [index for index in found if index is not None and index.facts.whole]
    return whole[0] if whole else found[0]


def indexed(video: Path, options: IndexOptions, report: Callable[[str], None], watch: Watch) -> DriveIndex:
    """Return the whole index of a drive; what is missing of it is made and kept. Blocks for that long.

    What was done is kept when `watch` or Ctrl-C stops the run: the next one goes on there.

    Args:
        report: takes a line each about input and engine when frames must be labelled.

    Raises:
        SegnetLiveError: no such video or model, or it cannot be labelled.
        UsageError: `watch` stopped the run.
    """
    if video.is_dir() or not video.exists():
        raise SourceError(f"{video}: {'is a folder' if video.is_dir() else 'no such file'}", "name a video file")
    before = None if options.fresh else kept_index(video, options)
    if before is not None and before.facts.whole:
        return before
    # Begins with the last frame that is known, so that the next one has something to differ from.
    start_s = max(0.0, before.pts_s[-1] - before.start_s - 1e-3) if before is not None else 0.0
    if before is not None:
        report(f"going on at {start_s:.1f} s, where the index of {video.name} ends")
    card = find_card(options.model or DEFAULT_MODEL)
    key = key_of(video, card, size=options.size, smooth=False, bonnet=options.bonnet)
    indexers: list[Indexer] = []

    def indexer(_: SourceInfo) -> Sink:
        indexers.append(Indexer(video, key, lambda: job.engine.info, place=options.place, before=before))
        return indexers[0]

    job = prepare(_config(video, options, start_s), report, more_sinks=indexer)
    done_before, total = len(before) if before is not None else 0, job.source.info.frames
    stopped = False
    try:
        job.pipeline.start()
        while not job.pipeline.wait(POLL_S):
            if not stopped and not watch(done_before + job.pipeline.written, total):
                stopped = True
                job.pipeline.stop()
    finally:
        job.pipeline.close()  # keeps what was done, also after Ctrl-C
    if job.pipeline.error:
        raise job.pipeline.error
    if stopped:
        raise UsageError(f"the search through {video.name} was stopped", "start it again to go on there")
    index = indexers[0].index
    if index is None:
        raise SourceError(f"{video} gave no frame")
    return index


def _config(video: Path, options: IndexOptions, start_s: float) -> RunConfig:
    """Return the run that labels a drive from `start_s` on, and writes nothing else."""
    return RunConfig(
        source=SourceSpec("video", str(video), start_s),
        headless=True,
        model=options.model,
        backend=options.backend,
        precision=options.precision,
        size=options.size,
        smooth=False,
        # On a GPU only PyTorch tells confidence, and it is slower there than what is taken otherwise.
        with_confidence=options.backend in ("auto", "openvino", "torch") and not runs_on_gpu(options.backend),
        bonnet=options.bonnet,
    )
