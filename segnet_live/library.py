"""segnet-live for scripts: `Segmenter` for arrays, `stream` for videos, cameras and pictures, `annotate` for a file.

The names are offered by the package itself: `import segnet_live`, then `segnet_live.stream(...)`. Frames take the same
way here as in the window and in the command; errors are the same, too: `segnet_live.errors.SegnetLiveError`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from segnet_live.card import DEFAULT_MODEL, find_card
from segnet_live.classes import ClassSet
from segnet_live.config import Backend, Encoder, HideWith, Layer, Precision, RunConfig, SourceSpec, View
from segnet_live.engine.base import Engine, EngineInfo
from segnet_live.engine.open import assemble_engine, open_engine
from segnet_live.errors import SourceError, UsageError
from segnet_live.frame import RGB, ConfidenceMap, Frame, FrameResult, LabelMap, Size, SourceInfo
from segnet_live.metrics import Metrics
from segnet_live.pipeline.handover import BoundedQueue, Closed, LatestSlot
from segnet_live.pipeline.headless.job import prepare
from segnet_live.pipeline.inference import Inference
from segnet_live.render.view import ViewSettings, compose_result
from segnet_live.video.location import source_for

Source: TypeAlias = str | os.PathLike[str] | int
"""A video file or URL, a folder of pictures or a pattern such as "photos/*.jpg", or a camera's number."""

WAITING_RESULTS = 2
"""Results of a file that may wait for the caller: enough to overlap with his work, few enough to hold in memory."""
PROGRESS_S = 0.2
_TICK = Fraction(1, 1000)


class Segmenter:
    """A network ready to label pictures. One thread at a time; a call blocks until the labels are there.

    The engine opens with the first picture, whose shape decides the network's size unless `size` does; the first time
    on a machine that takes some seconds.

        >>> import numpy as np, segnet_live
        >>> with segnet_live.Segmenter() as segmenter:
        ...     labels = segmenter(np.zeros((360, 640, 3), np.uint8))
        >>> labels.shape, labels.dtype
        ((360, 640), dtype('uint8'))
        >>> segmenter.names[3], segmenter.palette[3].tolist()
        ('Road', [128, 64, 128])

    Args:
        model: an installed model's name (`segnet-live models` lists them) or a model folder.
        backend: "auto", "openvino", "torch", "inductor", "tensorrt" or "tensorrt-rtx".
        precision: "auto", "fp32", "bf16", "fp16" or "int8".
        size: (height, width) of the network's input; None follows the first picture's shape.
        smooth: smooth the labels over time, for pictures that follow each other.
        confidence: also say how sure the network is, see `Segmenter.confidence`; False costs nothing.
        samples: label by the mean of so many passes with dropout on, for networks trained with it; 0 for one without.

    Raises:
        SegnetLiveError: there is no such model, it is damaged, or an argument is none that can be.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] = DEFAULT_MODEL,
        backend: Backend = "auto",
        *,
        precision: Precision = "auto",
        size: Size | None = None,
        smooth: bool = False,
        confidence: bool = False,
        samples: int = 0,
    ) -> None:
        for name, given in (("smooth", smooth), ("confidence", confidence)):
            if not isinstance(given, bool):
                raise UsageError(f"{name} got {given!r}", "give True or False")
        self._card = find_card(os.fspath(model))
        self._backend, self._precision, self._size, self._smooth = backend, precision, size, smooth
        self._with_confidence, self._samples = confidence, samples
        self._last: FrameResult | None = None
        self._engine: Engine | None = None
        self._info: SourceInfo | None = None
        self._inference = Inference(Metrics())
        self._count = 0
        self._closed = False

    def __call__(self, rgb: RGB) -> LabelMap:
        """Return the (H, W) uint8 class ids of a (H, W, 3) uint8 RGB picture.

        Raises:
            UsageError: `rgb` is no such array, or the segmenter was closed.
            EngineError: the backend is missing or cannot run this network.
        """
        if self._closed:
            raise UsageError("this Segmenter was closed", "make another one")
        is_array = isinstance(rgb, np.ndarray) and rgb.dtype == np.uint8
        if not is_array or rgb.ndim != 3 or rgb.shape[2] != 3 or not rgb.size:
            got = f"{rgb.dtype} {rgb.shape}" if isinstance(rgb, np.ndarray) else type(rgb).__name__
            raise UsageError(f"got {got}", "give a (H, W, 3) uint8 array with a pixel in it, red first")
        frame = Frame(rgb, self._count, self._count, _TICK)
        self._count += 1
        if self._engine is None or self._info is None:
            self._engine, self._info = self._open(frame.size)
        captured = FrameResult.unlabelled(frame, self._info, self.classes)
        self._last = self._inference.segment(captured, self._engine, self.classes)
        return self._last.labels

    def _open(self, picture: Size) -> tuple[Engine, SourceInfo]:
        def open_at(size: Size | None) -> Engine:
            return open_engine(
                self._card,
                backend=self._backend,
                size=size,
                source_size=picture,
                precision=self._precision,
                confidence=self._with_confidence,
                samples=self._samples,
                at_source=not self._smooth,
                enlarges=self._smooth,
            )

        engine, _ = assemble_engine(open_at, self._card, picture, size=self._size, target=None, smooth=self._smooth)
        info = SourceInfo("pictures", picture, None, _TICK, None, None, live=False, seekable=False, audio=False)
        return engine, info

    @property
    def confidence(self) -> ConfidenceMap | None:
        """How sure the network is of the last picture's labels, (H, W) uint8: 0 where two classes tie, 255 if certain.

        None before the first picture, and from a Segmenter without `confidence` or `samples`.
        """
        return self._last.confidence if self._last is not None else None

    @property
    def variance(self) -> NDArray[np.float32] | None:
        """The mean over the classes of the variance between samples, (h, w) float32 at network size; None without."""
        return self._last.variance if self._last is not None else None

    @property
    def classes(self) -> ClassSet:
        """The class set of the labels: names, colours and void id."""
        return self._card.classes

    @property
    def names(self) -> tuple[str, ...]:
        """The classes' names; a class id is an index into them."""
        return self.classes.names

    @property
    def palette(self) -> NDArray[np.uint8]:
        """(256, 3) uint8 RGB colours by class id: `segmenter.palette[labels]` is a picture."""
        return self.classes.palette

    @property
    def info(self) -> EngineInfo | None:
        """The engine that runs the network, and its size; None before the first picture."""
        return self._engine.info if self._engine is not None else None

    def close(self) -> None:
        """Free the engine's memory. May be called twice."""
        self._closed = True
        engine, self._engine = self._engine, None
        if engine is not None:
            engine.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


