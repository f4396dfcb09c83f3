"""The heads-up display: figures from the pipeline's own clock on a dark plate, with ten seconds of latency drawn.

One text and one painter for the window, its recordings and runs without a window. No Qt.
"""

from __future__ import annotations

import math
import textwrap
import time
from collections.abc import Sequence
from functools import lru_cache
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from segnet_live.config import format_size
from segnet_live.engine.base import Engine, EngineInfo
from segnet_live.engine.governed import GovernedEngine
from segnet_live.frame import RGB
from segnet_live.metrics import HISTORY_S, Metrics, Snapshot
from segnet_live.planes import Planes, from_rgb
from segnet_live.system.paths import assets_dir
from segnet_live.system.usage import Usage, UsageMeter

P = TypeVar("P", bound=RGB | Planes)

REFRESH_S = 0.25
TEXT_PX = 12.5
"""Height of the window's letters, in logical pixels; everything else on the plate is measured in letters."""
STAGE_ORDER = ("decode", "inference", "resize", "overlay", "paint", "write")
COLUMNS = 44
"""Letters that a plate has room for at least, so that it does not change its width all the time."""
MOST_COLUMNS = 50
"""What is longer goes on in the next line, so that the plate leaves some of a small picture in sight."""
GROUND, TEXT, ACCENT, WHITE = (8, 11, 15), (242, 245, 248), (242, 193, 78), (255, 255, 255)
FIRST, LAST, FONT_PX = " ", "~", 40
"""What assets/hud-font.png holds."""


def hud_lines(
    snapshot: Snapshot, engine: EngineInfo | None, usage: Usage | None = None, state: str = "", governor: str = ""
) -> list[str]:
    """Return the HUD's lines of text, in ASCII.

    Args:
        state: a word for what the source does when it is not playing, else "".
        governor: what the latency governor does, "" without one.
    """
    latency = snapshot.latency_ms
    stages = [f"{name} {_ms(snapshot.stages_ms[name])}" for name in STAGE_ORDER if name in snapshot.stages_ms]
    dropped = [f"{stage} {count}" for stage, count in snapshot.dropped.items() if count]
    lines = [
        f"source {snapshot.source_fps:5.1f} fps   shown {snapshot.displayed_fps:5.1f} fps"
        + (f"   {state}" if state else ""),
        f"latency  p50 {_ms(latency.p50)}  p95 {_ms(latency.p95)} ms",
        "stages   " + (" ".join(stages[:2]) + " ms" if stages else "--"),
        *(["         " + " ".join(stages[2:]) + " ms"] if stages[2:] else []),
        "dropped  " + ("  ".join(dropped) if dropped else "none"),
    ]
    if engine is None:
        lines.append("no engine yet: the picture is not segmented")
    else:
        lines.append(f"{engine.backend} {engine.precision} on {engine.device}")
        same = f"   {engine.parity:.2%} as fp32" if engine.parity is not None else ""
        lines.append(f"{engine.model} at {format_size(engine.input_size)}{same}")
        if engine.other is not None:
            other = engine.other
            lines.append(f"beside {other.model} at {format_size(other.input_size)}, {other.backend} {other.precision}")
    if snapshot.disagreement is not None:
        lines.append(f"they differ on {snapshot.disagreement:.1%} of pixels")
    if snapshot.confidence is not None:
        mean, unsure = snapshot.confidence
        lines.append(f"confidence {mean:.2f} of 1   unsure {unsure:.1%} of pixels")
    if governor:
        lines.append(f"governor {governor}")
    if usage is not None:
        if usage.vram_used_mib is not None and usage.vram_total_mib is not None:
            lines.append(f"VRAM {usage.vram_used_mib:.0f} / {usage.vram_total_mib:.0f} MiB")
        else:
            lines.append(f"memory {usage.memory_mib:.0f} MiB   CPU {usage.cpu_percent:.0f} %")
    plain = (line.replace("®", "").replace("™", "").encode("ascii", "replace").decode("ascii") for line in lines)
    return [part for line in plain for part in textwrap.wrap(line, MOST_COLUMNS, subsequent_indent=" " * 9)]


def _ms(value: float) -> str:
    return "--" if math.isnan(value) else f"{value:.0f}" if value >= 99.5 else f"{value:.1f}"


def burn_text_px(rows: int) -> float:
    """Return the height of letters for a recorded picture of so many pixel rows."""
    return max(11.0, rows / 52)


