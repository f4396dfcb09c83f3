"""The configuration of one run: frozen values, checked when they are built. Nothing heavy is imported here."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

from segnet_live.errors import UsageError

SourceKind: TypeAlias = Literal["video", "camera", "images", "synthetic"]
Backend: TypeAlias = Literal["auto", "openvino", "torch", "inductor", "tensorrt", "tensorrt-rtx"]
Precision: TypeAlias = Literal["auto", "fp32", "bf16", "fp16", "int8"]
View: TypeAlias = Literal["overlay", "labels", "original", "side-by-side", "wiper", "confidence", "disagreement"]
Layer: TypeAlias = Literal["overlay", "labels", "original", "confidence", "other", "disagreement"]
"""What stands left and right of the wiper, and side by side."""
HideWith: TypeAlias = Literal["blur", "fill"]
"""What stands where classes are hidden."""
IndexPlace: TypeAlias = Literal["cache", "beside"]
"""Where the index of a drive is kept: the private cache, or a file beside the video."""
Encoder: TypeAlias = Literal["auto", "x264", "nvenc", "qsv", "vaapi", "videotoolbox"]
Decoder: TypeAlias = Literal["auto", "cpu", "cuda", "vaapi", "videotoolbox", "d3d11va"]

BACKENDS: tuple[Backend, ...] = get_args(Backend)
PRECISIONS: tuple[Precision, ...] = get_args(Precision)
VIEWS: tuple[View, ...] = get_args(View)
LAYERS: tuple[Layer, ...] = get_args(Layer)
HIDE_WITH: tuple[HideWith, ...] = get_args(HideWith)
INDEX_PLACES: tuple[IndexPlace, ...] = get_args(IndexPlace)
ENCODERS: tuple[Encoder, ...] = get_args(Encoder)
DECODERS: tuple[Decoder, ...] = get_args(Decoder)
QUALITIES = range(1, 52)
"""Of a recording, as x264 counts: lower is better and larger."""
SMALLEST_SIDE = 32
LARGEST_SIDE = 4096
_SWITCHES = (
    *("headless", "burn_hud", "with_confidence", "fade_unsure"),
    *("smooth", "overwrite", "reconnect", "debug"),
)
"""The fields of RunConfig that are on or off; a caller's "no" would count as on."""
HIDE_UNSURE = 0.5
"""The confidence below which a pixel near one of a hidden class is hidden, too, whatever its class."""
PIECE_S = 3600.0
"""How long the pieces of a long file are about that a cluster does side by side."""
LIST_SUFFIX = ".txt"
"""Of a file that lists videos, one path a line."""
LONGEST_S = 1e9
"""Of --start and --duration: thirty years, which containers can still count in their ticks."""
LONGEST_HOLD = 60
"""Frames that wait in memory while classes are hidden."""


def parse_size(text: str, option: str = "size") -> tuple[int, int]:
    """Return (height, width) from "HxW", the only form in which the app takes and shows sizes.

    Args:
        option: what the error calls it.

    Raises:
        UsageError: not two numbers from SMALLEST_SIDE to LARGEST_SIDE.
    """
    match = re.fullmatch(r"\s*(\d{1,6})\s*[x×]\s*(\d{1,6})\s*", text.lower())
    if match is None:
        raise UsageError(f"{option} got {text!r}", "give HEIGHTxWIDTH in pixels, such as 360x480")
    size = int(match[1]), int(match[2])
    if not all(SMALLEST_SIDE <= side <= LARGEST_SIDE for side in size):
        limits = f"both sides must be {SMALLEST_SIDE} to {LARGEST_SIDE} pixels"
        raise UsageError(f"{option} got {text!r}; {limits}", "give HEIGHTxWIDTH such as 360x480")
    return size


def format_size(size: tuple[int, int]) -> str:
    """Return (height, width) as "HxW"."""
    return f"{size[0]}x{size[1]}"


def clock(time_s: float, *, tenths: bool = False) -> str:
    """Return seconds as the app shows times: 1:02, 1:02:03, with tenths 1:02.5."""
    whole = int(time_s)
    hours, minutes, seconds = whole // 3600, whole // 60 % 60, whole % 60
    text = f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
    return text + f".{int(time_s * 10) % 10}" if tenths else text


def shows_confidence(view: View, layers: tuple[Layer, Layer], fade_unsure: bool) -> bool:
    """Return whether drawing this view takes a confidence map."""
    shown = layers if view in ("wiper", "side-by-side") else (view,)
    return "confidence" in shown or (fade_unsure and "overlay" in shown)


