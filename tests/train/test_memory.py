"""Freed blocks stay with the process, so that the next step takes them without asking the kernel."""

from __future__ import annotations

import subprocess
import sys

import pytest

CHILD = """
import resource, torch
from train.memory import keep_freed_memory
keep_freed_memory() if {keep} else None
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
def step():
    return float((torch.ones(5_000_000) + 1)[0])  # two blocks of 20 MB
step()
before = faults()
for _ in range(5):
    step()
print(faults() - before)
"""


def page_faults(keep: bool) -> int:
    done = subprocess.run(
        [sys.executable, "-c", CHILD.format(keep=keep)], capture_output=True, text=True, check=True, timeout=120
    )
    return int(done.stdout)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="mallopt is glibc's")
def test_freed_blocks_are_taken_again_with_fewer_new_pages() -> None:
    assert page_faults(keep=True) < 0.8 * page_faults(keep=False)
