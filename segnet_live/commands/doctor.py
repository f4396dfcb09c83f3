"""`segnet-live doctor`: show what this machine has, whether every engine works on it, and what to do if not."""

from __future__ import annotations

import argparse
import importlib
import importlib.metadata
import json
import math
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from segnet_live import __version__
from segnet_live.commands.finding import Finding, State, failure
from segnet_live.errors import EngineError, first_line
from segnet_live.system import crash

COLOURS = {"ok": "green", "absent": "yellow", "failed": "red"}
QT_PROBE = "from PyQt6.QtGui import QGuiApplication as A; a = A([]); print(a.platformName())"
PROBE_TIMEOUT_S = 60


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--no-engines", action="store_true", help="only list what is installed; build no network")
    parser.add_argument("--json", action="store_true", help="print the findings as JSON, and the tables to stderr")
    parser.add_argument(
        "--report", action="store_true", help="also write the findings to a file, to be sent to the developers"
    )


def run(arguments: argparse.Namespace) -> int:
    """Print the report; return 0 if nothing failed, 1 otherwise."""
    console = Console(highlight=False, stderr=arguments.json)
    findings = _report(console, f"segnet-live {__version__} on this machine", list(machine()))
    if not arguments.no_engines:
        console.print("building a small network on every engine; TensorRT takes a minute or more ...")
        from segnet_live.commands.doctor_engines import trials

        findings += _report(console, "engines, compared with PyTorch eager on the CPU", list(trials()))
    failed = [finding.what for finding in findings if finding.state == "failed"]
    console.print(f"failed: {', '.join(failed)}" if failed else "nothing failed")
    if arguments.report:
        lines = [f"{f.what}: {f.state}: {f.found}{f'; {f.advice}' if f.advice else ''}" for f in findings]
        console.print(f"please send the developers the report {crash.gather(lines)}", soft_wrap=True)
    if arguments.json:
        json.dump([asdict(finding) for finding in findings], sys.stdout, indent=1)
        print()
    return 1 if failed else 0


def _report(console: Console, title: str, findings: list[Finding]) -> list[Finding]:
    table = Table(title=title, title_justify="left")
    for column in ("what", "", "found", "what to do"):
        table.add_column(column, overflow="fold")
    for finding in findings:
        colour = COLOURS[finding.state]
        table.add_row(
            escape(finding.what), f"[{colour}]{finding.state}[/]", escape(finding.found), escape(finding.advice)
        )
    console.print(table)
    return findings


def machine() -> Iterator[Finding]:
    """Yield findings about hardware, drivers, libraries, display, cameras and folders; no check ends the report."""
    checks: tuple[tuple[str, Callable[[], Finding]], ...] = (
        ("system", _system),
        ("GPU", _gpu),
        ("CUDA", _cuda),
        ("PyTorch", lambda: _package("PyTorch", "torch")),
        ("Triton", _compiler),
        ("TensorRT", _tensorrt),
        ("TensorRT-RTX", _tensorrt_rtx),
        ("OpenVINO", _openvino),
        ("OpenCV", _opencv),
        ("PyAV", _pyav),
        ("encoders", _encoders),
        ("Qt", _qt),
        ("cameras", _cameras),
        ("models", _models),
        ("cache", _cache),
    )
    for what, check in checks:
        try:
            yield check()
        except Exception as error:  # a broken library must not hide the findings about the others
            yield failure(what, error, "reinstall it")


def _system() -> Finding:
    found = f"{platform.platform()}, Python {platform.python_version()}, {os.cpu_count()} CPU threads"
    return Finding("system", "ok", found)


def _package(what: str, distribution: str, *, extra: str = "") -> Finding:
    return Finding(what, "ok", f"{importlib.metadata.version(distribution)}{extra}")


def _gpu() -> Finding:
    from segnet_live.system import nvidia

    driver = nvidia.driver_version()
    try:
        names = [
            device.name if math.isnan(device.memory_mib) else f"{device.name}, {device.memory_mib / 1024:.0f} GiB"
            for device in nvidia.devices()
        ]
    except EngineError as error:
        none = driver is None and not isinstance(error, nvidia.BrokenDriver)
        return Finding("GPU", "absent" if none else "failed", error.problem, error.advice)
    return Finding("GPU", "ok" if names else "absent", f"{'; '.join(names) or 'none'}; driver {driver}")


def _cuda() -> Finding:
    import torch

    from segnet_live.engine.nvidia.device import cuda_problem
    from segnet_live.system.nvidia import broken_driver, driver_version

    problem = cuda_problem()
    if problem is None:
        return Finding("CUDA", "ok", f"{torch.version.cuda}, {torch.cuda.get_device_name()}")
    # with a driver there is a GPU that goes unused, and that is worth an alarm
    state: State = "failed" if driver_version() or broken_driver() else "absent"
    return Finding("CUDA", state, problem.problem, problem.advice)


def _tensorrt() -> Finding:
    from segnet_live.engine.nvidia.tensorrt import INSTALL

    return _vendor("TensorRT", "tensorrt", INSTALL)


def _tensorrt_rtx() -> Finding:
    from segnet_live.engine.nvidia.tensorrt_rtx import INSTALL

    return _vendor("TensorRT-RTX", "tensorrt_rtx", INSTALL)


