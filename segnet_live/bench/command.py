"""`segnet-live bench`: measure speed, memory and agreement, and say when the figures cannot be trusted."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from pathlib import Path
from typing import TypeVar

from segnet_live.config import BACKENDS, PRECISIONS, Backend, Precision, parse_size
from segnet_live.errors import CardError, EngineError, UsageError
from segnet_live.system import nvidia

Name = TypeVar("Name", bound=str)

EPILOG = """\
examples:
  segnet-live bench                                        every model on every engine of this machine
  segnet-live bench --markdown                             the table in bench/README.md, its command above it
  segnet-live bench --video drive.mp4                      the whole pipeline on a file too
  segnet-live bench --against torchvision.models.segmentation:lraspp_mobilenet_v3_large
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EPILOG
    add = parser.add_argument
    add(
        "--model", action="append", metavar="NAME|DIR", help="this model only; may be repeated (default: all installed)"
    )
    add("--backend", metavar="A,B", help=f"these engines only, of: {', '.join(BACKENDS[1:])} (default: all there are)")
    add(
        "--precision",
        metavar="A,B",
        help=f"these kinds of arithmetic only, of: {', '.join(PRECISIONS)} (default: auto, and fp32 beside it)",
    )
    add("--size", metavar="HxW", help="network input, height x width (default: each model's own)")
    add("--n", type=int, default=200, help="timed calls of each engine, warm-up not counted (default: %(default)s)")
    add("--seconds", type=float, default=20.0, help="stop timing a slow engine after this long (default: %(default)s)")
    add("--against", action="append", default=[], metavar="MODULE:FACTORY", help="time another torch network too")
    add("--video", action="append", default=[], metavar="FILE", help="time the headless pipeline on this file too")
    add("--confidence", action="store_true", help="time each engine with its confidence map too, in turns")
    add(
        "--paper-table",
        action="store_true",
        help="parameters, time and memory of every network as the paper's Tables 1 and 6 too, its figures beside them: "
        "random weights where none are installed (PyTorch; a quarter of an hour on two cores; with --model only those)",
    )
    add("--no-memory", action="store_true", help="skip memory, which needs a process for each engine")
    add("--json", type=Path, metavar="FILE", help="write all figures to FILE")
    add("--markdown", action="store_true", help="print Markdown")


def run(arguments: argparse.Namespace) -> int:
    """Run the measurements that `arguments` ask for, print them and write them.

    Raises:
        SegnetLiveError: nothing can be measured, or an argument cannot be carried out.
    """
    from segnet_live.bench.engines import Plan, measure
    from segnet_live.bench.machine import describe_machine
    from segnet_live.bench.memory import in_own_process
    from segnet_live.bench.network import PaperRow, paper_row, paper_subjects
    from segnet_live.bench.tables import as_json, engine_table, paper_table, video_table
    from segnet_live.bench.video import VideoRow, run_video
    from segnet_live.card import find_card, installed_cards
    from segnet_live.config import RunConfig, SourceSpec
    from segnet_live.engine.parity import reference_frames
    from segnet_live.system.files import write_atomically

    if arguments.n < 5 or arguments.seconds <= 0:
        raise UsageError(f"got --n {arguments.n} --seconds {arguments.seconds:g}", "give 5 calls and 0.1 s or more")
    if arguments.json is not None and not arguments.json.absolute().parent.is_dir():
        raise UsageError(f"--json {arguments.json}: there is no such folder", "make it, or choose another place")
    for video in arguments.video:
        if not Path(video).is_file():
            raise UsageError(f"--video {video}: no such file", "name a video file")
    cards = tuple(find_card(name) for name in arguments.model) if arguments.model else tuple(installed_cards())
    if not cards:
        raise CardError("no model is installed", "name a model folder with --model DIR")
    size = parse_size(arguments.size, "--size") if arguments.size else None
    machine = describe_machine()
    command = shlex.join(["segnet-live", *sys.argv[1:]])
    if not arguments.markdown:
        print("\n".join(machine.lines()), flush=True)
    plan = Plan(
        cards=cards,
        engines=_engines(arguments.backend, arguments.precision),
        size=size,
        n=arguments.n,
        seconds=arguments.seconds,
        against=tuple(arguments.against),
        memory=not arguments.no_memory,
        confidence=arguments.confidence,
    )
    report = measure(plan, reference_frames())
    tables = [engine_table(report)]
    paper: list[PaperRow] = []
    if arguments.paper_table:
        left_out = []
        subjects = cards if arguments.model else paper_subjects(cards)
        for number, subject in enumerate(subjects, 1):
            name = subject if isinstance(subject, str) else subject.name
            print(f"paper table: {number} of {len(subjects)}, {name}", file=sys.stderr, flush=True)
            try:
                paper.append(in_own_process(paper_row, subject, size or (360, 480), arguments.seconds))
            except EngineError as error:  # the largest networks need more memory than some machines have
                left_out.append((name, str(error)))
        if paper:
            tables.append(paper_table(paper, left_out))
    videos: list[VideoRow] = []
    for video in arguments.video:
        runs: list[VideoRow] = []
        for card in cards:
            fastest = report.fastest(card.name)
            if fastest is None:
                continue
            config = RunConfig(
                source=SourceSpec("video", video),
                model=str(card.folder),
                backend=fastest.backend,
                precision=fastest.precision,
                size=size,
            )
            runs.append(in_own_process(run_video, config))
        if runs:
            tables.append(video_table(runs))
        videos += runs
    if arguments.markdown:
        print(f"```sh\n{command}\n```\n\n{'  '.join(line + chr(10) for line in machine.lines())}")
    for index, table in enumerate(tables):
        if index:
            print()
        table.show(markdown=arguments.markdown)
    if arguments.json is not None:
        figures = json.dumps(as_json(machine, command, report, paper, videos), indent=1)
        write_atomically(arguments.json, figures + "\n", advice="choose another place for --json")
    return 0


def _engines(backends: str | None, precisions: str | None) -> tuple[tuple[Backend, Precision], ...]:
    """Return (backend, precision) pairs, the default ones first.

    Raises:
        UsageError: an unknown name.
    """
    chosen = _names("--backend", backends, BACKENDS) or _present()
    wanted: tuple[Precision, ...] = _names("--precision", precisions, PRECISIONS) or ("auto", "fp32")
    return tuple((backend, precision) for backend in chosen for precision in wanted)


def _present() -> tuple[Backend, ...]:
    """Return the backends worth trying here: those of the GPU only where there is one."""
    return BACKENDS[1:] if nvidia.has_gpu() else ("openvino", "torch")


def _names(option: str, text: str | None, choices: tuple[Name, ...]) -> tuple[Name, ...]:
    asked = tuple(part.strip() for part in text.split(",")) if text else ()
    for name in asked:
        if name not in choices:
            raise UsageError(f"unknown {option} {name!r}", f"choose from {', '.join(choices)}")
    return tuple(choice for name in asked for choice in choices if choice == name)
