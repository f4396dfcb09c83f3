"""Let standard output and errors be gone: a closed terminal, a full disk under a log or `| head` end no recording."""

from __future__ import annotations

import io
import os
import sys
from typing import TextIO

from segnet_live.errors import OutputError, first_line


class _Droppable(io.TextIOBase):
    """A text stream that drops what nobody can read any more."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except OSError as error:
            self._failed(error)
            return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError as error:
            self._failed(error)

    def _failed(self, error: OSError) -> None:
        self._drop()

    def _drop(self) -> None:
        """Send what is still kept, and all that comes, nowhere."""
        os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())

    def isatty(self) -> bool:
        return self._stream.isatty()

    def fileno(self) -> int:
        return self._stream.fileno()

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._stream.encoding


class _Needed(_Droppable):
    """Standard output of a command whose result it is: what cannot be written is an error for the user.

    Raises:
        OutputError: the disk under it is full, or the terminal is gone.
        BrokenPipeError: whoever reads it has enough, as `| head` has.
    """

    def _failed(self, error: OSError) -> None:
        if isinstance(error, BrokenPipeError):
            raise error
        self._drop()
        raise OutputError(f"standard output cannot be written ({first_line(error)})", "send it elsewhere") from error


def leave_reader() -> None:
    """Drop what is still to be printed: whoever reads it is gone, and Python would complain when it flushes at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def prepare_streams(*, droppable: bool) -> None:
    """Make standard output and errors fit for any text, and for a process that was started without them.

    Args:
        droppable: what cannot be written is dropped from then on: the run has files as its result, not its lines.
    """
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # closed by who started us (`>&-`), or a program without a console
            stream = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
            setattr(sys, name, stream)
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a name that this terminal cannot show is no error
        if droppable:
            setattr(sys, name, _Droppable(stream))
        elif name == "stdout":
            setattr(sys, name, _Needed(stream))
