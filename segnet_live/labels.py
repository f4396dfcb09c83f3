"""Work on label and confidence maps, whatever made them: bring them to a size, count classes and unsure pixels."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from segnet_live.errors import EngineError

UNSURE = 128
"""Confidence (0..255) below which a pixel counts as unsure."""
_IDENTITY = np.arange(256, dtype=np.uint8)
_MOST_PLACES = 1 << 18
"""Pixels of all kinds of cells that are told apart; beyond (sizes without a common measure) in 64 steps a side."""
_CORNER_SETS = [chosen for count in (1, 2, 3, 4) for chosen in itertools.combinations(range(4), count)]
_PAIRS = ((0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3))


def checked(labels: object) -> NDArray[np.uint8]:
    """Return what an engine gave, which is to be a label map, (h, w) uint8.

    Raises:
        EngineError: it is none.
    """
    if not isinstance(labels, np.ndarray) or labels.ndim != 2 or labels.dtype != np.uint8 or not labels.size:
        got = f"{labels.dtype} {labels.shape}" if isinstance(labels, np.ndarray) else type(labels).__name__
        raise EngineError(f"the engine gave {got} for a label map, (h, w) uint8")
    return labels


def labels_at(labels: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Return a label map at `size`, (height, width), with smooth edges instead of stair-steps.

    Each class's membership is interpolated linearly and the largest wins, so that a boundary becomes a line between
    pixel centres and no class appears that was not there. Shrinking takes the class that covers most of each pixel.
    """
    return labels if labels.shape == size else LabelsAt(labels, size).look_up(_IDENTITY)


