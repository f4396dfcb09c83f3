"""What a person can do in the window, without the widgets: one method for each wish, signals for what came of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

from PyQt6.QtCore import QObject, pyqtSignal

from segnet_live.card import Card
from segnet_live.classes import COLOUR_BLIND_SAFE, ClassSet
from segnet_live.config import LAYERS, Layer, RunConfig, SourceSpec, View
from segnet_live.engine.governor import Target
from segnet_live.errors import UsageError
from segnet_live.pipeline.live.capture import OpenSource, Phase, SourceState
from segnet_live.pipeline.live.engine_switch import EngineChoice, EngineState, OpenEngine
from segnet_live.pipeline.live.session import LiveSession
from segnet_live.pipeline.record.video import RecordingState
from segnet_live.render.view import ViewSettings
from segnet_live.ui.parsing import parse_size, parse_target
from segnet_live.ui.saving import Keeper
from segnet_live.ui.settings import Settings

SPEEDS = (0.25, 0.5, 1.0, 1.5, 2.0, 4.0)


class Controls(QObject):
    """The user's wishes to the session, and the state the widgets show. Lives in the window's thread.

    Signals:
        source_changed, engine_changed, look_changed: see the attributes of the same name.
        problem: a line for the user, once.
        told: good news for the user, once.
    """

    source_changed = pyqtSignal()
    engine_changed = pyqtSignal()
    look_changed = pyqtSignal()
    problem = pyqtSignal(str)
    told = pyqtSignal(str)
    _news = pyqtSignal(object)
    """From any thread to this one: state and errors, never pixels."""

    def __init__(
        self,
        settings: Settings,
        cards: list[Card],
        open_source: OpenSource,
        open_engine: OpenEngine,
    ) -> None:
        super().__init__()
        self.settings = settings
        self.cards = cards
        self.card = next((card for card in cards if card.name == settings.model), cards[0])
        self.backend, self.precision = settings.backend, "auto"
        self.size: tuple[int, int] | None = parse_size(settings.size) if settings.size else None
        self.smooth = settings.smooth
        self.target = parse_target(settings.target) if settings.target else None
        self.source: SourceState | None = None
        self.engine = EngineState(None, None, None)
        self.speed = 1.0
        self._paused = False
        self._news.connect(self._take)
        self.session = LiveSession(open_source, open_engine, self._news.emit, self.card.classes)
        self.keeper = Keeper(settings, self.session, self._model_name)
        self.keeper.problem.connect(self.problem)
        self.keeper.told.connect(self.told)
        wiped = cast(tuple[Layer, Layer], settings.wiped)
        self._set_look(ViewSettings(view=cast(View, settings.view), opacity=settings.opacity, layers=wiped))
        self.set_colour_blind(settings.colour_blind)

    def follow(self, config: RunConfig) -> None:
        """Do for this run what the command line asks for; the settings keep what the user chose before.

        Raises:
            UsageError: `config` names a class the model has not.
        """
        if config.backend != "auto":
            self.backend = config.backend
        self.precision = config.precision
        self.size = config.size or self.size
        if config.smooth is not None:
            self.smooth = config.smooth
        if config.target_fps is not None or config.max_latency_ms is not None:
            self.target = Target(config.target_fps, config.max_latency_ms)
        look = self.look
        if config.view != "overlay":
            look = replace(look, view=config.view)
        if config.opacity != 0.5:
            look = replace(look, opacity=config.opacity)
        self._set_look(look)
        if config.classes is not None:
            self.show_classes(config.classes)
        if config.burn_hud:
            self.settings.burn_hud = True
        if config.record is not None:
            self.keeper.record(config.record, overwrite=config.overwrite)

    def _take(self, news: Any) -> None:
        if isinstance(news, SourceState):
            capture = self.session.capture
            if capture is None or news.spec is not capture.spec:
                return  # of a source that was left meanwhile
            self.source = news
            if news.phase is Phase.FAILED:
                self.problem.emit(news.message)
            elif news.phase is Phase.PLAYING and news.spec.kind in ("video", "images"):
                self.settings.remember(f"{news.spec.kind}:{news.spec.value}")
            self.source_changed.emit()
        elif isinstance(news, EngineState):
            self.engine = news
            if news.error:
                self.problem.emit(news.error)
            self.engine_changed.emit()
        elif isinstance(news, RecordingState):
            self.keeper.recording_ended(news)

    # Source and playback

    @property
    def phase(self) -> Phase | None:
        return self.source.phase if self.source is not None else None

    @property
    def is_file(self) -> bool:
        """The source has a beginning and an end, and plays when we say so."""
        return self.source is not None and self.source.info is not None and not self.source.info.live

    @property
    def classes(self) -> ClassSet:
        """The class set of the running model, in the chosen colours."""
        choice = self.engine.choice
        return self.session.view_settings.recolour((choice.card if choice is not None else self.card).classes)

    def open(self, spec: SourceSpec) -> None:
        """Open a source in the background; the old one is let go."""
        self._paused = False
        if spec.kind == "camera" and spec.camera_size is None and self.settings.camera_size:
            spec = replace(spec, camera_size=parse_size(self.settings.camera_size))
        self.source = SourceState(Phase.OPENING, spec)
        self.session.open(spec, speed=self.speed, loop=self.settings.loop)
        self._use()
        self.source_changed.emit()

    def play_pause(self) -> None:
        capture = self.session.capture
        if capture is None or self.phase is Phase.FAILED:
            return
        self._paused = not self._paused and self.phase is not Phase.ENDED
        capture.pause(self._paused)

    def step(self) -> None:
        """The next frame, and stay there."""
        if self.session.capture is not None:
            self._hold()
            self.session.capture.step()

    def step_back(self) -> None:
        """The frame before, and stay there."""
        shown = self.session.newest
        if self.is_file and shown is not None:
            self._hold()
            interval_s = 1 / float(shown.result.source.rate or 25)
            self.seek(shown.result.pts_s - 1.1 * interval_s)

    def _hold(self) -> None:
        if not self._paused and self.session.capture is not None:
            self._paused = True
            self.session.capture.pause(True)

    def seek(self, time_s: float) -> None:
        """Go to a place in source time."""
        info = self.source.info if self.source is not None else None
        if self.session.capture is not None and info is not None and info.seekable:
            self.session.capture.seek(max(info.start_s, time_s))

    def seek_by(self, seconds: float) -> None:
        shown = self.session.newest
        if shown is not None:
            self.seek(shown.result.pts_s + seconds)

    def restart(self) -> None:
        self.seek(0.0)

    def set_speed(self, speed: float) -> None:
        self.speed = speed
        if self.session.capture is not None:
            self.session.capture.play_at(speed)
        self.source_changed.emit()

    def change_speed(self, steps: int) -> None:
        """Faster or slower by so many of SPEEDS."""
        at = min(range(len(SPEEDS)), key=lambda i: abs(SPEEDS[i] - self.speed))
        self.set_speed(SPEEDS[min(len(SPEEDS) - 1, max(0, at + steps))])

    def set_loop(self, loop: bool) -> None:
        self.settings.loop = loop
        if self.session.capture is not None:
            self.session.capture.loop(loop)
        self.source_changed.emit()

    # Engine

    def use(self, *, card: Card | None = None, backend: str | None = None, size: str | None = None) -> None:
        """Switch model, backend or input size (text, "" to follow the source) while the old engine keeps running."""
        if size is not None:
            try:
                self.size = parse_size(size) if size else None
            except UsageError as error:
                self.problem.emit(str(error))
                self.engine_changed.emit()
                return
        self.card = card or self.card
        self.backend = backend or self.backend
        self.settings.model, self.settings.backend = self.card.name, self.backend
        self.settings.size = f"{self.size[0]}x{self.size[1]}" if self.size else ""
        self._use()

    def set_smooth(self, on: bool) -> None:
        """Steady the label maps over time, or show them as the network gives them."""
        self.smooth = self.settings.smooth = on
        self._use()

    def set_target(self, text: str) -> None:
        """Hold a rate ("25 fps") or a latency ("60 ms") by running the network smaller; "" for the one size."""
        try:
            self.target = parse_target(text) if text else None
            self.settings.target = text
        except UsageError as error:
            self.problem.emit(str(error))
        self._use()

    def _use(self) -> None:
        # The pictures of a folder need not follow each other: nothing to steady.
        smooth = self.smooth and (self.source is None or self.source.spec.kind != "images")
        self.session.use(EngineChoice(self.card, self.backend, self.precision, self.size, smooth, self.target))

    # ViewSettings

    def _set_look(self, look: ViewSettings) -> None:
        self.session.set_view_settings(look)
        self.look_changed.emit()

    @property
    def look(self) -> ViewSettings:
        return self.session.view_settings

    def set_view(self, view: View) -> None:
        self.settings.view = view
        self._set_look(replace(self.look, view=view))

    def set_opacity(self, opacity: float) -> None:
        self.settings.opacity = round(min(1.0, max(0.0, opacity)), 2)
        self._set_look(replace(self.look, opacity=self.settings.opacity))

    def change_opacity(self, by: float) -> None:
        self.set_opacity(self.look.opacity + by)

    def set_wiper(self, place: float) -> None:
        self._set_look(replace(self.look, wiper=min(1.0, max(0.0, place))))

    def move_wiper(self, by: float) -> None:
        self.set_wiper(self.look.wiper + by)

    def set_wiped(self, left: Layer, right: Layer) -> None:
        """The layers left and right, in the wiper and side by side."""
        self.settings.wiped = (left, right)
        self._set_look(replace(self.look, layers=(left, right)))

    def next_wiped(self) -> None:
        """The next pair of different layers."""
        pairs = [(a, b) for a in LAYERS for b in LAYERS if a != b]
        at = pairs.index(self.look.layers) if self.look.layers in pairs else -1
        self.set_wiped(*pairs[(at + 1) % len(pairs)])

    def set_colour_blind(self, on: bool) -> None:
        self.settings.colour_blind = on
        self._set_look(replace(self.look, colours=COLOUR_BLIND_SAFE if on else None))

    def mute(self, class_id: int) -> None:
        """Show or hide one class's colour."""
        self._set_look(replace(self.look, hidden=self.look.hidden ^ {class_id}))

    def solo(self, class_id: int) -> None:
        """Show this class alone; all of them if it was alone already."""
        others = frozenset(range(len(self.classes))) - {class_id}
        self._set_look(replace(self.look, hidden=frozenset() if self.look.hidden == others else others))

    def show_classes(self, names: tuple[str, ...] | None = None) -> None:
        """Show only the named classes, or all."""
        shown = set(self.classes.ids(names)) if names else set(range(len(self.classes)))
        self._set_look(replace(self.look, hidden=frozenset(range(len(self.classes))) - shown))

    def _model_name(self) -> str:
        return self.engine.running.model if self.engine.running is not None else self.card.name

    # The end

    def close(self) -> None:
        """Finalise what is being written and stop all threads."""
        self.keeper.close()
        self.session.close()
