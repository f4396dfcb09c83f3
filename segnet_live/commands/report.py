"""`segnet-live report`: write a page about a drive that says what was seen, where, and where the network was unsure."""

from __future__ import annotations

import argparse
import shlex
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from segnet_live.commands.drives import add_index_arguments, index_of, index_options, tell, videos_at
from segnet_live.config import clock
from segnet_live.display_text import print_line
from segnet_live.errors import DataError, OutputError, UsageError

if TYPE_CHECKING:
    from segnet_live.drives.index import DriveIndex
    from segnet_live.drives.report.page import Picture
    from segnet_live.drives.track import Track

EPILOG = """\
examples:
  segnet-live report drive.mp4 -o report.html
  segnet-live report drive.mp4 -o report.html --gpx drive.gpx --colour-by Tree
The page is one file: it needs no network, follows the browser's light or dark colours, and prints.
"""
THUMBNAIL_PX = 480


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EPILOG
    parser.add_argument("video", type=Path, metavar="VIDEO", help="the drive")
    add = parser.add_argument
    add("-o", "--output", type=Path, required=True, metavar="REPORT.html", help="the page to write")
    add(
        "--gpx",
        type=Path,
        metavar="FILE",
        help="where the drive went (default: the camera's telemetry, if there is some)",
    )
    add(
        "--clock",
        metavar="TIME",
        help="when the first frame was taken, such as 2026-05-01T12:00:00Z, to match --gpx (default: the video tells)",
    )
    add("--colour-by", metavar="CLASS", help="class whose share colours the map (default: the one that changes most)")
    add("--hardest", type=int, default=8, metavar="N", help="how many of the hardest moments to show (default: 8)")
    add("--overwrite", action="store_true", help="replace a page that exists")
    add_index_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Write the report.

    Raises:
        SegnetLiveError: something it needs is missing; no page is written then.
    """
    output: Path = arguments.output
    _check(arguments)
    from segnet_live.card import DEFAULT_MODEL, find_card
    from segnet_live.drives.report.page import Report, page
    from segnet_live.system.files import write_atomically

    classes = find_card(arguments.model or DEFAULT_MODEL).classes
    by = classes.names[classes.ids([arguments.colour_by])[0]] if arguments.colour_by else ""
    video = videos_at(arguments.video)[0]
    track = _track(video, arguments)
    index = index_of(video, index_options(arguments))
    if track is not None:
        inside = track.within(index.end_s - index.start_s)
        if len(inside) < 2 and arguments.gpx is not None:
            begins, ends = (f"{'-' if t < 0 else ''}{clock(abs(t))}" for t in (track.time_s[0], track.time_s[-1]))
            raise DataError(
                f"{arguments.gpx} has no two points within the video: by clock it goes from {begins} to {ends} of it",
                "give the first frame's time with --clock",
            )
        track = inside if len(inside) > 1 else None
    if not by:
        by = classes.names[int(index.shares.std(axis=0).argmax())]
    report = Report(index, _hardest(video, index, arguments), track, by, _how(index), _bonnet(video, arguments.bonnet))
    write_atomically(output, page(report), advice="choose another place for the page")
    print_line(f"{output} ({output.stat().st_size / 2**20:.1f} MiB)")
    return 0


def _check(arguments: argparse.Namespace) -> None:
    """Check what can be checked before any work.

    Raises:
        UsageError, OutputError: the page cannot be written, or an option makes no sense.
    """
    output: Path = arguments.output
    if arguments.video.is_dir():
        raise UsageError(f"{arguments.video} is a folder", "a report is about one video: name a file")
    if output.is_dir():
        raise OutputError(f"-o {output} is a folder", "name a file in it, such as report.html")
    if output.suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"-o got {output}", "a report is a web page: name a file that ends in .html")
    if output.exists() and not arguments.overwrite:
        raise UsageError(f"{output} exists already", "choose another name or add --overwrite")
    if not output.absolute().parent.is_dir():
        raise OutputError(f"-o {output}: there is no folder {output.parent}", "make it, or choose another place")
    if not 0 <= arguments.hardest <= 100:
        raise UsageError(f"--hardest got {arguments.hardest}", "give 0 to 100")
    if arguments.clock is not None and arguments.gpx is None:
        raise UsageError("--clock matches a track to the video", "add --gpx FILE or leave it out")


def _track(video: Path, arguments: argparse.Namespace) -> Track | None:
    """Return where the drive went, None where nothing is known of it.

    Raises:
        UsageError: nobody knows when the video begins.
        DataError: the GPX file is none.
    """
    from segnet_live.drives.track import parse_clock, read_clock, read_gpx, read_telemetry

    if arguments.gpx is None:
        return read_telemetry(video)
    begun = parse_clock(arguments.clock) if arguments.clock is not None else read_clock(video)
    if begun is None:
        raise UsageError(
            f"{video} does not say when it begins", "give the first frame's time: --clock 2026-05-01T12:00:00Z"
        )
    return read_gpx(arguments.gpx, begun)


def _hardest(video: Path, index: DriveIndex, arguments: argparse.Namespace) -> list[Picture]:
    """Return pictures of the hardest moments, with the network's labels laid over them."""
    from segnet_live.drives.report.facts import hardest
    from segnet_live.drives.report.page import Picture
    from segnet_live.drives.stills import frames_at, jpeg
    from segnet_live.library import Segmenter
    from segnet_live.render.overlay import Overlay

    moments = hardest(index, arguments.hardest)
    if not moments:
        return []
    tell(f"labelling the {len(moments)} hardest moments for their pictures")
    overlay = Overlay(index.classes, opacity=0.45)
    pictures = []
    options = {"backend": arguments.backend, "precision": arguments.precision, "size": arguments.size}
    segmenter = Segmenter(arguments.model, **options) if arguments.model else Segmenter(**options)
    with segmenter:
        for moment, frame in zip(moments, frames_at(video, [m.pts_s for m in moments]), strict=False):
            shown = overlay.blend(frame.rgb, segmenter(frame.rgb))
            when = clock(moment.pts_s - index.start_s, tenths=True)
            pictures.append(Picture(jpeg(shown, width=THUMBNAIL_PX, quality=80), when, moment.why))
    return pictures


