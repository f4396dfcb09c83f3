"""Change a label map with brush, polygon, fill and regions; every change can be undone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from segnet_live.drafts.regions import connected, superpixels
from segnet_live.frame import RGB, LabelMap

Point: TypeAlias = tuple[float, float]
"""(x, y) in pixels of the picture."""
Box: TypeAlias = tuple[int, int, int, int]
"""(left, top, right, bottom) in pixels, the last two outside."""

STEPS_KEPT = 200


@dataclass(frozen=True, slots=True, eq=False)
class _Step:
    box: Box
    before: LabelMap
    after: LabelMap


class Editing:
    """A frame's label map while a person corrects it. One thread.

    Args:
        rgb: (H, W, 3) uint8. labels: (H, W) uint8, copied.

    Attributes:
        labels: the label map as it is now.
    """

    def __init__(self, rgb: RGB, labels: LabelMap) -> None:
        self.rgb = rgb
        self.labels = labels.copy()
        self._saved = labels.copy()
        self._done: list[_Step] = []
        self._undone: list[_Step] = []
        self._stroke: LabelMap | None = None
        self._stroke_box: Box | None = None
        self._regions: dict[int, NDArray[np.int32]] = {}

    @property
    def is_changed(self) -> bool:
        """Whether there is something to save."""
        return not np.array_equal(self.labels, self._saved)

    @property
    def can_undo(self) -> bool:
        return bool(self._done)

    @property
    def can_redo(self) -> bool:
        return bool(self._undone)

    def saved(self) -> None:
        """Take the label map as saved."""
        self._saved = self.labels.copy()

    def begin(self) -> None:
        """Let all changes until `end` be one step."""
        self._stroke, self._stroke_box = self.labels.copy(), None

    def end(self) -> None:
        """End the step, which `undo` then takes back as a whole."""
        before, box = self._stroke, self._stroke_box
        self._stroke = self._stroke_box = None
        if before is None or box is None:
            return
        left, top, right, bottom = box
        old, new = before[top:bottom, left:right], self.labels[top:bottom, left:right]
        if np.array_equal(old, new):
            return
        self._done = [*self._done[-STEPS_KEPT + 1 :], _Step(box, old.copy(), new.copy())]
        self._undone.clear()

    def undo(self) -> Box | None:
        """Take the last step back; return what changed, None where there was none."""
        return self._apply(self._done, self._undone, back=True)

    def redo(self) -> Box | None:
        """Do the step again that was undone last."""
        return self._apply(self._undone, self._done, back=False)

    def _apply(self, source: list[_Step], target: list[_Step], *, back: bool) -> Box | None:
        if self._stroke is not None or not source:
            return None
        step = source.pop()
        left, top, right, bottom = step.box
        self.labels[top:bottom, left:right] = step.before if back else step.after
        target.append(step)
        return step.box

    def brush(self, points: Sequence[Point], radius_px: float, class_id: int) -> Box:
        """Paint along `points`; return the box that changed."""
        path = np.round(np.asarray(points, np.float64) * 8).astype(np.int32).reshape(-1, 1, 2)
        thick = max(1, round(2 * radius_px))
        if len(points) > 1:
            cv2.polylines(self.labels, [path], False, class_id, thick, cv2.LINE_8, 3)
        for x, y in (points[0], points[-1]):
            centre = (round(x * 8), round(y * 8))
            cv2.circle(self.labels, centre, round(max(radius_px, 0.5) * 8), class_id, -1, cv2.LINE_8, 3)
        xs, ys = path[:, 0, 0] / 8, path[:, 0, 1] / 8
        reach = radius_px + 2
        return self._touched(xs.min() - reach, ys.min() - reach, xs.max() + reach, ys.max() + reach)

    def polygon(self, points: Sequence[Point], class_id: int) -> Box | None:
        """Fill the polygon with corners `points`; nothing with fewer than three."""
        if len(points) < 3:
            return None
        corners = np.round(np.asarray(points, np.float64) * 8).astype(np.int32).reshape(-1, 1, 2)
        cv2.fillPoly(self.labels, [corners], class_id, cv2.LINE_8, 3)
        xs, ys = corners[:, 0, 0] / 8, corners[:, 0, 1] / 8
        return self._touched(xs.min() - 1, ys.min() - 1, xs.max() + 2, ys.max() + 2)

    def fill(self, point: Point, class_id: int) -> Box | None:
        """Give the connected region of one class under `point` another class: the label map's edges bound it."""
        place = self._inside(point)
        return None if place is None else self._take(connected(self.labels, *place), class_id)

    def region(self, point: Point, spacing_px: int, class_id: int) -> Box | None:
        """Give the superpixel under `point` a class: the picture's edges bound it."""
        place = self._inside(point)
        if place is None:
            return None
        regions = self.regions(spacing_px)
        return self._take(regions == regions[place[1], place[0]], class_id)

    def regions(self, spacing_px: int) -> NDArray[np.int32]:
        """Return (H, W) int32 ids of the picture's superpixels of this size; found once."""
        if spacing_px not in self._regions:
            self._regions = {spacing_px: superpixels(self.rgb, spacing_px)}
        return self._regions[spacing_px]

    def class_at(self, point: Point) -> int | None:
        """Return the class id under `point`, None outside the picture."""
        place = self._inside(point)
        return None if place is None else int(self.labels[place[1], place[0]])

    def _inside(self, point: Point) -> tuple[int, int] | None:
        x, y = int(np.floor(point[0])), int(np.floor(point[1]))
        height, width = self.labels.shape
        return (x, y) if 0 <= x < width and 0 <= y < height else None

    def _take(self, mask: NDArray[np.bool_], class_id: int) -> Box:
        self.labels[mask] = class_id
        left, top, width, height = cv2.boundingRect(mask.astype(np.uint8))
        return self._touched(left, top, left + width, top + height)

    def _touched(self, left: float, top: float, right: float, bottom: float) -> Box:
        height, width = self.labels.shape
        box = (
            int(np.clip(np.floor(left), 0, width)),
            int(np.clip(np.floor(top), 0, height)),
            int(np.clip(np.ceil(right), 0, width)),
            int(np.clip(np.ceil(bottom), 0, height)),
        )
        old = self._stroke_box
        self._stroke_box = (
            box if old is None else (min(old[0], box[0]), min(old[1], box[1]), max(old[2], box[2]), max(old[3], box[3]))
        )
        return box
