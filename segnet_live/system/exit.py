"""Exit without waiting for daemon threads, in which a compiler or a camera driver may still be at work."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import threading
from typing import NoReturn


def leave(code: int) -> NoReturn:
    """Exit the process with this code, once everything of the user's has been written.

    With daemon threads left, Python is not torn down: under a compiler that crashes ("terminate called without an
    active exception"), and waiting for it may take minutes.
    """
    if any(thread.daemon for thread in threading.enumerate()):
        logging.shutdown()
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):  # whoever read it is gone
                stream.flush()
        os._exit(code)
    sys.exit(code)
