"""What the commands on drives share: their options, their videos, progress that stays out of what they print."""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from segnet_live.config import BACKENDS, INDEX_PLACES, PRECISIONS, parse_size
from segnet_live.display_text import print_line
from segnet_live.errors import SourceError

if TYPE_CHECKING:
    from segnet_live.drives.index import DriveIndex
    from segnet_live.pipeline.headless.indexing import IndexOptions


def add_index_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of how a drive is labelled for its index."""
    add = parser.add_argument_group("index (made once for a drive, and used again)").add_argument
    add("--model", metavar="NAME|DIR", help="installed model or a model folder")
    add("--backend", choices=BACKENDS, default="auto", help="what runs the network (default: the fastest there is)")
    add(
        "--precision",
        choices=PRECISIONS,
        default="auto",
        help="arithmetic of the network (default: the backend's fast one)",
    )
    add("--size", type=partial(parse_size, option="--size"), metavar="HxW", help="network input, height x width")
    add(
        "--bonnet",
        metavar="auto|PICTURE",
        help="leave out what the car itself takes of the picture: found in the video, or white in a picture",
    )
    add(
        "--index",
        choices=INDEX_PLACES,
        default="cache",
        help="where a new index is kept: the private cache, or VIDEO.index beside the video (default: cache)",
    )
    add("--fresh", action="store_true", help="make the index anew")


def index_options(arguments: argparse.Namespace) -> IndexOptions:
    """Return what `add_index_arguments` took."""
    from segnet_live.pipeline.headless.indexing import IndexOptions

    return IndexOptions(
        model=arguments.model,
        backend=arguments.backend,
        precision=arguments.precision,
        size=arguments.size,
        bonnet=arguments.bonnet,
        place=arguments.index,
        fresh=arguments.fresh,
    )


def videos_at(place: Path) -> list[Path]:
    """Return the video `place`, or those of the folder `place`, by name.

    Raises:
        SourceError: there is none.
    """
    from segnet_live.video.location import videos_in

    if place.is_dir():
        return videos_in(place)
    if not place.is_file():
        raise SourceError(f"{place}: no such file", "name a video file, or a folder of videos")
    return [place]


def index_of(video: Path, options: IndexOptions) -> DriveIndex:
    """Return the index of a drive; what is missing of it is made, with progress on standard error.

    Raises:
        SegnetLiveError: it cannot be made.
    """
    from segnet_live.pipeline.headless.indexing import indexed
    from segnet_live.pipeline.headless.progress import FrameProgress

    progress: list[FrameProgress] = []

    def watch(done: int, total: int | None) -> bool:
        if not progress:
            progress.append(FrameProgress(total, sys.stderr).__enter__())
        progress[0].update(done, 0)
        return True

    try:
        return indexed(video, options, tell, watch)
    finally:
        for shown in progress:
            shown.__exit__(None, None, None)


def tell(line: str) -> None:
    """Print a line about the work on standard error: standard output is for what was asked."""
    print_line(line, file=sys.stderr)
