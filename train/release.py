"""The settings of `python -m train release`: every network trained and packaged in one go."""

from __future__ import annotations

from pathlib import Path

MODELS = ("segnet", "segnet-fast", "segnet-basic")
"""In this order: each learns from the labels and from the first one before it whose run is there."""
RENDERED = "96"
# Estimates, to be replaced by what the curves say; on a CPU segnet needs days.
GPU_MINUTES = {"segnet": 12.0, "segnet-basic": 6.0, "segnet-fast": 8.0}
CPU_MINUTES = {"segnet": 2880.0, "segnet-basic": 360.0, "segnet-fast": 180.0}


def fit_command(
    model: str, data: Path, runs: Path, *, gpu: bool, minutes: float | None, hold_out_val: bool
) -> list[str]:
    """The arguments of `python -m train` that train `model` for release into `runs`/`model`.

    Args:
        minutes: length of the run, None for the usual one on this kind of device.
        hold_out_val: keep val for choosing and measuring; else train on it as well.
    """
    usual = GPU_MINUTES if gpu else CPU_MINUTES
    command = ["fit", "--model", model, "--data", str(data), "--out", str(runs / model)]
    command += ["--minutes", f"{minutes or usual[model]:g}", "--evaluations", "4", "--rendered", RENDERED]
    if gpu:
        command += ["--batch", "16", "--crop", "352x480", "--compile"]
    if not hold_out_val:
        command += ["--train-on-val"]
    for larger in MODELS[: MODELS.index(model)]:
        teacher = runs / larger / "last.pt"
        if teacher.is_file():
            command += ["--teacher", str(teacher), "--distil", "0.5"]
            break
    return command


def package_command(model: str, data: Path, runs: Path, out: Path, *, hold_out_val: bool) -> list[str]:
    """The arguments of `python -m train` that package what `fit_command` trained."""
    checkpoint = runs / model / ("best.pt" if hold_out_val else "last.pt")
    return ["package", "--checkpoint", str(checkpoint), "--data", str(data), "--out", str(out)]
