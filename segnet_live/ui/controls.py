"""Carry out what the user asks for in the window: a method for each request, signals for the outcome, no widgets."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from PyQt6.QtCore import QObject, pyqtSignal

from segnet_live.card import Card
from segnet_live.classes import COLOUR_BLIND_SAFE, ClassSet
from segnet_live.config import LAYERS, Backend, EngineSpec, HideSpec, Layer, RunOptions, SourceSpec, View
from segnet_live.display_text import mask_password
from segnet_live.engine.governor import Target
from segnet_live.engine.paired import other_engine
from segnet_live.errors import SegnetLiveError
from segnet_live.frame import Size
from segnet_live.pipeline.live.capture import OpenSource, Phase, SourceState
from segnet_live.pipeline.live.engine_switch import EngineChoice, EngineState, OpenEngine
from segnet_live.pipeline.live.session import LiveSession
from segnet_live.pipeline.record.video import RecordingState
from segnet_live.render.view import ViewSettings
from segnet_live.ui.settings import Settings

log = logging.getLogger(__name__)

SPEEDS = (0.25, 0.5, 1.0, 1.5, 2.0, 4.0)


class Controls(QObject):
    """The user's requests, passed on to the session, and the state that the widgets show.

    Lives in the window's thread. What the user chooses is remembered in the settings; what the command line asked for
    holds for this run only.

    Args:
        options: what holds at the start, command line and settings taken together.
        cards: the models to choose from.
        card: the model to begin with, one of `cards`.
        hide: what recordings hide: it takes the engine's confidence, whatever the view is.

    Signals:
        source_changed, engine_changed, view_changed: see the attributes of the same name.
        cards_changed: there is another model to choose from.
        problem: a line for the user, once.
        recording_ended: a RecordingState, once all its files are complete.
    """

    source_changed = pyqtSignal()
    engine_changed = pyqtSignal()
    view_changed = pyqtSignal()
    cards_changed = pyqtSignal()
    problem = pyqtSignal(str)
    recording_ended = pyqtSignal(object)
    _news = pyqtSignal(object)
    """From any thread to this one: state and errors, never pixels."""
    _bonnet_found = pyqtSignal(int, object)

    def __init__(
        self,
        settings: Settings,
        options: RunOptions,
        cards: Sequence[Card],
        card: Card,
        open_source: OpenSource,
        open_engine: OpenEngine,
        hide: HideSpec | None = None,
    ) -> None:
        super().__init__()
        self.settings = settings
        self.cards = list(cards)
        self.card = card
        self.backend, self.precision = options.backend, options.precision
        self.size, self.smooth = options.size, options.smooth
        governed = options.target_fps is not None or options.max_latency_ms is not None
        self.target = Target(options.target_fps, options.max_latency_ms) if governed else None
        self.source: SourceState | None = None
        self.engine = EngineState(None, None, None)
        self.bonnet: str | None = None
        self.left_out: float | None = None
        self._bonnet_ticket = 0
        self._bonnet_found.connect(self._take_bonnet)
        self.speed = 1.0
        self.confidence, self.samples = options.with_confidence, options.samples
        self.other = None if options.compare is None else other_engine(options.compare, card)
        self._hides_unsure = hide is not None and hide.unsure > 0
        self._paused = False
        self._news.connect(self._take)
        self.session = LiveSession(open_source, open_engine, self._news.emit, card.classes)
        colours = COLOUR_BLIND_SAFE if settings.colour_blind else None
        self._show(
            ViewSettings(
                view=options.view,
                opacity=options.opacity,
                layers=options.layers,
                colours=colours,
                fade_unsure=options.fade_unsure,
            )
        )

    def _take(self, news: Any) -> None:
        if isinstance(news, SourceState):
            capture = self.session.capture
            if capture is None or news.spec is not capture.spec:
                return  # of a source that was left meanwhile
            self.source = news
            if news.phase is Phase.FAILED:
                self.problem.emit(news.message)
            elif news.phase is Phase.PLAYING and news.spec.kind in ("video", "images"):
                # without its password, which would lie readable in the settings file
                self.settings.remember(f"{news.spec.kind}:{mask_password(news.spec.value)}")
            self.source_changed.emit()
        elif isinstance(news, EngineState):
            self.engine = news
            if news.opening is not None and news.opening.other is None and self.other is not None:
                self.compare(None)  # one of the two stopped, and the first goes on alone
            if news.error:
                self.problem.emit(news.error)
            self.engine_changed.emit()
        elif isinstance(news, RecordingState):
            self.recording_ended.emit(news)

    # Source and playback

    @property
    def phase(self) -> Phase | None:
        return self.source.phase if self.source is not None else None

    @property
    def is_file(self) -> bool:
        """Whether the source is one with a beginning and an end, which plays on request."""
        return self.source is not None and self.source.info is not None and not self.source.info.live

    @property
    def classes(self) -> ClassSet:
        """The class set of the running model, in the chosen colours."""
        choice = self.engine.choice
        return self.session.view_settings.recolour((choice.card if choice is not None else self.card).classes)

    def open(self, spec: SourceSpec) -> None:
        """Open a source in the background and let the old one go."""
        self._paused = False
        if spec.kind == "camera" and spec.camera_size is None:
            spec = replace(spec, camera_size=self.settings.camera_size)
        self.source = SourceState(Phase.OPENING, spec)
        self.session.open(spec, speed=self.speed, loop=self.settings.loop)
        if self.bonnet is not None:
            self.leave_out_bonnet(self.bonnet)
        self._use()
        self.source_changed.emit()

    def play_pause(self) -> None:
        capture = self.session.capture
        if capture is None or self.phase is Phase.FAILED:
            return
        self._paused = not self._paused and self.phase is not Phase.ENDED
        capture.pause(self._paused)

    def step(self) -> None:
        """Show the next frame and pause."""
        if self.session.capture is not None:
            self._hold()
            self.session.capture.step()

    def step_back(self) -> None:
        """Show the frame before and pause."""
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
        """Seek to a place in source time."""
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
        """Play faster, or slower, by so many steps of SPEEDS."""
        at = min(range(len(SPEEDS)), key=lambda i: abs(SPEEDS[i] - self.speed))
        self.set_speed(SPEEDS[min(len(SPEEDS) - 1, max(0, at + steps))])

    def set_loop(self, loop: bool) -> None:
        self.settings.loop = loop
        if self.session.capture is not None:
            self.session.capture.loop(loop)
        self.source_changed.emit()

    # Engine

    def use_model(self, card: Card) -> None:
        """Switch to another model; the engine in use keeps running until the new one is open."""
        if card is not self.card:
            self.samples = 0  # asked for on the command line, for the model named there
        self.card = card
        self.settings.model = card.name
        if self.other is not None and self.other.card.classes.names != card.classes.names:
            self.problem.emit(f"{card.name} has other classes than {self.other.card.name}; the comparison ends")
            self.compare(None)
        self._use()

    def add_model(self, card: Card) -> None:
        """Offer another model, in place of one that lay in the same folder."""
        self.cards = [known for known in self.cards if known.folder.resolve() != card.folder.resolve()] + [card]
        self.cards_changed.emit()

    def use_backend(self, backend: Backend) -> None:
        """Run the network with `backend`, as soon as it is open."""
        self.backend = self.settings.backend = backend
        self._use()

    def use_size(self, size: Size | None) -> None:
        """Run the network at `size` (height, width); None follows the source's shape."""
        self.size = self.settings.size = size
        self._use()

    def set_smooth(self, on: bool) -> None:
        """Smooth the label maps over time, or show them as the network gives them."""
        self.smooth = self.settings.smooth = on
        self._use()

    def set_confidence(self, on: bool) -> None:
        """Show how sure the network is, in the HUD and along the seek bar, whatever the view is."""
        self.confidence = self.settings.confidence = on
        self._use()
        self.view_changed.emit()

    @property
    def needs_confidence(self) -> bool:
        """Whether the engine is to say how sure it is: the user wants to know, or the view takes it."""
        return self.confidence or self.samples > 0 or self.view_settings.needs_confidence

    def compare(self, spec: EngineSpec | None) -> None:
        """Label every frame by a second engine, too, and show both with the wiper; None ends that.

        Not remembered: it takes twice the time.
        """
        try:
            self.other = None if spec is None else other_engine(spec, self.card)
        except SegnetLiveError as error:
            self.problem.emit(str(error))
        settings = self.view_settings
        if self.other is not None and not settings.needs_other:
            self._show(replace(settings, view="wiper", layers=("overlay", "other")))
        elif self.other is None:
            view: View = "overlay" if settings.view == "disagreement" else settings.view
            gone = not set(settings.layers) <= set(self.layers)
            self._show(replace(settings, view=view, layers=self.settings.layers if gone else settings.layers))
        self._use()
        self.view_changed.emit()

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The layers to choose from: those of a second engine only while there is one."""
        return tuple(layer for layer in LAYERS if self.other is not None or layer not in ("other", "disagreement"))

    def set_target(self, target: Target | None) -> None:
        """Hold a rate or a latency by running the network smaller; None runs it at its one size."""
        self.target = self.settings.target = target
        self._use()

    def _use(self) -> None:
        # The pictures of a folder need not follow each other: there is nothing to smooth.
        smooth = self.smooth and (self.source is None or self.source.spec.kind != "images")
        choice = EngineChoice(self.card, self.backend, self.precision, self.size, smooth, self.target)
        confidence = self.needs_confidence or self._hides_unsure
        self.session.use(replace(choice, confidence=confidence, samples=self.samples, other=self.other))

    # The view

    def _show(self, settings: ViewSettings) -> None:
        before = self.needs_confidence
        self.session.set_view_settings(settings)
        if self.needs_confidence != before:  # another engine: without confidence it runs as fast as ever
            self._use()
        self.view_changed.emit()

    @property
    def view_settings(self) -> ViewSettings:
        """The settings of what is shown of each frame."""
        return self.session.view_settings

    def set_view(self, view: View) -> None:
        if view == "disagreement" and self.other is None:
            self.problem.emit("there is one engine only; choose another to compare it with in the Model section")
            return
        if self.other is None:  # views of a comparison end with it
            self.settings.view = view
        self._show(replace(self.view_settings, view=view))

    def set_opacity(self, opacity: float) -> None:
        self.settings.opacity = round(min(1.0, max(0.0, opacity)), 2)
        self._show(replace(self.view_settings, opacity=self.settings.opacity))

    def set_fade(self, on: bool) -> None:
        """Let the overlay's colours fade where the network is unsure."""
        self.settings.fade_unsure = on
        self._show(replace(self.view_settings, fade_unsure=on))

    def change_opacity(self, by: float) -> None:
        self.set_opacity(self.view_settings.opacity + by)

    def set_wiper(self, place: float) -> None:
        self._show(replace(self.view_settings, wiper=min(1.0, max(0.0, place))))

    def move_wiper(self, by: float) -> None:
        self.set_wiper(self.view_settings.wiper + by)

    def set_layers(self, left: Layer, right: Layer) -> None:
        """Choose the layers left and right, in the wiper and side by side."""
        if self.other is None:
            self.settings.layers = (left, right)
        self._show(replace(self.view_settings, layers=(left, right)))

    def next_layers(self) -> None:
        """Go on to the next pair of different layers."""
        pairs = [(a, b) for a in self.layers for b in self.layers if a != b]
        at = pairs.index(self.view_settings.layers) if self.view_settings.layers in pairs else -1
        self.set_layers(*pairs[(at + 1) % len(pairs)])

    def set_colour_blind(self, on: bool) -> None:
        self.settings.colour_blind = on
        self._show(replace(self.view_settings, colours=COLOUR_BLIND_SAFE if on else None))

    def leave_out_bonnet(self, asked: str | None) -> None:
        """Leave out what the car itself takes of the picture: "auto" looks for it in the open file; None for nothing.

        Looking takes a second or two, in a thread of its own.
        """
        self.bonnet, self.left_out = asked, None
        self._bonnet_ticket += 1
        self.session.leave_out(None)
        video = self.source.spec.video_file if self.source is not None else None
        if asked is not None and (video is not None or asked != "auto"):
            work = threading.Thread(
                target=self._look_for_bonnet, args=(self._bonnet_ticket, asked, video), name="bonnet", daemon=True
            )
            work.start()
        self.view_changed.emit()

    def _look_for_bonnet(self, ticket: int, asked: str, video: Path | None) -> None:
        from segnet_live.drives.bonnet import chosen_bonnet

        try:
            self._bonnet_found.emit(ticket, chosen_bonnet(asked, video, log.info))
        except SegnetLiveError as error:
            self._bonnet_found.emit(ticket, str(error))

    def _take_bonnet(self, ticket: int, found: object) -> None:
        if ticket != self._bonnet_ticket:
            return  # of a source that was left, or not wanted any more
        if isinstance(found, str):
            self.problem.emit(found)
            found = None
        bonnet: Any = found
        self.left_out = bonnet.share if bonnet is not None else 0.0
        self.session.leave_out(bonnet)
        if self._paused and self.session.newest is not None:
            self.seek(self.session.newest.result.pts_s)  # labels the picture that stands still anew
        self.view_changed.emit()

    def mute(self, class_id: int) -> None:
        """Show or hide one class's colour."""
        self._show(replace(self.view_settings, hidden=self.view_settings.hidden ^ {class_id}))

    def solo(self, class_id: int) -> None:
        """Show this class alone, or all of them if it was alone already."""
        others = frozenset(range(len(self.classes))) - {class_id}
        self._show(replace(self.view_settings, hidden=frozenset() if self.view_settings.hidden == others else others))

    def show_classes(self, names: tuple[str, ...] | None = None) -> None:
        """Show only the named classes, or all."""
        shown = set(self.classes.ids(names)) if names else set(range(len(self.classes)))
        self._show(replace(self.view_settings, hidden=frozenset(range(len(self.classes))) - shown))

    @property
    def model_name(self) -> str:
        """The name of the model that runs or is being opened."""
        return self.engine.running.model if self.engine.running is not None else self.card.name

    # The end

    def close(self) -> None:
        """Stop all threads; a recording that still runs is finalised."""
        self.session.close()
