"""`python -m train`: fit, evaluate, package, release, compact, weights."""

from __future__ import annotations

import argparse
import math
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Any

from segnet_live.card import Card, find_card, read_card
from segnet_live.engine.base import Engine
from segnet_live.errors import SegnetLiveError, UsageError
from segnet_live.exit import leave
from train.checkpoint import current_commit, read_checkpoint, start_of
from train.config import add_options, from_options
from train.data import LabelledSet, Sample, write_compact
from train.logit_adjustment import KEPT_POWER, take_back
from train.package import shown_command
from train.release import MODELS, fit_commands, package_command
from train.sets import SETS


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit code: 0, 2 after an error a person can mend, 130 after Ctrl-C."""
    args = _parser().parse_args(arguments)
    args.command_line = sys.argv[1:] if arguments is None else arguments
    try:
        args.run(args)
    except SegnetLiveError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m train", description="Train, measure and package the networks.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    data = argparse.ArgumentParser(add_help=False)
    data.add_argument("--data", type=Path, required=True, metavar="DIR", help="folder of the labelled set")
    data.add_argument("--set", choices=SETS, default="camvid", help="layout and classes of --data (default camvid)")

    engine = argparse.ArgumentParser(add_help=False)
    engine.add_argument("--backend", default="auto", help="auto, openvino, torch, inductor, tensorrt")
    engine.add_argument("--precision", default="auto", help="auto, fp32, bf16, fp16, int8")
    engine.add_argument(
        "--size", type=_size, metavar="HxW", help="network size; default as in the app, from the images"
    )

    command = commands.add_parser("fit", help="train a network", parents=[data])
    _fit_options(command)

    command = commands.add_parser("evaluate", help="G, C, mIoU, BF, IoU and flicker", parents=[engine])
    what = command.add_mutually_exclusive_group(required=True)
    what.add_argument("--data", type=Path, metavar="DIR", help="folder of the labelled set")
    what.add_argument("--clip", type=Path, metavar="VIDEO", help="a video without labels: its flicker alone")
    command.add_argument("--set", choices=SETS, default="camvid", help="layout and classes of --data (default camvid)")
    subject = command.add_mutually_exclusive_group(required=True)
    subject.add_argument("--model", help="installed model or model folder")
    subject.add_argument("--checkpoint", type=Path, help="a checkpoint of `fit`, packaged on the fly")
    command.add_argument("--architecture", help="network of a checkpoint that does not say")
    command.add_argument("--split", nargs="+", default=["val"])
    command.add_argument("--drives", nargs="+", metavar="PREFIX", help="only images whose names begin so")
    command.add_argument(
        "--pictures", type=Path, metavar="DIR", help="write image, labels and errors of every image here"
    )
    command.add_argument("--smooth", action="store_true", help="steadied over time, as the app shows videos")
    command.add_argument("--json", type=Path, metavar="FILE", help="write the figures here as well")
    command.set_defaults(run=_evaluate)

    command = commands.add_parser("package", help="checkpoint -> model folder with card", parents=[engine])
    command.add_argument("--checkpoint", type=Path, required=True)
    command.add_argument("--model", help="architecture, if the checkpoint does not say")
    command.add_argument("--name", help="name of the model; default its architecture")
    command.add_argument("--out", type=Path, default=Path("models"), help="folder of model folders (default models)")
    command.add_argument(
        "--data", type=Path, metavar="DIR", help="measure on this set and write the figures on the card"
    )
    command.add_argument("--split", nargs="+", default=["val"], help="splits to measure (default val)")
    command.add_argument(
        "--held-out",
        type=Path,
        metavar="CHECKPOINT",
        help="measure this one too, from before the splits joined the training: its figures are the honest ones",
    )
    command.add_argument(
        "--balancing",
        type=float,
        default=KEPT_POWER,
        metavar="POWER",
        help="power of the class balancing that stays, of what the release recipe trained with (default %(default)s)",
    )
    command.set_defaults(run=_package, smooth=False)

    command = commands.add_parser("release", help="fit and package every network on CamVid, in one go")
    command.add_argument("--data", type=Path, required=True, metavar="DIR", help="CamVid's folder")
    command.add_argument("--model", nargs="+", choices=MODELS, default=list(MODELS), help="these only")
    command.add_argument(
        "--runs", type=Path, default=Path("runs"), metavar="DIR", help="folder of the runs (default runs)"
    )
    command.add_argument("--out", type=Path, default=Path("models"), help="folder of model folders (default models)")
    command.add_argument("--minutes", type=float, help="of each run (default: by network and device)")
    command.add_argument("--stop-after", type=float, metavar="MINUTES", help="end this call; the same command goes on")
    command.add_argument("--hold-out-val", action="store_true", help="do not train on val; package the best on it")
    command.set_defaults(run=_release)

    command = commands.add_parser("compact", help="a copy of CamVid with JPEG images, to carry to another machine")
    command.add_argument("--data", type=Path, required=True, metavar="DIR")
    command.add_argument("--out", type=Path, required=True, metavar="DIR")
    command.add_argument("--split", nargs="+", default=["train", "val"])
    command.set_defaults(run=_compact)

    command = commands.add_parser("weights", help="class frequencies and balancing weights", parents=[data])
    command.add_argument("--split", default="train")
    command.set_defaults(run=_weights)
    return parser


def _size(text: str) -> tuple[int, int]:
    height, _, width = text.lower().partition("x")
    if not (width.isdigit() and height.isdigit() and int(width) and int(height)):
        raise argparse.ArgumentTypeError(f"{text!r} is no size; write height x width, for example 360x480")
    return int(height), int(width)


def _fit_options(command: argparse.ArgumentParser) -> None:
    add_options(command)
    command.add_argument("--crop", type=_size, metavar="HxW", help="size of the random crops, in multiples of 32")
    command.add_argument("--out", type=Path, help="folder of this run (default runs/MODEL); a run in it goes on")
    command.add_argument("--compile", action="store_true", help="torch.compile the network")
    command.add_argument("--checkpoint-every", type=float, default=300, metavar="SECONDS", help="within an epoch")
    command.add_argument("--stop-after", type=float, default=0, metavar="MINUTES", help="end this call, to go on later")
    command.set_defaults(run=_fit)


def _fit(args: argparse.Namespace) -> bool:
    """Train; True if the run is complete."""
    from train.distributed import joined
    from train.fit import Run, Session
    from train.initialise import load_teacher, split_samples, starting_network

    config = from_options(args, args.crop)
    labelled = SETS[args.set]
    out = args.out or Path("runs") / config.model
    train, val, data = split_samples(config, labelled, args.data, out)
    about: dict[str, Any] = {"command": shown_command(args.command_line), "commit": current_commit(), "data": data}
    if config.init:
        about["start"] = start_of(Path(args.init))
    network = starting_network(config, labelled, getattr(args, "init", ""), getattr(args, "vgg16", ""))
    teacher = load_teacher(args.teacher, config, labelled) if config.teacher else None
    session = Session(out, about, args.compile, args.checkpoint_every, args.stop_after * 60)
    with joined() as processes:
        complete = Run(config, labelled, train, val, network, processes, session, teacher).go()
        if processes.rank == 0:
            print(f"{out / 'last.pt'}: {'complete' if complete else 'not complete; the same command goes on'}")
    return complete


def _release(args: argparse.Namespace) -> None:
    import torch

    ends_s = time.monotonic() + 60 * args.stop_after if args.stop_after else math.inf

    def step(command: list[str]) -> argparse.Namespace:
        print("python -m train", *command, flush=True)
        parsed = _parser().parse_args(command)
        parsed.command_line = command
        return parsed

    for model in (name for name in MODELS if name in args.model):
        for fit in fit_commands(
            model,
            args.data,
            args.runs,
            gpu=torch.cuda.is_available(),
            minutes=args.minutes,
            hold_out_val=args.hold_out_val,
        ):
            left = ["--stop-after", f"{max(0.01, (ends_s - time.monotonic()) / 60):.2f}"] if ends_s < math.inf else []
            if not _fit(step([*fit, *left])):
                return
        _package(step(package_command(model, args.data, args.runs, args.out, hold_out_val=args.hold_out_val)))


def _opened(card: Card, args: argparse.Namespace, source: tuple[int, int]) -> Engine:
    """The engine the options ask for, for frames of `source` (height, width)."""
    from segnet_live.engine.open import open_engine, runs_on_gpu
    from segnet_live.engine.smoothing import SmoothedEngine

    # `auto` changes engines in mid-run there, and a figure is of one engine
    backend = "torch" if args.backend == "auto" and runs_on_gpu("auto") else args.backend
    engine = open_engine(card, backend=backend, precision=args.precision, size=args.size, source_size=source)
    return SmoothedEngine(engine, card.classes) if args.smooth else engine


def _measured(
    card: Card, samples: list[Sample], args: argparse.Namespace, pictures: Path | None = None
) -> dict[str, Any]:
    """The figures of `card` on `samples` through the engine the options ask for, printed and returned."""
    from train.evaluate import evaluate, print_evaluation, through

    source = (samples[0].rgb.shape[0], samples[0].rgb.shape[1])
    engine = _opened(card, args, source)
    with closing(engine):
        result = evaluate(through(engine), samples, card.classes, pictures=pictures)
        info = engine.info
    height, width = info.input_size
    steadied = ", steadied over time" if args.smooth else ""
    at = f"{info.backend} {info.precision}{steadied}, network at {height}x{width}, images {source[0]}x{source[1]}"
    print_evaluation(result, f"{card.name}: {at}")
    return result.as_json() | {"measured_with": at}


def _evaluate(args: argparse.Namespace) -> None:
    from train.evaluate import write_json

    labelled = SETS[args.set]
    samples = (
        [] if args.data is None else [s for split in args.split for s in labelled.load(args.data, split, args.drives)]
    )
    with tempfile.TemporaryDirectory() as scratch:
        if args.checkpoint is not None:
            card = _packaged(args.checkpoint, args.architecture, labelled, Path(scratch) / args.checkpoint.stem)
        else:
            card = find_card(args.model)
        if args.clip is not None:
            figures = _clip_figures(card, args)
        elif len(card.classes) != len(labelled.classes):
            raise UsageError(
                f"{card.name} has {len(card.classes)} classes, set {args.set} has {len(labelled.classes)}; "
                "pass the --set it was trained on"
            )
        else:
            figures = _measured(card, samples, args, args.pictures)
    if args.json is not None:
        write_json(args.json, figures)


def _clip_figures(card: Card, args: argparse.Namespace) -> dict[str, Any]:
    from segnet_live.config import SourceSpec
    from segnet_live.video.open import open_source
    from train.evaluate import clip_flicker, through

    source = open_source(SourceSpec("video", str(args.clip)))
    size = source.info.size
    source.close()
    engine = _opened(card, args, size)
    with closing(engine):
        value, pairs = clip_flicker(through(engine), args.clip, card.classes)
    print(f"{card.name} on {args.clip.name}: flicker {value:.4f} over {pairs} pairs of frames")
    return {"clip": args.clip.name, "flicker": value, "pairs": pairs}


def _packaged(
    checkpoint: Path, model: str | None, labelled: LabelledSet, folder: Path, name: str | None = None
) -> Card:
    from segnet_live.nets.segnet import NETWORKS
    from train.package import card_fields, write_model

    read = read_checkpoint(checkpoint)
    model = model or read.config.get("model")
    if model not in NETWORKS:
        raise UsageError(f"{checkpoint} is for {model or 'an unnamed network'}; name one of {', '.join(NETWORKS)}")
    return write_model(folder, read.weights, card_fields(read, labelled, model, name or model))


def _package(args: argparse.Namespace) -> None:
    from train.evaluate import write_json
    from train.package import install, read_fields, scratch_folder

    if args.held_out is not None and args.data is None:
        raise UsageError("--held-out is measured on --data; pass both")
    labelled = SETS[read_checkpoint(args.checkpoint).config.get("set", "camvid")]
    with scratch_folder(args.out) as scratch:
        card = _finished(args.checkpoint, labelled, Path(scratch), args)
        fields = read_fields(card)
        if args.data is not None:
            fields["metrics"] = _metrics(card, labelled, args)
        if args.held_out is not None:
            earlier = _finished(args.held_out, labelled, Path(scratch) / "held-out", args)
            for where, figures in _metrics(earlier, labelled, args).items():
                if "caution" in figures:
                    raise UsageError(f"{args.held_out} was trained on {where} too; pass one from before as --held-out")
                del figures["command"]  # these weights are not the ones that it would measure
                fields["metrics"][f"{where}, held out"] = figures | {"weights_of": earlier.training["command"]}
        write_json(card.folder / "card.json", fields)
        install(card.folder, args.out / card.name)
    print(f"{args.out / card.name}: card.json and weights.safetensors")


def _finished(checkpoint: Path, labelled: LabelledSet, folder: Path, args: argparse.Namespace) -> Card:
    """The model in `folder`, with balancing taken back and ranges for int8 if there is data; without figures."""
    from train.evaluate import write_json
    from train.int8_ranges import input_maxima
    from train.package import read_fields

    config = read_checkpoint(checkpoint).config
    card = _packaged(checkpoint, args.model, labelled, folder, args.name)
    if args.data is None:
        return card
    samples = labelled.load(args.data, "train")
    if config.get("recipe") == "release" and config.get("weight_power"):
        card = take_back(card, labelled, samples, config["weight_power"], args.balancing)
    fields = read_fields(card)
    fields["int8"] = {"maxima": input_maxima(card, samples), "data": f"{labelled.name} train"}
    write_json(card.folder / "card.json", fields)
    return read_card(card.folder)


def _metrics(card: Card, labelled: LabelledSet, args: argparse.Namespace) -> dict[str, Any]:
    """The figures of `card` on each split, with the command that measures them again."""
    metrics = {}
    for split in args.split:
        figures = _measured(card, labelled.load(args.data, split), args)
        if split in card.training["data"].split():
            figures["caution"] = "the weights were trained on these images"
        figures["command"] = _command_of(figures["measured_with"], card.name, labelled.name, split, args)
        metrics[f"{labelled.name} {split}"] = figures
    return metrics


def _command_of(measured_with: str, model: str, set_name: str, split: str, args: argparse.Namespace) -> str:
    """The command that measures again what `_measured` gave for `split`."""
    backend, precision = measured_with.split(",")[0].split()
    subject = f"evaluate --model {model} --set {set_name}".split()
    parts = [*subject, "--data", str(args.data), "--split", split, "--backend", backend, "--precision", precision]
    if args.size is not None:
        parts += ["--size", f"{args.size[0]}x{args.size[1]}"]
    return shown_command(parts)


def _compact(args: argparse.Namespace) -> None:
    if args.out.resolve() == args.data.resolve():
        raise UsageError("--out is the folder of --data; pass another")
    for split in args.split:
        write_compact(LabelledSet().load(args.data, split), args.out, split)


def _weights(args: argparse.Namespace) -> None:
    from rich.console import Console
    from rich.table import Table

    from train.data import class_frequencies, median_frequency_weights

    labelled = SETS[args.set]
    frequencies = class_frequencies(labelled.load(args.data, args.split), labelled.classes)
    weights = median_frequency_weights(frequencies)
    table = Table(
        title=f"{labelled.name} {args.split}: frequency where present, median-frequency weight", title_justify="left"
    )
    for heading in ("class", "frequency", "weight"):
        table.add_column(heading, justify="left" if heading == "class" else "right")
    for name, frequency, weight in zip(labelled.classes.names, frequencies, weights, strict=True):
        table.add_row(name, f"{frequency:.5f}", f"{weight:.4f}")
    Console().print(table)


if __name__ == "__main__":
    leave(main())
