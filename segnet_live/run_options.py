"""The options of `segnet-live` without a subcommand, and the RunConfig that they ask for."""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path
from typing import Any

from segnet_live.config import (
    BACKENDS,
    DECODERS,
    ENCODERS,
    HIDE_UNSURE,
    HIDE_WITH,
    INDEX_PLACES,
    PIECE_S,
    PRECISIONS,
    VIEWS,
    RunConfig,
    SourceSpec,
    parse_engine,
    parse_size,
)
from segnet_live.errors import UsageError


def add_run_options(parser: argparse.ArgumentParser) -> None:
    """Add all options of a run to the parser."""
    group = parser.add_argument_group("input (the webcam, if none is named)")
    add = group.add_mutually_exclusive_group().add_argument
    add(
        "--video",
        metavar="FILE|URL|DIR|LIST.txt",
        help="video file, RTSP or HTTP stream, or (headless) a folder of videos or a text file with a path in each "
        "line; outputs are folders then",
    )
    add("--camera", metavar="N", help="camera by number, 0 is the first")
    add("--images", metavar="DIR|GLOB", help="folder of images, or a quoted pattern such as 'photos/*.jpg'")
    add("--synthetic", action="store_true", help="the example drive that ships with the app, with known labels")
    group.add_argument(
        "--decoder",
        choices=DECODERS,
        default="auto",
        help="what decodes a video (default: hardware where it opens, else the cpu)",
    )

    add = parser.add_argument_group("which part").add_argument
    add("--start", type=float, metavar="S", help="skip this many seconds")
    add("--duration", type=float, metavar="S", help="stop after this many seconds")

    add = parser.add_argument_group("outputs").add_argument
    add("--record", type=Path, metavar="OUT.mp4", help="annotated video: H.264 at source size and time, with the sound")
    add("--encoder", choices=ENCODERS, help="what encodes the recording (default: hardware where it opens, else x264)")
    add(
        "--quality",
        type=int,
        metavar="1..51",
        help="recording quality; lower means better and larger files (default: 20)",
    )
    add("--masks", type=Path, metavar="DIR", help="one PNG of class ids per frame (implies --headless)")
    add(
        "--stats",
        type=Path,
        metavar="FILE.csv",
        help="time, latency (capture to labels) and class shares per frame (implies --headless)",
    )
    add(
        "--index",
        nargs="?",
        const="cache",
        choices=INDEX_PLACES,
        help="keep each frame's figures for find and report, in the cache or beside the video (implies --headless)",
    )
    add(
        "--confidence",
        nargs="?",
        const=True,
        type=Path,
        metavar="DIR",
        help="how sure the network is, in the HUD and as columns in --stats; with DIR one PNG per frame, 0 where two "
        "classes tie to 255 where it is certain (implies --headless)",
    )
    add(
        "--headless", action="store_true", help="no window: every frame of a file, the newest one of a camera or stream"
    )
    add(
        "--overwrite",
        action="store_true",
        help="replace outputs that exist (a folder of videos: do finished ones again)",
    )

    add(
        "--reconnect",
        action=argparse.BooleanOptionalAction,
        help="headless: when a camera or stream is lost, try again until it is back and go on in OUT-2.mp4, DIR-2 and "
        "FILE-2.csv (default: yes for cameras and streams with --record)",
    )

    add = parser.add_argument_group("many machines (for a folder or list of videos)").add_argument
    add(
        "--ray",
        metavar="auto|HOST:PORT",
        help="do the videos on a Ray cluster: the one this machine belongs to, or else this machine alone; or the one "
        "at an address (implies --headless; needs the extra fleet)",
    )
    add(
        "--piece",
        type=float,
        default=PIECE_S,
        metavar="S",
        help="with --ray: cut longer files into pieces of about so many seconds, and join them (default: 3600)",
    )

    add = parser.add_argument_group("network").add_argument
    add("--model", metavar="NAME|DIR", help="installed model (see `segnet-live models`) or a model folder")
    add("--backend", choices=BACKENDS, help="what runs the network (default: the fastest there is)")
    add("--precision", choices=PRECISIONS, help="arithmetic of the network (default: the backend's fast one)")
    add(
        "--size",
        type=partial(parse_size, option="--size"),
        metavar="HxW",
        help="network input, height x width (default: follows the source's aspect)",
    )

    add(
        "--target-fps",
        type=float,
        metavar="N",
        help="hold N frames/s: when it gets too slow a smaller network input, at last fewer frames segmented",
    )
    add(
        "--samples",
        type=int,
        metavar="N",
        help="label by the mean of N passes with dropout on, with their variance (networks trained with dropout)",
    )
    add(
        "--max-latency",
        type=float,
        metavar="MS",
        help="hold this latency by a smaller input: from capture to display, without a window to the labels",
    )
    add(
        "--smooth",
        action=argparse.BooleanOptionalAction,
        help="smooth the labels over time (default: yes, but not for --masks, --stats and --images)",
    )

    add = parser.add_argument_group("picture").add_argument
    add("--view", choices=VIEWS, help="what is shown and recorded (default: overlay)")
    add(
        "--compare",
        nargs=2,
        type=parse_engine,
        metavar=("A", "B"),
        help="label every frame by two engines, each MODEL[:BACKEND][:PRECISION], such as segnet-fast segnet-basic or "
        "segnet-fast :fp32; shown side by side (in the window with the wiper), or where they differ with --view "
        "disagreement; layers: overlay, other, disagreement",
    )
    add("--opacity", type=float, metavar="0..1", help="opacity of the class colours (default: 0.5)")
    add(
        "--layers",
        type=_names,
        metavar="LEFT,RIGHT",
        help="left and right layer of the views wiper and side-by-side (default: original,overlay)",
    )
    add(
        "--fade-unsure",
        action="store_true",
        default=None,
        help="let the overlay's colours fade where the network is unsure",
    )
    add("--classes", type=_names, metavar="A,B", help="colour these classes only, e.g. Road,Car")
    add(
        "--burn-hud",
        action="store_true",
        default=None,
        help="write rates, latency and engine into the recorded picture",
    )

    add(
        "--bonnet",
        metavar="auto|PICTURE",
        help="leave out what the car itself takes of the picture: found in the video, or white in a picture",
    )

    add = parser.add_argument_group(
        "privacy (covered 97% of people's pixels on a drive that no training saw, never all)"
    ).add_argument
    add("--hide", type=_names, metavar="A,B", help="hide these classes in recordings, e.g. Pedestrian,Bicyclist,Car")
    add("--hide-with", choices=HIDE_WITH, default="blur", help="what stands where classes are hidden (default: blur)")
    add(
        "--hide-hold",
        type=int,
        default=5,
        metavar="N",
        help="hide what a frame shows in N frames before and after it, too (default: 5)",
    )
    add(
        "--hide-unsure",
        type=float,
        default=HIDE_UNSURE,
        metavar="0..1",
        help="hide what lies near these classes with less confidence, too; 0 for none (default: %(default)s)",
    )


