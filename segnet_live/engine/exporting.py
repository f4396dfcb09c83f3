"""Let one thread at a time trace a network, without making the picture stutter. torch is imported when it does."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Iterator

SMALL_STEP_S = 0.0005
_STEPS_LOCK = threading.Lock()
_steppers = 0
_usual: list[float] = []
_EXPORT_LOCK = threading.RLock()


@contextlib.contextmanager
def exporting() -> Iterator[None]:
    """Hold the lock of torch.export and Dynamo, which have global state, in small steps. Reentrant.

    Two exports at the same time both end in "Trying to pop empty mode stack". Whoever needs the compile lock
    (`nvidia.device.compile_lock`), too, takes that one first.
    """
    with _EXPORT_LOCK, in_small_steps(), _without_a_gpu_that_fails():
        yield


@contextlib.contextmanager
def _without_a_gpu_that_fails() -> Iterator[None]:
    """Hide a GPU that no engine can use: torch.export asks every GPU for its random state, and a lost one raises."""
    import torch

    from segnet_live.engine.nvidia.device import cuda_problem

    asked = torch.cuda.is_available
    if not asked() or cuda_problem() is None:
        yield
        return
    torch.cuda.is_available = lambda: False
    try:
        yield
    finally:
        torch.cuda.is_available = asked


@contextlib.contextmanager
def in_small_steps() -> Iterator[None]:
    """Let other threads run every half millisecond instead of every five; around a compiler, which is all Python.

    Beside a compiler, a frame of 6 ms took 25 ms on average and a second at worst, and about half as much with this.
    """
    global _steppers
    with _STEPS_LOCK:
        if _steppers == 0:
            _usual.append(sys.getswitchinterval())
            sys.setswitchinterval(SMALL_STEP_S)
        _steppers += 1
    try:
        yield
    finally:
        with _STEPS_LOCK:
            _steppers -= 1
            if _steppers == 0:
                sys.setswitchinterval(_usual.pop())