@dataclass(slots=True, eq=False, kw_only=True)
class StreamResult(FrameResult):
    """One frame of `stream` and what was made of it; see `FrameResult` for everything that is known of it."""

    @property
    def shares(self) -> dict[str, float]:
        """The share of the picture that each class takes, 0..1, by name; `class_shares` has them by id."""
        return dict(zip(self.classes.names, self.class_shares.tolist(), strict=True))

    def overlay(self, view: View = "overlay", *, opacity: float = 0.5, fade_unsure: bool = False) -> RGB:
        """Return a new (H, W, 3) uint8 RGB picture of the frame with its classes' colours over it.

        Args:
            view: another view: "labels", "original", "side-by-side" (twice as wide), "wiper" or "confidence".
            opacity: 0 (picture alone) to 1 (class colours alone).
            fade_unsure: colours fade where the network is unsure.

        Raises:
            UsageError: it takes a confidence map, and none was asked for.
        """
        settings = ViewSettings(view, opacity, fade_unsure=fade_unsure)
        if settings.needs_other:
            raise UsageError("a stream has one engine: nothing differs", "use segnet-live --compare A B")
        if settings.needs_confidence and self.confidence is None:
            raise UsageError("this frame has no confidence map", "call stream(..., confidence=True)")
        picture = compose_result(self, settings)
        return picture.copy() if picture is self.rgb else picture


