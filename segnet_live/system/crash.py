"""Write a report when something unexpected happens: one file in the user's log folder, fit to be sent to a stranger.

It holds versions, the engine, the last log lines and the traceback; no paths of pictures and no passwords. A report of
an exception is written at once (`report`). A crash below Python is written by faulthandler, into a file that `watch`
opens and that a good end removes; the next start offers what it finds (`offer`).
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import faulthandler
import logging
import mmap
import os
import platform
import re
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import TextIO

from segnet_live.display_text import fit_to_show
from segnet_live.errors import OutputError, first_line
from segnet_live.system.files import read_regular, write_atomically
from segnet_live.system.paths import log_dir

KEPT_LINES = 200
KEPT_REPORTS = 20
_MOST_BYTES = 1 << 24
_PROCESS = re.compile(r"[1-9][0-9]{0,8}")
_OFFERED = "offered.txt"
"""Holds the name of the newest report that a start has offered."""
_FATAL = ("Fatal Python error", "Windows fatal exception")
"""What faulthandler begins with."""
_PICTURES = (
    "mp4|m4v|mov|mkv|mka|webm|avi|mpe?g|mpv|vob|m?ts|m2ts|wmv|asf|flv|f4v|3g[p2]|ogv|mxf|dav|h26[45]|26[45]|hevc|mjpe?g|y4m"
    "|png|jpe?g|webp|bmp|tiff?|gif|heic|avif|p[pgnb]m|wav|mp3|csv|gpx|nmea|srt|m3u8?|ffconcat|sdp|json|xml|npz|index"
)
_PATH = re.compile(rf"(?i)(?:[a-z]:[\\/]|~?[\\/])[^\n\"'<>|*?]{{0,1000}}?\.({_PICTURES})\b")
_NAME = re.compile(rf"(?i)[^\s\"'<>|*?()\[\]]{{1,255}}\.({_PICTURES})\b")
_MIN_SIGNAL_STACK = 51
"""AT_MINSIGSTKSZ of <linux/auxvec.h>: what the kernel needs to save this CPU's registers."""


class _LastLines(logging.Handler):
    """The last log lines of the app, whatever the level at which they are shown."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.lines: deque[str] = deque(maxlen=KEPT_LINES)
        self.noted = False

    def emit(self, record: logging.LogRecord) -> None:
        with contextlib.suppress(Exception):  # a log line must not become an error
            self.lines.append(f"{record.levelname.lower()} {record.name}: {record.getMessage()}")


class _Warnings(logging.Handler):
    """Print warnings on standard error, a line each: Python itself stops doing so once there is any other handler."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)

    def emit(self, record: logging.LogRecord) -> None:
        with contextlib.suppress(Exception):
            print(fit_to_show(record.getMessage()), file=sys.stderr, flush=True)


_last_lines, _warnings = _LastLines(), _Warnings()
_faults: TextIO | None = None
_stack: mmap.mmap | None = None
_arguments: tuple[str, ...] = ()


def watch(arguments: tuple[str, ...] = ()) -> None:
    """Keep the last log lines from now on, and have a crash below Python written down. Call it once, early.

    Args:
        arguments: of the command line; what they name is left out of reports.
    """
    global _arguments, _faults
    _arguments = arguments
    logger = logging.getLogger("segnet_live")
    if _last_lines not in logger.handlers:
        logger.addHandler(_last_lines)
        logger.addHandler(_warnings)
    if _faults is not None:
        return
    try:
        _faults = (log_dir() / _name("fault")).open("w", encoding="utf-8", errors="replace", buffering=1)
        _faults.write(f"segnet-live {_version()}, Python {platform.python_version()}, {sys.platform}\n")
    except OSError:  # a full or read-only disk: the traceback goes to the terminal
        faulthandler.enable()
    else:
        faulthandler.enable(_faults)
        atexit.register(end_well)
    threading.excepthook = _thread_failed
    _make_room_for_signals()


def end_well() -> None:
    """Remove the file for crashes, because this process ends as it should. May be called twice."""
    global _faults
    faults, _faults = _faults, None
    if faults is None:
        return
    faulthandler.disable()
    with contextlib.suppress(OSError):
        faults.close()
        Path(faults.name).unlink(missing_ok=True)


def note(line: str) -> None:
    """Note a line for reports, such as which engine runs; the first one notes the versions, too."""
    first, _last_lines.noted = not _last_lines.noted, True
    _last_lines.lines.append(line)
    if _faults is not None:
        with contextlib.suppress(OSError, ValueError):
            _faults.write(f"{versions() if first else ''}\n{redact(line)}\n")


def report(error: BaseException) -> str:
    """Write a report of an exception that nobody expected, and return a line for the user that names it."""
    what = redact(f"{type(error).__name__}: {error}").replace("\n", " ")
    text = f"{versions()}\n\n{redact(''.join(traceback.format_exception(error)))}\n\nlast log lines:\n{last_lines()}\n"
    try:
        path = log_dir() / _name("crash")
        path.write_text(text, encoding="utf-8", errors="backslashreplace")
        with contextlib.suppress(OutputError):
            _mark_offered(path.name)  # the line below names it: the next start need not
        _forget_old()
    except OSError as failure:
        return f"{what}; no report can be written ({failure.strerror}): run again with --debug, and send what it shows"
    return f"{what}; please send the developers the report {path} (--debug shows it here)"


def _thread_failed(failed: threading.ExceptHookArgs) -> None:
    if failed.exc_value is not None and not isinstance(failed.exc_value, SystemExit):
        print(f"segnet-live: {report(failed.exc_value)}", file=sys.stderr)