def draw_plate(lines: Sequence[str], history: Sequence[tuple[float, float]], text_px: float) -> NDArray[np.uint8]:
    """Return the plate, (h, w, 4) uint8 premultiplied BGRA, with letters `text_px` high.

    Args:
        history: (age in seconds, latency in ms), oldest first: the last ten seconds.
    """
    scale = text_px / TEXT_PX
    cells = letters(text_px)
    row, column = cells.shape[1], cells.shape[2]
    pad, plot = round(10 * scale), round(44 * scale)
    width = column * max(COLUMNS, *(len(line) for line in lines)) + 2 * pad
    height = row * len(lines) + plot + 3 * pad
    plate = np.zeros((4, height, width), np.float32)  # planes: BGRA pixels take twice the time
    _paint(plate, _rounded(height, width, round(8 * scale)), GROUND, 205 / 255)
    text = np.zeros((height, width), np.uint8)
    for i, line in enumerate(lines):
        write(text, line, (pad + i * row, pad), cells)
    _paint(plate, text, TEXT)
    top = pad + row * len(lines) + pad
    _plot(plate[:, top : top + plot, pad : width - pad], history, text_px)
    return np.asarray(cv2.merge(list(np.rint(plate).astype(np.uint8))), np.uint8)


def _plot(area: NDArray[np.float32], history: Sequence[tuple[float, float]], text_px: float) -> None:
    """Draw latency over time into a part of the plate, newest at the right, and name the scale's top."""
    height, width = area.shape[1:]
    bottom, right = height - 1, width - 1
    worst = max((ms for _, ms in history), default=0.0)
    top_ms = next((step for step in (50, 100, 200, 500, 1000, 2000, 5000, 10000) if worst <= step), 60000)
    thickness = max(1, round(text_px / TEXT_PX))
    mask = np.zeros((height, width), np.uint8)
    for y in (0, bottom):
        cv2.line(mask, (0, y), (right, y), 255, thickness)
    _paint(area, mask, WHITE, 50 / 255)
    points = np.array(
        [(right - age / HISTORY_S * width, bottom - min(1.0, ms / top_ms) * height) for age, ms in history], np.float32
    )
    if len(points) > 1:
        bits = 4  # OpenCV draws at fractions of pixels given as integers
        line = np.rint(np.clip(points, 0, (right, bottom)) * (1 << bits)).astype(np.int32)
        ground = np.array([(line[-1, 0], bottom << bits), (line[0, 0], bottom << bits)], np.int32)
        mask[:] = 0
        cv2.fillPoly(mask, [np.vstack((line, ground))], 255, cv2.LINE_AA, bits)
        _paint(area, mask, ACCENT, 50 / 255)
        mask[:] = 0
        cv2.polylines(mask, [line], False, 255, thickness, cv2.LINE_AA, bits)
        _paint(area, mask, ACCENT)
    small = letters(text_px * 0.78)
    mask[:] = 0
    write(mask, f"{top_ms} ms", (1, 2), small)
    write(mask, "10 s", (bottom - small.shape[1], 2), small)
    _paint(area, mask, WHITE, 170 / 255)


def _paint(
    plate: NDArray[np.float32], mask: NDArray[np.uint8], rgb: tuple[int, int, int], opacity: float = 1.0
) -> None:
    """Lay a colour over the (4, h, w) premultiplied planes, as far as `mask` (255 wholly) says."""
    alpha = mask * np.float32(opacity / 255)
    keep = 1 - alpha
    for plane, value in zip(plate, (*rgb[::-1], 255), strict=True):
        plane *= keep
        plane += alpha * np.float32(value)


def write(mask: NDArray[np.uint8], line: str, at: tuple[int, int], letters: NDArray[np.uint8]) -> None:
    """Write ASCII into `mask`, its upper left corner `at` (row, column)."""
    ids = [ord(c) - ord(FIRST) if FIRST <= c <= LAST else ord("?") - ord(FIRST) for c in line]
    if not ids:
        return
    text = np.hstack(list(letters[ids]))
    room = mask[at[0] : at[0] + text.shape[0], at[1] : at[1] + text.shape[1]]
    np.maximum(room, text[: room.shape[0], : room.shape[1]], out=room)


