"""The command line of `python -m train`: its commands and their options. What they do is in `commands.py`."""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path

from segnet_live.config import HIDE_UNSURE, parse_size
from segnet_live.errors import SegnetLiveError
from segnet_live.nets.networks import NETWORKS
from segnet_live.system.streams import leave_reader
from train import commands
from train.config import add_options
from train.logit_adjustment import KEPT_POWER
from train.release import MODELS
from train.sets import SETS
from train.study_options import add_layerwise_options, add_study_options


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return the exit code: 0, 2 after an error a person can mend, 130 after Ctrl-C."""
    try:
        args = build_parser().parse_args(arguments)
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


def build_parser() -> argparse.ArgumentParser:
    """Return the parser; in what it returns, `run` is the function to call with it."""
    parser = argparse.ArgumentParser(prog="python -m train", description="Train, measure and package the networks.")
    subcommands = parser.add_subparsers(required=True, metavar="COMMAND")

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

    command = subcommands.add_parser("fit", help="train a network", parents=[data])
    _fit_options(command)

    command = subcommands.add_parser("evaluate", help="G, C, mIoU, BF, IoU and flicker", parents=[engine])
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
    command.set_defaults(run=commands.run_evaluate)

    command = subcommands.add_parser("points", help="share of hand-labelled points on other roads", parents=[engine])
    subject = command.add_mutually_exclusive_group(required=True)
    subject.add_argument("--model", help="installed model or model folder")
    subject.add_argument("--checkpoint", type=Path, help="a checkpoint of `fit`, packaged on the fly")
    command.add_argument("--points", type=Path, help="CSV of picture, x, y, class (default: train/roads-points.csv)")
    command.add_argument("--pictures", type=Path, required=True, metavar="DIR", help="folder of the pictures")
    command.add_argument("--painted", choices=("night", "snow", "tunnel"), help="paint the pictures as this first")
    command.add_argument("--opinions", type=Path, metavar="DIR", help="soft labels of the pictures, for --painted")
    command.add_argument("--json", type=Path, metavar="FILE", help="write the figures here as well")
    command.set_defaults(run=commands.run_points, smooth=False, set="camvid", architecture="")

    command = subcommands.add_parser("hiding", help="how much of the people --hide covers", parents=[engine, data])
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
    command.set_defaults(run=commands.run_hiding, smooth=True, architecture="")

    command = subcommands.add_parser("opinions", help="soft labels of an own network, to learn from in the next round")
    command.add_argument("--checkpoint", type=Path, required=True, help="a checkpoint of `fit`")
    command.add_argument("--pictures", type=Path, nargs="+", required=True, metavar="DIR", help="folders of pictures")
    command.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of soft labels to write")
    command.add_argument(
        "--data", type=Path, metavar="DIR", help="labelled set, if the checkpoint does not name its classes"
    )
    command.set_defaults(run=commands.run_opinions, set="camvid", architecture="", model="")

    command = subcommands.add_parser("package", help="checkpoint -> model folder with card", parents=[engine])
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
        "--earlier",
        type=Path,
        metavar="DIR",
        help="instead: the model folder that the training began with, whose card's held-out figures, temperature and "
        "class offsets are kept",
    )
    command.add_argument(
        "--upon",
        type=Path,
        metavar="DIR",
        help="the model folder that a run with --frozen-above began with: its weights.safetensors stays as it is, and "
        "retrained.safetensors has what the run changed",
    )
    command.add_argument(
        "--balancing",
        type=float,
        default=KEPT_POWER,
        metavar="POWER",
        help="power of the class balancing that stays, of what the release recipe trained with (default %(default)s)",
    )
    command.set_defaults(run=commands.run_package, smooth=False)

    command = subcommands.add_parser(
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
    command.set_defaults(run=commands.run_calibrate, architecture="")

    command = subcommands.add_parser(
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
    command.set_defaults(run=commands.run_offsets, smooth=False)

    command = subcommands.add_parser(
        "interpolate", help="average a run's weights with those it started from: new roads learnt, old ones kept"
    )
    command.add_argument("--checkpoint", type=Path, required=True, help="a checkpoint of the run")
    command.add_argument("--start", type=Path, required=True, metavar="CHECKPOINT|DIR", help="what it started from")
    command.add_argument("--share", type=float, default=0.5, help="share of the run's weights (default %(default)s)")
    command.add_argument("--out", type=Path, required=True, metavar="FILE", help="the new checkpoint")
    command.set_defaults(run=commands.run_interpolate)

    command = subcommands.add_parser("release", help="fit and package every network on CamVid, in one go")
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
    command.set_defaults(run=commands.run_release, parse=parser.parse_args)

    command = subcommands.add_parser("study", help="train and compare the decoder variants of the paper's Table 1")
    add_study_options(command)
    command.set_defaults(run=commands.run_study, set="camvid")

    command = subcommands.add_parser("layerwise", help="train segnet-2015 pair by pair with L-BFGS", parents=[data])
    add_layerwise_options(command)
    command.set_defaults(run=commands.run_layerwise)

    command = subcommands.add_parser("compact", help="a copy of CamVid with JPEG images, to carry to another machine")
    command.add_argument("--data", type=Path, required=True, metavar="DIR")
    command.add_argument("--out", type=Path, required=True, metavar="DIR")
    command.add_argument("--split", nargs="+", default=["train", "val"])
    command.set_defaults(run=commands.run_compact)

    command = subcommands.add_parser("weights", help="class frequencies and balancing weights", parents=[data])
    command.add_argument("--split", default="train")
    command.set_defaults(run=commands.run_weights)
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
    command.set_defaults(run=commands.run_fit)