def gather(findings: Sequence[str]) -> Path:
    """Write versions, `findings`, the last log lines and the newest report to one file, and return its path.

    Raises:
        OutputError: it cannot be written.
    """
    newest = newest_report()
    parts = [versions(), redact("\n".join(findings)), f"last log lines:\n{last_lines()}", f"newest report:\n{newest}"]
    path = _folder_of_logs() / _name("report")
    write_atomically(path, "\n\n".join(parts[: 4 if newest else 3]) + "\n")
    return path


def _folder_of_logs() -> Path:
    try:
        return log_dir()
    except OSError as error:
        raise OutputError(f"the folder for reports cannot be made ({first_line(error)})") from error


def offer() -> str:
    """Return a line about a crash that no start has offered yet, "" without one; a start offers it once."""
    newest = ""
    try:
        _clear_ended()
        reports = _reports()
        offered = _read(log_dir() / _OFFERED).strip()
        if reports and reports[-1].name.split("-", 1)[1] > offered.partition("-")[2]:
            newest = str(reports[-1])
            _mark_offered(reports[-1].name)
    except (OSError, OutputError):
        return ""
    return f"segnet-live crashed last time; please send the developers the report {newest}" if newest else ""


def newest_report() -> str:
    """Return the text of the newest report, "" without one."""
    try:
        reports = _reports()
        return _read(reports[-1]) if reports else ""
    except OSError:
        return ""


def versions() -> str:
    """Return the lines that every report begins with; imports nothing."""
    import importlib.metadata

    lines = [f"segnet-live {_version()}", f"Python {platform.python_version()}", platform.platform()]
    for name in ("av", "numpy", "opencv-python", "openvino", "PyQt6", "torch", "tensorrt", "tensorrt-rtx"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            lines.append(f"{name} {importlib.metadata.version(name)}")
    return "\n".join(lines)


def _version() -> str:
    return str(import_module("segnet_live").__version__)


def last_lines() -> str:
    """Return the last log lines of this process, redacted."""
    return "\n".join(redact(line) for line in _last_lines.lines) or "(none)"


def redact(text: str) -> str:
    """Return `text` without passwords, the user's folder and the names of pictures, videos and outputs."""
    lines = []
    for line in text.splitlines():
        line = fit_to_show(line)
        for number, value in _named():
            line = line.replace(value, f"<argument {number}>")
        line = re.sub(r"(?i)[a-z][a-z0-9+.-]*://[^\s'\"]+", "<address>", line)
        line = _NAME.sub(r"<file>.\1", _PATH.sub(r"<file>.\1", line))
        with contextlib.suppress(RuntimeError):  # a user without a home
            line = line.replace(str(Path.home()), "~")
        lines.append(line)
    return "\n".join(lines)


def _named() -> list[tuple[int, str]]:
    """Return what the arguments name, with their numbers: whole, then the last parts of paths, longest first."""
    found: dict[str, int] = {}
    for number, argument in enumerate(_arguments, 1):
        value = argument.partition("=")[2] if argument.startswith("-") else argument
        path = Path(value)
        for text, shortest in ((value, 4), (path.name, 5), (path.stem, 8)):  # "video" is a part of our own names, too
            if len(text) >= shortest:
                found.setdefault(fit_to_show(text), number)
    return sorted(((number, text) for text, number in found.items()), key=lambda pair: -len(pair[1]))


def _name(kind: str) -> str:
    now_s = time.time()
    return f"{kind}-{time.strftime('%Y%m%d-%H%M%S', time.localtime(now_s))}-{now_s % 1 * 1000:03.0f}-{os.getpid()}.txt"


def _read(path: Path) -> str:
    try:
        return read_regular(path, _MOST_BYTES).decode("utf-8", errors="replace")
    except OSError:  # gone meanwhile, or something in the folder that is none of ours
        return ""


def _reports() -> list[Path]:
    """Return all reports by time, oldest first; files of processes that run without a fault are none."""
    crashes = list(log_dir().glob("crash-*.txt"))
    faults = [path for path in log_dir().glob("fault-*.txt") if any(mark in _read(path) for mark in _FATAL)]
    return sorted([*crashes, *faults], key=lambda path: path.name.split("-", 1)[1])


def _mark_offered(name: str) -> None:
    write_atomically(log_dir() / _OFFERED, name)


def _forget_old() -> None:
    for path in _reports()[:-KEPT_REPORTS]:
        path.unlink(missing_ok=True)


def _clear_ended() -> None:
    """Delete the files of processes that were killed: they hold no fault."""
    for path in log_dir().glob("fault-*.txt"):
        number = path.stem.rsplit("-", 1)[-1]
        if any(mark in _read(path) for mark in _FATAL) or not _PROCESS.fullmatch(number) or int(number) == os.getpid():
            continue
        import psutil

        if not psutil.pid_exists(int(number)):
            path.unlink(missing_ok=True)


class _SignalStack(ctypes.Structure):
    """stack_t of <signal.h> on Linux."""

    _fields_ = (("address", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t))


def _make_room_for_signals() -> None:
    """Give this thread a signal stack that holds every CPU's registers; faulthandler's own may not."""
    global _stack
    if not sys.platform.startswith("linux") or _stack is not None:
        return
    libc = ctypes.CDLL(None)
    libc.getauxval.restype = ctypes.c_ulong
    size = libc.getauxval(_MIN_SIGNAL_STACK) + (1 << 16)
    _stack = mmap.mmap(-1, size)
    address = ctypes.addressof(ctypes.c_char.from_buffer(_stack))
    libc.sigaltstack(ctypes.byref(_SignalStack(address, 0, size)), None)