@lru_cache(maxsize=8)
def letters(text_px: float) -> NDArray[np.uint8]:
    """Return the printable ASCII characters, (95, h, w) uint8 coverage, `text_px` high."""
    atlas = cv2.imdecode(np.fromfile(assets_dir() / "hud-font.png", np.uint8), cv2.IMREAD_GRAYSCALE)
    assert atlas is not None
    count = ord(LAST) - ord(FIRST) + 1
    row, column = atlas.shape[0], atlas.shape[1] // count
    scale = text_px / FONT_PX
    height, width = max(1, round(row * scale)), max(1, round(column * scale))
    filter_ = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    cells = [atlas[:, i * column : (i + 1) * column] for i in range(count)]
    return np.stack([cv2.resize(cell, (width, height), interpolation=filter_) for cell in cells]).astype(np.uint8)


def _rounded(height: int, width: int, radius: int) -> NDArray[np.uint8]:
    """Return a mask of a rectangle with round corners."""
    mask = np.full((height, width), 255, np.uint8)
    size = min(radius, height // 2, width // 2)
    if size:
        corner = np.zeros((size, size), np.uint8)
        cv2.circle(corner, ((size << 4) - 8, (size << 4) - 8), size << 4, 255, -1, cv2.LINE_AA, 4)
        mask[:size, :size], mask[:size, -size:] = corner, corner[:, ::-1]
        mask[-size:, :size], mask[-size:, -size:] = corner[::-1], corner[::-1, ::-1]
    return mask


def with_plate(picture: P, plate: NDArray[np.uint8]) -> P:
    """Return a picture, RGB or planes, with a premultiplied BGRA plate in its upper left corner.

    RGB, (H, W, 3) uint8, is copied. Planes are new ones for every frame, and the plate is written into them.
    """
    height, width = picture.size if isinstance(picture, Planes) else picture.shape[:2]
    h, w = min(plate.shape[0], height), min(plate.shape[1], width)
    if not isinstance(picture, Planes):
        copy = picture.copy()
        _lay(plate[:h, :w, 2::-1], 255 - plate[:h, :w, 3:], copy[:h, :w])
        return copy
    plate = cv2.copyMakeBorder(plate[:h, :w], 0, h % 2, 0, w % 2, cv2.BORDER_CONSTANT).astype(np.uint8, copy=False)
    h, w = plate.shape[:2]
    # Premultiplied: what the plate adds is its colour's share, the offsets of black and grey included.
    alpha = plate[..., 3:].astype(np.float64) / 255
    added = from_rgb(plate[..., 2::-1].astype(np.float64), picture.colours)
    added -= (1 - alpha) * from_rgb(np.zeros(3), picture.colours)
    layers = [np.rint(added[..., channel]).astype(np.uint8) for channel in range(3)] + [255 - plate[..., 3]]
    _lay(layers[0], layers[3], picture.y[:h, :w])
    half = w // 2, h // 2
    u, v, keep = (np.asarray(cv2.resize(layer, half, interpolation=cv2.INTER_AREA), np.uint8) for layer in layers[1:])
    _lay(u, keep, picture.u[: half[1], : half[0]])
    _lay(v, keep, picture.v[: half[1], : half[0]])
    return picture


def _lay(added: NDArray[np.uint8], keep: NDArray[np.uint8], ground: NDArray[np.uint8]) -> None:
    """Write into `ground` its own share `keep` (255 wholly) and what is added."""
    kept = ground.astype(np.uint16) * keep // 255
    ground[:] = np.minimum(255, kept + added).astype(np.uint8)


class Hud:
    """The plate of a run without a window, drawn anew four times a second. One thread.

    Args:
        engine: asked each time, for a governor may change the network's size.
        governor: what changes it, None without one.
    """

    def __init__(self, metrics: Metrics, engine: Engine, governor: GovernedEngine | None = None) -> None:
        self._metrics, self._engine, self._governor = metrics, engine, governor
        self._usage = UsageMeter()
        self._due_s = -math.inf
        self._plate: NDArray[np.uint8] | None = None

    def plate(self, rows: int) -> NDArray[np.uint8]:
        """Return the plate for a picture of so many pixel rows."""
        now = time.monotonic()
        if self._plate is None or now >= self._due_s:
            self._due_s = now + REFRESH_S
            snapshot = self._metrics.snapshot()
            status = self._governor.status if self._governor is not None else ""
            lines = hud_lines(snapshot, self._engine.info, self._usage.latest, governor=status)
            self._plate = draw_plate(lines, snapshot.history, burn_text_px(rows))
        return self._plate

    def close(self) -> None:
        """End the thread that samples memory and processor use."""
        self._usage.close()
