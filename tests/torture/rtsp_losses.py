"""An RTSP camera (GStreamer's server) that is lost in the ways in which a process can be, and comes back each time."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import av

from segnet_live.card import Card
from segnet_live.config import RunConfig, SourceSpec
from segnet_live.pipeline.headless import run
from segnet_live.pipeline.live.engine_switch import EngineChoice
from segnet_live.pipeline.live.session import LiveSession
from segnet_live.video import container
from segnet_live.video.open import open_source
from tests.support.engines import Engines
from tests.support.rtsp import Server
from tests.torture.journal import Facts

WAYS = ("killed", "silence", "another size", "another codec", "refused")
"""How the camera is lost: its process dies or stands still; it comes back at once, otherwise, or after a while."""
GOOD_S = 0.5
MOST_LAG_S = 2.0
PATIENCE_S = 60.0
STEP_S, LEVELS, LEVEL = 0.1, 32, 8
"""The clock in the pictures' grey: see `rtsp_server.grey_at`."""


def lose(server: Server, way: str) -> None:
    """Lose the camera, and have it back."""
    if way == "silence":
        server.fall_silent()
        time.sleep(container.READ_TIMEOUT_S + 1)
    server.die()
    if way == "refused":
        time.sleep(1.0)
    server.start(*{"another size": ("--size", "96x64"), "another codec": ("--codec", "jpeg")}.get(way, ()))


def lag_s(grey: float, now_s: float) -> float:
    """How old the picture with that grey is, 0 to 3.2 s."""
    return (int(now_s / STEP_S) - round(grey / LEVEL)) % LEVELS * STEP_S


def lose_in_the_window(card: Card, server: Server, ways: Sequence[str]) -> Facts:
    """Watch a camera through its losses; say how late the picture is at the end, and how long it was away at most."""
    server.start()
    session = LiveSession(open_source, Engines().open, lambda news: None, card.classes)
    session.use(EngineChoice(card))
    session.open(SourceSpec("video", server.url("live")))
    away_s: list[float] = []
    try:
        for number, way in enumerate((*ways, "")):
            began_s = time.monotonic()
            shown = until(session.take_picture, PATIENCE_S)
            if shown is None:
                return {"problem": f"no picture after loss {number}, {ways[number - 1]}", "losses": len(ways)}
            away_s.append(time.monotonic() - began_s)
            time.sleep(GOOD_S)
            if way:
                lose(server, way)
                session.take_picture()  # from before the loss
        server.die()
        server.start()  # as at first, so that its grey is the clock's
        session.take_picture()
        until(session.take_picture, PATIENCE_S)
        time.sleep(GOOD_S)
        last = until(session.take_picture, PATIENCE_S)
        late_s = lag_s(float(last.result.rgb.mean()), time.monotonic()) if last is not None else 0.0
    finally:
        session.close()
        server.die()
    problem = "" if last is not None else "no picture after the losses"
    if late_s > MOST_LAG_S:
        problem = f"{late_s:.1f} s late after the losses"
    return {"problem": problem, "losses": len(ways), "lag_s": late_s, "away_s": max(away_s)}


def lose_headless(card: Card, server: Server, ways: Sequence[str], folder: Path) -> Facts:
    """Record a camera through its losses; Ctrl-C ends the run after a good while."""
    server.start()
    out = folder / "out.mp4"
    config = RunConfig(
        source=SourceSpec("video", server.url("live")), record=out, headless=True, model=str(card.folder), smooth=False
    )
    missed: list[str] = []

    def lose_all() -> None:
        for number, way in enumerate((*ways, "")):
            if not until(partial(another_file, folder, number), PATIENCE_S):
                missed.append(f"{recordings(folder)} files after {number} losses ({way})")
                break
            time.sleep(GOOD_S)
            if way:
                lose(server, way)
        os.kill(os.getpid(), signal.SIGINT)

    trouble = threading.Thread(target=lose_all, daemon=True)
    trouble.start()
    code = run.run(config)
    trouble.join(PATIENCE_S)
    server.die()
    problem = missed[0] if missed else "" if code == 130 else f"exit {code}"
    files = sorted(folder.glob("out*.mp4"))
    if any(".part" in file.name for file in files) and not problem:
        problem = f"left over: {[file.name for file in files if '.part' in file.name]}"
    for file in files:
        with av.open(str(file)) as video:
            if not sum(1 for _ in video.decode(video=0)) and not problem:
                problem = f"{file.name} holds no picture"
        file.unlink()
    return {"problem": problem, "losses": len(ways), "files": len(files)}


def recordings(folder: Path) -> int:
    """How many files have been begun."""
    return len({file.name.split(".")[0] for file in folder.glob("out*.mp4")})


def another_file(folder: Path, number: int) -> bool:
    """Whether there are more recordings than that."""
    return recordings(folder) > number


def until(found: Callable[[], Any], timeout_s: float) -> Any:
    """Return the first thing that is found, None if the time is up."""
    end_s = time.monotonic() + timeout_s
    while time.monotonic() < end_s:
        if thing := found():
            return thing
        time.sleep(0.01)
    return None
