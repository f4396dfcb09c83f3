"""Share the cores on purpose: each library's own default is all of them, and together they fight."""

from __future__ import annotations

import os


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def share_cores() -> None:
    """Let OpenCV work in the thread that calls it: the stages of a pipeline run side by side, each in its own.

    For a process of the app's own, before its pipeline starts.
    """
    import cv2

    cv2.setNumThreads(1)
