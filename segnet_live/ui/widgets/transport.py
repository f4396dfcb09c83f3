"""The bottom bar: seek strip, playback buttons, speed, loop, snapshot, hard frame, record."""

from __future__ import annotations

from PyQt6.QtCore import QSignalBlocker, Qt
from PyQt6.QtGui import QResizeEvent
from PyQt6.QtWidgets import QComboBox, QHBoxLayout, QLabel, QVBoxLayout, QWidget

from segnet_live.config import clock
from segnet_live.pipeline.live.capture import Phase
from segnet_live.ui.controls import SPEEDS, Controls
from segnet_live.ui.parts import icon_button
from segnet_live.ui.saving import Saver
from segnet_live.ui.search import Searcher
from segnet_live.ui.theme import icon, monospace
from segnet_live.ui.widgets.recording_section import RecordButton
from segnet_live.ui.widgets.search_bar import SearchBar
from segnet_live.ui.widgets.seek_bar import SeekBar

NARROW_PX = 620


class Transport(QWidget):
    """Buttons that follow the controls' state; what cannot be done with this source is greyed out."""

    def __init__(self, controls: Controls, saver: Saver, searcher: Searcher) -> None:
        super().__init__()
        self.setObjectName("transport")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self._controls = controls
        self.seek_bar = SeekBar()
        self.seek_bar.sought.connect(controls.seek)
        self._searcher = searcher
        self.search_bar = SearchBar(searcher)
        self.search = icon_button("search", "Find moments (/)")
        self.search.clicked.connect(self.search_bar.open_search)
        searcher.changed.connect(self._show_marks)
        self.back = icon_button("step-back", "One frame back (,)")
        self.play = icon_button("pause", "Play or pause (Space)")
        self.step = icon_button("step", "One frame on (.)")
        self.loop = icon_button("loop", "Start over at the end (L)", checkable=True)
        self.snapshot = icon_button("camera", "Snapshot: frame, picture and label map as PNG (S)")
        self.hard = icon_button("flag", "Hard frame: keep as a draft for training (D)")
        self.record = RecordButton(saver)
        self.record.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.time = QLabel()
        self.time.setFont(monospace(13))
        self.time.setStyleSheet("font-family: monospace;")
        self.speed = QComboBox()
        self.speed.setToolTip("Speed ([ slower, ] faster)")
        self.speed.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        for speed in SPEEDS:
            self.speed.addItem(f"{speed:g}x", speed)
        for button, act in (
            (self.back, controls.step_back),
            (self.play, controls.play_pause),
            (self.step, controls.step),
            (self.snapshot, saver.snapshot),
            (self.hard, saver.hard_frame),
        ):
            button.clicked.connect(act)
        self.loop.toggled.connect(controls.set_loop)
        self.speed.activated.connect(lambda: controls.set_speed(float(self.speed.currentData())))
        row = QHBoxLayout()
        row.setSpacing(4)
        for widget in (self.back, self.play, self.step, self.time):
            row.addWidget(widget)
        row.addSpacing(6)
        row.addWidget(self.speed)
        row.addWidget(self.loop)
        row.addWidget(self.search)
        row.addStretch(1)
        for keep in (self.snapshot, self.hard, self.record):
            row.addWidget(keep)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(10, 4, 10, 8)
        layout.setSpacing(2)
        layout.addWidget(self.search_bar)
        layout.addWidget(self.seek_bar)
        layout.addLayout(row)
        controls.source_changed.connect(self.refresh)
        self.refresh()

    def resizeEvent(self, event: QResizeEvent | None) -> None:
        narrow = self.width() < NARROW_PX
        for widget in (self.back, self.step, self.speed):
            widget.setHidden(narrow)

    def refresh(self) -> None:
        controls = self._controls
        info = controls.source.info if controls.source is not None else None
        phase = controls.phase
        open_ = phase in (Phase.PLAYING, Phase.PAUSED, Phase.ENDED)
        self.play.setEnabled(open_)
        self.play.setIcon(icon("pause" if phase is Phase.PLAYING else "play"))
        self.step.setEnabled(open_)
        self.back.setEnabled(open_ and info is not None and info.seekable)
        for widget in (self.loop, self.speed, self.search):
            widget.setEnabled(controls.is_file)
        with QSignalBlocker(self.loop), QSignalBlocker(self.speed):
            self.loop.setChecked(controls.settings.loop)
            self.speed.setCurrentIndex(self.speed.findData(controls.speed))
        self.seek_bar.setVisible(info is None or not info.live)
        if info is not None:
            self.seek_bar.show_range(info.start_s, info.duration_s if info.seekable else None)
        else:
            self.seek_bar.show_range(0.0, None)
            self.seek_bar.show_strip(None, controls.classes)
        self.show_time()

    def _show_marks(self) -> None:
        moments = self._searcher.moments or ()
        self.seek_bar.show_marks([(moment.start_s, moment.end_s) for moment in moments])

    def show_time(self) -> None:
        """Show where playback is; called four times a second."""
        controls = self._controls
        if self._searcher.moments:
            self.search_bar.refresh()
        shown = controls.session.newest
        info = controls.source.info if controls.source is not None else None
        if info is None or shown is None:
            self.time.setText("")
        elif info.live:
            self.time.setText("LIVE")
        else:
            at_s = shown.result.pts_s - info.start_s
            length = f" / {clock(info.duration_s)}" if info.duration_s else ""
            self.time.setText(f" {clock(at_s, tenths=True)}{length}")
            self.seek_bar.show_time(shown.result.pts_s)
        self.time.setMinimumWidth(max(self.time.minimumWidth(), self.time.sizeHint().width()))
