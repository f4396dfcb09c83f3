"""Plan `python -m train release`: the stages that train each network, and the command that packages it.

Every plan begins with small pictures, which show the most in the time, goes on with large ones, and lets val join at
the end: the figures that say what the weights are worth on images they have not seen come from the stage before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

MODELS = ("segnet-fast", "segnet", "segnet-basic")
"""In this order: all learn from the labels, and the other two from the first one's run where it is there."""
RENDERED = "96"
GPU_MINUTES = {"segnet": 12.0, "segnet-basic": 6.0, "segnet-fast": 8.0}
"""Estimates for an H100, to be replaced by what the curves say."""
CPU_MINUTES = {"segnet": 480.0, "segnet-basic": 180.0, "segnet-fast": 360.0}
"""On two cores."""
BASIC_BALANCING = "0.5"
"""SegNet-Basic is less sure of its classes than the others, and keeps more of the balancing."""
OTHER_ROADS = "--unlabelled 0.34 --night 0.08 --snow 0.02 --tunnel 0.05"
"""Options of a run that also learns from unlabelled pictures."""


@dataclass(frozen=True, slots=True)
class Stage:
    """A part of a plan: its share of the minutes, and its options of `fit`."""

    share: float
    options: str


VAL_JOINS = "--train-on-val --photometric 0.5"
CPU_STAGES = {
    "segnet": (
        Stage(0.55, "--zoom 0.5 --crop 128x160 --schedule constant --auxiliary 0.4"),
        Stage(0.35, "--zoom 0.75 --crop 192x256 --lr 7e-4"),
        Stage(0.10, f"--zoom 0.75 --crop 192x256 --lr 2e-4 {VAL_JOINS}"),
    ),
    "segnet-fast": (
        Stage(0.20, f"--crop 192x256 --lr 3e-3 --schedule constant --rendered {RENDERED}"),
        Stage(0.30, f"--crop 256x320 --lr 1.5e-3 --rendered {RENDERED}"),
        Stage(0.42, "--crop 352x480 --batch 6 --lr 1.2e-3"),
        Stage(0.08, f"--crop 352x480 --batch 6 --lr 2e-4 {VAL_JOINS}"),
    ),
    "segnet-basic": (
        Stage(0.40, "--dilated-init 1 --zoom 0.5 --crop 96x128 --lr 3e-3"),
        Stage(0.50, "--dilated-init 0.5 --zoom 0.67 --crop 160x192 --batch 6 --lr 2e-3 --weight-power 0.7"),
        Stage(0.10, f"--zoom 0.67 --crop 192x256 --batch 4 --lr 3e-4 --weight-power 0.7 {VAL_JOINS}"),
    ),
}
GPU_STAGES = (
    Stage(0.90, f"--batch 16 --crop 352x480 --compile --rendered {RENDERED}"),
    Stage(0.10, f"--batch 16 --crop 352x480 --compile --lr 2e-4 {VAL_JOINS}"),
)


@dataclass(frozen=True, slots=True)
class Material:
    """What the networks learn from: CamVid's folder, and the options of `fit` for soft labels and other roads."""

    camvid: Path
    opinions: Sequence[Path] = ()
    pictures: Path | None = None
    held_out: Path | None = None

    def options(self) -> list[str]:
        """Return the options of `fit`."""
        options = ["--data", str(self.camvid)]
        if self.opinions:
            options += ["--opinions", *map(str, self.opinions)]
        if self.pictures is not None:
            options += ["--pictures", str(self.pictures), *OTHER_ROADS.split()]
        if self.held_out is not None:
            options += ["--held-out", str(self.held_out)]
        return options


def run_folders(model: str, runs: Path, *, gpu: bool, hold_out_val: bool) -> list[Path]:
    """Return the folders of the stages' runs, in order; the last one is `runs`/`model`."""
    stages = len(_stages(model, gpu=gpu, hold_out_val=hold_out_val))
    return [runs / (model if number == stages else f"{model}-stage-{number}") for number in range(1, stages + 1)]


def _stages(model: str, *, gpu: bool, hold_out_val: bool) -> tuple[Stage, ...]:
    stages = GPU_STAGES if gpu else CPU_STAGES[model]
    return stages[:-1] if hold_out_val else stages


def fit_commands(
    model: str, material: Material, runs: Path, *, gpu: bool, minutes: float | None, hold_out_val: bool
) -> list[list[str]]:
    """Return the arguments of the calls that train `model` for release, each from where the one before it ended.

    Args:
        minutes: length of all together, None for the usual one on this kind of device.
        hold_out_val: leave out the last stage, in which val joins.
    """
    length = minutes or (GPU_MINUTES if gpu else CPU_MINUTES)[model]
    stages = _stages(model, gpu=gpu, hold_out_val=hold_out_val)
    folders = run_folders(model, runs, gpu=gpu, hold_out_val=hold_out_val)
    whole = sum(stage.share for stage in stages)
    commands: list[list[str]] = []
    for number, (stage, folder) in enumerate(zip(stages, folders, strict=True)):
        command = ["fit", "--model", model, *material.options(), "--evaluations", "4"]
        command += ["--minutes", f"{stage.share / whole * length:g}", *stage.options.split()]
        if number:
            command += ["--init", str(folders[number - 1] / "last.pt")]
        val_is_in = folder == folders[-1] and not hold_out_val
        teachers = run_folders(MODELS[0], runs, gpu=gpu, hold_out_val=hold_out_val)
        # before val joins, from one that has not seen val either
        teacher = teachers[-1 if val_is_in or hold_out_val else -2] / "last.pt"
        if model != MODELS[0] and teacher.is_file():
            command += ["--teacher", str(teacher), "--distil", "0.5"]
        commands.append([*command, "--out", str(folder)])
    return commands


def package_command(
    model: str, material: Material, runs: Path, out: Path, *, gpu: bool, hold_out_val: bool
) -> list[str]:
    """Return the arguments of `python -m train` that package what `fit_commands` trained.

    Where val joined, the card also has the figures of the stage before.
    """
    *_, before, last = [runs, *run_folders(model, runs, gpu=gpu, hold_out_val=hold_out_val)]
    checkpoint = last / ("best.pt" if hold_out_val else "last.pt")
    command = ["package", "--checkpoint", str(checkpoint), "--data", str(material.camvid), "--out", str(out)]
    if not hold_out_val:
        command += ["--held-out", str(before / "last.pt")]
    return [*command, "--balancing", BASIC_BALANCING] if model == "segnet-basic" else command
