"""`segnet-live repair`: make an ordinary mp4 of the file that an interrupted recording left."""

from __future__ import annotations

import argparse
from pathlib import Path

from segnet_live.display_text import print_line
from segnet_live.errors import OutputError, UsageError
from segnet_live.system.files import final_path, free_path, held


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, metavar="FILE.partial.mp4", help="what the interrupted recording left")
    parser.add_argument(
        "--output",
        type=Path,
        metavar="OUT.mp4",
        help="the mp4 to write (default: FILE.mp4, or FILE-2.mp4 if it exists)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Copy every whole picture and sound packet to an mp4 with an index, then delete the partial file.

    Raises:
        UsageError: the name is not that of a partial file, or the output exists.
        OutputError: the recording still goes on, nothing in the file plays, or the mp4 cannot be written.
    """
    partial: Path = arguments.file
    finished = final_path(partial)
    if finished is None or partial.suffix.lower() != ".mp4":
        raise UsageError(f"got {partial}", "name the FILE.partial.mp4 that an interrupted recording left")
    if not partial.is_file():
        raise UsageError(f"{partial}: no such file", "check the path")
    output = arguments.output or next_free(finished)
    if output.suffix.lower() != ".mp4":
        raise UsageError(f"--output got {output}", "name a file that ends in .mp4")
    if output.exists():
        raise UsageError(f"--output {output} exists already", "choose another name")
    from segnet_live.video.remux import repair

    with held(finished):
        pictures, seconds = repair(partial, output)
        try:
            partial.unlink()
        except OSError as error:
            raise OutputError(f"{output} is complete, but {partial} cannot be deleted ({error.strerror})") from error
    print_line(f"{output}: {pictures} pictures, {seconds:.1f} s; {partial.name} is deleted")
    return 0


def next_free(finished: Path) -> Path:
    """Return `finished`, or the first of its numbered names that is free."""
    return finished if not finished.exists() else free_path(finished, 2)
