"""The end of a command: its code and its output stay whole whatever its threads still do."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import atexit, threading, time
from segnet_live.system.exit import ABANDONED, leave
atexit.register(print, "torn down")
if {busy!r} == "a thread":
    threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
if {busy!r} == "a lost GPU":
    ABANDONED.append("its memory")
print("written")
leave(3)
"""


SCRATCH = """
import threading, time
from segnet_live.system.exit import leave, scratch_folder
begun = threading.Event()
def builds():
    with scratch_folder() as folder:
        (folder / "engine.bin").write_bytes(b"59 MB")
        print(folder)
        begun.set()
        time.sleep(600)
threading.Thread(target=builds, daemon=True).start()
begun.wait()
leave(0)
"""


def test_the_scratch_folder_of_a_thread_at_work_does_not_stay_behind() -> None:
    ended = subprocess.run([sys.executable, "-c", SCRATCH], capture_output=True, text=True, timeout=240)
    assert ended.returncode == 0
    folder = Path(ended.stdout.strip())
    assert "segnet-live-" in folder.name
    assert not folder.exists()


@pytest.mark.parametrize("busy", ["a thread", "a lost GPU", ""])
def test_python_is_not_torn_down_under_a_thread_at_work_or_what_must_not_be_destroyed(busy: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(busy=busy)], capture_output=True, text=True, timeout=240
    )
    assert ended.returncode == 3
    assert ended.stdout.split("\n")[:-1] == (["written"] if busy else ["written", "torn down"])
