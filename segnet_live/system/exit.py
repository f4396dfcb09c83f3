"""Tell by which signals a run ends; exit without waiting for daemon threads, which may be in a compiler or driver."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

_SCRATCH: set[str] = set()
ABANDONED: list[object] = []
"""What would end the process by a signal if it were destroyed, such as page-locked memory of a lost GPU."""


@contextlib.contextmanager
def scratch_folder() -> Iterator[Path]:
    """Make a folder for the body alone; it goes even if the process leaves (`leave`) with a thread still in the body.

    Raises:
        OSError: the disk that holds temporary files is full.
    """
    with tempfile.TemporaryDirectory(prefix="segnet-live-", ignore_cleanup_errors=True) as folder:
        _SCRATCH.add(folder)
        try:
            yield Path(folder)
        finally:
            _SCRATCH.discard(folder)


def stop_signals() -> list[int]:
    """Return the signals by which a run is ended: Ctrl-C, termination, a closed terminal.

    A closed terminal is left out where the process was told to ignore it, by nohup. Ctrl-C is not: the background jobs
    of scripts ignore it, and the scripts end them by it.
    """
    names = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")  # the third is not on Windows, the last only there
    numbers = {name: getattr(signal, name) for name in names if hasattr(signal, name)}
    if "SIGHUP" in numbers and signal.getsignal(numbers["SIGHUP"]) is signal.SIG_IGN:
        del numbers["SIGHUP"]
    return list(numbers.values())


def leave(code: int) -> NoReturn:
    """Exit the process with this code, once everything of the user's has been written.

    With daemon threads left, Python is not torn down: under a compiler that crashes ("terminate called without an
    active exception"), and waiting for it may take minutes. Nor is it with something in ABANDONED.
    """
    if ABANDONED or any(thread.daemon for thread in threading.enumerate()):
        logging.shutdown()
        for folder in list(_SCRATCH):
            shutil.rmtree(folder, ignore_errors=True)
        _flush()
        os._exit(code)
    _flush()
    sys.exit(code)


def _flush() -> None:
    """Write what the standard streams still hold; what nobody takes is dropped, or Python would exit with 120."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except Exception:
            with contextlib.suppress(OSError, ValueError, AttributeError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
