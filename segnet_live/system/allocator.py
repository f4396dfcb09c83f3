"""Say what the C library does with memory that is freed: keep it, for training, or hand it back, for a server."""

from __future__ import annotations

import ctypes
import sys

_MMAP_THRESHOLD, _TRIM_THRESHOLD, _TOP_PAD = -3, -1, -2
"""Parameters of mallopt(3)."""


def keep_freed_memory() -> bool:
    """Make the C library reuse freed blocks instead of unmapping them; return whether it has that setting.

    A training step frees and takes again some hundred blocks of 1 to 30 MiB. By default glibc maps and unmaps each of
    them, and the kernel fills every page with zeros again: 45 % of the CPU time was the kernel's, and 16 % with this.
    Nothing happens with other C libraries.
    """
    return _set((_MMAP_THRESHOLD, 32 << 20), (_TRIM_THRESHOLD, 2**31 - 1), (_TOP_PAD, 256 << 20))


def return_freed_memory() -> bool:
    """Make the C library hand blocks of 256 KiB and more back when they are freed; return whether it has that setting.

    glibc raises the size from which it does so with each such block, up to 32 MiB. Uploads and pictures of all sizes
    then leave holes between each other, and a server that runs for long grows. Nothing happens with other C libraries.
    """
    return _set((_MMAP_THRESHOLD, 256 << 10), (_TRIM_THRESHOLD, 1 << 20))


def _set(*settings: tuple[int, int]) -> bool:
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):  # musl has no mallopt
        return False
    return all(mallopt(parameter, value) for parameter, value in settings)
