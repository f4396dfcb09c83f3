"""The parser of `python -m train`, and what each command calls; nothing heavy is imported before it is needed."""

from __future__ import annotations

import argparse
import math
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segnet_live.card import Card, find_card
from segnet_live.config import HIDE_UNSURE, parse_size
from segnet_live.errors import SegnetLiveError, UsageError
from segnet_live.learning.data import LabelledSet, write_compact
from segnet_live.nets.networks import NETWORKS
from segnet_live.system.streams import leave_reader
from train.card_fields import shown_command
from train.checkpoint import current_commit, read_checkpoint, start_of
from train.config import add_options, from_options
from train.logit_adjustment import KEPT_POWER
from train.release import MODELS, Material, fit_commands, package_command
from train.sets import SETS
from train.study_options import add_layerwise_options, add_study_options

if TYPE_CHECKING:
    from train.measure import Through


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return the exit code: 0, 2 after an error a person can mend, 130 after Ctrl-C."""
    try:
        args = _parser().parse_args(arguments)
        args.command_line = sys.argv[1:] if arguments is None else arguments
        args.run(args)
    except SegnetLiveError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130
    except BrokenPipeError:
        leave_reader()
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m train", description="Train, measure and package the networks.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    data = argparse.ArgumentParser(add_help=False)
    data.add_argument("--data", type=Path, required=True, metavar="DIR", help="folder of the labelled set")
    data.add_argument("--set", choices=SETS, default="camvid", help="layout and classes of --data (default camvid)")

    engine = argparse.ArgumentParser(add_help=False)
    engine.add_argument("--backend", default="auto", help="auto, openvino, torch, inductor, tensorrt, tensorrt-rtx")
    engine.add_argument("--precision", default="auto", help="auto, fp32, bf16, fp16, int8")
    engine.add_argument(
        "--size",
        type=partial(parse_size, option="--size"),
        metavar="HxW",
        help="network size; default as in the app, from the images",
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
    command.add_argument("--architecture", default="", help="network of a checkpoint that does not say")
    command.add_argument("--split", nargs="+", default=["val"])
    command.add_argument("--drives", nargs="+", metavar="PREFIX", help="only images whose names begin so")
    command.add_argument(
        "--pictures", type=Path, metavar="DIR", help="write image, labels and errors of every image here"
    )
    command.add_argument("--smooth", action="store_true", help="smooth the labels over time, as the app shows videos")
    command.add_argument("--confidence", action="store_true", help="also accuracy by decile of confidence")
    command.add_argument("--dense-crf", action="store_true", help="refine the labels by a dense CRF (PyTorch, slow)")
    command.add_argument("--json", type=Path, metavar="FILE", help="write the figures here as well")
    command.set_defaults(run=_evaluate)

    command = commands.add_parser("points", help="share of hand-labelled points on other roads", parents=[engine])
    subject = command.add_mutually_exclusive_group(required=True)
    subject.add_argument("--model", help="installed model or model folder")
    subject.add_argument("--checkpoint", type=Path, help="a checkpoint of `fit`, packaged on the fly")
    command.add_argument("--points", type=Path, help="CSV of picture, x, y, class (default: train/roads-points.csv)")
    command.add_argument("--pictures", type=Path, required=True, metavar="DIR", help="folder of the pictures")
    command.add_argument("--painted", choices=("night", "snow", "tunnel"), help="paint the pictures as this first")
    command.add_argument("--opinions", type=Path, metavar="DIR", help="soft labels of the pictures, for --painted")
    command.add_argument("--json", type=Path, metavar="FILE", help="write the figures here as well")
    command.set_defaults(run=_points, smooth=False, set="camvid", architecture="")

    command = commands.add_parser("hiding", help="how much of the people --hide covers", parents=[engine, data])
    subject = command.add_mutually_exclusive_group(required=True)
    subject.add_argument("--model", help="installed model or model folder")
    subject.add_argument("--checkpoint", type=Path, help="a checkpoint of `fit`, packaged on the fly")
    command.add_argument("--split", nargs="+", default=["val"])
    command.add_argument("--drives", nargs="+", metavar="PREFIX", help="only images whose names begin so")
    command.add_argument(
        "--hide", default="Pedestrian,Bicyclist", metavar="A,B", help="classes to hide (default %(default)s)"
    )
    command.add_argument("--unsure", type=float, default=HIDE_UNSURE, help="as --hide-unsure (default %(default)s)")
    command.add_argument("--hold", type=int, default=5, help="frames before and after (default %(default)s)")
    command.add_argument("--json", type=Path, metavar="FILE", help="write the figures here as well")
    command.set_defaults(run=_hiding, smooth=True, architecture="")

    command = commands.add_parser("opinions", help="soft labels of an own network, to learn from in the next round")
    command.add_argument("--checkpoint", type=Path, required=True, help="a checkpoint of `fit`")
    command.add_argument("--pictures", type=Path, nargs="+", required=True, metavar="DIR", help="folders of pictures")
    command.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of soft labels to write")
    command.add_argument(
        "--data", type=Path, metavar="DIR", help="labelled set, if the checkpoint does not name its classes"
    )
    command.set_defaults(run=_opinions, set="camvid", architecture="", model="")

    command = commands.add_parser("package", help="checkpoint -> model folder with card", parents=[engine])
    command.add_argument("--checkpoint", type=Path, required=True)
    command.add_argument("--model", default="", help="architecture, if the checkpoint does not say")
    command.add_argument("--name", default="", help="name of the model; default its architecture")
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

    command = commands.add_parser(
        "calibrate", help="fit the temperature of a model's confidence, and write it on the card", parents=[data]
    )
    command.add_argument("--model", required=True, help="installed model or model folder, whose card is written")
    command.add_argument("--split", nargs="+", default=["val"], help="splits to fit it on (default val)")
    command.add_argument(
        "--held-out",
        type=Path,
        metavar="CHECKPOINT|DIR",
        help="fit it for these weights of the same training, from before the splits joined it",
    )
    command.set_defaults(run=_calibrate, architecture="")

    command = commands.add_parser(
        "offsets",
        help="fit what is added to each class's logit, and write it on the card with new figures and a new temperature",
        parents=[data, engine],
    )
    command.add_argument("--model", required=True, help="installed model or model folder, whose card is written")
    command.add_argument(
        "--held-out",
        type=Path,
        nargs="+",
        required=True,
        metavar="CHECKPOINT|DIR",
        help="weights to fit them for, each on the images that its run left out; the first: of the same training, from "
        "before val joined it",
    )
    command.add_argument(
        "--share", type=float, default=0.5, help="share of what fits that is taken (default %(default)s)"
    )
    command.set_defaults(run=_offsets, smooth=False)

    command = commands.add_parser(
        "interpolate", help="average a run's weights with those it started from: new roads learnt, old ones kept"
    )
    command.add_argument("--checkpoint", type=Path, required=True, help="a checkpoint of the run")
    command.add_argument("--start", type=Path, required=True, metavar="CHECKPOINT|DIR", help="what it started from")
    command.add_argument("--share", type=float, default=0.5, help="share of the run's weights (default %(default)s)")
    command.add_argument("--out", type=Path, required=True, metavar="FILE", help="the new checkpoint")
    command.set_defaults(run=_interpolate)

    command = commands.add_parser("release", help="fit and package every network on CamVid, in one go")
    command.add_argument("--data", type=Path, required=True, metavar="DIR", help="CamVid's folder")
    command.add_argument("--opinions", type=Path, nargs="+", default=(), metavar="DIR", help="as in fit")
    command.add_argument("--pictures", type=Path, metavar="DIR", help="as in fit")
    command.add_argument("--held-out", type=Path, metavar="FILE", help="as in fit")
    command.add_argument("--model", nargs="+", choices=MODELS, default=list(MODELS), help="these only")
    command.add_argument(
        "--runs", type=Path, default=Path("runs"), metavar="DIR", help="folder of the runs (default runs)"
    )
    command.add_argument("--out", type=Path, default=Path("models"), help="folder of model folders (default models)")
    command.add_argument(
        "--minutes", type=float, help="length of each network's stages (default: by network and device)"
    )
    command.add_argument("--stop-after", type=float, metavar="MINUTES", help="end this call; the same command goes on")
    command.add_argument("--hold-out-val", action="store_true", help="leave out the stage in which val joins")
    command.set_defaults(run=_release)

    command = commands.add_parser("study", help="train and compare the decoder variants of the paper's Table 1")
    add_study_options(command)
    command.set_defaults(run=_study, set="camvid")

    command = commands.add_parser("layerwise", help="train segnet-2015 pair by pair with L-BFGS", parents=[data])
    add_layerwise_options(command)
    command.set_defaults(run=_layerwise)

    command = commands.add_parser("compact", help="a copy of CamVid with JPEG images, to carry to another machine")
    command.add_argument("--data", type=Path, required=True, metavar="DIR")
    command.add_argument("--out", type=Path, required=True, metavar="DIR")
    command.add_argument("--split", nargs="+", default=["train", "val"])
    command.set_defaults(run=_compact)

    command = commands.add_parser("weights", help="class frequencies and balancing weights", parents=[data])
    command.add_argument("--split", default="train")
    command.set_defaults(run=_weights)
    return parser


def _fit_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("--model", choices=NETWORKS, default="segnet-fast")
    add_options(command)
    command.add_argument(
        "--crop",
        type=partial(parse_size, option="--crop"),
        metavar="HxW",
        help="size of the random crops, in multiples of 32",
    )
    command.add_argument("--out", type=Path, help="folder of this run (default runs/MODEL); a run in it goes on")
    command.add_argument("--compile", action="store_true", help="torch.compile the network")
    command.add_argument(
        "--checkpoint-every", type=float, default=300, metavar="SECONDS", help="save this often within an epoch"
    )
    command.add_argument("--stop-after", type=float, default=0, metavar="MINUTES", help="end this call, to go on later")
    command.set_defaults(run=_fit)


def _fit(args: argparse.Namespace) -> bool:
    """Train; return True if the run is complete."""
    from train.distributed import init_distributed
    from train.fit import Run, Session
    from train.initialise import (
        load_teacher,
        normalised_for,
        seen_by_run,
        split_samples,
        starting_network,
        unlabelled_pictures,
    )

    config = from_options(args, args.crop)
    labelled = SETS[args.set]
    out = args.out or Path("runs") / config.model
    # the config has the names alone, the arguments the whole paths
    init, vgg16, teacher_path, folder, held_out = (
        str(getattr(args, name, "")) for name in ("init", "vgg16", "teacher", "pictures", "held_out")
    )
    images = split_samples(config, labelled, args.data, out)
    config = normalised_for(config, images.train)
    network = starting_network(config, labelled, init, vgg16)
    teacher = load_teacher(teacher_path, config, labelled) if teacher_path else None
    folders = getattr(args, "opinions", ())
    pictures, opinions = unlabelled_pictures(labelled, folders, folder, held_out)
    about: dict[str, Any] = {
        "command": shown_command(args.command_line),
        "commit": current_commit(),
        "data": images.about,
        "seen": seen_by_run(config, images, init, teacher_path, pictures, folders).as_json(names=True),
    }
    if init:
        about["start"] = start_of(Path(init))
    session = Session(out, about, args.compile, args.checkpoint_every, args.stop_after * 60)
    with init_distributed() as processes:
        run = Run(config, labelled, images.train, images.val, network, processes, session, teacher, pictures, opinions)
        complete = run.run()
        if processes.rank == 0:
            print(f"{out / 'last.pt'}: {'complete' if complete else 'not complete; the same command goes on'}")
    return complete


def _study(args: argparse.Namespace) -> None:
    from train.initialise import labelled_images
    from train.study import planned, train_all
    from train.study_table import measure_costs, tables

    labelled, complete = SETS[args.set], True
    if not args.table:
        complete = train_all(args, labelled, labelled_images(labelled, args.data))
    runs = planned(args)
    for table in tables(runs, measure_costs(runs, labelled, args.out)):
        print()
        table.show(markdown=args.markdown)
    print(f"\n{args.out}: {'complete' if complete else 'not complete; the same command goes on'}")


def _layerwise(args: argparse.Namespace) -> None:
    from train.initialise import labelled_images
    from train.layerwise import LayerwiseRun

    labelled = SETS[args.set]
    complete = LayerwiseRun(args, labelled, labelled_images(labelled, args.data, depth=args.depth)).run()
    print(f"{args.out / 'last.pt'}: {'complete' if complete else 'not complete; the same command goes on'}")


def _calibrate(args: argparse.Namespace) -> None:
    from train.calibrate import calibration_fields, print_calibration, put_on_card
    from train.package import as_held_out

    card, labelled = find_card(args.model), SETS[args.set]
    with tempfile.TemporaryDirectory() as scratch:
        earlier = None
        if args.held_out is not None:
            earlier = as_held_out(args.held_out, card, labelled, args.data, args.split, Path(scratch))
        fields = calibration_fields(card, labelled, args.data, args.split, held_out=earlier)
    print_calibration(put_on_card(card, fields), fields)


def _offsets(args: argparse.Namespace) -> None:
    from train.offsets import gather, offset_fields, put_offsets
    from train.package import Figures

    card, labelled = find_card(args.model), SETS[args.set]
    with tempfile.TemporaryDirectory() as scratch:
        gathered = [
            gather(path, card, labelled, args.data, Path(scratch) / str(number))
            for number, path in enumerate(args.held_out)
        ]
        fields = offset_fields([evidence for _, evidence in gathered], args.share)
        for name, value in zip(card.classes.names, fields["values"], strict=True):
            print(f"{name:12s} {value:+.2f}")
        for figure in fields["fitted_on"]:
            print(", ".join(f"{key} {value}" for key, value in figure.items()), flush=True)
        fields["command"] = shown_command(args.command_line)
        figures = Figures(args.data, ["val"], _via(args), KEPT_POWER)
        put_offsets(card, fields, (args.held_out[0], gathered[0][0]), labelled, figures)
    print(f"{card.folder / 'card.json'}: class offsets, figures, temperature")


def _interpolate(args: argparse.Namespace) -> None:
    from train.interpolate import interpolate

    interpolate(args.checkpoint, args.start, args.share, args.out, shown_command(args.command_line))
    print(f"{args.out}: {args.share:g} of {args.checkpoint}, the rest of {args.start}")


def _release(args: argparse.Namespace) -> None:
    import torch

    ends_s = time.monotonic() + 60 * args.stop_after if args.stop_after else math.inf

    def step(command: list[str]) -> argparse.Namespace:
        print("python -m train", *command, flush=True)
        parsed = _parser().parse_args(command)
        parsed.command_line = command
        return parsed

    material = Material(args.data, args.opinions, args.pictures, args.held_out)
    gpu, hold_out = torch.cuda.is_available(), args.hold_out_val
    for model in (name for name in MODELS if name in args.model):
        for fit in fit_commands(model, material, args.runs, gpu=gpu, minutes=args.minutes, hold_out_val=hold_out):
            left_s = ends_s - time.monotonic()
            if left_s <= 0:
                print(f"{model}: not complete; the same command goes on")
                return
            left = ["--stop-after", f"{max(left_s / 60, 0.001):.3f}"] if left_s < math.inf else []
            if not _fit(step([*fit, *left])):
                return
        _package(step(package_command(model, material, args.runs, args.out, gpu=gpu, hold_out_val=hold_out)))


def _via(args: argparse.Namespace) -> Through:
    from train.measure import Through

    return Through(args.backend, args.precision, args.size, args.smooth, getattr(args, "dense_crf", False))


def _evaluate(args: argparse.Namespace) -> None:
    from segnet_live.learning.evaluate import write_json
    from train.measure import measured, measured_confidence, measured_on_clip

    if args.confidence and args.clip is not None:
        raise UsageError("--confidence is measured against labels", "pass --data, or drop it")
    if args.confidence and args.dense_crf:
        raise UsageError("the dense CRF gives no confidence", "drop --dense-crf or --confidence")

    labelled = SETS[args.set]
    with _subject(args) as card:
        if args.clip is not None:
            figures = measured_on_clip(card, args.clip, _via(args))
        elif len(card.classes) != len(labelled.classes):
            raise UsageError(
                f"{card.name} has {len(card.classes)} classes, set {args.set} has {len(labelled.classes)}",
                "pass the --set it was trained on",
            )
        else:
            depth = card.channels == 4
            samples = [s for split in args.split for s in labelled.load(args.data, split, args.drives, depth=depth)]
            figures = measured(card, samples, _via(args), args.pictures)
            if args.confidence:
                figures["confidence"] = measured_confidence(card, samples, _via(args))
    if args.json is not None:
        write_json(args.json, figures)


@contextmanager
def _subject(args: argparse.Namespace) -> Iterator[Card]:
    """Yield the model that `--model` or `--checkpoint` names, the latter packaged on the fly."""
    from train.package import as_model

    if args.checkpoint is None:
        yield find_card(args.model)
        return
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / args.checkpoint.stem
        yield as_model(read_checkpoint(args.checkpoint), SETS[args.set], folder, args.architecture)


def _points(args: argparse.Namespace) -> None:
    from segnet_live.learning.evaluate import write_json
    from train.opinions import Opinions
    from train.painted import paint_shots
    from train.points import HERE, read_shots, score_points

    if (args.painted is None) != (args.opinions is None):
        raise UsageError("--painted and --opinions go together", "soft labels tell painting what is where")
    with _subject(args) as card:
        shots = read_shots(args.points or HERE, args.pictures, card.classes)
        if args.painted is not None:
            shots = paint_shots(shots, args.painted, Opinions([args.opinions], card.classes))
        figures = score_points(card, shots, _via(args))
    if args.json is not None:
        write_json(args.json, figures)


def _hiding(args: argparse.Namespace) -> None:
    from segnet_live.learning.evaluate import write_json
    from segnet_live.render.hiding import Hiding
    from train.hiding import print_hiding

    samples = [s for split in args.split for s in SETS[args.set].load(args.data, split, args.drives)]
    with _subject(args) as card:
        hiding = Hiding(frozenset(card.classes.ids(args.hide.split(","))), hold=args.hold, unsure=args.unsure)
        figures = print_hiding(card, samples, hiding, _via(args))
    if args.json is not None:
        write_json(args.json, figures)


def _opinions(args: argparse.Namespace) -> None:
    from segnet_live.learning.data import PICTURES, files_by_stem
    from train.logit_adjustment import remove_prior
    from train.package import balancing_frequencies
    from train.write_opinions import write_opinions

    checkpoint = read_checkpoint(args.checkpoint)
    files = [file for folder in args.pictures for file in files_by_stem(folder, *PICTURES).items()]
    if not files:
        raise UsageError(f"{args.pictures[0]} holds no picture (PNG, JPEG or WebP); pass folders of pictures")
    with _subject(args) as card:
        power = checkpoint.config.get("weight_power", 0.0)
        if power:
            card = remove_prior(card, balancing_frequencies(checkpoint, SETS[args.set], args.data), power, 0.0)
        count = write_opinions(card, files, args.out)
    print(f"{args.out}: {count} opinions")


def _package(args: argparse.Namespace) -> None:
    from train.package import Figures, package

    if args.held_out is not None and args.data is None:
        raise UsageError("--held-out is measured on --data", "pass both")
    figures = None if args.data is None else Figures(args.data, args.split, _via(args), args.balancing, args.held_out)
    folder = package(args.checkpoint, args.out, figures, args.model, args.name)
    print(f"{folder}: card.json and weights.safetensors")


def _compact(args: argparse.Namespace) -> None:
    if args.out.resolve() == args.data.resolve():
        raise UsageError("--out is the folder of --data", "pass another")
    for split in args.split:
        write_compact(LabelledSet().load(args.data, split), args.out, split)


def _weights(args: argparse.Namespace) -> None:
    from rich.console import Console
    from rich.table import Table

    from segnet_live.learning.data import class_frequencies, median_frequency_weights

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
