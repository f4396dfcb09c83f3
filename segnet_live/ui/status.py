"""Everything in the window that is text or bars: refreshed four times a second, whatever the video does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PyQt6.QtCore import QObject, QTimer

from segnet_live.pipeline.live.capture import Phase
from segnet_live.pipeline.live.usage import UsageMeter
from segnet_live.ui.hud import draw_plate, hud_lines, plate_pixels

if TYPE_CHECKING:
    from segnet_live.ui.window import MainWindow

REFRESH_MS = 250


class Readouts(QObject):
    """Figures from the session into HUD, legend, seek strip, transport and record buttons."""

    def __init__(self, window: MainWindow) -> None:
        super().__init__(window)
        self._window = window
        self._usage = UsageMeter()
        self._strip_painted: object = None
        self._timer = QTimer(self)
        self._timer.timeout.connect(self.refresh)
        self._timer.start(REFRESH_MS)

    def refresh(self) -> None:
        window, shown = self._window, self._window.view.shown
        window.show_notice()
        window.transport.show_time()
        for button in (window.transport.record, window.panel_widgets.recording.button):
            button.refresh()
        if shown is not None:
            shares = shown.result.class_shares
            window.panel_widgets.legend.show_shares(shares if shown.result.is_segmented else np.zeros_like(shares))
        self._refresh_strip()
        self.refresh_hud()

    def _refresh_strip(self) -> None:
        controls = self._window.controls
        strip, classes = controls.session.timeline, controls.classes
        state = (strip, strip.revision if strip is not None else 0, classes)
        if state != self._strip_painted:
            self._strip_painted = state
            self._window.transport.seek_bar.show_strip(strip.means() if strip is not None else None, classes)

    def refresh_hud(self) -> None:
        controls, view = self._window.controls, self._window.view
        recording = controls.session.recording
        burn = recording is not None and controls.settings.burn_hud
        if recording is not None and not burn:
            recording.set_plate(None)
        if not controls.settings.hud:
            view.show_plate(None)
        if not (controls.settings.hud or burn):
            return
        snapshot, phase = controls.session.metrics.snapshot(), controls.phase
        state = phase.value if phase not in (None, Phase.PLAYING) else ""
        session = controls.session
        lines = hud_lines(snapshot, session.engine_info, self._usage.latest, state, session.governor_status)
        if controls.settings.hud:
            view.show_plate(draw_plate(lines, snapshot.history, view.devicePixelRatioF()))
        if recording is not None and burn:
            rows = view.shown.rgb.shape[0] if view.shown is not None else 720
            recording.set_plate(plate_pixels(lines, snapshot.history, rows))

    def close(self) -> None:
        self._timer.stop()
        self._usage.close()