def _bonnet(video: Path, asked: str | None) -> Picture | None:
    """Return a picture of what is left out, or could be: what the car itself takes of the picture."""
    from segnet_live.drives.bonnet import chosen_bonnet, describe
    from segnet_live.drives.report.page import Picture
    from segnet_live.drives.stills import frames_at, jpeg

    bonnet = chosen_bonnet(asked or "auto", video, lambda line: None)
    if bonnet is None:
        return None
    [frame] = frames_at(video, [0.0])
    shown = jpeg(bonnet.show(frame.rgb), width=THUMBNAIL_PX, quality=80)
    if asked is None:
        share = f"{bonnet.share:.1%} of the picture never moves: --bonnet auto leaves it out of all shares"
        return Picture(shown, "The car itself?", share)
    return Picture(shown, "The car itself:", describe(bonnet))


def _how(index: DriveIndex) -> list[tuple[str, str]]:
    facts = index.facts
    speed = f"{facts.frames_per_s:.1f} frames/s"
    if facts.rate:
        speed += f", {facts.frames_per_s / facts.rate:.2g}x real time"
    return [
        ("Model", facts.model),
        ("Engine", facts.engine),
        ("Machine", facts.machine),
        ("Speed", speed),
        ("Labels", "smoothed over time" if index.key.get("smooth") else "as the network gave them, not smoothed"),
        ("Command", shlex.join(["segnet-live", *sys.argv[1:]])),
        ("Made", time.strftime("%Y-%m-%d %H:%M")),
    ]