def _vendor(what: str, module: str, install: str) -> Finding:
    """Return the finding about one of NVIDIA's packages; only importing it tells whether its libraries load."""
    try:
        found = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name == module:
            return Finding(what, "absent", "not installed", f"with an NVIDIA GPU: {install}")
        raise
    return Finding(what, "ok", str(found.__version__))


def _compiler() -> Finding:
    from segnet_live.engine.nvidia.inductor import toolchain_problem

    problem = toolchain_problem()
    if problem is None:
        return Finding("Triton", "ok", str(importlib.import_module("triton").__version__))  # Windows': triton-windows
    return Finding("Triton", "absent", problem.problem, f"with an NVIDIA GPU: {problem.advice}")


def _openvino() -> Finding:
    from segnet_live.engine.openvino import core

    offered = core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    precisions = ", ".join(name for name in ("FP32", "BF16", "INT8") if name in offered)
    name = core().get_property("CPU", "FULL_DEVICE_NAME")
    return Finding("OpenVINO", "ok", f"{importlib.metadata.version('openvino')}, {name}: {precisions}")


def _opencv() -> Finding:
    import cv2

    flavours = ("opencv-python", "opencv-contrib-python", "opencv-python-headless", "opencv-contrib-python-headless")
    installed = [name for name in flavours if _has(name)]
    if len(installed) > 1:
        advice = f"keep one of them: pip uninstall {' '.join(installed)}; pip install opencv-python"
        return Finding("OpenCV", "failed", f"{' and '.join(installed)} overwrite each other", advice)
    return Finding("OpenCV", "ok", f"{cv2.__version__} ({', '.join(installed) or 'not from PyPI'})")


def _has(distribution: str) -> bool:
    try:
        importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def _pyav() -> Finding:
    import av
    import av.codec

    try:
        encoder = av.codec.Codec("libx264", "w").name
    except ValueError:
        advice = "pip install --force-reinstall av, which brings libx264"
        return Finding("PyAV", "failed", f"{av.__version__} without an H.264 encoder; --record cannot work", advice)
    return Finding("PyAV", "ok", f"{av.__version__}, FFmpeg's {encoder}")


def _encoders() -> Finding:
    """Try every encoder of `--encoder` with one frame of 720 lines."""
    from segnet_live.video.encoders import tried

    problems = tried((720, 1280))
    works = [name for name, why in problems.items() if not why]
    rest = "; ".join(f"{name}: {why}" for name, why in problems.items() if why)
    if not works:
        return Finding("encoders", "failed", rest, "pip install --force-reinstall av, which brings libx264")
    return Finding("encoders", "ok", f"{', '.join(works)} work{'s' if len(works) == 1 else ''}; {rest}")


def _qt() -> Finding:
    """Start Qt in a process of its own, because it aborts the process where it finds no display."""
    from segnet_live.system.qt_libraries import missing_libraries

    versions = f"PyQt6 {importlib.metadata.version('PyQt6')}"
    try:
        probe = subprocess.run(
            [sys.executable, "-c", QT_PROBE], capture_output=True, text=True, timeout=PROBE_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        return Finding("Qt", "failed", f"{versions} does not open the display", "check that the display answers")
    if probe.returncode == 0:
        return Finding("Qt", "ok", f"{versions} on {probe.stdout.strip()}")
    if sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        return Finding("Qt", "absent", f"{versions}, no display", "run with --headless, or where there is a display")
    missing = missing_libraries() if sys.platform.startswith("linux") else None
    if missing is not None:
        return Finding("Qt", "failed", f"{versions}: {missing.problem}", missing.advice)
    said = [line for line in probe.stderr.splitlines() if line.strip()] or ["no reason given"]
    return Finding("Qt", "failed", f"{versions}: {said[0]}", "report this line, or use --headless")


def _cameras() -> Finding:
    import cv2

    from segnet_live.video.opencv import quiet

    devices = sorted(int(path.name[5:]) for path in Path("/dev").glob("video*") if path.name[5:].isdecimal())
    numbers = devices if sys.platform.startswith("linux") else range(3)
    usable = []
    with quiet():
        for number in numbers:
            camera = cv2.VideoCapture(number)
            if camera.isOpened() and camera.read()[0]:
                usable.append(number)
            camera.release()
    if usable:
        return Finding("cameras", "ok", f"--camera {', '.join(map(str, usable))}")
    if devices:
        advice = "close other programs that use it, and join the group `video`"
        return Finding("cameras", "failed", f"/dev/video{devices[0]} gives no picture", advice)
    return Finding("cameras", "absent", "none found", "plug one in, or use --video")


def _models() -> Finding:
    from segnet_live.card import installed_cards
    from segnet_live.weights import load_weights

    cards = installed_cards()
    for card in cards:
        load_weights(card)
    if not cards:
        return Finding("models", "failed", "none is installed", "reinstall segnet-live, or pass --model a folder")
    return Finding("models", "ok", f"{', '.join(card.name for card in cards)}; all weights intact")


def _cache() -> Finding:
    from segnet_live.system.paths import cache_dir

    folder = cache_dir()
    try:
        folder.mkdir(parents=True, exist_ok=True)  # fails for the reason for which `cache_dir` could not make it
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        advice = "make it writable, or compiling is repeated at every start"
        return Finding("cache", "failed", f"{folder} cannot be written ({first_line(error)})", advice)
    return Finding("cache", "ok", str(folder))
