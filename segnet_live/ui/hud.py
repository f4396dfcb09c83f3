"""The heads-up display: figures from the pipeline's own clock on a dark plate, with ten seconds of latency drawn."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PyQt6.QtCore import QPointF, QRectF, Qt
from PyQt6.QtGui import QColor, QFontMetricsF, QImage, QPainter, QPainterPath, QPen, QPolygonF

from segnet_live.engine.base import EngineInfo
from segnet_live.metrics import HISTORY_S, Snapshot
from segnet_live.pipeline.live.usage import Usage
from segnet_live.ui.theme import ACCENT, monospace

PLOT_PX = 44.0
STAGE_ORDER = ("decode", "inference", "resize", "overlay", "paint")


def _ms(value: float) -> str:
    return "--" if math.isnan(value) else f"{value:.0f}" if value >= 99.5 else f"{value:.1f}"


def hud_lines(
    snapshot: Snapshot, engine: EngineInfo | None, usage: Usage | None, state: str, governor: str = ""
) -> list[str]:
    """What the HUD says, one string a line.

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
        lines.append(f"{engine.model} at {engine.input_size[0]}x{engine.input_size[1]}{same}")
    if governor:
        lines.append(f"governor {governor}")
    if usage is not None:
        if usage.vram_used_mib is not None and usage.vram_total_mib is not None:
            lines.append(f"VRAM {usage.vram_used_mib:.0f} / {usage.vram_total_mib:.0f} MiB")
        else:
            lines.append(f"memory {usage.memory_mib:.0f} MiB   CPU {usage.cpu_percent:.0f} %")
    return lines


def draw_plate(
    lines: Sequence[str], history: Sequence[tuple[float, float]], scale: float, text_px: float = 12.5
) -> QImage:
    """The plate as a premultiplied ARGB image, `scale` device pixels per logical pixel (its devicePixelRatio).

    Args:
        history: (age in seconds, latency in ms), oldest first: the last ten seconds.
    """
    font = monospace(text_px)
    metrics = QFontMetricsF(font)
    line_px, pad = math.ceil(metrics.height()), 10.0
    width = math.ceil(
        max(metrics.horizontalAdvance("0") * 44, *(metrics.horizontalAdvance(t) for t in lines)) + 2 * pad
    )
    height = math.ceil(line_px * len(lines) + PLOT_PX * text_px / 12.5 + 3 * pad)
    plate = QImage(math.ceil(width * scale), math.ceil(height * scale), QImage.Format.Format_ARGB32_Premultiplied)
    plate.setDevicePixelRatio(scale)
    plate.fill(Qt.GlobalColor.transparent)
    painter = QPainter(plate)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(QColor(8, 11, 15, 205))
    painter.drawRoundedRect(QRectF(0, 0, width, height), 8, 8)
    painter.setFont(font)
    painter.setPen(QColor("#f2f5f8"))
    for i, line in enumerate(lines):
        painter.drawText(QPointF(pad, pad + i * line_px + metrics.ascent()), line)
    top = pad + line_px * len(lines) + pad
    _plot(painter, history, QRectF(pad, top, width - 2 * pad, height - top - pad), text_px)
    painter.end()
    return plate


def plate_pixels(lines: Sequence[str], history: Sequence[tuple[float, float]], rows: int) -> NDArray[np.uint8]:
    """The plate to burn into a picture of `rows` pixel rows: (h, w, 4) uint8 premultiplied BGRA."""
    plate = draw_plate(lines, history, 1.0, text_px=max(11.0, rows / 52))
    bits = plate.constBits()
    assert bits is not None
    pixels: NDArray[np.uint8] = np.frombuffer(bits.asstring(plate.sizeInBytes()), np.uint8)
    return pixels.reshape(plate.height(), plate.bytesPerLine() // 4, 4)[:, : plate.width()].copy()


def _plot(painter: QPainter, history: Sequence[tuple[float, float]], area: QRectF, text_px: float) -> None:
    """Latency over time, newest at the right, with the scale's top named."""
    worst = max((ms for _, ms in history), default=0.0)
    top_ms = next((step for step in (50, 100, 200, 500, 1000, 2000, 5000, 10000) if worst <= step), 60000)
    painter.setPen(QPen(QColor(255, 255, 255, 50), 1))
    painter.drawLine(area.bottomLeft(), area.bottomRight())
    painter.drawLine(area.topLeft(), area.topRight())
    points = QPolygonF(
        QPointF(area.right() - age / HISTORY_S * area.width(), area.bottom() - min(1.0, ms / top_ms) * area.height())
        for age, ms in history
    )
    if len(points) > 1:
        under = QPainterPath()
        under.addPolygon(points)
        under.lineTo(points[len(points) - 1].x(), area.bottom())
        under.lineTo(points[0].x(), area.bottom())
        fill = QColor(ACCENT)
        fill.setAlpha(50)
        painter.fillPath(under, fill)
        painter.setPen(QPen(QColor(ACCENT), 1.3))
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.drawPolyline(points)
    painter.setFont(monospace(text_px * 0.78))
    painter.setPen(QColor(255, 255, 255, 170))
    painter.drawText(area.adjusted(2, 1, -2, 0), Qt.AlignmentFlag.AlignLeft, f"{top_ms} ms")
    painter.drawText(area.adjusted(2, 0, -2, -1), Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignBottom, "10 s")
