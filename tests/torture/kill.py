"""Kill recordings with SIGKILL, with a window and without, and look at what is left."""

from __future__ import annotations

import contextlib
import io
import multiprocessing
import random
import time
from collections.abc import Sequence
from fractions import Fraction
from multiprocessing.process import BaseProcess
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path
from typing import Any

import av
import numpy as np

from segnet_live.cli import main
from segnet_live.system.files import partial_path
from tests.support.clips import tone
from tests.torture.journal import Facts

SIZE = (48, 64)
KINDS = ("sound", "vfr", "23.976", "59.94", "1 fps")
MOST_LOST_S = 2.0
PATIENCE_S = 90.0
BEFORE = ("segnet_live.pipeline.headless.run", "segnet_live.engine.openvino", "tests.torture.kill")
context = multiprocessing.get_context("forkserver")
context.set_forkserver_preload(list(BEFORE))


def clip(path: Path, kind: str, seconds: int) -> Path:
    """Make a source of one of KINDS: noise, so that fragments have some bytes."""
    rate = {"23.976": Fraction(24000, 1001), "59.94": Fraction(60000, 1001), "1 fps": Fraction(1)}.get(
        kind, Fraction(25)
    )
    count = seconds * 8 if kind == "1 fps" else round(seconds * rate)
    dice = random.Random(kind)
    grain = np.random.default_rng(0).integers(0, 255, (16, *SIZE, 3), dtype=np.uint8)
    ticks = 0
    with av.open(str(path), "w") as output:
        video = output.add_stream("mpeg4", rate=rate, width=SIZE[1], height=SIZE[0], pix_fmt="yuv420p")
        video.codec_context.time_base = Fraction(1, 10000) if kind == "vfr" else 1 / rate
        audio = output.add_stream("aac", rate=16000) if kind == "sound" else None
        for index in range(count):
            frame = av.VideoFrame.from_ndarray(grain[index % 16], format="rgb24")
            frame.pts, frame.time_base = ticks, video.codec_context.time_base
            ticks += dice.choice((200, 333, 400, 1000)) if kind == "vfr" else 1
            output.mux(video.encode(frame))
        output.mux(video.encode(None))
        if audio is not None:
            for block in tone(16000, count / rate):
                output.mux(audio.encode(block))
            output.mux(audio.encode(None))
    return path


def record(arguments: Sequence[str]) -> None:
    """The body of the process that is killed, without a window."""
    with contextlib.redirect_stdout(io.StringIO()):
        main(arguments)


def record_in_window(source: str, model: str, out: str, reached_s: Synchronized[float]) -> None:
    """The body of the process that is killed, with a window: plays at four times the speed and records."""
    from PyQt6.QtCore import QTimer

    from segnet_live.config import RunConfig, SourceSpec
    from segnet_live.ui.app import create_app, start
    from segnet_live.ui.settings import Settings

    config = RunConfig(source=SourceSpec("video", source), model=model, record=Path(out), size=(32, 64))
    app = create_app(config, settings=Settings(smooth=False), settings_file=Path(out).with_suffix(".json"))
    app.window.controls.set_speed(4.0)

    def tell() -> None:
        recording = app.window.saver.recording
        if recording is not None:
            reached_s.value = recording.elapsed_s

    timer = QTimer()
    timer.timeout.connect(tell)
    timer.start(5)
    start(app, config)
    app.qt.exec()


def kill_headless(source: Path, model: Path, folder: Path, dice: random.Random) -> Facts:
    """Kill a recording without a window after a random number of frames; say what is left of it."""
    out, stats = folder / "out.mp4", folder / "out.csv"
    with av.open(str(source)) as container:
        wanted = dice.randrange(2, container.streams.video[0].frames)
    given = ["--video", str(source), "--headless", "--model", str(model), "--size", "32x64", "--no-smooth"]
    process = context.Process(target=record, args=([*given, "--record", str(out), "--stats", str(stats)],))
    process.start()
    rows = partial_path(stats)
    _wait(process, lambda: rows.exists() and rows.read_bytes().count(b"\n") > wanted)
    _kill(process)
    if out.exists():
        return {"problem": "", "kind": "finished before", "lost_s": 0.0}
    written = rows.read_text().splitlines()[1:-1]
    reached_s = float(written[-1].split(",")[1]) if written else 0.0
    again = io.StringIO()
    with contextlib.redirect_stderr(again):
        code = main([*given, "--record", str(out)])
    offered = code == 2 and "segnet-live repair" in again.getvalue() and again.getvalue().count("\n") == 1
    return _examined(partial_path(out), reached_s, "" if offered else f"offered no repair: {again.getvalue()}")


def kill_window(source: Path, model: Path, folder: Path, dice: random.Random) -> Facts:
    """Kill a recording in the window after a random time; say what is left of it."""
    out = folder / "out.mp4"
    reached_s: Any = context.Value("d", 0.0)
    wanted_s = dice.uniform(0.5, 16.0)
    process = context.Process(target=record_in_window, args=(str(source), str(model), str(out), reached_s))
    process.start()
    _wait(process, lambda: reached_s.value >= wanted_s)
    _kill(process)
    return _examined(partial_path(out), reached_s.value, "")


def _wait(process: BaseProcess, condition: Any) -> None:
    until_s = time.monotonic() + PATIENCE_S
    while process.is_alive() and not condition():
        assert time.monotonic() < until_s, "the recording hangs"
        time.sleep(0.002)


def _kill(process: BaseProcess) -> None:
    process.kill()
    process.join()


def _examined(partial: Path, reached_s: float, problem: str) -> Facts:
    """What plays of a partial file, what was lost, and whether the repaired file holds the same."""
    with av.open(str(partial)) as container:
        pictures = [float(f.pts * f.time_base) for f in container.decode(video=0) if f.pts is not None]
    # frames are recorded when the next one comes: what plays ends with the last one's time
    lost_s = max(0.0, reached_s - (pictures[-1] - pictures[0] if pictures else 0.0))
    if lost_s > MOST_LOST_S:
        problem = problem or f"{lost_s:.2f} s are lost of {reached_s:.2f}"
    if pictures:
        finished = partial.with_name("out.mp4")
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()) as said:
            code = main(["repair", str(partial)])
        if code:
            return {"problem": said.getvalue(), "lost_s": lost_s}
        with av.open(str(finished)) as container:
            again = sum(1 for _ in container.decode(video=0))
            if again != len(pictures) or container.streams.video[0].frames != again:
                problem = problem or f"{again} of {len(pictures)} pictures are left after the repair"
    return {"problem": problem, "lost_s": lost_s, "pictures": len(pictures)}