def shows_other(view: View, layers: tuple[Layer, Layer]) -> bool:
    """Return whether drawing this view takes the label map of a second engine."""
    shown = layers if view in ("wiper", "side-by-side") else (view,)
    return "other" in shown or "disagreement" in shown


@dataclass(frozen=True, slots=True)
class EngineSpec:
    """One side of a comparison as the user names it, MODEL[:BACKEND][:PRECISION]; see `parse_engine`.

    Attributes:
        model: an installed model's name or a model folder; None takes the other side's.
    """

    model: str | None = None
    backend: Backend = "auto"
    precision: Precision = "auto"

    def __str__(self) -> str:
        return ":".join([self.model or "", *(part for part in (self.backend, self.precision) if part != "auto")])


def parse_engine(text: str) -> EngineSpec:
    """Return what MODEL[:BACKEND][:PRECISION] names, such as segnet-fast, segnet-fast:fp32 or :torch:fp32.

    What follows a colon and is no backend or precision belongs to the model, as in C:\\models\\own.

    Raises:
        UsageError: it names nothing, or a backend or a precision twice.
    """
    model, backend, precision = text.strip(), None, None
    while ":" in model:
        head, _, last = model.rpartition(":")
        as_backend = next((name for name in BACKENDS if name == last), None)
        as_precision = next((name for name in PRECISIONS if name == last), None)
        if as_backend is None and as_precision is None:
            break
        if (backend if as_backend is not None else precision) is not None:
            raise UsageError(f"--compare got {text!r}, with two of a kind", "give MODEL[:BACKEND][:PRECISION]")
        if as_backend is not None:
            backend = as_backend
        else:
            precision = as_precision
        model = head
    if not model and backend is None and precision is None:
        raise UsageError(f"--compare got {text!r}", "give MODEL[:BACKEND][:PRECISION], such as segnet-fast:fp32")
    return EngineSpec(model or None, backend or "auto", precision or "auto")


@dataclass(frozen=True, slots=True)
class Encoding:
    """What recordings are encoded with.

    Attributes:
        encoder: "auto" is a hardware encoder where one opens, else x264.
        quality: as of x264's preset veryfast by constant rate factor: lower is better and larger.
        look_ahead: the encoder may hold back frames to choose better. They are lost in a kill: seconds, where most
            of a source's frames are left out.
    """

    encoder: Encoder = "auto"
    quality: int = 20
    look_ahead: bool = True


@dataclass(frozen=True, slots=True)
class HideSpec:
    """What recordings hide.

    Attributes:
        names: of the classes.
        style: what stands there instead.
        hold: frames before and after in which they stay hidden.
        unsure: confidence 0..1 below which pixels near them are hidden, too; 0 hides found ones alone.
    """

    names: tuple[str, ...]
    style: HideWith = "blur"
    hold: int = 5
    unsure: float = HIDE_UNSURE


def is_url(value: str) -> bool:
    """Return whether `value` names something on a network rather than a file (a drive letter is no scheme)."""
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", value) is not None


def local_name(value: str) -> str:
    """Return the path that a file:// URL stands for, as desktops hand files over; anything else as it is.

    Raises:
        UsageError: it is no valid URL.
    """
    if not value.lower().startswith("file://"):
        return value
    from urllib.parse import urlsplit
    from urllib.request import url2pathname  # a tenth of a second, for those who need it

    try:
        return url2pathname(urlsplit(value).path)
    except ValueError as error:  # a bracket without its other half
        raise UsageError(f"{value[:60]!r} is no address ({error})", "name the file by its path") from error


