"""List cameras by name and with their resolutions, as far as the system tells."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import Path

from PyQt6.QtCore import QLoggingCategory


@dataclass(frozen=True, slots=True)
class CameraChoice:
    """A camera that can be opened.

    Attributes:
        number: what `--camera` takes.
        sizes: (height, width) it offers, largest first; empty where unknown.
    """

    number: int
    name: str
    sizes: tuple[tuple[int, int], ...] = ()


def list_cameras() -> tuple[list[CameraChoice], str]:
    """Return the cameras, and what the user should know about the list ("" if nothing). In the window's thread.

    OpenCV opens cameras by number, Qt names them; `number` is what fits both, as far as that can be known: Linux names
    the device, and on macOS OpenCV counts by unique id (modules/videoio/src/cap_avfoundation_mac.mm since 4.7).
    Elsewhere both count in the order of the system, which nothing guarantees.
    """
    # Qt's notes about optional libraries of its media player say nothing about cameras.
    QLoggingCategory.setFilterRules("qt.multimedia*=false")
    try:
        # Costs 0.1 s and needs libpulse on Linux: only when somebody asks for cameras.
        from PyQt6.QtMultimedia import QMediaDevices
    except ImportError as error:
        return _numbered(), f"Resolutions are unknown: Qt's camera support cannot be loaded ({error})"
    named = [(device.id().data().decode(errors="replace"), device) for device in QMediaDevices.videoInputs()]
    if sys.platform == "darwin":
        named.sort(key=lambda pair: pair[0])
    cameras = []
    for place, (name, device) in enumerate(named):
        found = re.fullmatch(r"/dev/video(\d+)", name)
        sizes = {(f.resolution().height(), f.resolution().width()) for f in device.videoFormats()}
        number = int(found.group(1)) if found else place
        cameras.append(CameraChoice(number, device.description(), tuple(sorted(sizes, reverse=True))))
    if sys.platform == "win32" and len(cameras) > 1:
        return cameras, "Windows may count the cameras in another order: if the wrong one opens, choose its neighbour"
    return cameras or _numbered(), ""


def _numbered() -> list[CameraChoice]:
    """Return Linux's video devices, named by the kernel; elsewhere one numbered camera, which may not be there."""
    if not sys.platform.startswith("linux"):
        return [CameraChoice(0, "Camera 0")]
    cameras = []
    for device in sorted(Path("/dev").glob("video*")):
        found = re.fullmatch(r"video(\d+)", device.name)
        if found is None:
            continue
        try:
            name = Path(f"/sys/class/video4linux/{device.name}/name").read_text(encoding="utf-8").strip()
            index = Path(f"/sys/class/video4linux/{device.name}/index").read_text(encoding="utf-8").strip()
        except OSError:
            name, index = "", "0"
        if index == "0":  # the others are metadata nodes of the same camera
            cameras.append(CameraChoice(int(found.group(1)), name or f"Camera {found.group(1)}"))
    return cameras
