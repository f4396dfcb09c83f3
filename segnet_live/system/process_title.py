"""Hide passwords from the list of processes, which every user of the machine may read."""

from __future__ import annotations

import contextlib
import ctypes
import sys
from pathlib import Path

from segnet_live.display_text import starred

_ARG_START, _ARG_END = 45, 46
"""Places in /proc/self/stat, counted from the field behind the program's name (proc_pid_stat(5))."""


def hide_passwords() -> None:
    """Overwrite the passwords of URLs in this process's own command line with stars; on Linux alone it can be done.

    `sys.argv` is a copy and stays as it is.
    """
    if not sys.platform.startswith("linux") or not any("://" in argument for argument in sys.argv):
        return
    with contextlib.suppress(OSError, ValueError, IndexError):
        fields = Path("/proc/self/stat").read_text(encoding="latin-1").rpartition(")")[2].split()
        start, end = int(fields[_ARG_START]), int(fields[_ARG_END])
        if 0 < start < end:
            memory = (ctypes.c_char * (end - start)).from_address(start)
            memory.raw = b"\0".join(
                starred(argument.decode("latin-1")).encode("latin-1") for argument in memory.raw.split(b"\0")
            )
