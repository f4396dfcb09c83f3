"""What stands in the panel: Model, View and Recording (the class legend has its own module)."""

from __future__ import annotations

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

from segnet_live.config import BACKENDS
from segnet_live.engine.resize import network_size
from segnet_live.render.view import LAYERS, VIEWS, Layer, LookView
from segnet_live.ui.controls import Controls
from segnet_live.ui.panel import quiet_label

VIEW_NAMES = {
    "overlay": "Overlay", "labels": "Labels", "original": "Original", "side-by-side": "Side by side", "wiper": "Wiper",
}  # fmt: skip
TARGETS = ("15 fps", "25 fps", "30 fps", "60 ms", "100 ms")
AUTO_SIZE = "Fits the video"


def _select(box: QComboBox, value: object) -> None:
    """Show `value` without telling anybody that it changed."""
    with QSignalBlocker(box):
        box.setCurrentIndex(box.findData(value))


class ModelSection(QWidget):
    """Model, backend and input size; what runs, and what is being opened."""

    def __init__(self, controls: Controls) -> None:
        super().__init__()
        self._controls = controls
        self.model, self.backend, self.input_size = QComboBox(), QComboBox(), QComboBox()
        for card in controls.cards:
            self.model.addItem(card.name, card.name)
        for backend in BACKENDS:
            self.backend.addItem("Best available" if backend == "auto" else backend, backend)
        self.input_size.setEditable(True)
        self.input_size.setInsertPolicy(QComboBox.InsertPolicy.NoInsert)
        self.input_size.setToolTip("Height x width the network runs at: pick one or type your own, such as 360x480")
        self.target = QComboBox()
        self.target.addItem("Off", "")
        for target in TARGETS:
            self.target.addItem(target, target)
        self.target.setToolTip("Hold a rate or a latency by running the network smaller when it must")
        self.target.activated.connect(lambda: controls.set_target(self.target.currentData()))
        self.smooth = QCheckBox("Steady labels over time")
        self.smooth.toggled.connect(controls.set_smooth)
        self.status = quiet_label()
        grid = QGridLayout(self)
        grid.setVerticalSpacing(8)
        grid.setColumnStretch(1, 1)
        for row, (name, box) in enumerate(
            (("Model", self.model), ("Backend", self.backend), ("Input", self.input_size))
        ):
            label = QLabel(name)
            label.setBuddy(box)
            grid.addWidget(label, row, 0)
            grid.addWidget(box, row, 1)
        grid.addWidget(self.smooth, 4, 0, 1, 2)
        grid.addWidget(self.status, 5, 0, 1, 2)
        self.model.activated.connect(self._use_model)
        self.backend.activated.connect(lambda: controls.use(backend=self.backend.currentData()))
        self.input_size.activated.connect(lambda: controls.use(size=self.input_size.currentData() or ""))
        edit = self.input_size.lineEdit()
        assert edit is not None
        edit.returnPressed.connect(self._use_typed_size)
        controls.engine_changed.connect(self.refresh)
        controls.source_changed.connect(self._offer_sizes)
        controls.engine_changed.connect(self._offer_sizes)
        self._offered: tuple[tuple[int, int], int] | None = None
        self._offer_sizes()
        self.refresh()

    def _use_model(self) -> None:
        name = self.model.currentData()
        self._controls.use(card=next(card for card in self._controls.cards if card.name == name))

    def _use_typed_size(self) -> None:
        text = self.input_size.currentText().strip()
        if self.input_size.findText(text) < 0:
            self._controls.use(size=text)

    def _offer_sizes(self) -> None:
        """Sizes of the source's own aspect ratio: half, once, twice the model's pixels; and the paper's."""
        source = self._controls.source
        shape = source.info.size if source is not None and source.info is not None else (360, 480)
        pixels = self._controls.card.pixels
        if (shape, pixels) == self._offered:
            return
        self._offered = (shape, pixels)
        with QSignalBlocker(self.input_size):
            self.input_size.clear()
            self.input_size.addItem(AUTO_SIZE, "")
            sizes = [network_size(shape, round(pixels * f)) for f in (0.5, 1, 2, 4)]
            for height, width in dict.fromkeys([*sizes, (360, 480), (720, 960)]):
                self.input_size.addItem(f"{height} × {width}", f"{height}x{width}")
        self._show_size()

    def _show_size(self) -> None:
        size = self._controls.size
        text = f"{size[0]}x{size[1]}" if size else ""
        with QSignalBlocker(self.input_size):
            if self.input_size.findData(text) < 0:
                self.input_size.addItem(text.replace("x", " × "), text)
            self.input_size.setCurrentIndex(self.input_size.findData(text))

    def refresh(self) -> None:
        controls, state = self._controls, self._controls.engine
        _select(self.model, controls.card.name)
        _select(self.backend, controls.backend)
        _select(self.target, controls.settings.target if controls.target is not None else "")
        with QSignalBlocker(self.smooth):
            self.smooth.setChecked(controls.smooth)
        self._show_size()
        lines = []
        if state.running is not None:
            info = state.running
            lines.append(f"{info.backend} {info.precision}, {info.input_size[0]}×{info.input_size[1]}")
            if info.reason:
                lines.append(info.reason)
        if state.opening is not None:
            wish = state.opening
            lines.append(
                f"Opening {wish.card.name} on {wish.backend} ..." + ("\nthe old one keeps running" if lines else "")
            )
        elif state.running is None:
            lines.append("No engine is running" if controls.source is not None else "The engine opens with a video")
        self.status.setText("\n".join(lines))


class ViewSection(QWidget):
    """Views, the two layers of wiper and side by side, opacity, palette, HUD."""

    def __init__(self, controls: Controls) -> None:
        super().__init__()
        self._controls = controls
        self.buttons: dict[str, QPushButton] = {}
        group = QButtonGroup(self)
        grid = QGridLayout()
        grid.setSpacing(6)
        for i, view in enumerate(VIEWS):
            button = QPushButton(VIEW_NAMES[view])
            button.setCheckable(True)
            button.setToolTip(f"{VIEW_NAMES[view]} ({i + 1})")
            button.clicked.connect(lambda _, view=view: controls.set_view(cast(LookView, view)))
            group.addButton(button)
            self.buttons[view] = button
            if i < 3:
                grid.addWidget(button, 0, 2 * i, 1, 2)
            else:
                grid.addWidget(button, 1, 3 * (i - 3), 1, 3)
        self.left, self.right = QComboBox(), QComboBox()
        for box in (self.left, self.right):
            for layer in LAYERS:
                box.addItem(VIEW_NAMES[layer], layer)
            box.activated.connect(self._wipe)
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
        layout = QVBoxLayout(self)
        layout.setSpacing(10)
        layout.addLayout(grid)
        layout.addWidget(self.pair)
        layout.addLayout(opacity)
        layout.addWidget(self.colour_blind)
        controls.look_changed.connect(self.refresh)
        self.refresh()

    def _wipe(self) -> None:
        self._controls.set_wiped(cast(Layer, self.left.currentData()), cast(Layer, self.right.currentData()))

    def refresh(self) -> None:
        look = self._controls.look
        self.buttons[look.view].setChecked(True)
        self.pair.setVisible(look.view in ("wiper", "side-by-side"))
        _select(self.left, look.wiped[0])
        _select(self.right, look.wiped[1])
        with QSignalBlocker(self.opacity), QSignalBlocker(self.colour_blind):
            self.opacity.setValue(round(look.opacity * 100))
            self.colour_blind.setChecked(look.colours is not None)
        self._percent.setText(f"{look.opacity * 100:.0f} %")
