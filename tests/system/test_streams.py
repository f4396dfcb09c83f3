"""Standard output and errors that are closed, full or gone end no run, and are no reason for another exit code."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

RUN = f"{sys.executable} -m segnet_live --headless --synthetic --duration 0.4 --size 32x64 --stats"
"""Prints some lines and writes a file."""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
@pytest.mark.parametrize("streams", [">/dev/full 2>/dev/full", ">&- 2>&-", "| true"])
def test_a_run_whose_lines_nobody_reads_writes_its_files(tmp_path: Path, streams: str) -> None:
    script = f"set -o pipefail; {RUN} {tmp_path / 's.csv'} {streams}"
    ended = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=240)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert (tmp_path / "s.csv").read_text().count("\n") > 5


def test_a_command_may_be_started_without_standard_output() -> None:
    script = f"{sys.executable} -m segnet_live models >&-"
    assert subprocess.run(["bash", "-c", script], capture_output=True, timeout=240).returncode == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
@pytest.mark.parametrize("arguments", ["models", "--help", "cache list --json"])
def test_a_command_whose_answer_cannot_be_written_says_so(arguments: str) -> None:
    script = f"{sys.executable} -m segnet_live {arguments} >/dev/full"
    ended = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=240)
    assert ended.returncode == 2
    assert ended.stderr.startswith("segnet-live: standard output cannot be written (No space left on device)")
    assert ended.stderr.count("\n") == 1
    assert "report" not in ended.stderr
    nowhere = subprocess.run(["bash", "-c", f"{script} 2>&1"], capture_output=True, text=True, timeout=240)
    assert nowhere.returncode == 2, "nor can the line be written"
