"""Draw the charts of a report as SVG that scales with the page; words stand outside, so that they stay readable."""

from __future__ import annotations

import math
from html import escape

import numpy as np
from numpy.typing import NDArray

from segnet_live.classes import ClassSet
from segnet_live.config import clock
from segnet_live.drives.track import EARTH_M, Track

WIDTH, HEIGHT = 1000, 240
MAP_HEIGHT = 520
LEVELS = 7
"""Colours of the map line, from little to much."""
_TICKS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200)


def colour(rgb: tuple[int, int, int]) -> str:
    """Return an RGB colour as CSS writes it."""
    return "#{:02x}{:02x}{:02x}".format(*rgb)


def stacked(shares: NDArray[np.float64], classes: ClassSet, cuts: list[float]) -> str:
    """Return (bins, K) class shares as areas on top of each other, the first class on top.

    Args:
        cuts: where scenes begin, 0..1 along the drive.
    """
    bins = len(shares)
    tops = np.concatenate([np.zeros((bins, 1)), np.cumsum(shares, axis=1)], axis=1).clip(0, 1) * HEIGHT
    # Both ends of each bin, so that one bin alone is an area, too.
    across = np.repeat(np.arange(bins + 1), 2)[1:-1] * (WIDTH / bins) if bins < 60 else np.linspace(0, WIDTH, bins)
    rows = np.repeat(np.arange(bins), 2) if bins < 60 else np.arange(bins)
    areas = []
    for k, name in enumerate(classes.names):
        upper, lower = tops[rows, k], tops[rows, k + 1]
        if float((lower - upper).max()) < 0.2:
            continue
        points = [f"{x:.1f},{y:.1f}" for x, y in zip(across, upper, strict=True)]
        points += [f"{x:.1f},{y:.1f}" for x, y in zip(across[::-1], lower[::-1], strict=True)]
        title = f"<title>{escape(name)}</title>"
        areas.append(f'<polygon points="{" ".join(points)}" fill="{colour(classes.colours[k])}">{title}</polygon>')
    lines = [
        f'<line class="cut" x1="{x:.1f}" x2="{x:.1f}" y1="0" y2="{HEIGHT}"><title>scene</title></line>'
        for x in (at * WIDTH for at in cuts)
    ]
    return _svg("Class shares over time", WIDTH, HEIGHT, "".join(areas + lines), "stretch tall")


def curve(values: NDArray[np.float64], title: str, top: float) -> str:
    """Return values, 0..`top`, as a line over an area; NaN leaves a gap."""
    across = np.linspace(0, WIDTH, max(len(values), 2))
    values = np.repeat(values, 2) if len(values) == 1 else values
    down = 100 - np.clip(values / top, 0, 1) * 100
    parts = []
    for piece in np.split(np.arange(len(values)), np.flatnonzero(np.isnan(values))):
        known = [int(i) for i in piece if not math.isnan(values[i])]
        if len(known) > 1:
            line = " ".join(f"{across[i]:.1f},{down[i]:.1f}" for i in known)
            ends = f"{across[known[-1]]:.1f},100 {across[known[0]]:.1f},100"
            parts.append(f'<polygon class="area" points="{line} {ends}"/><polyline class="line" points="{line}"/>')
    return _svg(title, WIDTH, 100, "".join(parts), "stretch low")


def ticks(length_s: float, *, wide: int = 8) -> list[tuple[float, str]]:
    """Return (place 0..1, words) of round times along a drive, about `wide` of them."""
    step = next((t for t in _TICKS_S if length_s / t <= wide), math.ceil(length_s / wide / 3600) * 3600)
    times = np.arange(0, length_s * 0.97, step)
    return [(float(t / length_s), clock(float(t))) for t in times]


def map_line(track: Track, values: NDArray[np.float64], low: float, high: float) -> str:
    """Return the track as a line coloured by (M - 1,) values, one for each step; NaN is grey. North is up.

    Args:
        low, high: the values of the first and the last colour.
    """
    x, y = _projected(track)
    levels = np.full(len(values), -1)
    known = ~np.isnan(values)
    levels[known] = np.clip((values[known] - low) / max(high - low, 1e-9) * LEVELS, 0, LEVELS - 1).astype(int)
    levels[~track.joined] = -2
    parts, first = [], 0
    for at in range(1, len(levels) + 1):
        if at == len(levels) or levels[at] != levels[first]:
            if levels[first] != -2:
                points = " ".join(f"{x[i]:.1f},{y[i]:.1f}" for i in range(first, at + 1))
                name = f"level{levels[first]}" if levels[first] >= 0 else "unknown"
                parts.append(f'<polyline class="way {name}" points="{points}"/>')
            first = at
    for i, name in ((0, "start"), (len(x) - 1, "end")):
        parts.append(f'<circle class="{name}" cx="{x[i]:.1f}" cy="{y[i]:.1f}" r="9"><title>{name}</title></circle>')
    return _svg("Map of the drive", WIDTH, MAP_HEIGHT, "".join(parts), "map")


def _projected(track: Track) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the track's places in the map, with a margin and in true proportions."""
    east = (track.longitude - track.longitude.mean()) * math.cos(math.radians(float(track.latitude.mean())))
    south = track.latitude.mean() - track.latitude
    width, height = float(np.ptp(east)), float(np.ptp(south))
    scale = min((WIDTH - 80) / max(width, 1e-7), (MAP_HEIGHT - 80) / max(height, 1e-7))
    x = (east - east.min() - width / 2) * scale + WIDTH / 2
    y = (south - south.min() - height / 2) * scale + MAP_HEIGHT / 2
    return x, y


def metres_across(track: Track) -> float:
    """Return how many metres the whole width of the map spans."""
    x, _ = _projected(track)
    shrink = math.cos(math.radians(float(track.latitude.mean())))
    width_m = math.radians(float(np.ptp(track.longitude))) * shrink * EARTH_M
    return width_m * WIDTH / max(float(np.ptp(x)), 1e-6)


def _svg(title: str, width: int, height: int, body: str, kind: str) -> str:
    ratio = ' preserveAspectRatio="none"' if "stretch" in kind else ""
    label = escape(title, quote=True)
    return f'<svg class="{kind}" viewBox="0 0 {width} {height}" role="img" aria-label="{label}"{ratio}>{body}</svg>'
