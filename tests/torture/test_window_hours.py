"""Hours of the window, offscreen and at four times the pace: sources, models, seeks, views, recordings by the dice."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import pytest

from segnet_live.card import Card
from segnet_live.config import VIEWS, RunConfig, SourceSpec
from segnet_live.ui.app import App, create_app
from segnet_live.ui.settings import Settings
from tests.support.cards import write_card
from tests.support.clips import Clip, make
from tests.torture.journal import Facts, dice, run_long
from tests.torture.resources import Resources

PACE = 4.0


class Hours:
    """The window, and what the dice may do to it."""

    def __init__(self, folder: Path, cards: list[Card]) -> None:
        self.kept = folder / "kept"
        sizes = ((48, 64), (64, 48), (96, 128))
        self._sources = [
            SourceSpec("video", make(folder, Clip(name=f"{n}.mp4", size=size, frames=300, audio="aac")))
            for n, size in enumerate(sizes)
        ]
        self._sources.append(SourceSpec("video", str(folder / "missing.mp4")))
        self._cards = cards
        settings = Settings(folder=str(self.kept), loop=True)
        self.app: App = create_app(RunConfig(), settings=settings, settings_file=folder / "s.json", cards=cards)
        self.app.window.show()
        self.app.window.controls.set_speed(PACE)

    def act(self, dice: random.Random) -> None:
        window = self.app.window
        controls, saver = window.controls, window.saver
        acts: list[Callable[[], object]] = [
            lambda: controls.open(dice.choice(self._sources)),
            lambda: controls.use_model(dice.choice(self._cards)),
            lambda: controls.use_size(dice.choice(((32, 64), (32, 32), None))),
            lambda: controls.set_smooth(dice.random() < 0.5),
            lambda: controls.seek(dice.uniform(0, 12)),
            lambda: controls.set_view(dice.choice(VIEWS)),
            controls.play_pause,
            controls.step,
            saver.record,
            saver.snapshot,
            window.toggle_hud,
            window.toggle_panel,
            window.toggle_full_screen,
            window.banner.dismiss,
        ]
        dice.choice(acts)()

    def live(self, seconds: float, dice: random.Random) -> int:
        """Let the window live for so long, with two acts a second; give how many pictures it showed."""
        shown, pictures, until_s, next_s = None, 0, time.monotonic() + seconds, 0.0
        while (now_s := time.monotonic()) < until_s:
            self.app.qt.processEvents()
            if now_s > next_s:
                self.act(dice)
                next_s = now_s + 0.5
            picture = self.app.window.view.shown
            pictures, shown = pictures + (picture is not shown), picture
            time.sleep(0.001)
        return pictures

    def rest(self) -> None:
        """Come to a state in which pieces can be compared: no recording, an open file, an engine."""
        window, until_s = self.app.window, time.monotonic() + 60
        if window.saver.recording is not None and not window.saver.is_finishing:
            window.saver.record()
        window.controls.open(self._sources[0])
        while time.monotonic() < until_s:
            self.app.qt.processEvents()
            time.sleep(0.002)
            busy = window.saver.recording is not None or window.controls.engine.opening is not None
            if not busy and window.view.shown is not None and window.view.shown.result.is_segmented:
                return
        raise AssertionError(f"it does not come to rest: {window.controls.phase}, {window.banner.text}")

    def broken_files(self) -> list[str]:
        """Recordings that do not play; those that do are deleted."""
        broken = []
        for file in self.kept.glob("*"):
            if file.suffix == ".mp4":
                with av.open(str(file)) as container:
                    if not sum(1 for _ in container.decode(video=0)):
                        broken.append(file.name)
            file.unlink()
        return broken


@pytest.fixture(scope="module")
def hours(tmp_path_factory: pytest.TempPathFactory, tiny_card: Card) -> Iterator[Hours]:
    folder = tmp_path_factory.mktemp("hours")
    found = Hours(folder, [tiny_card, write_card(folder / "models" / "other", seed=1)])
    yield found
    found.app.dispose()


def test_the_window_lives_through_whatever_is_done_to_it(hours: Hours) -> None:
    hours.rest()
    hours.live(2.0, dice("window-short", 0, 1))
    hours.rest()
    assert hours.broken_files() == []


@pytest.mark.torture
@pytest.mark.timeout(0)
def test_four_hours_of_window(hours: Hours) -> None:
    resources = Resources(most_threads_more=2, warm_up=60)

    def minute(number: int, dice: random.Random) -> Facts:
        pictures = hours.live(60 / PACE, dice)
        hours.rest()
        facts = dict(resources.after(max(1, pictures)))
        broken = hours.broken_files()
        return facts | {"problem": facts["problem"] or (f"{broken} do not play" if broken else "")}

    run_long("window", 240, minute)
