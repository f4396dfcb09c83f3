"""The editor's window: frames at the left, picture in the middle, tools and classes at the right."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from PyQt6.QtCore import QSignalBlocker, QSize, Qt, QTimer, pyqtSignal
from PyQt6.QtGui import QCloseEvent, QColor, QIcon, QPixmap
from PyQt6.QtWidgets import (
    QButtonGroup,
    QHBoxLayout,
    QLabel,
    QListWidget,
    QListWidgetItem,
    QMainWindow,
    QProgressBar,
    QPushButton,
    QSizePolicy,
    QSlider,
    QVBoxLayout,
    QWidget,
)

from segnet_live.card import Card
from segnet_live.classes import ClassSet
from segnet_live.drafts.editing import Editing
from segnet_live.drafts.folder import Draft, DraftFolder
from segnet_live.errors import SegnetLiveError
from segnet_live.ui.correct.adapting import Adapting
from segnet_live.ui.correct.canvas import RADII, Canvas, Tool
from segnet_live.ui.correct.tools import CLASS_KEYS, GROUPS, INTRO, SAVING, TOOLS, VOID_KEY, commands
from segnet_live.ui.help import HelpDialog
from segnet_live.ui.parts import as_tip, icon_button, quiet_label
from segnet_live.ui.shortcuts import install
from segnet_live.ui.theme import ACCENT, QUIET, icon
from segnet_live.ui.widgets.banner import Banner

MARKS = {"model": "○", "begun": "◐", "corrected": "✓", "labelled": "✓"}
AUTOSAVE_MS = 4000
STATES = {"model": "not corrected yet", "begun": "correction begun", "corrected": "corrected", "labelled": ""}


class CorrectWindow(QMainWindow):
    """A window that corrects the drafts of one folder.

    Args:
        card: the model that drew them and that will learn from them.

    Signals:
        adapted: a folder with a new model.

    Raises:
        DataError: the folder holds no drafts, or a record is damaged.
    """

    adapted = pyqtSignal(object)

    def __init__(self, folder: Path, card: Card, parent: QWidget | None = None) -> None:
        self.folder = DraftFolder(folder)
        self.drafts: list[Draft] = self.folder.drafts()  # first: a window half made would stay with its parent
        super().__init__(parent)
        self.classes: ClassSet = card.classes
        self._at = -1
        self.setWindowTitle(f"Correct {folder.name} - segnet-live")
        self.setWindowIcon(icon("app"))
        self.setMinimumSize(640, 420)
        screen = self.screen()
        size = QSize(1240, 780)
        self.resize(size.boundedTo(screen.availableSize() * 0.94) if screen is not None else size)
        self.canvas = Canvas(card.classes)
        self.adapting = Adapting(self, folder, card)
        self._warned_of_adapting = False
        self._build()
        self.banner = Banner(self.canvas)
        self.commands = commands(self)
        install(self, self.commands)
        self._timer = QTimer(self)
        self._timer.timeout.connect(self.save_begun)
        self._timer.start(AUTOSAVE_MS)
        self.canvas.edited.connect(self._refresh)
        self.canvas.picked.connect(self.choose_class)
        self.adapting.changed.connect(self._refresh)
        self.adapting.problem.connect(self.banner.problem)
        self.adapting.finished.connect(self.adapted)
        first = next((i for i, draft in enumerate(self.drafts) if not draft.is_corrected), 0)
        self.show_draft(first)
        self.canvas.setFocus()

    def _build(self) -> None:
        self.list = QListWidget()
        self.list.setFixedWidth(200)
        self.list.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.list.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.list.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        for draft in self.drafts:
            self.list.addItem(QListWidgetItem(draft.name))
        self.list.itemClicked.connect(lambda item: self.show_draft(self.list.row(item)))
        self.count = quiet_label()
        self.about = quiet_label()
        left = QVBoxLayout()
        left.setContentsMargins(8, 8, 8, 8)
        left.addWidget(self.count)
        left.addWidget(self.list, 1)
        left.addWidget(self.about)
        body = QWidget()
        row = QHBoxLayout(body)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(0)
        row.addLayout(left)
        row.addWidget(self.canvas, 1)
        row.addWidget(self._tool_column())
        self.setCentralWidget(body)

    def _tool_column(self) -> QWidget:
        column = QWidget()
        column.setObjectName("panelBody")
        column.setFixedWidth(236)
        layout = QVBoxLayout(column)
        layout.setContentsMargins(12, 10, 12, 10)
        layout.setSpacing(6)
        self.tools: dict[Tool, QPushButton] = {}
        for tool, name, key, does in TOOLS:
            button = self._button(f"{name}  ({key})", does, partial(self.choose_tool, tool))
            button.setCheckable(True)
            self.tools[tool] = button
        for pair in (("brush", "polygon"), ("fill", "region")):
            tools = QHBoxLayout()
            for tool in pair:
                tools.addWidget(self.tools[tool])
            layout.addLayout(tools)
        self.size_slider = self._slider("Size  [ ]", 0, len(RADII) - 1, layout)
        self.size_slider.valueChanged.connect(self._use_size)
        self.opacity_slider = self._slider("Opacity  ↓ ↑", 0, 100, layout)
        self.opacity_slider.valueChanged.connect(lambda value: self.canvas.set_opacity(value / 100))
        self._classes = QButtonGroup(self)
        self.class_buttons: list[QPushButton] = []
        names = [*self.classes.names, "Unlabelled"]
        for place, name in enumerate(names):
            void = place == len(self.classes)
            key = VOID_KEY if void else CLASS_KEYS[place] if place < len(CLASS_KEYS) else ""
            button = self._button(f"{key}   {name}", name, partial(self._choose, place))
            button.setObjectName("classRow")
            button.setStyleSheet("QPushButton { text-align: left; padding: 3px 8px; min-height: 16px; }")
            button.setCheckable(True)
            button.setIcon(_swatch((0, 0, 0) if void else self.classes.colours[place]))
            self._classes.addButton(button)
            self.class_buttons.append(button)
            layout.addWidget(button)
        layout.addStretch(1)
        history = QHBoxLayout()
        self.undo = self._button("Undo", "Ctrl+Z", self.canvas.undo)
        self.redo = self._button("Redo", "Ctrl+Shift+Z", self.canvas.redo)
        self.before = self._button("Guess (V)", "Show what the model guessed", self.toggle_before)
        self.before.setCheckable(True)
        for button in (self.undo, self.redo, self.before):
            history.addWidget(button)
        layout.addLayout(history)
        self.right = self._button("Frame is right  (Enter)", "Save it, and go to the next", self.done)
        self.right.setObjectName("primary")
        layout.addWidget(self.right)
        below = QHBoxLayout()
        self.fit_model = self._button("Adapt the model ...", "Fit a model to the corrected frames (Ctrl+A)", self.adapt)
        help_ = icon_button("help", "Help (F1)")
        help_.clicked.connect(self.show_help)
        below.addWidget(self.fit_model, 1)
        below.addWidget(help_)
        layout.addLayout(below)
        self.progress = QProgressBar()
        self.progress.setTextVisible(False)
        self.progress.setAccessibleName("Progress of the adaptation")
        layout.addWidget(self.progress)
        self.status = quiet_label()
        self.status.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Minimum)
        layout.addWidget(self.status)
        return column

    def _button(self, text: str, tip: str, act: object) -> QPushButton:
        button = QPushButton(text)
        button.setToolTip(tip)
        button.setFocusPolicy(Qt.FocusPolicy.NoFocus)  # Enter and Space belong to the canvas
        button.clicked.connect(lambda _checked=False: act())  # type: ignore[operator]
        return button

    def _slider(self, name: str, low: int, high: int, layout: QVBoxLayout) -> QSlider:
        row = QHBoxLayout()
        row.addWidget(QLabel(name))
        slider = QSlider(Qt.Orientation.Horizontal)
        slider.setRange(low, high)
        slider.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        slider.setAccessibleName(name)
        row.addWidget(slider, 1)
        layout.addLayout(row)
        return slider

    # Frames

    @property
    def draft(self) -> Draft:
        """The draft that is shown."""
        return self.drafts[self._at]

    def show_draft(self, place: int) -> None:
        """Save the frame that is shown if it changed, and show another."""
        if not 0 <= place < len(self.drafts) or place == self._at or not self.save_begun():
            return
        draft = self.drafts[place]
        try:
            rgb, labels, guess = draft.rgb(), draft.labels(), draft.guessed()
            if rgb.shape[:2] != labels.shape or guess.shape != labels.shape:
                raise SegnetLiveError(f"{draft.annotation} has not the size of its frame", "remove the pair")
        except SegnetLiveError as error:
            self.banner.problem(str(error))
            if self._at >= 0:
                self.list.setCurrentRow(self._at)
            return
        self._at = place
        self.canvas.show_draft(Editing(rgb, labels), guess)

    def go(self, by: int) -> None:
        """Show the next frame, or the one before."""
        self.show_draft(min(max(self._at + by, 0), len(self.drafts) - 1))

    def save_begun(self) -> bool:
        """Save what was changed, as begun; return whether nothing is left unsaved."""
        editing = self.canvas.editing
        if editing is None or not editing.is_changed:
            return True
        return self.save()

    def save(self, *, done: bool = False) -> bool:
        """Save the label map; return whether it could be."""
        editing = self.canvas.editing
        if editing is None:
            return True
        try:
            self.drafts[self._at] = self.folder.save(self.draft, editing.labels, done=done)
        except SegnetLiveError as error:
            self.banner.problem(str(error))
            return False
        editing.saved()
        self._refresh()
        return True

    def done(self) -> None:
        """Take the frame as right, and show the next that is not; Enter closes a polygon first."""
        if self.canvas.has_corners:
            self.canvas.close_polygon()
            return
        if not self.save(done=True):
            return
        order = [*range(self._at + 1, len(self.drafts)), *range(self._at)]
        following = next((i for i in order if not self.drafts[i].is_corrected), None)
        if following is None:
            self.banner.note("All frames are corrected: the model can learn from them now (Ctrl+A)")
        else:
            self.show_draft(following)

    # Tools

    def choose_tool(self, tool: Tool) -> None:
        """Let the mouse do something else."""
        self.canvas.drop_polygon()
        self.canvas.tool = tool
        self._refresh()

    def choose_class(self, class_id: int) -> None:
        """Draw this class from now on."""
        if class_id < len(self.classes):
            self._choose(class_id)
        elif class_id == self.classes.void_id:
            self.choose_void()

    def choose_void(self) -> None:
        """Draw unlabelled pixels from now on."""
        self._choose(len(self.classes))

    def _choose(self, place: int) -> None:
        self.canvas.class_id = place if place < len(self.classes) else self.classes.void_id
        self._refresh()

    def change_size(self, by: int) -> None:
        """Make brush and regions larger or smaller."""
        self.size_slider.setValue(self.size_slider.value() + by)

    def _use_size(self, place: int) -> None:
        self.canvas.radius_px = RADII[place]
        self.canvas.update()

    def change_opacity(self, by: float) -> None:
        """Show more or less of the class colours."""
        self.opacity_slider.setValue(round(100 * (self.canvas.opacity + by)))

    def toggle_before(self) -> None:
        """Show the model's guess, or the labels again."""
        self.canvas.show_before(not self.canvas.shows_before)
        self._refresh()

    # The rest

    def adapt(self) -> None:
        """Fit a model to the corrected frames, or stop it."""
        if self.adapting.is_running:
            self.adapting.stop()
        elif self.save_begun():
            self._warned_of_adapting = False
            self.adapting.start()

    def show_help(self) -> None:
        help_ = HelpDialog(self, self.commands, INTRO, (SAVING,), GROUPS)
        help_.finished.connect(help_.deleteLater)
        help_.open()

    def _refresh(self) -> None:
        canvas, editing = self.canvas, self.canvas.editing
        for tool, button in self.tools.items():
            button.setChecked(tool == canvas.tool)
        void = len(self.classes)
        chosen = canvas.class_id if canvas.class_id < void else void
        self.class_buttons[chosen].setChecked(True)
        with QSignalBlocker(self.size_slider), QSignalBlocker(self.opacity_slider):
            self.size_slider.setValue(RADII.index(canvas.radius_px))
            self.opacity_slider.setValue(round(100 * canvas.opacity))
        self.before.setChecked(canvas.shows_before)
        self.undo.setEnabled(editing is not None and editing.can_undo)
        self.redo.setEnabled(editing is not None and editing.can_redo)
        finished = sum(draft.is_corrected for draft in self.drafts)
        self.count.setText(f"{finished} of {len(self.drafts)} frames corrected")
        for row, draft in enumerate(self.drafts):
            item = self.list.item(row)
            assert item is not None
            item.setText(f"{MARKS[draft.record.made_by]}  {draft.name}")
            item.setForeground(QColor(ACCENT if row == self._at else QUIET if draft.is_corrected else "#e9edf2"))
            item.setToolTip(as_tip(f"{draft.name}: {STATES[draft.record.made_by] or 'labelled by hand'}"))
        self.list.setCurrentRow(self._at)
        record = self.draft.record
        by = f"guessed by {record.model}" if record.model else "labelled by hand"
        unsaved = "unsaved changes" if editing is not None and editing.is_changed else ""
        self.about.setText("\n".join(filter(None, [by, STATES[record.made_by], unsaved])))
        self.fit_model.setText("Stop adapting" if self.adapting.is_running else "Adapt the model ...")
        self.status.setText(self.adapting.status)
        share = self.adapting.share
        self.progress.setVisible(self.adapting.is_running)
        self.progress.setRange(0, 0 if share is None else 100)  # to and fro while it measures
        self.progress.setValue(0 if share is None else round(100 * share))

    def closeEvent(self, event: QCloseEvent | None) -> None:
        """Save what was changed; stay open if it cannot be, or if that would stop adapting, unless asked twice."""
        saved = self.save_begun()
        if saved and self.adapting.is_running and not self._warned_of_adapting:
            self._warned_of_adapting = True
            self.banner.problem("The model is still learning: close once more to stop it and write nothing, or wait")
            self.raise_()
            saved = False
        if not saved:
            if event is not None:
                event.ignore()
            return
        self._timer.stop()
        self.adapting.stop()


def _swatch(colour: tuple[int, int, int]) -> QIcon:
    pixmap = QPixmap(14, 14)
    pixmap.fill(QColor(*colour))
    return QIcon(pixmap)
