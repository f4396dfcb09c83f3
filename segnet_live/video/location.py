"""Where videos and pictures lie: URLs, how places are shown, file name suffixes."""

from __future__ import annotations

import re
from pathlib import Path

from segnet_live.config import SourceSpec

VIDEO_SUFFIXES = frozenset(
    (".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".mts", ".m2ts", ".wmv", ".flv", ".3gp")
)
"""Files that are videos, where a folder of them is a job."""
IMAGE_SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"}
"""A file that is opened or dropped is a picture, not a video."""
FOLDER_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm")
"""Files that are pictures, where a folder of them is the source."""


def is_url(value: str) -> bool:
    """`value` names a network stream rather than a file (a drive letter is no scheme)."""
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", value) is not None


def mask_password(url: str) -> str:
    """`url` fit for showing: passwords, tokens and keys in it are replaced by ***."""
    url = re.sub(r"(://[^/:@\s]*):\S*@", r"\1:***@", url)
    return re.sub(r"(?i)([?&][\w-]*(?:pass|pwd|token|key|secret|auth|sig)[\w-]*)=[^&#\s]*", r"\1=***", url)


def source_name(spec: SourceSpec) -> str:
    """What to call a source in the window: a file's name, an address without its password, a camera's number."""
    if spec.kind in ("video", "images"):
        return mask_password(spec.value) if is_url(spec.value) else Path(spec.value).name or spec.value
    return f"Camera {spec.value}" if spec.kind == "camera" else "Example drive"
