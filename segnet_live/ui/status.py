"""Refresh everything in the window that is text or bars, four times a second, whatever the video does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from PyQt6.QtCore import QObject, QTimer

from segnet_live.pipeline.live.capture import Phase
from segnet_live.system.usage import UsageMeter
from segnet_live.ui.controls import Controls
from segnet_live.ui.hud import draw_plate, hud_lines, plate_pixels
from segnet_live.ui.saving import Saver
from segnet_live.ui.widgets.legend import Legend
from segnet_live.ui.widgets.seek_bar import SeekBar
from segnet_live.ui.widgets.video_view import VideoView

REFRESH_MS = 250


class StatusUpdater(QObject):
    """The updater of HUD, legend and seek bar with the session's figures. Lives in the window's thread.

    Args:
        others: called at every refresh.
    """

    def __init__(
        self,
        controls: Controls,
        saver: Saver,
        view: VideoView,
        legend: Legend,
        seek_bar: SeekBar,
        others: Sequence[Callable[[], None]] = (),
    ) -> None:
        super().__init__(view)
        self._controls, self._saver, self._others = controls, saver, others
        self._view, self._legend, self._seek_bar = view, legend, seek_bar
        self._usage = UsageMeter()
        self._strip_painted: object = None
        self._timer = QTimer(self)
        self._timer.timeout.connect(self.refresh)
        self._timer.start(REFRESH_MS)

    def refresh(self) -> None:
        """Show the newest figures now."""
        for other in self._others:
            other()
        shown = self._view.shown
        if shown is not None:
            shares = shown.result.class_shares
            self._legend.show_shares(shares if shown.result.is_segmented else np.zeros_like(shares))
        self._refresh_strip()
        self.refresh_hud()

    def _refresh_strip(self) -> None:
        strip, classes = self._controls.session.timeline, self._controls.classes
        state = (strip, strip.revision if strip is not None else 0, classes, self._controls.needs_confidence)
        if state != self._strip_painted:
            self._strip_painted = state
            self._seek_bar.show_strip(strip.means() if strip is not None else None, classes)
            sure = self._controls.session.confidence_line
            self._seek_bar.show_confidence(
                sure.means()[:, 0] if sure is not None and self._controls.needs_confidence else None
            )

    def refresh_hud(self) -> None:
        """Draw the HUD over the picture, and into the recording, as far as the user wants them there."""
        controls, view, recording = self._controls, self._view, self._saver.recording
        burn = recording is not None and self._saver.burn_hud
        if recording is not None and not burn:
            recording.set_plate(None)
        if not controls.settings.hud:
            view.show_plate(None)
        if not (controls.settings.hud or burn):
            return
        session, phase = controls.session, controls.phase
        snapshot = session.metrics.snapshot()
        if snapshot.confidence is None and view.shown is not None:  # a picture that stands still is not counted
            mean, unsure = view.shown.result.mean_confidence, view.shown.result.unsure_share
            snapshot = replace(snapshot, confidence=None if mean is None or unsure is None else (mean, unsure))
        state = phase.value if phase not in (None, Phase.PLAYING) else ""
        lines = hud_lines(snapshot, session.engine_info, self._usage.latest, state, session.governor_status)
        if controls.settings.hud:
            view.show_plate(draw_plate(lines, snapshot.history, view.devicePixelRatioF()))
        if recording is not None and burn:
            rows = view.shown.size[0] if view.shown is not None else 720
            recording.set_plate(plate_pixels(lines, snapshot.history, rows))

    def close(self) -> None:
        """Stop refreshing."""
        self._timer.stop()
        self._usage.close()
