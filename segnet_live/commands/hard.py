"""`segnet-live hard`: pick the frames of a drive that a model finds hard, as drafts to correct."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segnet_live.commands.drives import add_index_arguments, index_of, index_options, tell, videos_at
from segnet_live.display_text import print_line
from segnet_live.errors import OutputError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from segnet_live.card import Card
    from segnet_live.drafts.choose import Candidate
    from segnet_live.drives.index import DriveIndex
    from segnet_live.frame import RGB
    from segnet_live.library import Segmenter

AUTO, NONE = "auto", "none"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("video", nargs="+", type=Path, metavar="VIDEO", help="drives, or folders of them; they share the frames out")
    add("--out", type=Path, required=True, metavar="DIR", help="drafts folder; what is kept there stays")
    add("--count", type=int, default=50, metavar="N", help="frames to keep, at most (default: 50)")
    add(
        "--against",
        metavar="NAME|DIR",
        default=AUTO,
        help="second model, to find where the two disagree; 'none' leaves it out (default: another installed model)",
    )
    add("--json", action="store_true", help="print the kept frames as JSON")
    add_index_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Choose by the index and by two models, and write frames and guesses; what is kept already is never touched.

    Raises:
        SegnetLiveError: a drive cannot be read, or the folder not be written; frames written before are kept.
    """
    if arguments.count < 1:
        raise UsageError(f"--count is {arguments.count}", "give a number of frames, 1 or more")
    if arguments.out.exists() and not arguments.out.is_dir():
        raise OutputError(f"{arguments.out} is no folder", "pass another --out")
    from segnet_live.card import DEFAULT_MODEL, find_card

    card = find_card(arguments.model or DEFAULT_MODEL)
    second = _second(card, arguments.against)
    videos = [video for place in arguments.video for video in videos_at(place)]
    kept: list[dict[str, Any]] = []
    for place, video in enumerate(videos):
        share = arguments.count // len(videos) + (place < arguments.count % len(videos))
        if share:
            kept += _keep(video, share, card, second, arguments)
    if arguments.json:
        json.dump({"drafts": str(arguments.out), "kept": kept}, sys.stdout, indent=1)
        print()
    else:
        print_line(f"{len(kept)} drafts in {arguments.out}; correct them with: segnet-live correct {arguments.out}")
    return 0


def _second(card: Card, against: str) -> Card | None:
    """Return the model to compare with: the one named, or another installed one of the same classes."""
    from segnet_live.card import find_card, installed_cards

    if against == NONE:
        return None
    if against != AUTO:
        second = find_card(against)
        if second.classes.names != card.classes.names:
            raise UsageError(f"{second.name} has other classes than {card.name}", "pass another --against, or 'none'")
        return second
    others = [c for c in installed_cards() if c.weights_id != card.weights_id and c.classes.names == card.classes.names]
    return others[0] if others else None


def _keep(
    video: Path, count: int, card: Card, second: Card | None, arguments: argparse.Namespace
) -> list[dict[str, Any]]:
    """Keep the `count` frames of one drive that teach most; return what is known of each."""
    from contextlib import ExitStack

    from segnet_live.drafts.choose import chosen
    from segnet_live.drafts.folder import DraftFolder, Record, draft_name
    from segnet_live.drives.bonnet import chosen_bonnet
    from segnet_live.library import Segmenter

    index = index_of(video, index_options(arguments))
    tell(f"{video}: looking for hard frames with {card.name}" + (f" and {second.name}" if second is not None else ""))
    bonnet = chosen_bonnet(arguments.bonnet, video, tell) if arguments.bonnet else None
    folder, kept = DraftFolder(arguments.out), []
    with ExitStack() as opened:
        segmenter = opened.enter_context(_segmenter(card, arguments))
        other = None if second is None else opened.enter_context(Segmenter(model=second.folder))
        found = candidates(video, index, count, segmenter, other)
        for candidate, rgb in pictures(video, [found[i] for i in chosen(found, count)]):
            name = draft_name(str(video), candidate.time_s)
            if folder.has(name):
                tell(f"{name} is kept already, and left as it is")
                continue
            why = {key: round(value, 4) for key, value in candidate.why.items()}
            record = Record(str(video), round(candidate.time_s, 3), card.name, card.weights_id, why)
            guess = segmenter(rgb)
            if bonnet is not None:  # nothing is to be learnt there
                guess = bonnet.leave_out(guess, card.classes.void_id)
            draft = folder.add(name, rgb, guess, card.classes, record)
            kept.append({"name": name, "frame": str(draft.image), "time_s": record.time_s, "why": why})
    return kept


def _segmenter(card: Card, arguments: argparse.Namespace) -> Segmenter:
    from segnet_live.library import Segmenter

    options = index_options(arguments)
    return Segmenter(model=card.folder, backend=options.backend, precision=options.precision, size=options.size)


def candidates(
    video: Path, index: DriveIndex, count: int, segmenter: Segmenter, other: Segmenter | None
) -> list[Candidate]:
    """Return some ten times as many frames as wanted, the hardest of each stretch of the drive, with their figures.

    Args:
        other: labels them too, to see where the two disagree.
    """
    from dataclasses import replace

    from segnet_live.drafts.choose import hardest, look

    found = []
    for candidate, rgb in pictures(video, hardest(index.pts_s, index.flicker, index.motion, index.confidence, count)):
        why = dict(candidate.why)
        if other is not None:
            why["disagreement"] = float((other(rgb) != segmenter(rgb)).mean())
        found.append(replace(candidate, look=look(rgb), why=why))
    return found


def pictures(video: Path, wanted: Sequence[Candidate]) -> Iterator[tuple[Candidate, RGB]]:
    """Yield the pictures of the wanted frames, in order of time, by seeking to each."""
    from segnet_live.config import SourceSpec
    from segnet_live.video.open import open_source

    source = open_source(SourceSpec("video", str(video)))
    try:
        for candidate in wanted:
            source.seek(max(candidate.time_s - 1e-4, source.info.start_s))
            frame = source.read()
            if frame is not None:
                yield candidate, frame.rgb
    finally:
        source.close()