def run_config(given: argparse.Namespace) -> RunConfig:
    """Return what the parsed options of a run ask for.

    Raises:
        UsageError: they contradict each other.
    """
    headless = given.headless
    confidence = given.confidence if isinstance(given.confidence, Path) else None
    outputs = {"--masks": given.masks, "--stats": given.stats, "--index": given.index, "--confidence": confidence}
    needing = [option for option, asked in (outputs | {"--ray": given.ray}).items() if asked is not None]
    if needing and not headless:
        verb = "processes" if len(needing) == 1 else "process"
        print(f"{' and '.join(needing)} {verb} every frame without a window, as with --headless", flush=True)
        headless = True
    first, second = given.compare or (None, None)
    if first is not None:
        doubled = [f"--{name}" for name in ("model", "backend", "precision") if getattr(given, name) is not None]
        if doubled:
            advice = "name them in --compare: MODEL:BACKEND:PRECISION"
            raise UsageError(f"{doubled[0]} and --compare contradict each other", advice)
        given.model = first.model
        given.backend, given.precision = first.backend, first.precision
    return RunConfig(
        source=_source(given),
        record=given.record,
        masks=given.masks,
        stats=given.stats,
        confidence=confidence,
        with_confidence=given.confidence is not None or None,
        fade_unsure=given.fade_unsure,
        samples=given.samples,
        compare=second,
        headless=headless,
        model=given.model,
        backend=given.backend,
        precision=given.precision,
        size=given.size,
        view=given.view,
        opacity=given.opacity,
        layers=given.layers,
        classes=given.classes,
        burn_hud=given.burn_hud,
        encoder=given.encoder,
        quality=given.quality,
        smooth=given.smooth,
        target_fps=given.target_fps,
        max_latency_ms=given.max_latency,
        overwrite=given.overwrite,
        hide=given.hide,
        hide_with=given.hide_with,
        hide_hold=given.hide_hold,
        hide_unsure=given.hide_unsure,
        bonnet=given.bonnet,
        index=given.index,
        reconnect=given.reconnect,
        ray=given.ray,
        piece_s=given.piece,
        debug=given.debug,
    )


def _source(given: argparse.Namespace) -> SourceSpec | None:
    times: dict[str, Any] = {"start_s": given.start or 0.0, "duration_s": given.duration}
    if given.video is not None:
        return SourceSpec("video", given.video, **times, decoder=given.decoder)
    if given.camera is not None:
        return SourceSpec("camera", given.camera, **times)
    if given.images is not None:
        return SourceSpec("images", given.images, **times)
    if given.synthetic:
        return SourceSpec("synthetic", **times)
    if given.start is not None or given.duration is not None:
        raise UsageError("--start and --duration need an input: add --video, --camera, --images or --synthetic")
    return None


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(","))
