"""Choose what decodes a video: the machine's hardware where it opens, else the CPU."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Literal, TypeAlias

from av.codec.hwaccel import hwdevices_available

from segnet_live.config import Decoder
from segnet_live.system import nvidia

log = logging.getLogger(__name__)

Device: TypeAlias = Literal["cuda", "vaapi", "videotoolbox", "d3d11va"]
_failed: set[Device] = set()
"""What did not open once in this process, and is not tried again unless somebody asks for it."""


def devices(decoder: Decoder) -> tuple[Device, ...]:
    """Return the devices to try in this order before the CPU."""
    if decoder == "cpu":
        return ()
    if decoder != "auto":
        return (decoder,)
    here: dict[Device, bool] = {
        "videotoolbox": sys.platform == "darwin",
        "d3d11va": sys.platform == "win32",
        "cuda": nvidia.has_gpu(),
        "vaapi": sys.platform.startswith("linux") and Path("/dev/dri").exists(),
    }
    built = hwdevices_available()
    return tuple(device for device, there in here.items() if there and device in built and device not in _failed)


def note_failure(device: Device, why: str) -> None:
    """Say in the log that a device does not decode, and leave it out from now on."""
    _failed.add(device)
    log.info("%s does not decode (%s); the CPU does", device, why)
