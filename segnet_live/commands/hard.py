"""`segnet-live hard`: keep the frames of a video that teach most, as drafts to correct."""

from __future__ import annotations

import argparse
import json
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from segnet_live.card import DEFAULT_MODEL, Card, find_card, installed_cards
from segnet_live.errors import OutputError, UsageError
from segnet_live.shown import fit_to_show
from segnet_live.video.location import is_stream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from segnet_live.drafts.choose import Candidate
    from segnet_live.frame import RGB
    from segnet_live.library import StreamResult

AUTO, NONE = "auto", "none"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("video", nargs="+", metavar="VIDEO", help="video files; the frames are shared out among them")
    add("--out", type=Path, required=True, metavar="DIR", help="drafts folder; what is kept there stays")
    add("--count", type=int, default=50, metavar="N", help="frames to keep, at most (default: 50)")
    add("--model", metavar="NAME|DIR", default=DEFAULT_MODEL, help=f"whose hard frames (default: {DEFAULT_MODEL})")
    add(
        "--against",
        metavar="NAME|DIR",
        default=AUTO,
        help="second model, to find where the two disagree; 'none' leaves it out (default: another installed model)",
    )
    add("--start", type=float, default=0.0, metavar="S", help="skip this many seconds")
    add("--duration", type=float, default=None, metavar="S", help="look at this many seconds only")
    add("--json", action="store_true", help="print the kept frames as JSON, and what happens to stderr")


def run(arguments: argparse.Namespace) -> int:
    """Look at every frame, choose, and write frames and guesses; what a person corrected before is never touched.

    Raises:
        SegnetLiveError: a video cannot be read, or the folder not be written; frames written before are kept.
    """
    if arguments.count < 1:
        raise UsageError(f"--count is {arguments.count}", "give a number of frames, 1 or more")
    if arguments.out.exists() and not arguments.out.is_dir():
        raise OutputError(f"{arguments.out} is no folder", "pass another --out")
    from rich.console import Console

    for video in arguments.video:
        if is_stream(video) or Path(video).is_dir():
            raise UsageError(f"{video} is no video file", "name files; record a stream first with --record")
    card = find_card(arguments.model)
    second = _second(card, arguments.against)
    console = Console(stderr=arguments.json, highlight=False, markup=False, soft_wrap=True)

    def say(line: str) -> None:
        console.print(fit_to_show(line))

    kept: list[dict[str, object]] = []
    videos: list[str] = arguments.video
    for place, video in enumerate(videos):
        share = arguments.count // len(videos) + (place < arguments.count % len(videos))
        if share:
            kept += _keep(video, share, card, second, arguments, say)
    say(f"{len(kept)} drafts in {arguments.out}; correct them with: segnet-live correct {arguments.out}")
    if arguments.json:
        json.dump({"drafts": str(arguments.out), "kept": kept}, sys.stdout, indent=1)
        print()
    return 0


def _second(card: Card, against: str) -> Card | None:
    """Return the model to compare with: the one named, or another installed one of the same classes."""
    if against == NONE:
        return None
    if against != AUTO:
        second = find_card(against)
        if second.classes.names != card.classes.names:
            raise UsageError(f"{second.name} has other classes than {card.name}", "pass another --against, or 'none'")
        return second
    others = [c for c in installed_cards() if c.sha256 != card.sha256 and c.classes.names == card.classes.names]
    return others[0] if others else None


def _keep(
    video: str,
    count: int,
    card: Card,
    second: Card | None,
    arguments: argparse.Namespace,
    say: Callable[[str], None],
) -> list[dict[str, object]]:
    """Keep the `count` frames of one video that teach most; return what is known of each."""
    from segnet_live.drafts.choose import chosen
    from segnet_live.drafts.folder import DraftFolder, Record, draft_name
    from segnet_live.library import Segmenter

    say(f"{video}: looking for hard frames with {card.name}" + (f" and {second.name}" if second is not None else ""))
    found = candidates(video, count, card, second, arguments.start, arguments.duration)
    wanted = [found[i] for i in chosen(found, count)]
    folder, kept = DraftFolder(arguments.out), []
    with Segmenter(model=card.folder) as segmenter:
        for candidate, rgb in frames(video, wanted):
            name = draft_name(video, candidate.time_s)
            why = {key: round(value, 4) for key, value in candidate.why.items()}
            if folder.has(name):
                say(f"{name} is kept already, and left as it is")
                continue
            record = Record(video, round(candidate.time_s, 3), card.name, card.sha256, why)
            draft = folder.add(name, rgb, segmenter(rgb), card.classes, record)
            kept.append({"name": name, "frame": str(draft.image), "time_s": record.time_s, "why": why})
    return kept


def candidates(
    video: str, count: int, card: Card, second: Card | None, start_s: float = 0.0, duration_s: float | None = None
) -> list[Candidate]:
    """Look at every frame of a video, and return some ten times as many as wanted with their figures.

    Raises:
        SegnetLiveError: the video cannot be read, or is no file.
    """
    from segnet_live.drafts.choose import Candidate, flicker, look, spread
    from segnet_live.library import Segmenter, stream

    found: list[Candidate] = []
    with Segmenter(model=second.folder if second is not None else card.folder) as other:

        def consider(here: StreamResult, window: Sequence[StreamResult]) -> None:
            why: dict[str, float] = {}
            if len(window) == 3:
                why["flicker"] = flicker(*(result.network_labels for result in window))
            if second is not None:
                why["disagreement"] = float((other(here.rgb) != here.labels).mean())
            found.append(Candidate(here.pts_s, look(here.rgb), why))

        window: list[StreamResult] = []
        next_s = -math.inf
        for result in stream(video, model=card.folder, smooth=False, start_s=start_s, duration_s=duration_s):
            window = [*window[-2:], result]
            here = window[-2] if len(window) > 1 else result
            if len(window) == 3 and here.pts_s >= next_s:
                consider(here, window)
                length_s = result.source.duration_s if duration_s is None else duration_s
                next_s = here.pts_s + spread(length_s, count)
        if not found and window:
            consider(window[0], window[:1])
    return found


def frames(video: str, wanted: Sequence[Candidate]) -> Iterator[tuple[Candidate, RGB]]:
    """Yield the pictures of the wanted frames, in order of time, by seeking to each."""
    from segnet_live.config import SourceSpec
    from segnet_live.video.open import open_source

    source = open_source(SourceSpec("video", video))
    try:
        for candidate in wanted:
            source.seek(max(candidate.time_s - 1e-4, source.info.start_s))
            frame = source.read()
            if frame is not None:
                yield candidate, frame.rgb
    finally:
        source.close()