class _HandOver:
    """The sink that hands results to the caller: every one of a file, the newest of a live source."""

    def __init__(self, source: SourceInfo) -> None:
        self._newest: LatestSlot[StreamResult] | None = LatestSlot() if source.live else None
        self._every: BoundedQueue[StreamResult] = BoundedQueue(WAITING_RESULTS)

    def write(self, result: FrameResult) -> None:
        assert isinstance(result, StreamResult)
        (self._newest or self._every).put(result)

    def close(self, *, whole: bool) -> None:
        (self._newest or self._every).close()

    def abort(self) -> None:
        """Refuse further results and release the thread that waits to hand one over."""
        self._every.abort()
        if self._newest is not None:
            self._newest.close()

    def __iter__(self) -> Iterator[StreamResult]:
        while True:
            try:
                result = self._newest.take() if self._newest is not None else self._every.get()
            except Closed:
                return
            if result is not None:
                yield result


def stream(
    source: Source,
    *,
    model: str | os.PathLike[str] = DEFAULT_MODEL,
    backend: Backend = "auto",
    precision: Precision = "auto",
    size: Size | None = None,
    smooth: bool | None = None,
    start_s: float = 0.0,
    duration_s: float | None = None,
    target_fps: float | None = None,
    max_latency_ms: float | None = None,
    confidence: bool = False,
    samples: int = 0,
) -> Iterator[StreamResult]:
    """Yield the frames of a source with their labels: every one of a file, the newest of a camera or stream.

    Decoding and inference go on in threads of their own while the caller works on a result. They end, and the source is
    closed, when the loop is left in any way.

        >>> import segnet_live
        >>> for result in segnet_live.stream("drive.mp4", duration_s=0.1):
        ...     print(f"{result.pts_s:.2f} s", result.rgb.shape, result.labels.shape, len(result.shares))
        0.00 s (360, 640, 3) (360, 640) 11
        0.04 s (360, 640, 3) (360, 640) 11
        0.08 s (360, 640, 3) (360, 640) 11
        >>> result.overlay(opacity=0.7).shape
        (360, 640, 3)

    Args:
        source: a video file or URL, a camera's number, a folder of pictures or a pattern such as "photos/*.jpg".
        model, backend, precision, size: see `Segmenter`; the source's shape decides the network's size.
        smooth: smooth the labels over time; None does so for videos and not for pictures.
        start_s, duration_s: which part of a file, in seconds; how long a live source.
        target_fps, max_latency_ms: hold this rate or latency by running the network smaller.
        confidence: also say how sure the network is of each pixel: `result.confidence`.
        samples: label by the mean of so many passes with dropout on: `result.confidence` and `result.variance`.

    Raises:
        SegnetLiveError: as the command does: a source that is missing, damaged or was lost, a missing backend, ...
    """
    config = RunConfig(
        source=_spec(source, start_s, duration_s),
        headless=True,
        model=os.fspath(model),
        backend=backend,
        precision=precision,
        size=size,
        smooth=smooth,
        target_fps=target_fps,
        max_latency_ms=max_latency_ms,
        with_confidence=confidence,
        samples=samples or None,
    )
    results: list[_HandOver] = []

    def hand_over(info: SourceInfo) -> _HandOver:
        results.append(_HandOver(info))
        return results[0]

    job = prepare(config, _say_nothing, more_sinks=hand_over, result_type=StreamResult)
    try:
        job.pipeline.start()
        yield from results[0]
    finally:
        results[0].abort()
        job.pipeline.close()
    if job.pipeline.error:
        raise job.pipeline.error
    if not job.pipeline.written:
        raise SourceError(f"{job.source.info.title} gave no frame")


