"""Plan `python -m train release`: the commands that train and package every network."""

from __future__ import annotations

from pathlib import Path

MODELS = ("segnet", "segnet-fast", "segnet-basic")
"""In this order: each learns from the labels and from the first one before it whose run is there."""
RENDERED = "96"
# Estimates, to be replaced by what the curves say; on a CPU segnet needs days.
GPU_MINUTES = {"segnet": 12.0, "segnet-basic": 6.0, "segnet-fast": 8.0}
CPU_MINUTES = {"segnet": 2880.0, "segnet-basic": 120.0, "segnet-fast": 180.0}
BASIC_ON_CPU = (
    (0.45, "--dilated-init 1 --zoom 0.5 --crop 96x128 --batch 8 --lr 3e-3"),
    (0.55, "--dilated-init 0.5 --zoom 0.67 --crop 160x192 --batch 6 --lr 2e-3 --weight-power 0.7"),
)
"""SegNet-Basic's stages where its 7x7 kernels are slow, each with its share of the time: see train/README.md."""
BASIC_BALANCING = "0.5"
"""It is less sure of its classes than the others, and keeps more of the balancing."""


def fit_commands(
    model: str, data: Path, runs: Path, *, gpu: bool, minutes: float | None, hold_out_val: bool
) -> list[list[str]]:
    """Return the arguments of the calls that train `model` for release, the last one into `runs`/`model`.

    Args:
        minutes: length of all together, None for the usual one on this kind of device.
        hold_out_val: keep val for choosing and measuring; else train on it as well.
    """
    length = minutes or (GPU_MINUTES if gpu else CPU_MINUTES)[model]
    common = ["fit", "--model", model, "--data", str(data), "--evaluations", "4"]
    if not hold_out_val:
        common += ["--train-on-val"]
    if model == "segnet-basic" and not gpu:
        commands: list[list[str]] = []
        for number, (share, options) in enumerate(BASIC_ON_CPU, 1):
            last = number == len(BASIC_ON_CPU)
            out = runs / (model if last else f"{model}-stage-{number}")
            start = ["--init", str(Path(commands[-1][-1]) / "last.pt")] if commands else []
            commands.append([*common, "--minutes", f"{share * length:g}", *options.split(), *start, "--out", str(out)])
        return commands
    command = [*common, "--minutes", f"{length:g}", "--rendered", RENDERED]
    if gpu:
        command += ["--batch", "16", "--crop", "352x480", "--compile"]
    for larger in MODELS[: MODELS.index(model)]:
        teacher = runs / larger / "last.pt"
        if teacher.is_file():
            command += ["--teacher", str(teacher), "--distil", "0.5"]
            break
    return [[*command, "--out", str(runs / model)]]


def package_command(model: str, data: Path, runs: Path, out: Path, *, hold_out_val: bool) -> list[str]:
    """Return the arguments of `python -m train` that package what `fit_commands` trained."""
    checkpoint = runs / model / ("best.pt" if hold_out_val else "last.pt")
    command = ["package", "--checkpoint", str(checkpoint), "--data", str(data), "--out", str(out)]
    return [*command, "--balancing", BASIC_BALANCING] if model == "segnet-basic" else command
