"""The panel's section on the picture: views, wiper, opacity, palette."""

from __future__ import annotations

from functools import partial
from typing import cast

from PyQt6.QtCore import QSignalBlocker, Qt
from PyQt6.QtWidgets import (
    QButtonGroup,
    QCheckBox,
    QComboBox,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSlider,
    QVBoxLayout,
    QWidget,
)

from segnet_live.config import VIEWS, Layer, View
from segnet_live.ui.controls import Controls
from segnet_live.ui.parts import narrow, select

VIEW_NAMES: dict[View, str] = {
    "overlay": "Overlay", "labels": "Labels", "original": "Original", "side-by-side": "Side by side", "wiper": "Wiper",
    "confidence": "Confidence", "disagreement": "Where two engines differ",
}  # fmt: skip

LAYER_NAMES: dict[Layer, str] = {
    "overlay": "Overlay", "labels": "Labels", "original": "Original", "confidence": "Confidence",
    "other": "Second engine", "disagreement": "Difference",
}  # fmt: skip


class ViewSection(QWidget):
    """The controls of the view, the two layers of wiper and side by side, opacity and palette."""

    def __init__(self, controls: Controls) -> None:
        super().__init__()
        self._controls = controls
        self.buttons: dict[View, QPushButton] = {}
        group = QButtonGroup(self)
        grid = QGridLayout()
        grid.setSpacing(6)
        for i, view in enumerate(VIEWS):
            button = QPushButton(VIEW_NAMES[view])
            button.setCheckable(True)
            button.setToolTip(f"{VIEW_NAMES[view]} ({i + 1})")
            button.clicked.connect(partial(self._set_view, view))
            group.addButton(button)
            self.buttons[view] = button
            grid.addWidget(button, i // 2, i % 2, 1, 2 if view == "disagreement" else 1)
        self.left, self.right = QComboBox(), QComboBox()
        for box in (self.left, self.right):
            box.activated.connect(self._set_layers)
            narrow(box)
        self._layers: tuple[Layer, ...] = ()
        self.pair = QWidget()
        pair = QHBoxLayout(self.pair)
        pair.setContentsMargins(0, 0, 0, 0)
        pair.addWidget(self.left, 1)
        pair.addWidget(QLabel("|"))
        pair.addWidget(self.right, 1)
        self.opacity = QSlider(Qt.Orientation.Horizontal)
        self.opacity.setRange(0, 100)
        self.opacity.setPageStep(10)
        self.opacity.valueChanged.connect(lambda value: controls.set_opacity(value / 100))
        self._percent = QLabel()
        self._percent.setMinimumWidth(38)
        self._percent.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        opacity = QHBoxLayout()
        opacity.addWidget(QLabel("Opacity"))
        opacity.addWidget(self.opacity, 1)
        opacity.addWidget(self._percent)
        self.colour_blind = QCheckBox("Colour-blind-safe palette")
        self.colour_blind.toggled.connect(controls.set_colour_blind)
        self.bonnet = QCheckBox()
        self.bonnet.setToolTip("Leave out what the car itself takes of the picture: it is looked for in the open file")
        self.bonnet.toggled.connect(lambda on: controls.leave_out_bonnet("auto" if on else None))
        self.confidence = QCheckBox("Show confidence")
        self.confidence.setToolTip("Mean confidence and share of unsure pixels in the HUD, and along the seek bar (U)")
        self.confidence.toggled.connect(controls.set_confidence)
        self.fade = QCheckBox("Fade unsure pixels")
        self.fade.setToolTip("The overlay's colours fade where the network is unsure (Shift+U)")
        self.fade.toggled.connect(controls.set_fade)
        layout = QVBoxLayout(self)
        layout.setSpacing(10)
        layout.addLayout(grid)
        layout.addWidget(self.pair)
        layout.addLayout(opacity)
        layout.addWidget(self.colour_blind)
        layout.addWidget(self.bonnet)
        layout.addWidget(self.confidence)
        layout.addWidget(self.fade)
        controls.view_changed.connect(self.refresh)
        self.refresh()

    def _set_view(self, view: View) -> None:
        self._controls.set_view(view)

    def _set_layers(self) -> None:
        self._controls.set_layers(cast(Layer, self.left.currentData()), cast(Layer, self.right.currentData()))

    def refresh(self) -> None:
        settings = self._controls.view_settings
        self.buttons[settings.view].setChecked(True)
        self.buttons["disagreement"].setVisible(self._controls.other is not None)
        if self._layers != self._controls.layers:
            self._layers = self._controls.layers
            for box in (self.left, self.right):
                box.clear()
                for layer in self._layers:
                    box.addItem(LAYER_NAMES[layer], layer)
        self.pair.setVisible(settings.view in ("wiper", "side-by-side"))
        select(self.left, settings.layers[0])
        select(self.right, settings.layers[1])
        asked, left_out = self._controls.bonnet, self._controls.left_out
        found = "" if asked is None or left_out is None else f" ({left_out:.0%})" if left_out else " (none found)"
        self.bonnet.setText(f"Leave out the bonnet{found}")
        with QSignalBlocker(self.bonnet):
            self.bonnet.setChecked(asked is not None)
        with QSignalBlocker(self.confidence), QSignalBlocker(self.fade):
            self.confidence.setChecked(self._controls.confidence)
            self.fade.setChecked(settings.fade_unsure)
        with QSignalBlocker(self.opacity), QSignalBlocker(self.colour_blind):
            self.opacity.setValue(round(settings.opacity * 100))
            self.colour_blind.setChecked(settings.colours is not None)
        self._percent.setText(f"{settings.opacity * 100:.0f} %")