def annotate(
    source: Source,
    output: str | os.PathLike[str],
    *,
    model: str | os.PathLike[str] = DEFAULT_MODEL,
    backend: Backend = "auto",
    precision: Precision = "auto",
    size: Size | None = None,
    smooth: bool | None = None,
    start_s: float = 0.0,
    duration_s: float | None = None,
    target_fps: float | None = None,
    max_latency_ms: float | None = None,
    view: View = "overlay",
    opacity: float = 0.5,
    layers: tuple[Layer, Layer] = ("original", "overlay"),
    classes: Sequence[str] | None = None,
    hide: Sequence[str] | None = None,
    hide_with: HideWith = "blur",
    burn_hud: bool = False,
    encoder: Encoder = "auto",
    quality: int = 20,
    masks: str | os.PathLike[str] | None = None,
    confidence: str | os.PathLike[str] | None = None,
    fade_unsure: bool = False,
    samples: int = 0,
    stats: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    progress: Callable[[int], object] | None = None,
) -> int:
    """Write an annotated copy of a video, with its sound: the job of `segnet-live --video ... --record ... --headless`.

        >>> import segnet_live
        >>> segnet_live.annotate("drive.mp4", "out.mp4", duration_s=0.2)
        5

    Args:
        source, model, ... max_latency_ms: see `stream`.
        output: the mp4 to write.
        view: "overlay", "labels", "original", "side-by-side", "wiper" or "confidence".
        opacity: of the class colours, 0 to 1.
        layers: what stands left and right in the views "side-by-side" and "wiper".
        classes: names of the classes to show in colour; None for all.
        hide: names of classes to hide: most of what is there, never all; "blur" or "fill" stands there instead.
        burn_hud: write rates, latency and engine into the picture.
        encoder: "x264", "nvenc", "qsv", "vaapi", "videotoolbox", or "auto": hardware where it opens, else x264.
        quality: of the recording, 1 to 51: lower is better and larger.
        masks: a folder for one PNG of class ids a frame.
        confidence: a folder for one PNG of confidences a frame.
        fade_unsure: the overlay's colours fade where the network is unsure.
        samples: label by the mean of so many passes with dropout on; 0 for one pass without.
        stats: a CSV file for time, latency and class shares of each frame.
        overwrite: existing outputs may be replaced.
        progress: called with the number of frames written, several times a second; an exception from it ends the job.

    Returns:
        How many frames were written.

    Raises:
        SegnetLiveError: as the command does with --no-reconnect: a live source that is lost ends it; frames that were
            written before are kept.
    """
    config = RunConfig(
        source=_spec(source, start_s, duration_s),
        headless=True,
        record=Path(output),
        masks=_folder("masks", masks),
        confidence=_folder("confidence", confidence),
        fade_unsure=fade_unsure or None,
        samples=samples or None,
        stats=None if stats is None else Path(stats),
        model=os.fspath(model),
        backend=backend,
        precision=precision,
        size=size,
        smooth=smooth,
        target_fps=target_fps,
        max_latency_ms=max_latency_ms,
        view=view,
        opacity=opacity,
        layers=layers,
        classes=None if classes is None else tuple(classes),
        hide=None if hide is None else tuple(hide),
        hide_with=hide_with,
        burn_hud=burn_hud,
        encoder=encoder,
        quality=quality,
        overwrite=overwrite,
    )
    if config.is_folder_job:
        raise UsageError(f"{source} stands for several videos", "call annotate for each of them, or use the command")
    job = prepare(config, _say_nothing)
    pipeline = job.pipeline
    try:
        pipeline.start()
        while not pipeline.wait(1.0 if progress is None else PROGRESS_S):
            if progress is not None:
                progress(pipeline.written)
    finally:
        pipeline.close()  # finalises the outputs, also after Ctrl-C
    if pipeline.error:
        raise pipeline.error
    if not pipeline.written:
        raise SourceError(f"{job.source.info.title} gave no frame; nothing was written")
    return pipeline.written


def _spec(source: Source, start_s: float, duration_s: float | None) -> SourceSpec:
    """Return the source specification for a caller's `source`.

    Raises:
        UsageError: a number or a name that cannot be one.
    """
    if isinstance(source, int):
        if source < 0:
            raise UsageError(f"got camera {source}", "the first camera is 0")
        return SourceSpec("camera", str(source), start_s, duration_s)
    return replace(source_for(os.fspath(source)), start_s=start_s, duration_s=duration_s)


def _folder(name: str, given: str | os.PathLike[str] | None) -> Path | None:
    """Return the folder for an output, None for none.

    Raises:
        UsageError: it is "", which `Path` takes for the working folder.
    """
    if given is None:
        return None
    if not os.fspath(given):
        raise UsageError(f"{name} got an empty name", "name a folder, or give None for none")
    return Path(given)


def _say_nothing(line: str) -> None:
    """Drop what the command would print."""
