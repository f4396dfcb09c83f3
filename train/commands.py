"""What each command of `python -m train` does with its arguments; nothing heavy is imported before it is needed."""

from __future__ import annotations

import argparse
import math
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segnet_live.card import Card, find_card
from segnet_live.errors import UsageError
from segnet_live.learning.data import LabelledSet, write_compact
from train.card_fields import shown_command
from train.checkpoint import current_commit, read_checkpoint, start_of
from train.config import from_options
from train.logit_adjustment import KEPT_POWER
from train.release import MODELS, Material, fit_commands, package_command
from train.sets import SETS

if TYPE_CHECKING:
    from train.measure import Through


def run_fit(args: argparse.Namespace) -> bool:
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


def run_study(args: argparse.Namespace) -> None:
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


def run_layerwise(args: argparse.Namespace) -> None:
    from train.initialise import labelled_images
    from train.layerwise import LayerwiseRun

    labelled = SETS[args.set]
    complete = LayerwiseRun(args, labelled, labelled_images(labelled, args.data, depth=args.depth)).run()
    print(f"{args.out / 'last.pt'}: {'complete' if complete else 'not complete; the same command goes on'}")


def run_calibrate(args: argparse.Namespace) -> None:
    from train.calibrate import calibration_fields, print_calibration, put_on_card
    from train.package import as_held_out

    card, labelled = find_card(args.model), SETS[args.set]
    with tempfile.TemporaryDirectory() as scratch:
        earlier = None
        if args.held_out is not None:
            earlier = as_held_out(args.held_out, card, labelled, args.data, args.split, Path(scratch))
        fields = calibration_fields(card, labelled, args.data, args.split, held_out=earlier)
    print_calibration(put_on_card(card, fields), fields)


def run_offsets(args: argparse.Namespace) -> None:
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


def run_interpolate(args: argparse.Namespace) -> None:
    from train.interpolate import interpolate

    interpolate(args.checkpoint, args.start, args.share, args.out, shown_command(args.command_line))
    print(f"{args.out}: {args.share:g} of {args.checkpoint}, the rest of {args.start}")


def run_release(args: argparse.Namespace) -> None:
    import torch

    ends_s = time.monotonic() + 60 * args.stop_after if args.stop_after else math.inf

    def step(command: list[str]) -> argparse.Namespace:
        print("python -m train", *command, flush=True)
        parsed: argparse.Namespace = args.parse(command)
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
            if not run_fit(step([*fit, *left])):
                return
        run_package(step(package_command(model, material, args.runs, args.out, gpu=gpu, hold_out_val=hold_out)))


def _via(args: argparse.Namespace) -> Through:
    from train.measure import Through

    return Through(args.backend, args.precision, args.size, args.smooth, getattr(args, "dense_crf", False))


def run_evaluate(args: argparse.Namespace) -> None:
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


def run_points(args: argparse.Namespace) -> None:
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


def run_hiding(args: argparse.Namespace) -> None:
    from segnet_live.learning.evaluate import write_json
    from segnet_live.render.hiding import Hiding
    from train.hiding import print_hiding

    samples = [s for split in args.split for s in SETS[args.set].load(args.data, split, args.drives)]
    with _subject(args) as card:
        hiding = Hiding(frozenset(card.classes.ids(args.hide.split(","))), hold=args.hold, unsure=args.unsure)
        figures = print_hiding(card, samples, hiding, _via(args))
    if args.json is not None:
        write_json(args.json, figures)


def run_opinions(args: argparse.Namespace) -> None:
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


def run_package(args: argparse.Namespace) -> None:
    from train.package import Figures, package

    if args.held_out is not None and args.data is None:
        raise UsageError("--held-out is measured on --data", "pass both")
    if args.earlier is not None and (args.data is None or args.held_out is not None):
        raise UsageError("--earlier stands in for --held-out, and figures need --data", "pass --data and one of them")
    figures = None
    if args.data is not None:
        figures = Figures(args.data, args.split, _via(args), args.balancing, args.held_out, args.earlier)
    folder = package(args.checkpoint, args.out, figures, args.model, args.name, args.upon)
    print(f"{folder}: {', '.join(sorted(path.name for path in folder.iterdir()))}")


def run_compact(args: argparse.Namespace) -> None:
    if args.out.resolve() == args.data.resolve():
        raise UsageError("--out is the folder of --data", "pass another")
    for split in args.split:
        write_compact(LabelledSet().load(args.data, split), args.out, split)


def run_weights(args: argparse.Namespace) -> None:
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