class LabelsAt:
    """A label map at a size, as values of tables: see `labels_at`, which has the same edges.

    Enlarging costs a copy of the nearest values, and computes edges only in the cells, each between four pixel centres
    of the label map, that an edge crosses.

    Args:
        labels: (h, w) uint8, not to be written to later.
        size: (height, width).
        beside: the same label map at another size, whose cells need not be looked for again.
    """

    def __init__(self, labels: NDArray[np.uint8], size: tuple[int, int], beside: LabelsAt | None = None) -> None:
        self._labels, self._plan, self._cells = labels, None, None
        self._sideways: NDArray[np.uint8] | None = None
        if labels.size == 1:  # the void map of a frame that no engine has labelled
            self._labels = np.full(size, labels[0, 0], np.uint8)
        elif labels.shape[0] > size[0] or labels.shape[1] > size[1]:
            self._labels = _covering_most(labels, size)
        elif labels.shape != size:
            self._plan = _plan((labels.shape[0], labels.shape[1]), size)
            self._cells = (beside and beside._cells) or _crossed(labels)
            known = None if beside is None else beside._sideways
            self._sideways = cv2.transpose(labels).astype(np.uint8, copy=False) if known is None else known
            self._places, self._ids = _edges(self._cells, self._plan)

    def look_up(self, table: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return (H, W) uint8: for each pixel what `table`, (256,) uint8, holds for its class."""
        if self._plan is None or self._sideways is None:
            return cv2.LUT(self._labels, table).astype(np.uint8, copy=False)
        # Rows are copied whole, so columns are taken as rows of the transposed map: in a seventh of the time.
        sideways = cv2.LUT(self._sideways, table).astype(np.uint8, copy=False)
        wide = cv2.transpose(sideways.take(self._plan.nearest_column, axis=0)).astype(np.uint8, copy=False)
        values = wide.take(self._plan.nearest_row, axis=0)
        if self._ids.size:
            values.reshape(-1)[self._places] = cv2.LUT(self._ids, table).ravel()
        return values


@dataclass(frozen=True, slots=True)
class _Plan:
    """What enlarging from one size to another needs, whatever the labels.

    Cells are numbered from the outermost ones, between the border's pixel centres and their replicas outside. Cells
    whose pixels lie alike between their corners are of one kind.

    Attributes:
        nearest_row, nearest_column: (H,) and (W,) rows and columns of the label map.
        rows, columns: (m, h + 1) and (n, w + 1), the pixels in each row and column of cells, the rows as indices of
            their first pixel; the last of a row or column stands for those it has not.
        row_kinds, column_kinds: (h + 1,) and (w + 1,), which add up to a cell's kind.
        has_rows, has_columns: whether there are any.
        orders: (4096,) what to add to the kind, by how the four labels of a cell compare.
        corners: (orders and kinds, m n), the corner of the cell (0..3, row by row) whose class is largest.
    """

    nearest_row: NDArray[np.intp]
    nearest_column: NDArray[np.intp]
    rows: NDArray[np.intp]
    columns: NDArray[np.intp]
    row_kinds: NDArray[np.intp]
    column_kinds: NDArray[np.intp]
    has_rows: NDArray[np.bool_]
    has_columns: NDArray[np.bool_]
    orders: NDArray[np.intp]
    corners: NDArray[np.uint8]


@lru_cache(maxsize=8)
def _plan(small: tuple[int, int], size: tuple[int, int]) -> _Plan:
    row, column = _axis(small[0], size[0]), _axis(small[1], size[1])
    if row.kinds.size * column.kinds.size > _MOST_PLACES:
        row, column = _axis(small[0], size[0], steps=64), _axis(small[1], size[1], steps=64)
    orders, winners = _winners(row.places, column.places)
    count = len(row.kinds) * len(column.kinds)
    places = row.kinds[:, None, :, None] * len(column.places) + column.kinds[:, None]
    corners = winners.reshape(len(winners), -1).take(places.ravel(), axis=1)
    return _Plan(
        nearest_row=row.nearest,
        nearest_column=column.nearest,
        rows=np.ascontiguousarray(row.pixels.T) * size[1],
        columns=np.ascontiguousarray(column.pixels.T),
        row_kinds=row.kind * len(column.kinds),
        column_kinds=column.kind,
        has_rows=row.has_pixels,
        has_columns=column.has_pixels,
        orders=orders * count,
        corners=corners.reshape(len(winners) * count, -1),
    )


@dataclass(frozen=True, slots=True)
class _Axis:
    """One side of a plan.

    Attributes:
        kind: (h + 1,) which of `kinds` each cell is of.
        kinds: (kinds, m) where their pixels lie: an index into `places`.
        places: distances (0..1) from the cell's first corners.
    """

    nearest: NDArray[np.intp]
    pixels: NDArray[np.intp]
    has_pixels: NDArray[np.bool_]
    kind: NDArray[np.intp]
    kinds: NDArray[np.intp]
    places: NDArray[np.float64]


def _axis(small: int, large: int, steps: int = 0) -> _Axis:
    """Return where the `large` pixels of one side lie among the centres of `small` ones, rounded to `steps` if any."""
    # In units of half a large pixel, so that everything is whole: centres lie at odd places.
    places = (2 * np.arange(large) + 1) * small - large
    cell, within = places // (2 * large) + 1, places % (2 * large)
    if steps:
        within = np.rint(within * (steps / (2 * large))).astype(np.intp)
    first = np.searchsorted(cell, np.arange(small + 1))
    last = np.searchsorted(cell, np.arange(small + 1), side="right") - 1
    has_pixels = last >= first
    most = int((last - first).max()) + 1
    pixels = np.clip(np.minimum(first[:, None] + np.arange(most), last[:, None]), 0, large - 1)
    distinct, phases = np.unique(within, return_inverse=True)
    kinds, kind = np.unique(phases[pixels], axis=0, return_inverse=True)
    nearest = np.clip(((2 * np.arange(large) + 1) * small) // (2 * large), 0, small - 1)
    return _Axis(
        nearest, pixels, has_pixels, kind.reshape(-1).astype(np.intp), kinds, distinct / (steps if steps else 2 * large)
    )


def _winners(
    row_places: NDArray[np.float64], column_places: NDArray[np.float64]
) -> tuple[NDArray[np.intp], NDArray[np.uint8]]:
    """Return which corner's class is largest at each place, (orders, rows, columns), and the order of each comparison.

    The second is (4096,): see `_comparison`.
    """
    down, across = row_places[:, None], column_places[None]
    weights = np.stack(((1 - down) * (1 - across), (1 - down) * across, down * (1 - across), down * across))
    # Members of a class count together, in 8 bits: one map for each set of corners that may be of one class.
    members = {chosen: np.rint(255 * weights[list(chosen)].sum(0)).astype(np.uint8) for chosen in _CORNER_SETS}
    orders = np.zeros(1 << 2 * len(_PAIRS), np.intp)
    winners: list[NDArray[np.uint8]] = []
    for ranks in itertools.product(range(4), repeat=4):
        if list(ranks) != [sum(other < rank for other in ranks) for rank in ranks]:
            continue  # no four labels compare like this
        orders[_comparison(np.array(ranks, np.uint8)[:, None])] = len(winners)
        winner = np.zeros(weights.shape[1:], np.uint8)
        best = np.zeros_like(winner)
        for rank in sorted(set(ranks)):  # of equal members the smallest id wins
            chosen = tuple(corner for corner in range(4) if ranks[corner] == rank)
            np.copyto(winner, np.uint8(chosen[0]), where=members[chosen] > best)
            np.maximum(best, members[chosen], out=best)
        winners.append(winner)
    return orders, np.stack(winners)


def _comparison(corners: NDArray[np.uint8]) -> NDArray[np.uint16]:
    """Return how the (4, n) labels of cells compare, (n,) 0..4095: for each of `_PAIRS` 1 for less and 2 for more."""
    code = np.zeros(corners.shape[1], np.uint16)
    for first, second in _PAIRS:
        code <<= 2
        code |= (corners[first] < corners[second]).view(np.uint8)
        code |= (corners[first] > corners[second]).view(np.uint8) << 1
    return code


@dataclass(frozen=True, slots=True)
class _Cells:
    """The cells of a label map that an edge crosses.

    Attributes:
        rows, columns: (n,) where they are.
        corners: (4, n) uint8, the labels at their corners, row by row.
        comparison: (n,) how these compare.
    """

    rows: NDArray[np.intp]
    columns: NDArray[np.intp]
    corners: NDArray[np.uint8]
    comparison: NDArray[np.uint16]


def _crossed(labels: NDArray[np.uint8]) -> _Cells:
    padded = cv2.copyMakeBorder(labels, 1, 1, 1, 1, cv2.BORDER_REPLICATE).astype(np.uint8, copy=False)
    views = padded[:-1, :-1], padded[:-1, 1:], padded[1:, :-1], padded[1:, 1:]
    differ = cv2.bitwise_or(cv2.absdiff(views[0], views[1]), cv2.absdiff(views[0], views[2]))
    differ = cv2.bitwise_or(differ, cv2.absdiff(views[0], views[3]))
    # of booleans, NumPy finds those that are true in a fifth of the time
    rows, columns = np.divmod(np.flatnonzero(differ != 0), labels.shape[1] + 1)
    at, flat = rows * padded.shape[1] + columns, padded.reshape(-1)
    corners = np.stack([flat.take(at + step) for step in (0, 1, padded.shape[1], padded.shape[1] + 1)])
    return _Cells(rows, columns, corners, _comparison(corners))


def _edges(cells: _Cells, plan: _Plan) -> tuple[NDArray[np.intp], NDArray[np.uint8]]:
    """Return the pixels (their indices) in these cells, and their ids, as many uint8.

    Cells come last, so that every operation runs along thousands of them.
    """
    rows, columns, corners, comparison = cells.rows, cells.columns, cells.corners, cells.comparison
    if not (plan.has_rows.all() and plan.has_columns.all()):
        kept = plan.has_rows[rows] & plan.has_columns[columns]
        rows, columns, corners, comparison = rows[kept], columns[kept], corners[:, kept], comparison[kept]
    kinds = plan.orders.take(comparison) + plan.row_kinds.take(rows) + plan.column_kinds.take(columns)
    winners = np.ascontiguousarray(plan.corners.take(kinds, axis=0).T)
    ids = corners.take(winners * np.intp(kinds.size) + np.arange(kinds.size))
    places = plan.rows.take(rows, axis=1)[:, None] + plan.columns.take(columns, axis=1)
    return places.reshape(-1), ids


def _covering_most(labels: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Return a label map that is shrunk on one side at least, each class's membership resized as a whole picture."""
    height, width = size
    ids = np.flatnonzero(np.bincount(labels.ravel(), minlength=256))
    shrink = labels.shape[0] * labels.shape[1] > height * width
    interpolation = cv2.INTER_AREA if shrink else cv2.INTER_LINEAR
    best = np.zeros(size, np.uint8)
    out = np.full(size, ids[0], np.uint8)
    for class_id in ids:
        member = cv2.inRange(labels, int(class_id), int(class_id))
        member = cv2.resize(member, (width, height), interpolation=interpolation)
        wins = cv2.compare(member, best, cv2.CMP_GT)
        cv2.max(member, best, best)
        # ids ascend, so the newest winner's is the largest: a maximum writes it without a masked copy
        np.maximum(out, np.bitwise_and(wins, np.uint8(class_id)), out=out)
    return out


def class_shares(labels: NDArray[np.uint8], classes: int) -> NDArray[np.float32]:
    """Return each class's share of all pixels, (classes,) float32 0..1; less than 1 in sum where pixels are void."""
    counts = cv2.calcHist([labels], [0], None, [256], [0, 256])
    return (counts.ravel()[:classes] / labels.size).astype(np.float32, copy=False)


def confidence_at(confidence: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Return a confidence map, uint8 0..255, at `size` (height, width): linear, or the mean of each area to shrink."""
    height, width = size
    if confidence.shape == size:
        return confidence
    shrink = confidence.shape[0] * confidence.shape[1] > height * width
    interpolation = cv2.INTER_AREA if shrink else cv2.INTER_LINEAR
    return cv2.resize(confidence, (width, height), interpolation=interpolation).astype(np.uint8, copy=False)


def mean_confidence(confidence: NDArray[np.uint8], counted: NDArray[np.uint8] | None = None) -> float:
    """Return the mean of a confidence map, 0..1, over the pixels where the mask `counted` is not 0."""
    return float(cv2.mean(confidence, counted)[0]) / 255


def unsure_share(confidence: NDArray[np.uint8], counted: NDArray[np.uint8] | None = None) -> float:
    """Return the share of pixels whose confidence is below UNSURE, 0..1, among those where `counted` is not 0."""
    unsure = cv2.compare(confidence, UNSURE, cv2.CMP_LT)  # type: ignore[call-overload]
    if counted is None:
        return cv2.countNonZero(unsure) / confidence.size
    return cv2.countNonZero(cv2.bitwise_and(unsure, counted)) / max(1, cv2.countNonZero(counted))


def disagreement_share(labels: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    """Return the share of pixels whose class differs between two label maps of one size, 0..1."""
    return cv2.countNonZero(cv2.compare(labels, other, cv2.CMP_NE)) / labels.size
