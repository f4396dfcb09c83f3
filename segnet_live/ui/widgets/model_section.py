"""The panel's section on the network: model, backend, input size and target, and what runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from PyQt6.QtCore import QSignalBlocker, Qt
from PyQt6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QGridLayout,
    QLabel,
    QWidget,
)

from segnet_live.card import Card
from segnet_live.config import BACKENDS, format_size, parse_engine, parse_size
from segnet_live.engine.resize import network_size
from segnet_live.errors import UsageError
from segnet_live.frame import Size
from segnet_live.ui.controls import Controls
from segnet_live.ui.parsing import format_target, parse_target
from segnet_live.ui.parts import as_tip, narrow, quiet_label, select, show_entries_whole

TARGETS = ("15 fps", "25 fps", "30 fps", "60 ms", "100 ms")
AUTO_SIZE = "Automatic"


class ModelSection(QWidget):
    """The controls of model, backend, input size and target, and lines on what runs and what is being opened."""

    def __init__(self, controls: Controls) -> None:
        super().__init__()
        self._controls = controls
        self.model, self.backend, self.input_size = QComboBox(), QComboBox(), QComboBox()
        self._offer_models()
        controls.cards_changed.connect(self._offer_models)
        for backend in BACKENDS:
            self.backend.addItem("Best available" if backend == "auto" else backend, backend)
        self.input_size.setEditable(True)
        self.input_size.setInsertPolicy(QComboBox.InsertPolicy.NoInsert)
        self.input_size.setToolTip(
            "Height x width the network runs at: pick one, type your own, such as 360x480, or let it fit the video"
        )
        self.target = QComboBox()
        self.target.addItem("Off", "")
        for target in TARGETS:
            self.target.addItem(target, target)
        self.target.setToolTip("Hold this rate or latency by running the network smaller when it must")
        self.target.activated.connect(self._use_target)
        self.compare = QComboBox()
        self.compare.setToolTip("Label every frame by a second model, runtime or precision too, and show both (F5)")
        self.compare.activated.connect(self._use_other)
        self.smooth = QCheckBox("Smooth labels over time")
        self.smooth.toggled.connect(controls.set_smooth)
        self.status = quiet_label()
        grid = QGridLayout(self)
        grid.setVerticalSpacing(8)
        grid.setColumnStretch(1, 1)
        rows = (
            ("Model", self.model),
            ("Backend", self.backend),
            ("Input", self.input_size),
            ("Target", self.target),
            ("Compare with", self.compare),
        )
        for row, (name, box) in enumerate(rows):
            label = QLabel(name)
            label.setBuddy(box)
            narrow(box)
            grid.addWidget(label, row, 0)
            grid.addWidget(box, row, 1)
        grid.addWidget(self.smooth, 5, 0, 1, 2)
        grid.addWidget(self.status, 6, 0, 1, 2)
        self.model.activated.connect(self._use_model)
        self.backend.activated.connect(lambda: controls.use_backend(self.backend.currentData()))
        self.input_size.activated.connect(lambda: self._use_size(self.input_size.currentData() or ""))
        edit = self.input_size.lineEdit()
        assert edit is not None
        edit.returnPressed.connect(self._use_typed_size)
        controls.engine_changed.connect(self.refresh)
        controls.source_changed.connect(self._offer_sizes)
        controls.engine_changed.connect(self._offer_sizes)
        self._offered: tuple[Size, int] | None = None
        self._offer_sizes()
        self.refresh()

    def _offer_models(self) -> None:
        with QSignalBlocker(self.model):
            self.model.clear()
            for place, (card, name) in enumerate(zip(self._controls.cards, unlike(self._controls.cards), strict=True)):
                self.model.addItem(name, str(card.folder))
                self.model.setItemData(place, as_tip(str(card.folder)), Qt.ItemDataRole.ToolTipRole)
        show_entries_whole(self.model)
        select(self.model, str(self._controls.card.folder))

    def _use_model(self) -> None:
        self._controls.use_model(self._controls.cards[self.model.currentIndex()])

    def _use_other(self) -> None:
        text = self.compare.currentData()
        self._controls.compare(parse_engine(text) if text else None)

    def _offer_others(self) -> None:
        """Offer every model of the same classes beside the one that is chosen, and that one by other means."""
        card, other = self._controls.card, self._controls.other
        offered = [("Off", "")]
        offered += [("Itself in fp32", ":fp32"), ("Itself by PyTorch", ":torch")]
        for each, name in zip(self._controls.cards, unlike(self._controls.cards), strict=True):
            if each.folder != card.folder and each.classes.names == card.classes.names:
                offered.append((name, str(each.folder)))
        chosen = ""
        if other is not None:
            ways = [part for part in (other.backend, other.precision) if part != "auto"]
            same = other.card.folder == card.folder and ways
            chosen = ":".join(["" if same else str(other.card.folder), *ways])
            if chosen not in [text for _, text in offered]:
                offered.append((" ".join([other.card.name, *ways]), chosen))
        with QSignalBlocker(self.compare):
            self.compare.clear()
            for name, text in offered:
                self.compare.addItem(name, text)
        show_entries_whole(self.compare)
        select(self.compare, chosen)

    def _use_target(self) -> None:
        text = self.target.currentData()
        self._controls.set_target(parse_target(text) if text else None)

    def _use_size(self, text: str) -> None:
        try:
            self._controls.use_size(parse_size(text) if text else None)
        except UsageError as error:
            self._controls.problem.emit(str(error))
            self.input_size.setEditText(self.input_size.itemText(self.input_size.currentIndex()))

    def _use_typed_size(self) -> None:
        text = self.input_size.currentText().strip()
        if self.input_size.findText(text) < 0:
            self._use_size(text)

    def _offer_sizes(self) -> None:
        """Offer sizes of the source's aspect ratio, with half to four times the model's pixels, and the paper's."""
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
                self.input_size.addItem(f"{height} × {width}", format_size((height, width)))
        self._show_size()

    def _show_size(self) -> None:
        size = self._controls.size
        text = format_size(size) if size else ""
        with QSignalBlocker(self.input_size):
            if self.input_size.findData(text) < 0:
                self.input_size.addItem(text.replace("x", " × "), text)
            self.input_size.setCurrentIndex(self.input_size.findData(text))

    def refresh(self) -> None:
        controls = self._controls
        select(self.model, str(controls.card.folder))
        select(self.backend, controls.backend)
        target = format_target(controls.target)
        if self.target.findData(target) < 0:
            self.target.addItem(target, target)
        select(self.target, target)
        self._offer_others()
        with QSignalBlocker(self.smooth):
            self.smooth.setChecked(controls.smooth)
        self._show_size()
        self.show_engine()

    def show_engine(self) -> None:
        """Show what runs and what is being opened; called four times a second, for a governor changes the size."""
        controls, state = self._controls, self._controls.engine
        lines = []
        info = controls.session.engine_info or state.running
        if info is not None:
            lines.append(f"{info.backend} {info.precision}, {info.input_size[0]}×{info.input_size[1]}")
            if info.reason:
                lines.append(info.reason)
            if info.other is not None:
                other = info.other
                lines.append(
                    f"beside {other.model}: {other.backend} {other.precision}, "
                    f"{other.input_size[0]}×{other.input_size[1]}"
                )
        if state.opening is not None:
            choice = state.opening
            lines.append(
                f"Opening {choice.card.name} on {choice.backend} ..." + ("\nthe old one keeps running" if lines else "")
            )
        elif info is None:
            lines.append("No engine is running" if controls.source is not None else "The engine opens with a video")
        self.status.setText("\n".join(lines))


def unlike(cards: Sequence[Card]) -> list[str]:
    """Return the models' names, each that occurs more than once with the folder that holds the model."""
    count = Counter(card.name for card in cards)
    return [card.name if count[card.name] == 1 else f"{card.name} in {card.folder.resolve().parent}" for card in cards]