@dataclass(frozen=True, slots=True)
class SourceSpec:
    """A source as the user named it; `segnet_live.video.open.open_source` opens it.

    Attributes:
        value: file or URL; a camera's number; folder or glob; "" for the example drive.
        start_s: skip to this source time, seconds from the beginning.
        duration_s: stop after this many seconds, None for all of it; source time for files, clock time for cameras
            and streams.
        camera_size: (height, width) to ask a camera for, None for its own choice.
        decoder: what decodes a video: "auto" is the machine's hardware where it opens, else the CPU.

    Raises:
        UsageError: a negative or non-finite number, or an empty name.
    """

    kind: SourceKind
    value: str = field(default="", repr=False)  # a URL may hold a password
    start_s: float = 0.0
    duration_s: float | None = None
    camera_size: tuple[int, int] | None = None
    decoder: Decoder = "auto"

    def __post_init__(self) -> None:
        # a file:// URL is a path like any other, which must not be overwritten either
        object.__setattr__(self, "value", local_name(self.value))
        if self.kind in ("video", "images") and not self.value:
            raise UsageError(
                f"--{self.kind} got an empty name; name a {'file or URL' if self.kind == 'video' else 'folder or glob'}"
            )
        if self.kind == "camera" and not (self.value.isdecimal() and len(self.value) <= 5):
            raise UsageError(f"--camera got {self.value[:20]!r}; give the camera's number: 0 is the first one")
        if not 0 <= self.start_s <= LONGEST_S:
            raise UsageError(
                f"--start got {self.start_s:g}; give seconds from the beginning, 0 or more (up to {LONGEST_S:g})"
            )
        if self.duration_s is not None and not 0 < self.duration_s <= LONGEST_S:
            raise UsageError(f"--duration got {self.duration_s:g}; give seconds, more than 0 (up to {LONGEST_S:g})")
        if self.kind == "camera" and self.start_s:
            raise UsageError("--start cannot be used with --camera: a camera has no beginning; leave it out")

    @property
    def video_file(self) -> Path | None:
        """The video file that it names, None for other sources."""
        return Path(self.value) if self.kind == "video" and not is_url(self.value) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """The choices of how a run segments and shows, all of them made; the defaults are the app's own.

    Attributes:
        model: an installed model's name or a model folder; None takes the default model.
        size: (height, width) of the network input; None follows the source's aspect ratio.
        opacity: 0 shows the picture alone, 1 the class colours alone.
        smooth: smooth the label maps over time.
        target_fps: hold this many frames a second by running the network smaller, at last on fewer frames; None for
            the one size.
        max_latency_ms: hold this latency by running the network smaller: from capture to display, without a window to
            the labels.
        layers: what stands left and right of the wiper, and side by side.
        burn_hud: write the figures into the recorded picture.
        with_confidence: make a confidence map of every frame, even if nothing that is drawn takes one.
        fade_unsure: the overlay's colours fade where the network is unsure.
        samples: label by the mean of so many passes with dropout on; 0 for one pass without.
        encoder, quality: see Encoding.
        compare: a second engine that labels every frame beside the first one; None for none.
    """

    model: str | None = None
    backend: Backend = "auto"
    precision: Precision = "auto"
    size: tuple[int, int] | None = None
    smooth: bool = True
    target_fps: float | None = None
    max_latency_ms: float | None = None
    view: View = "overlay"
    opacity: float = 0.5
    layers: tuple[Layer, Layer] = ("original", "overlay")
    burn_hud: bool = False
    with_confidence: bool = False
    fade_unsure: bool = False
    samples: int = 0
    encoder: Encoder = "auto"
    quality: int = 20
    compare: EngineSpec | None = None

    @property
    def needs_confidence(self) -> bool:
        """Whether the engine is to make confidence maps."""
        return self.with_confidence or self.samples > 0 or shows_confidence(self.view, self.layers, self.fade_unsure)

    @property
    def encoding(self) -> Encoding:
        """What recordings are encoded with."""
        return Encoding(self.encoder, self.quality)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunConfig:
    """One run of the app, in the window or headless, as it was asked for.

    What is None was not given; `options` says what holds instead.

    Attributes:
        source: None lets the window choose (headless needs one).
        model, backend, precision, size, smooth, target_fps, max_latency_ms, view, opacity, layers, burn_hud,
            encoder, quality, with_confidence, fade_unsure, samples, compare: see RunOptions.
        confidence: a folder for one PNG of confidences a frame.
        classes: names of the classes to show in colour, None for all; checked against the model when it is known.
        overwrite: existing outputs may be replaced.
        hide: names of the classes to hide in the recording, None for none; checked against the model, too.
        hide_with: what stands there instead.
        hide_hold: frames before and after in which they stay hidden.
        hide_unsure: confidence 0..1 below which pixels near them are hidden, too; 0 hides found ones alone.
        bonnet: "auto" or the name of a picture: what the car itself takes of the frames is left out; None for nothing.
        index: where to leave an index of the drive, None for nowhere.
        reconnect: open a camera or network source again when it is lost in a headless run; None does so for cameras and
            streams that are recorded. The window always does.
        ray: the Ray cluster that does a folder or list of videos: "auto" or HOST:PORT; None does it here, without Ray.
        piece_s: about how many seconds of a long file one worker of the cluster does at a time.
        debug: errors show their traceback.

    Raises:
        UsageError: a value that cannot be carried out, or options that contradict each other.
    """

    source: SourceSpec | None = None
    record: Path | None = None
    masks: Path | None = None
    stats: Path | None = None
    confidence: Path | None = None
    headless: bool = False
    model: str | None = None
    backend: Backend | None = None
    precision: Precision | None = None
    size: tuple[int, int] | None = None
    view: View | None = None
    opacity: float | None = None
    layers: tuple[Layer, Layer] | None = None
    classes: tuple[str, ...] | None = None
    burn_hud: bool | None = None
    with_confidence: bool | None = None
    fade_unsure: bool | None = None
    samples: int | None = None
    encoder: Encoder | None = None
    quality: int | None = None
    compare: EngineSpec | None = None
    smooth: bool | None = None
    target_fps: float | None = None
    max_latency_ms: float | None = None
    overwrite: bool = False
    hide: tuple[str, ...] | None = None
    hide_with: HideWith = "blur"
    hide_hold: int = 5
    hide_unsure: float = HIDE_UNSURE
    bonnet: str | None = None
    index: IndexPlace | None = None
    reconnect: bool | None = None
    ray: str | None = None
    piece_s: float = PIECE_S
    debug: bool = False

    def __post_init__(self) -> None:
        for option, value, choices in (
            ("--backend", self.backend, BACKENDS),
            ("--precision", self.precision, PRECISIONS),
            ("--view", self.view, VIEWS),
            ("--encoder", self.encoder, ENCODERS),
            ("--hide-with", self.hide_with, HIDE_WITH),
            ("--index", self.index, INDEX_PLACES),
        ):
            if value is not None and value not in choices:
                raise UsageError(f"unknown {option} {value!r}; choose from {', '.join(choices)}")
        for name in _SWITCHES:
            if not isinstance(value := getattr(self, name), bool | None):
                raise UsageError(f"--{name.replace('_', '-')} got {value!r}", "give True or False")
        if self.size is not None and min(self.size) < SMALLEST_SIDE:
            raise UsageError(f"--size got {format_size(self.size)}; both sides must be {SMALLEST_SIDE} or more")
        if self.quality is not None and self.quality not in QUALITIES:
            raise UsageError(f"--quality got {self.quality}", "give a whole number from 1 (best) to 51 (smallest)")
        if self.opacity is not None and not 0 <= self.opacity <= 1:
            raise UsageError(f"--opacity got {self.opacity:g}; give a number from 0 (picture) to 1 (class colours)")
        if self.layers is not None and not (len(self.layers) == 2 and set(self.layers) <= set(LAYERS)):
            got = ",".join(self.layers)
            raise UsageError(f"--layers got {got!r}", f"name the left and the right one of {', '.join(LAYERS)}")
        if self.classes is not None and not all(name.strip() for name in self.classes or ("",)):
            raise UsageError("--classes got an empty name; give names with commas between them, such as Road,Car")
        for option, target in (("--target-fps", self.target_fps), ("--max-latency", self.max_latency_ms)):
            if target is not None and not (math.isfinite(target) and target > 0):
                raise UsageError(f"{option} got {target:g}; give a number above 0")
        if self.record is not None and self.record.suffix.lower() != ".mp4" and not self.is_folder_job:
            raise UsageError(f"--record got {self.record}; recordings are H.264 in mp4: name a file that ends in .mp4")
        if self.stats is not None and self.stats.suffix.lower() != ".csv" and not self.is_folder_job:
            raise UsageError(f"--stats got {self.stats}; name a file that ends in .csv")
        if self.headless and self.source is None:
            raise UsageError("--headless needs an input: add --video, --camera, --images or --synthetic")
        if not self.headless and (self.masks or self.stats or self.index or self.confidence):
            outputs = "--masks, --stats, --index and --confidence DIR"
            raise UsageError(f"{outputs} process every frame without a window; add --headless")
        if self.index is not None:
            self._check_index()
        if self.hide is not None:
            self._check_hide()
        if self.compare is None and (self.view == "disagreement" or {"other", "disagreement"} & set(self.layers or ())):
            raise UsageError("there is no second engine to show", "add --compare A B, such as segnet-fast segnet-basic")
        if self.samples is not None and self.samples < 2:
            raise UsageError(f"--samples got {self.samples}", "give 2 or more passes, such as 8, or leave it out")
        if self.reconnect is not None and not self.headless:
            option = "--reconnect" if self.reconnect else "--no-reconnect"
            raise UsageError(f"{option} is for runs without a window (the window always tries again)", "add --headless")
        if self.ray is not None and not self.is_folder_job:
            raise UsageError(
                "--ray is for many videos", "give --video a folder, or a text file with a path in each line"
            )
        if not (math.isfinite(self.piece_s) and self.piece_s > 0):
            raise UsageError(f"--piece got {self.piece_s:g}", "give seconds, such as 3600")
        if self.piece_s != PIECE_S and self.ray is None:
            raise UsageError(
                "--piece is for a cluster, which does pieces side by side", "add --ray auto or leave it out"
            )
        if self.burn_hud and self.headless and self.record is None:
            raise UsageError("--burn-hud writes the figures into the recording; add --record OUT.mp4 or leave it out")

    def _check_hide(self) -> None:
        """Check that there is a recording to hide classes in, or a window to begin one.

        Raises:
            UsageError: there is none.
        """
        if not all(name.strip() for name in self.hide or ("",)):
            raise UsageError("--hide got an empty name; give names with commas between them, such as Pedestrian,Car")
        if self.headless and self.record is None:
            raise UsageError("--hide hides classes in the recording", "add --record OUT.mp4 or leave it out")
        if not 0 <= self.hide_hold <= LONGEST_HOLD:
            raise UsageError(f"--hide-hold got {self.hide_hold}", f"give frames, 0 to {LONGEST_HOLD}")
        if not 0 <= self.hide_unsure < 1:
            raise UsageError(f"--hide-unsure got {self.hide_unsure:g}", "give a confidence from 0 to below 1")

    def _check_index(self) -> None:
        """Check that a whole file is to be indexed, with the network at one size.

        Raises:
            UsageError: it is not.
        """
        if self.source is None or self.video_file is None:
            raise UsageError("--index is for video files", "add --video FILE")
        if self.source.start_s or self.source.duration_s is not None:
            raise UsageError("--index needs the whole file", "leave out --start and --duration")
        if self.target_fps is not None or self.max_latency_ms is not None:
            raise UsageError("--index needs the network at one size", "leave out --target-fps and --max-latency")

    @property
    def hiding(self) -> HideSpec | None:
        """What recordings hide, None for nothing."""
        if self.hide is None:
            return None
        return HideSpec(self.hide, self.hide_with, self.hide_hold, self.hide_unsure)

    @property
    def video_file(self) -> Path | None:
        """The video file that the run reads, None for other sources."""
        return self.source.video_file if self.source is not None else None

    @property
    def is_folder_job(self) -> bool:
        """Whether `--video` names a folder, or a text file that lists videos: each of them is a run of its own."""
        if self.source is None or self.source.kind != "video":
            return False
        place = Path(self.source.value)
        return place.is_dir() or (place.suffix.lower() == LIST_SUFFIX and place.is_file())

    def options(self, remembered: RunOptions | None = None) -> RunOptions:
        """Return the choices for this run: what was given, else what is `remembered`, else the default.

        Args:
            remembered: the window's settings; None (headless) takes the defaults.
        """
        given: dict[str, Any] = {
            each.name: value for each in fields(RunOptions) if (value := getattr(self, each.name)) is not None
        }
        if self.confidence is not None or (self.headless and self.hide is not None and self.hide_unsure > 0):
            given["with_confidence"] = True
        if self.compare is not None:
            shown: dict[str, Any] = {
                "view": "side-by-side" if self.headless else "wiper",
                "layers": ("overlay", "other"),
            }
            given = shown | given
        if "target_fps" in given or "max_latency_ms" in given:  # one target replaces the other
            given |= {"target_fps": self.target_fps, "max_latency_ms": self.max_latency_ms}
        return replace(remembered or RunOptions(smooth=self.smoothing), **given)

    @property
    def smoothing(self) -> bool:
        """Whether label maps are smoothed; decides where `smooth` was left open."""
        if self.smooth is not None:
            return self.smooth
        outputs = (self.masks, self.stats, self.confidence)
        return not any(outputs) and (self.source is None or self.source.kind != "images")
