"""`segnet-live export`: take a network, or the label maps of a run, to other programs."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from segnet_live.card import DEFAULT_MODEL, find_card
from segnet_live.config import format_size, parse_size
from segnet_live.display_text import fit_to_show
from segnet_live.errors import OutputError, UsageError
from segnet_live.export.formats import ANNOTATIONS, FORMATS, PRECISIONS, SUFFIXES, Annotations


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_mutually_exclusive_group(required=True).add_argument
    add("--to", choices=FORMATS, help="write the network: uint8 RGB in, class ids out, everything else inside")
    add("--annotations", choices=ANNOTATIONS, help="write the label maps of --labels as annotations")
    add = parser.add_argument
    add("--model", metavar="NAME|DIR", default=DEFAULT_MODEL, help=f"model to write (default: {DEFAULT_MODEL})")
    add(
        "--out",
        type=Path,
        metavar="FILE|DIR",
        help="what to write (default: MODEL-SIZE with the format's suffix, or a folder)",
    )
    add("--size", metavar="HxW", help="with --to: network input, height x width (default: the card's)")
    add(
        "--precision",
        choices=PRECISIONS,
        default="fp32",
        help="with --to: arithmetic (default: fp32; int8 for openvino only)",
    )
    add("--labels", type=Path, metavar="DIR", help="with --annotations: a folder of label maps or of drafts")
    add("--overwrite", action="store_true", help="replace what is there")
    add("--json", action="store_true", help="print the outcome as JSON, and what happens to stderr")


def run(arguments: argparse.Namespace) -> int:
    """Export, check by running what was written, and print how far it agrees with PyTorch.

    Raises:
        SegnetLiveError: it cannot be exported so; nothing was written then.
    """
    from rich.console import Console

    console = Console(stderr=arguments.json, highlight=False, markup=False, soft_wrap=True)
    if arguments.to is not None:
        if arguments.labels is not None:
            raise UsageError("--labels belongs to --annotations", "drop it")
        outcome = _network(arguments, console)
    else:
        outcome = _annotations(arguments, console)
    if arguments.json:
        json.dump(outcome, sys.stdout, indent=1)
        print()
    return 0


def _network(arguments: argparse.Namespace, console: Any) -> dict[str, Any]:
    card = find_card(arguments.model)
    size = None if arguments.size is None else parse_size(arguments.size, "--size")
    if size is not None and (size[0] % 8 or size[1] % 8):
        raise UsageError(f"--size is {format_size(size)}", "give multiples of 8, such as 360x480")
    suffix = SUFFIXES[arguments.to]
    out: Path = arguments.out or Path(f"{card.file_name}-{format_size(size or card.input_size)}{suffix}")
    _require_free([out, *([out.with_suffix(".bin")] if suffix == ".xml" else [])], arguments.overwrite)
    from segnet_live.export.network import export

    done = export(card, arguments.to, out, size, arguments.precision, lambda line: console.print(fit_to_show(line)))
    files = ", ".join(fit_to_show(str(path)) for path in done.paths)
    console.print(
        f"{files}: {done.agreement:.2%} of the pixels as PyTorch labels them, run with {done.runtime} on "
        f"{done.frames} frames at {format_size(done.size)}"
    )
    return {
        "files": [str(path) for path in done.paths],
        "format": arguments.to,
        "size": list(done.size),
        "precision": done.precision,
        "agreement": round(done.agreement, 6),
        "frames": done.frames,
        "run_with": done.runtime,
    }


def _annotations(arguments: argparse.Namespace, console: Any) -> dict[str, Any]:
    if arguments.labels is None:
        raise UsageError("--annotations needs label maps", "pass their folder as --labels DIR")
    if arguments.size is not None:
        raise UsageError("--size belongs to --to", "drop it")
    from rich.progress import track

    from segnet_live.export.annotations import label_files, write_annotations

    to: Annotations = arguments.annotations
    classes = find_card(arguments.model).classes
    files = label_files(arguments.labels)
    out: Path = arguments.out or arguments.labels.with_name(f"{arguments.labels.name}-{to}")
    if out.exists() and not out.is_dir():
        raise OutputError(f"{out} is no folder", "pass another --out")
    _require_free([out / {"coco": "instances.json", "cvat": "annotations.xml"}.get(to, "")], arguments.overwrite)
    written = write_annotations(to, files, classes, out)
    count = sum(1 for _ in track(written, "writing", total=len(files), console=console, transient=True))
    console.print(f"{fit_to_show(str(out))}: {count} pictures as {to}")
    return {"out": str(out), "format": to, "pictures": count}


def _require_free(paths: list[Path], overwrite: bool) -> None:
    taken = [path for path in paths if path.exists() and (path.is_file() or any(path.iterdir()))]
    if taken and not overwrite:
        raise OutputError(f"{taken[0]} exists", "pass another --out, or --overwrite")
