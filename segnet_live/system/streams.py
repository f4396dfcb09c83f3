"""Let standard output and errors be gone: a closed terminal, a full disk under a log or `| head` end no recording."""

from __future__ import annotations

import io
import os
import sys
from typing import TextIO


class _Droppable(io.TextIOBase):
    """A text stream that drops what nobody can read any more."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except OSError:
            self._drop()
            return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError:
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
