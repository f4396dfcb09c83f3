"""`segnet-live find`: name the moments of drives by what is in the picture, with stills and clips of them."""

from __future__ import annotations

import argparse
import json
import math
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segnet_live.commands.drives import add_index_arguments, index_of, index_options, tell, videos_at
from segnet_live.config import clock
from segnet_live.display_text import print_line
from segnet_live.errors import OutputError, SegnetLiveError, UsageError

if TYPE_CHECKING:
    from segnet_live.drives.index import DriveIndex
    from segnet_live.drives.moments import Moment

EPILOG = """\
questions:
  "Pedestrian > 2% for 1s and Road < 30%"     people in sight for a second or more while little road is
  "Car + Bicyclist > 25% or cut"              much traffic, or the first frame of a scene
  "not Road > 5% for 10s"                     ten seconds without a road
  "confidence < 60% and time > 1:30"          where the network was unsure, after a minute and a half
A question compares class shares, sums of them, confidence, flicker (share of pixels that change class), motion or time;
and, or, not and brackets combine; "for" says how long without a break.

examples:
  segnet-live find drive.mp4 "Pedestrian > 2%" --stills stills
  segnet-live find drives/ "Bicyclist > 1% for 1s" --cut clips --json
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EPILOG
    parser.add_argument("video", type=Path, metavar="VIDEO|DIR", help="a video, or a folder of videos")
    parser.add_argument("question", help='what to look for, such as "Pedestrian > 2%% for 1s"')
    add = parser.add_argument
    add("--stills", type=Path, metavar="DIR", help="one JPEG a moment: the frame that shows best what was asked for")
    add(
        "--cut",
        type=Path,
        metavar="DIR",
        help="one clip a moment, copied from the key frame before, nothing re-encoded",
    )
    add("--around", type=float, default=1.0, metavar="S", help="seconds that clips add on both sides (default: 1)")
    add("--overwrite", action="store_true", help="replace stills and clips that exist")
    add("--json", action="store_true", help="print JSON: times in seconds, shares 0..1, files written")
    add_index_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Answer the question for each video and print its moments; a video that fails stops no other.

    Returns:
        0, also where nothing was found; 2 if a video failed.

    Raises:
        SegnetLiveError: the question, or the one video, cannot be carried out.
    """
    from segnet_live.card import DEFAULT_MODEL, find_card
    from segnet_live.drives.moments import find_moments
    from segnet_live.drives.query import parse

    if not (math.isfinite(arguments.around) and arguments.around >= 0):
        raise UsageError(f"--around got {arguments.around:g}", "give seconds, 0 or more")
    question = parse(arguments.question, find_card(arguments.model or DEFAULT_MODEL).classes)
    videos, options = videos_at(arguments.video), index_options(arguments)
    for option, folder in (("--stills", arguments.stills), ("--cut", arguments.cut)):
        if folder is not None and folder.exists() and not folder.is_dir():
            raise OutputError(f"{option} {folder} is a file", "name a folder")
    stems = Counter(video.stem.lower() for video in videos)
    found: list[dict[str, Any]] = []
    failed = 0
    for video in videos:
        try:
            index = index_of(video, options)
            moments = find_moments(index, question)
            entries = [_entry(video, index, moment) for moment in moments]
            if not arguments.json:
                _print(video, entries)
            title = video.stem if stems[video.stem.lower()] == 1 else video.name
            _write(video, title, index, moments, entries, arguments)
        except SegnetLiveError as error:
            if len(videos) == 1:
                raise
            failed += 1
            tell(f"{video} failed: {error}")
            continue
        found += entries
    if arguments.json:
        print(json.dumps(found, indent=1))
    elif len(videos) > 1:
        length_s = sum(entry["end_s"] - entry["start_s"] for entry in found)
        print_line(f"{len(found)} moments, {clock(length_s)} in all, in {len(videos)} videos" + _failures(failed))
    return 2 if failed else 0


def _failures(count: int) -> str:
    return f"; {count} failed" if count else ""


def _entry(video: Path, index: DriveIndex, moment: Moment) -> dict[str, Any]:
    """Return a moment as --json prints it: seconds from the beginning of the video."""
    return {
        "video": str(video),
        "start_s": round(moment.start_s - index.start_s, 3),
        "end_s": round(moment.end_s - index.start_s, 3),
        "best_s": round(moment.best_s - index.start_s, 3),
        "figures": {name: round(value, 4) for name, value in moment.figures.items()},
    }


def _print(video: Path, entries: list[dict[str, Any]]) -> None:
    if not entries:
        print_line(f"{video}: nothing found")
    for entry in entries:
        times = f"{clock(entry['start_s'], tenths=True)} to {clock(entry['end_s'], tenths=True)}"
        figures = ", ".join(f"{name} {value:.1%}" for name, value in entry["figures"].items())
        at = f"; at {clock(entry['best_s'], tenths=True)} {figures}" if figures else ""
        print_line(f"{video}: {times} ({entry['end_s'] - entry['start_s']:.1f} s){at}")


def _write(
    video: Path,
    title: str,
    index: DriveIndex,
    moments: list[Moment],
    entries: list[dict[str, Any]],
    arguments: argparse.Namespace,
) -> None:
    """Write stills and clips, called by `title` and time, and name them in `entries`.

    Raises:
        UsageError: one exists; nothing was written then.
        SegnetLiveError: one cannot be written; those before it are kept.
    """
    from segnet_live.drives.stills import frames_at, jpeg
    from segnet_live.system.files import write_atomically
    from segnet_live.video.cut import clip_suffix, cut_clip

    def name(entry: dict[str, Any], folder: Path, suffix: str) -> Path:
        return folder / f"{title}_{entry['start_s']:09.2f}s{suffix}"

    stills = [name(entry, arguments.stills, ".jpg") for entry in entries] if arguments.stills is not None else []
    clips = [name(entry, arguments.cut, clip_suffix(video)) for entry in entries] if arguments.cut is not None else []
    existing = [path for path in (*stills, *clips) if path.exists()]
    if existing and not arguments.overwrite:
        raise UsageError(f"{existing[0]} exists already", "choose another folder or add --overwrite")
    if stills:
        frames = frames_at(video, [moment.best_s for moment in moments])
        for path, entry, frame in zip(stills, entries, frames, strict=False):
            write_atomically(path, jpeg(frame.rgb), advice="choose another folder for --stills")
            entry["still"] = str(path)
    for path, entry, moment in zip(clips, entries, moments, strict=False):
        begin_s = max(index.start_s, moment.start_s - arguments.around)
        start_s, length_s = cut_clip(video, begin_s, moment.end_s + arguments.around, path)
        entry["clip"] = {
            "file": str(path),
            "start_s": round(start_s - index.start_s, 3),
            "length_s": round(length_s, 3),
        }
    if not arguments.json:
        for what, paths, folder in (("stills", stills, arguments.stills), ("clips", clips, arguments.cut)):
            if paths:
                print_line(f"{video}: {len(paths)} {what if len(paths) > 1 else what[:-1]} in {folder}")
