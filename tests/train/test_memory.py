"""Freed blocks stay with the process, so that the next step takes them without asking the kernel."""

from __future__ import annotations

import ctypes
import subprocess
import sys

import pytest

CHILD = """
import ctypes, torch
from segnet_live.learning.memory import keep_freed_memory
class Mallinfo2(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in (
        "arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost")]
libc = ctypes.CDLL("libc.so.6")
libc.mallinfo2.restype = Mallinfo2
keep_freed_memory() if {keep} else None
block = torch.ones(5_000_000)
mapped = libc.mallinfo2().hblkhd
del block
print(mapped, libc.mallinfo2().fordblks)
"""
BLOCK = 20_000_000


def memory(keep: bool) -> tuple[int, int]:
    """Return the bytes mapped apart while a block of 20 MB is held, and the free bytes kept once it is not."""
    done = subprocess.run(
        [sys.executable, "-c", CHILD.format(keep=keep)], capture_output=True, text=True, check=True, timeout=120
    )
    mapped, free = done.stdout.split()
    return int(mapped), int(free)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="mallopt is glibc's")
def test_a_freed_block_stays_with_the_process() -> None:
    if not hasattr(ctypes.CDLL(None), "mallinfo2"):
        pytest.skip("this C library has no mallinfo2 to ask (glibc 2.33 or newer has)")
    mapped, free = memory(keep=False)
    assert mapped >= BLOCK > free, "glibc by itself maps such a block apart and hands it back"
    mapped, free = memory(keep=True)
    assert free >= BLOCK > mapped
