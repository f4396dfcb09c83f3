"""What is left for the developers when something unexpected happens, and what is not in it."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from segnet_live.cli import main
from segnet_live.commands.finding import Finding
from segnet_live.system import crash

SECRET = "rtsp://me:hunter2@cam/1"


@pytest.fixture
def logs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    folder = tmp_path / "log"
    folder.mkdir()
    monkeypatch.setattr(crash, "log_dir", lambda: folder)
    yield folder
    crash.end_well()


@pytest.mark.usefixtures("logs")
def test_people_see_warnings_wherever_they_come_from(capsys: pytest.CaptureFixture[str]) -> None:
    crash.watch()
    logging.getLogger("segnet_live.video.recorder").warning("out.mp4: the clock\x1b[31m jumps")
    logging.getLogger("segnet_live.video.recorder").info("not this")
    assert capsys.readouterr().err == "out.mp4: the clock\\x1b[31m jumps\n"


def test_people_see_why_an_engine_of_their_gpu_is_not_used(capsys: pytest.CaptureFixture[str]) -> None:
    crash.watch()
    crash.watch()
    logging.getLogger("segnet_live.engine.nvidia.auto").warning("tensorrt-rtx is not used: TensorRT-RTX does not run")
    assert capsys.readouterr().err == "tensorrt-rtx is not used: TensorRT-RTX does not run\n"


def test_an_unexpected_error_leaves_one_report_without_names_and_passwords(
    logs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> int:
        crash.note("engine: openvino on a CPU")
        raise RuntimeError(f"{SECRET} and /home/me/our house/kids.jpg and C:\\x y\\cat.png and drives/a.mp4 fell over")

    monkeypatch.setattr("segnet_live.cli._dispatch", fail)
    assert main([]) == 1
    (report,) = logs.glob("crash-*.txt")
    line = capsys.readouterr().err
    assert str(report) in line
    assert line.count("\n") == 1
    text = report.read_text()
    for wanted in ("segnet-live ", "Python ", "openvino ", "engine: openvino on a CPU", "RuntimeError", "in fail"):
        assert wanted in text
    for secret in ("hunter2", "kids", "our house", "cat.png", "drives/a"):
        assert secret not in text + line
    assert crash.offer() == ""  # it was named already


def test_what_arguments_name_stays_out_in_every_form(monkeypatch: pytest.MonkeyPatch) -> None:
    video = "/tmp/anna-at-clinic-2026.dav"
    monkeypatch.setattr(crash, "_arguments", ("--headless", f"--video={video}", "--masks", "out/her street"))
    text = f"{video} anna-at-clinic-2026.dav [anna-at-clinic-2026] her street RTSP://host/anna TCP://anna:1"
    assert "anna" not in crash.redact(text)
    assert "street" not in crash.redact(text)
    for name in ("/gps/anna.gpx", "anna.gif", "C:\\anna.h264", "/x/anna.ffconcat", "anna.npz"):
        assert "anna" not in crash.redact(f"no {name} here")
    assert crash.redact("File segnet_live/video/file.py, line 3") == "File segnet_live/video/file.py, line 3"


def test_a_user_without_a_home_gets_a_report(logs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", homeless)
    assert "ValueError: no" in crash.report(ValueError("no"))
    assert len(list(logs.glob("crash-*"))) == 1


def test_strange_files_among_the_reports_stop_no_start(logs: Path) -> None:
    for number in ("99999999999999999999", "0", "x", "٣"):
        (logs / f"fault-20260101-000000-000-{number}.txt").touch()
    if hasattr(os, "mkfifo"):
        os.mkfifo(logs / "fault-20260101-000000-000-7.txt")
        os.mkfifo(logs / "offered.txt")
    assert crash.offer() == ""
    crash.report(ValueError("no"))
    assert crash.newest_report()


CHILD = """
import sys, faulthandler
from pathlib import Path
from segnet_live.system import crash
crash.log_dir = lambda: Path(sys.argv[1])
crash.watch()
crash.note("engine: a test")
if sys.argv[2] == "fault":
    faulthandler._sigsegv()
if sys.argv[2] == "kill":
    import os, signal
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_crash_below_python_is_offered_at_the_next_start_once(logs: Path) -> None:
    for how in ("well", "kill"):
        subprocess.run([sys.executable, "-c", CHILD, str(logs), how], check=how == "well", timeout=240)
        assert crash.offer() == ""
    assert list(logs.glob("fault-*")) == []
    ended = subprocess.run([sys.executable, "-c", CHILD, str(logs), "fault"], timeout=240)
    assert ended.returncode == -signal.SIGSEGV
    (report,) = logs.glob("fault-*.txt")
    text = report.read_text()
    assert "engine: a test" in text
    assert "Fatal Python error: Segmentation fault" in text
    assert str(report) in crash.offer()
    assert crash.offer() == ""
    assert crash.newest_report() == text


AFTER_ENGINES = """
import os, signal
import numpy as np
import openvino as ov
import openvino.opset13 as ops
from segnet_live.engine import openvino
from segnet_live.system import crash
crash.watch()
def engine():
    given = ops.parameter([1, 3], np.float32)
    return openvino.core().compile_model(ov.Model([ops.relu(given)], [given]), "CPU")
first, second = engine(), engine()
del first  # with a Core each, the second's end gives this thread the first's signal stack back, which is gone
del second
handled = []
signal.signal(signal.SIGINT, lambda *_: handled.append(1))
for _ in range(3):
    os.kill(os.getpid(), signal.SIGINT)
print(len(handled))
"""


def test_ctrl_c_does_not_crash_after_engines_that_were_closed_in_their_order(tmp_path: Path) -> None:
    environment = os.environ | {"XDG_STATE_HOME": str(tmp_path)}
    child = [sys.executable, "-c", AFTER_ENGINES]
    done = subprocess.run(child, capture_output=True, text=True, timeout=100, env=environment)
    assert done.stdout.split()[-1:] == ["3"], (done.returncode, done.stderr)


WITH_AMX = """
import ctypes, os, signal, sys
from segnet_live.system import crash
crash.watch()
libc = ctypes.CDLL(None, use_errno=True)
if libc.syscall(158, 0x1023, 18):  # ARCH_REQ_XCOMP_PERM of AMX's tiles
    print("no AMX")
handled = []
signal.signal(signal.SIGINT, lambda *_: handled.append(1))
for _ in range(3):
    os.kill(os.getpid(), signal.SIGINT)
print(len(handled))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="signal stacks of Linux")
def test_ctrl_c_does_not_crash_with_amx_and_the_fault_handler(tmp_path: Path) -> None:
    environment = os.environ | {"XDG_STATE_HOME": str(tmp_path)}
    child = [sys.executable, "-c", WITH_AMX]
    done = subprocess.run(child, capture_output=True, text=True, timeout=240, env=environment)
    assert done.stdout.split()[-1] == "3", done.stderr


def test_doctor_gathers_the_same(
    logs: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("segnet_live.commands.doctor.machine", lambda: iter([Finding("cache", "ok", "/home/me/x.mp4")]))
    crash.note(f"engine: a test, {SECRET}")
    crash.report(ValueError("it fell over"))
    assert main(["doctor", "--no-engines", "--report"]) == 0
    (report,) = logs.glob("report-*.txt")
    assert str(report) in capsys.readouterr().out.replace("\n", "")
    text = report.read_text()
    for wanted in ("segnet-live ", "openvino ", "cache: ok", "engine: a test", "ValueError: it fell over"):
        assert wanted in text
    assert "hunter2" not in text
    assert "me/x" not in text
