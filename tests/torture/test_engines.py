"""Engines that raise, give rubbish or hang in the middle: the picture goes on, the user is told, another takes over."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segnet_live.card import Card
from segnet_live.cli import main
from segnet_live.config import SourceSpec
from segnet_live.engine.base import EngineInfo
from segnet_live.errors import EngineError
from segnet_live.frame import RGB, Frame, LabelMap, SourceInfo
from segnet_live.pipeline.headless import pipeline
from segnet_live.pipeline.headless.job import prepare
from segnet_live.pipeline.live import session as live
from segnet_live.pipeline.live.capture import SourceState
from segnet_live.pipeline.live.engine_switch import EngineChoice, EngineState
from segnet_live.pipeline.live.session import LiveSession, News
from tests.support.clips import Clip, make, times
from tests.torture.journal import Facts, run_long

FAULTS: dict[str, Callable[[], object]] = {
    "raises": lambda: _raise(RuntimeError("CUDA error: an illegal memory access")),
    "says why": lambda: _raise(EngineError("the device is lost")),
    "is out of memory": lambda: _raise(MemoryError()),
    "gives nothing": lambda: None,
    "gives floats": lambda: np.full((32, 48), np.nan, np.float32),
    "gives a picture": lambda: np.zeros((32, 48, 3), np.uint8),
    "gives an empty map": lambda: np.zeros((0, 0), np.uint8),
}
HANGS = "hangs"
WAIT_S = 30.0


def _raise(error: BaseException) -> object:
    raise error


class Failing:
    """Labels everything road until frame `at`, then does as `fault` says, for ever."""

    def __init__(self, backend: str, at: int, fault: str) -> None:
        self.info = EngineInfo(backend, "a test", "fp32", "none", (32, 48), "asked for")  # type: ignore[arg-type]
        self._at, self._fault, self._count = at, fault, 0
        self.release = threading.Event()

    def segment(self, rgb: RGB) -> LabelMap:
        self._count += 1
        if self._count <= self._at:
            return np.full((32, 48), 3, np.uint8)
        if self._fault == HANGS:
            self.release.wait(60)
            raise EngineError("it was released")
        return FAULTS[self._fault]()  # type: ignore[return-value]

    def close(self) -> None:
        if self._fault == "raises" and self._count > self._at:
            raise RuntimeError("closing fails as well")


class Opener:
    """Opens a failing engine first, and good ones then."""

    def __init__(self, at: int, fault: str) -> None:
        self.opened: list[Failing] = []
        self._at, self._fault = at, fault

    def __call__(self, card: Card, *, backend: str = "auto", **_: Any) -> Failing:
        first = not self.opened
        self.opened.append(Failing("tensorrt" if first else backend, self._at if first else 10**9, self._fault))
        return self.opened[-1]


class Camera:
    """A live source of small grey pictures, a hundred a second, until closed."""

    corrupt = 0
    info = SourceInfo("a camera", (48, 64), Fraction(100), Fraction(1, 100), None, None, True, False, False)

    def __init__(self) -> None:
        self._count = 0

    def read(self) -> Frame | None:
        time.sleep(0.01)
        self._count += 1
        return Frame(
            np.full((48, 64, 3), 90, np.uint8), self._count, self._count, Fraction(1, 100), time.perf_counter()
        )

    def seek(self, time_s: float) -> None: ...

    def close(self) -> None: ...


@contextmanager
def session(card: Card, opener: Opener) -> Iterator[tuple[LiveSession, list[News]]]:
    news: list[News] = []
    found = LiveSession(lambda spec: Camera(), opener, news.append, card.classes)  # type: ignore[arg-type, return-value]
    found.use(EngineChoice(card, "auto"))
    found.open(SourceSpec("camera", "0"))
    try:
        yield found, news
    finally:
        for engine in opener.opened:
            engine.release.set()
        found.close()


def fails_live(card: Card, fault: str, at: int) -> Facts:
    """Run the window's session until another engine labels the picture again."""
    opener = Opener(at, fault)
    with session(card, opener) as (found, news):
        began_s, last_s, gap_s, problem = time.monotonic(), time.monotonic(), 0.0, "no other engine took over"
        while time.monotonic() - began_s < WAIT_S:
            picture = found.take_picture()
            if picture is None:
                time.sleep(0.002)
                continue
            gap_s, last_s = max(gap_s, time.monotonic() - last_s), time.monotonic()
            if picture.result.is_segmented and len(opener.opened) > 1 and found.engine_info is opener.opened[1].info:
                problem = ""
                break
        told = [state.error for state in news if isinstance(state, EngineState) and state.error]
        if not problem and not any("takes over" in error for error in told):
            problem = f"the user was not told: {told}"
        if any(isinstance(state, SourceState) and state.message for state in news):
            problem = problem or "the source was blamed"
    return {"problem": problem, "fault": fault, "gap_s": gap_s}


def fails_headless(card: Card, clip: str, folder: Path, fault: str, at: int, patch: pytest.MonkeyPatch) -> Facts:
    """Record a clip whose engine fails at one frame: no frame may be missing."""
    opener, out = Opener(at, fault), folder / f"{fault}-{at}.mp4"
    patch.setitem(prepare.__kwdefaults__, "open_engine", opener)
    code = main(["--video", clip, "--headless", "--model", str(card.folder), "--record", str(out), "--size", "32x64"])
    got = len(times(out)) if out.exists() else 0
    problem = "" if code == 0 and got == 12 and len(opener.opened) == 2 else f"exit {code}, {got} of 12 frames"
    out.unlink(missing_ok=True)
    return {"problem": problem, "fault": fault, "gap_s": 0.0}


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "SILENT_ENGINE_S", 0.3)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("fault", ["raises", "gives floats", HANGS])
def test_another_engine_takes_over_in_the_window(tiny_card: Card, fault: str) -> None:
    facts = fails_live(tiny_card, fault, 3)
    assert not facts["problem"], facts


@pytest.mark.parametrize("fault", FAULTS)
def test_another_engine_takes_over_without_a_window(
    tiny_card: Card, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str, capsys: pytest.CaptureFixture[str]
) -> None:
    facts = fails_headless(tiny_card, make(tmp_path, Clip()), tmp_path, fault, 5, monkeypatch)
    assert not facts["problem"], facts
    assert "openvino takes over" in capsys.readouterr().out


def test_an_engine_that_hangs_ends_a_run_that_keeps_what_it_has(
    tiny_card: Card, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(pipeline, "SILENT_ENGINE_S", 0.3)
    opener, out = Opener(5, HANGS), tmp_path / "out.mp4"
    monkeypatch.setitem(prepare.__kwdefaults__, "open_engine", opener)
    clip = make(tmp_path, Clip())
    assert main(["--video", clip, "--headless", "--model", str(tiny_card.folder), "--record", str(out)]) == 2
    assert "has not answered" in capsys.readouterr().err
    assert len(times(out)) == 5
    opener.opened[0].release.set()


@pytest.mark.torture
@pytest.mark.timeout(0)
@pytest.mark.usefixtures("impatient")
def test_three_hundred_failing_engines(tiny_card: Card, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clip = make(tmp_path, Clip())

    def one(number: int, dice: random.Random) -> Facts:
        if number % 2:
            return fails_headless(
                tiny_card, clip, tmp_path, dice.choice(list(FAULTS)), dice.randrange(1, 12), monkeypatch
            )
        return fails_live(tiny_card, dice.choice([*FAULTS, HANGS]), dice.randrange(1, 40))

    run_long("engines", 300, one)
