"""The values that travel through the app: `Frame` from a source, and `FrameResult`, the record of a frame."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from segnet_live.classes import ClassSet
from segnet_live.labels import class_shares, confidence_at, disagreement_share, labels_at, mean_confidence, unsure_share
from segnet_live.planes import Planes

Size: TypeAlias = tuple[int, int]
"""(height, width) in pixels."""
RGB: TypeAlias = NDArray[np.uint8]
"""(H, W, 3) uint8, red first."""
LabelMap: TypeAlias = NDArray[np.uint8]
"""(H, W) uint8 class ids; 255 or the class set's void id marks unlabelled pixels."""
ConfidenceMap: TypeAlias = NDArray[np.uint8]
"""(H, W) uint8, 0..255: 255 times the margin between the two largest class probabilities of each pixel."""


@dataclass(frozen=True, slots=True)
class SourceInfo:
    """The properties of an open source.

    Attributes:
        title: what to show a person: a path, or a URL with its password masked.
        size: (height, width) of its frames, upright and with square pixels.
        rate: average frames per second, None where unknown; never rounded to an integer.
        time_base: seconds per tick of its frames' pts.
        duration_s: seconds, None where unknown (live, broken index).
        frames: expected number of frames, None where unknown; a promise for progress bars only.
        live: frames come at their own time (camera, stream): take the newest, count the rest as skipped.
        seekable: `seek` works.
        audio: there is a sound track that a recording can keep.
        start_s: source time of the first frame, in seconds; seldom other than 0.
        location: the file or URL it is read from; None for a camera and images.
    """

    title: str
    size: Size
    rate: Fraction | None
    time_base: Fraction
    duration_s: float | None
    frames: int | None
    live: bool
    seekable: bool
    audio: bool
    start_s: float = 0.0
    location: str | None = field(default=None, repr=False)  # a URL may hold a password

    @property
    def sound_location(self) -> str | None:
        """The place where a recording finds the sound, None where there is none to keep."""
        return self.location if self.audio else None


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One picture and its place in source time.

    Attributes:
        picture: (H, W, 3) uint8 RGB, or the planes that a video has: upright, square pixels, and never written to.
        index: 0-based position among the frames this source delivered.
        pts: presentation time in units of `time_base`; sources invent none: a frame without pts gets one
            from the source's rate before it leaves the source.
        time_base: seconds per pts tick.
        capture_s: `time.perf_counter()` when `read` returned (camera, stream) or decoding began (file).
        decode_ms: milliseconds the source spent on this frame.
        name: file stem for image sources, else "".
        truth: ground-truth label map at the frame's size where the source knows it (synthetic), else None.
        duration: how long the source shows it, in units of `time_base`; 0 where unknown.
    """

    picture: RGB | Planes
    index: int
    pts: int
    time_base: Fraction
    capture_s: float = 0.0
    decode_ms: float = 0.0
    name: str = ""
    truth: LabelMap | None = None
    duration: int = 0

    @property
    def pts_s(self) -> float:
        """Source time in seconds: pts x time_base."""
        return float(self.pts * self.time_base)

    @property
    def size(self) -> Size:
        """(height, width) in pixels."""
        return self.picture.size if isinstance(self.picture, Planes) else (self.picture.shape[0], self.picture.shape[1])

    @property
    def rgb(self) -> RGB:
        """(H, W, 3) uint8 RGB, not to be written to; planes are converted when it is first asked for."""
        return self.picture.rgb if isinstance(self.picture, Planes) else self.picture


@dataclass(slots=True, eq=False, kw_only=True)
class FrameResult:
    """One frame from capture to screen, file or caller, and what was made of that very frame on the way.

    A stage that knows more makes a new one (`with_labels`, `as_repeat`); what has been handed on is not written to, but
    for `labels`, `confidence` and `class_shares`, which are made when they are first asked for and then kept.

    Attributes:
        source: the source it came from; one object for each opening of a source.
        classes: what the ids in the label maps stand for.
        network_labels: (h, w) label map at the network's size; (1, 1) void where nothing was segmented.
        network_confidence: (h, w) uint8, how sure the network is of each of them; None unless it was asked for.
        variance: (h, w) float32 0..0.25, the mean over the classes of the variance between samples; None unless samples
            were asked for, and on frames that the network skipped.
        network_other: (h, w) label map of the second engine of a comparison, at its own size; None outside one.
        is_segmented: False while no engine runs: the label maps are void.
        segment_id: number of the continuous segment: another after a seek, loop, pause or reconnection.
        repeat: the frame was handed on before (other engine or view, or held): neither recorded nor measured.
        inference_ms: milliseconds the engine took, smoothing included.
        source_labels: the label map at the frame's size once somebody has asked `labels` for it, None before.
        labelled_s: `time.perf_counter()` when `network_labels` was ready, NaN before.
        resize_ms: milliseconds from `network_labels` to `source_labels`.
        left_out: share of the picture that the car's own bonnet takes: it is void, and no part of class shares.
    """

    frame: Frame
    source: SourceInfo
    classes: ClassSet
    network_labels: LabelMap
    network_confidence: ConfidenceMap | None = None
    variance: NDArray[np.float32] | None = None
    network_other: LabelMap | None = None
    is_segmented: bool = False
    segment_id: int = 0
    repeat: bool = False
    inference_ms: float = 0.0
    source_labels: LabelMap | None = None
    labelled_s: float = math.nan
    resize_ms: float = 0.0
    left_out: float = 0.0
    _shares: NDArray[np.float32] | None = None
    _source_confidence: ConfidenceMap | None = None
    _source_other: LabelMap | None = None

    @classmethod
    def unlabelled(
        cls, frame: Frame, source: SourceInfo, classes: ClassSet, *, segment_id: int = 0, repeat: bool = False
    ) -> Self:
        """Return the record of a frame that was just captured."""
        void = np.full((1, 1), classes.void_id, np.uint8)
        return cls(
            frame=frame, source=source, classes=classes, network_labels=void, segment_id=segment_id, repeat=repeat
        )

    def with_labels(
        self,
        network_labels: LabelMap,
        classes: ClassSet,
        inference_ms: float,
        *,
        confidence: ConfidenceMap | None = None,
        variance: NDArray[np.float32] | None = None,
        other: LabelMap | None = None,
    ) -> Self:
        """Return the record with the (h, w) label map that an engine made of the frame, and how sure it is of it.

        Args:
            other: the label map of a comparison's second engine.
        """
        return replace(
            self,
            classes=classes,
            network_labels=network_labels,
            network_confidence=confidence,
            variance=variance,
            network_other=other,
            is_segmented=True,
            inference_ms=inference_ms,
            source_labels=None,
            labelled_s=time.perf_counter(),
            _shares=None,
            _source_confidence=None,
            _source_other=None,
        )

    def as_repeat(self) -> Self:
        """Return the record for showing the same frame once more."""
        return replace(self, repeat=True)

    @property
    def rgb(self) -> RGB:
        """The frame's picture, (H, W, 3) uint8 RGB; not to be written to."""
        return self.frame.rgb

    @property
    def pts_s(self) -> float:
        """The frame's place in source time, in seconds."""
        return self.frame.pts_s

    @property
    def labels(self) -> LabelMap:
        """The label map at the frame's size, (H, W) uint8 class ids."""
        if self.source_labels is None:
            began_s = time.perf_counter()
            self.source_labels = labels_at(self.network_labels, self.frame.size)
            self.resize_ms = (time.perf_counter() - began_s) * 1e3
        return self.source_labels

    @property
    def class_shares(self) -> NDArray[np.float32]:
        """(K,) float32 share of each class in `network_labels`, 0..1; less than 1 in sum where pixels are void."""
        if self._shares is None:
            self._shares = class_shares(self.network_labels, len(self.classes))
            if self.left_out:
                self._shares = self._shares / np.float32(1 - self.left_out)
        return self._shares

    @property
    def confidence(self) -> ConfidenceMap | None:
        """How sure the network is of each pixel, (H, W) uint8 at the frame's size; None unless it was asked for.

        255 times the margin between the two largest class probabilities: 255 for certain, 0 where two classes tie.
        Where smoothing shows another class than the network's own, it is 0.
        """
        if self._source_confidence is None and self.network_confidence is not None:
            self._source_confidence = confidence_at(self.network_confidence, self.frame.size)
        return self._source_confidence

    @property
    def other_labels(self) -> LabelMap | None:
        """The second engine's label map at the frame's size, (H, W) uint8 class ids; None outside a comparison."""
        if self._source_other is None and self.network_other is not None:
            self._source_other = labels_at(self.network_other, self.frame.size)
        return self._source_other

    @property
    def disagreement(self) -> float | None:
        """The share of the frame's pixels to which two engines gave different classes, 0..1; None if it was one."""
        return None if self.other_labels is None else disagreement_share(self.labels, self.other_labels)

    @property
    def mean_confidence(self) -> float | None:
        """The mean confidence of the network's pixels, 0..1, the bonnet's left out; None unless it was asked for."""
        return None if self.network_confidence is None else mean_confidence(self.network_confidence, self._counted)

    @property
    def unsure_share(self) -> float | None:
        """The share of the network's pixels with a confidence below one half, 0..1; None unless it was asked for."""
        return None if self.network_confidence is None else unsure_share(self.network_confidence, self._counted)

    @property
    def _counted(self) -> NDArray[np.uint8] | None:
        """The network's pixels that are no part of the bonnet, (h, w) uint8, 0 or 255; None where all count."""
        if not self.left_out:
            return None
        return np.where(self.network_labels == self.classes.void_id, 0, 255).astype(np.uint8)

    @property
    def latency_ms(self) -> float:
        """Milliseconds from capture until the network's labels were ready; NaN before."""
        return (self.labelled_s - self.frame.capture_s) * 1e3

    @property
    def stages_ms(self) -> dict[str, float]:
        """Milliseconds by stage, as far as the frame has come."""
        stages = {"decode": self.frame.decode_ms}
        if self.is_segmented:
            stages["inference"] = self.inference_ms
        if self.source_labels is not None:
            stages["resize"] = self.resize_ms
        return stages
