"""Freed blocks stay with a process that trains, and go back from one that serves."""

from __future__ import annotations

import ctypes
import subprocess
import sys

import pytest

CHILD = """
import ctypes, torch
from segnet_live.system import allocator
class Mallinfo2(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in (
        "arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost")]
libc = ctypes.CDLL("libc.so.6")
libc.mallinfo2.restype = Mallinfo2
getattr(allocator, {setting!r}, lambda: None)()
for _ in range(2):  # glibc keeps blocks of this size from the second on
    block = torch.ones(5_000_000)
    mapped = libc.mallinfo2().hblkhd
    del block
print(mapped, libc.mallinfo2().fordblks)
"""
BLOCK = 20_000_000


def memory(setting: str) -> tuple[int, int]:
    """Return the bytes mapped apart while a block of 20 MB is held again, and the free bytes kept once it is not."""
    done = subprocess.run(
        [sys.executable, "-c", CHILD.format(setting=setting)], capture_output=True, text=True, check=True, timeout=120
    )
    mapped, free = done.stdout.split()
    return int(mapped), int(free)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="mallopt is glibc's")
def test_a_freed_block_stays_with_training_and_goes_back_from_a_server() -> None:
    if not hasattr(ctypes.CDLL(None), "mallinfo2"):
        pytest.skip("this C library has no mallinfo2 to ask (glibc 2.33 or newer has)")
    mapped, _ = memory("")
    assert mapped < BLOCK, "glibc by itself takes the second block of a size from its own heap"
    mapped, free = memory("return_freed_memory")
    assert mapped >= BLOCK > free
    mapped, free = memory("keep_freed_memory")
    assert free >= BLOCK > mapped
