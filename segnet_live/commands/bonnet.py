"""`segnet-live bonnet`: find what the car itself takes of a drive's pictures, show it, write it as a picture."""

from __future__ import annotations

import argparse
from pathlib import Path

from segnet_live.display_text import print_line
from segnet_live.errors import OutputError, UsageError

EPILOG = """\
examples:
  segnet-live bonnet drive.mp4 --show look.jpg                 what was found, on a frame of the drive
  segnet-live bonnet drive.mp4 --output bonnet.png             the same as a picture: white is left out
  segnet-live bonnet drive.mp4 --output bonnet.png --below 12  the lowest 12 % instead of what was found
Then: segnet-live --video drive.mp4 --bonnet bonnet.png ...; any editor can change it. --bonnet auto finds it each time.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EPILOG
    parser.add_argument("video", type=Path, metavar="VIDEO", help="the drive")
    add = parser.add_argument
    add("-o", "--output", type=Path, metavar="MASK.png", help="write the bonnet as a picture of the video's size")
    add("--show", type=Path, metavar="LOOK.jpg", help="write a frame with the bonnet marked")
    add(
        "--below",
        type=float,
        metavar="PERCENT",
        help="take this much of the picture's height, from below; seek nothing",
    )
    add(
        "--grow",
        type=float,
        default=0.0,
        metavar="PERCENT",
        help="make the bonnet higher (or lower: -2) by this much of the height",
    )
    add("--overwrite", action="store_true", help="replace pictures that exist")


def run(arguments: argparse.Namespace) -> int:
    """Find the bonnet, print what it is, and write the pictures asked for; without a bonnet none is written.

    Raises:
        SegnetLiveError: the video cannot be read, hardly moves, or a picture cannot be written.
    """
    import cv2
    import numpy as np

    from segnet_live.drives.bonnet import Bonnet, describe, find_bonnet
    from segnet_live.drives.stills import frames_at, jpeg
    from segnet_live.system.files import write_atomically

    for option, path, suffixes in (("-o", arguments.output, (".png",)), ("--show", arguments.show, (".jpg", ".jpeg"))):
        if path is None:
            continue
        if path.suffix.lower() not in suffixes:
            raise UsageError(f"{option} got {path}", f"name a file that ends in {suffixes[0]}")
        if path.is_dir():
            raise OutputError(f"{option} {path} is a folder", "name a file in it")
        if path.exists() and arguments.video.exists() and path.samefile(arguments.video):
            raise UsageError(f"{option} {path} is the video itself", "choose another name")
        if path.exists() and not arguments.overwrite:
            raise UsageError(f"{path} exists already", "choose another name or add --overwrite")
    for option, value, most in (("--below", arguments.below, 80.0), ("--grow", arguments.grow, 50.0)):
        if value is not None and not (-most if option == "--grow" else 0) <= value <= most:
            raise UsageError(f"{option} got {value:g}", f"give percent of the height, {most:g} at most")
    if arguments.below is not None:
        rows = np.arange(1000)[:, None] >= 1000 - round(max(0.0, arguments.below) * 10)
        bonnet: Bonnet | None = Bonnet(np.repeat(rows, 1000, axis=1))
    else:
        bonnet = find_bonnet(arguments.video)
    if bonnet is not None and arguments.grow:
        bonnet = bonnet.grown(arguments.grow / 100)
    print_line(f"{arguments.video}: {describe(bonnet)}")
    if bonnet is None:
        return 0
    [frame] = frames_at(arguments.video, [0.0])
    if arguments.output is not None:
        mask = bonnet.at(frame.size).astype(np.uint8) * 255
        write_atomically(arguments.output, cv2.imencode(".png", mask)[1].tobytes())
        print_line(str(arguments.output))
    if arguments.show is not None:
        write_atomically(arguments.show, jpeg(bonnet.show(frame.rgb)))
        print_line(str(arguments.show))
    return 0
