"""Put a report together: one HTML page that needs nothing from elsewhere, and is allowed nothing."""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape as escape_html
from pathlib import Path

import numpy as np

from segnet_live import __version__
from segnet_live.config import clock
from segnet_live.display_text import plain
from segnet_live.drives.index import DriveIndex
from segnet_live.drives.report import charts
from segnet_live.drives.report.facts import IN_SIGHT, ClassFacts, binned, class_facts
from segnet_live.drives.track import Track

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
"""What a browser may do with the page: nothing but show it."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture of a report.

    Attributes:
        jpeg: its content.
        when, words: its caption, the first part in bold.
    """

    jpeg: bytes
    when: str
    words: str


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that a report shows.

    Attributes:
        hardest: pictures of the hardest moments.
        track: where the drive went, None if that is not known.
        by: class whose share colours the map.
        how: (name, value) pairs of how the report was made.
        bonnet: a picture of the part of the picture that is left out, None if nothing is.
    """

    index: DriveIndex
    hardest: Sequence[Picture] = ()
    track: Track | None = None
    by: str = ""
    how: Sequence[tuple[str, str]] = field(default=())
    bonnet: Picture | None = None


def text_of(text: str) -> str:
    """Return text from outside as HTML writes it, also within quotes."""
    return escape_html(plain(text), quote=True)


def page(report: Report) -> str:
    """Return the report as one HTML document."""
    index = report.index
    title = text_of(index.facts.title)
    facts = class_facts(index)
    style = (Path(__file__).parent / "style.css").read_text(encoding="utf-8")
    parts = [
        f"<h1>{title}</h1>",
        f'<p class="quiet">{_subtitle(index)}</p>',
        _tiles(index, facts, report.track),
        _timeline(index),
        _map(report) if report.track is not None else "",
        _curves(index),
        _classes(facts),
        _moments(report.hardest),
        _bonnet(report.bonnet),
        _how(report),
    ]
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title} - segnet-live</title>\n<style>\n{style}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(part for part in parts if part)
        + f"\n<footer>Made by segnet-live {text_of(__version__)}. Shares and times are what the network saw; "
        "nobody has checked them.</footer>\n</main>\n</body>\n</html>\n"
    )


def _subtitle(index: DriveIndex) -> str:
    height, width = index.facts.size
    rate = f", {index.facts.rate:.4g} frames/s" if index.facts.rate else ""
    return f"{clock(index.end_s - index.start_s, tenths=True)}, {len(index):,} frames, {width} x {height}{rate}"


def _tiles(index: DriveIndex, facts: Sequence[ClassFacts], track: Track | None) -> str:
    tiles = [(_percent(fact.mean), f"{fact.name}, on average") for fact in facts[:2]]
    people = [k for k, name in enumerate(index.classes.names) if name in ("Pedestrian", "Bicyclist")]
    if people:
        seen_s = float((index.shares[:, people].sum(axis=1) >= IN_SIGHT).sum() * index.interval_s)
        tiles.append((clock(seen_s), "with people in sight"))
    if not np.isnan(index.confidence).all():
        tiles.append((_percent(float(np.nanmean(index.confidence))), "confidence"))
    tiles.append((_percent(float(index.flicker.mean())), "of pixels change class from frame to frame"))
    if track is not None:
        tiles.append((f"{track.length_m / 1000:.1f} km", f"at {track.speed_kmh:.0f} km/h on average"))
    shown = "".join(f'<div class="tile"><b>{text_of(b)}</b><span>{text_of(s)}</span></div>' for b, s in tiles)
    return f'<div class="tiles">{shown}</div>'


def _timeline(index: DriveIndex) -> str:
    length_s = index.end_s - index.start_s
    cuts = [float((time - index.start_s) / length_s) for time in index.pts_s[index.cuts]]
    area = charts.stacked(binned(index, index.shares), index.classes, cuts)
    shown = [k for k, name in enumerate(index.classes.names) if float(index.shares[:, k].max()) >= IN_SIGHT]
    key = "".join(f"<span>{_swatch(index.classes.colours[k])}{text_of(index.classes.names[k])}</span>" for k in shown)
    scenes = f'<p class="quiet">{len(cuts)} scene changes, dashed.</p>' if cuts else ""
    return (
        f'<section class="whole"><h2>What the picture shows, over time</h2>{area}{_times(length_s)}'
        f'<div class="key">{key}</div>{scenes}</section>'
    )


def _times(length_s: float) -> str:
    marks = "".join(
        f'<span class="{"odd" if i % 2 else "even"}" style="left:{place:.2%}">{words}</span>'
        for i, (place, words) in enumerate(charts.ticks(length_s))
    )
    return f'<div class="times">{marks}</div>'


def _curves(index: DriveIndex) -> str:
    length_s = index.end_s - index.start_s
    rows = []
    if not np.isnan(index.confidence).all():
        rows.append(("Confidence", binned(index, index.confidence), 1.0))
    for name, column in (("Flicker: pixels that change class", index.flicker), ("Motion in the picture", index.motion)):
        values = binned(index, column)
        rows.append((name, values, _round_up(float(np.nanmax(values)))))
    drawn = "".join(
        f"<div><p><span>{name}</span><span>0 to {top:.0%}</span></p>{charts.curve(values, name, top)}</div>"
        if top >= 0.01
        else f"<div><p><span>{name}</span><span>0 to {top:.1%}</span></p>{charts.curve(values, name, top)}</div>"
        for name, values, top in rows
    )
    return (
        f'<section class="whole"><h2>How sure and how steady</h2><div class="curves">{drawn}</div>'
        f"{_times(length_s)}</section>"
    )


def _round_up(value: float) -> float:
    """Return the next of 1, 2 or 5 times a power of ten."""
    if not value > 0:
        return 0.01
    power = 10.0 ** math.floor(math.log10(value))
    return min(1.0, next(power * step for step in (1, 2, 5, 10) if power * step >= value))


def _map(report: Report) -> str:
    index, track = report.index, report.track
    assert track is not None
    times_s = index.pts_s - index.start_s
    column = index.shares[:, index.classes.names.index(report.by)]
    values = np.full(max(0, len(track) - 1), np.nan)
    at = np.searchsorted(track.time_s, times_s, side="right") - 1
    for step in range(len(values)):
        inside = column[at == step]
        if len(inside):
            values[step] = inside.mean()
    if not len(values) or np.isnan(values).all():
        return ""
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    scale = "".join(f'<i class="level{i}"></i>' for i in range(charts.LEVELS))
    across_m = charts.metres_across(track)
    across = f"{across_m / 1000:.1f} km" if across_m >= 1000 else f"{across_m:.0f} m"
    ends = '<span><i class="dot start"></i>start</span><span><i class="dot end"></i>end</span>'
    colours = f'<span class="scale">{_percent(low)} {scale} {_percent(high)}</span>'
    return (
        f'<section class="whole"><h2>Where it was, coloured by {text_of(report.by)}</h2>'
        f"{charts.map_line(track, values, low, high)}"
        f'<div class="key">{ends}{colours}<span>{across} wide, north is up</span></div>'
        f'<p class="quiet">From {text_of(track.origin)}.</p></section>'
    )


def _classes(facts: Sequence[ClassFacts]) -> str:
    rows = []
    for fact in facts:
        width, paint = f"{max(fact.mean, 0.002):.1%}", charts.colour(fact.colour)
        rows.append(
            f"<tr><td>{_swatch(fact.colour)}{text_of(fact.name)}</td><td>{_percent(fact.mean)}</td>"
            f'<td class="bar"><i style="width:{width};background:{paint}"></i></td><td>{_percent(fact.most)}</td>'
            f"<td>{clock(fact.most_s, tenths=True)}</td><td>{clock(fact.in_sight_s)}</td></tr>"
        )
    heads = '<th>class</th><th>mean</th><th class="bar"></th><th>most</th><th>at</th><th>in sight</th>'
    table = f'<div class="scroll"><table><tr>{heads}</tr>{"".join(rows)}</table></div>'
    return (
        f'<section class="whole"><h2>Classes</h2>{table}'
        f'<p class="quiet">In sight: {IN_SIGHT:.1%} of the picture or more.</p></section>'
    )


def _moments(pictures: Sequence[Picture]) -> str:
    if not pictures:
        return ""
    shown = "".join(_figure(picture) for picture in pictures)
    return f'<section><h2>Hardest moments</h2><div class="moments">{shown}</div></section>'


def _bonnet(picture: Picture | None) -> str:
    if picture is None:
        return ""
    return f'<section class="whole"><h2>What never moves</h2><div class="moments">{_figure(picture)}</div></section>'


def _figure(picture: Picture) -> str:
    data = base64.b64encode(picture.jpeg).decode()
    caption = f"<b>{text_of(picture.when)}</b> {text_of(picture.words)}"
    alt = text_of(f"{picture.when} {picture.words}")
    return f'<figure><img src="data:image/jpeg;base64,{data}" alt="{alt}"><figcaption>{caption}</figcaption></figure>'


def _how(report: Report) -> str:
    rows = "".join(f"<dt>{text_of(name)}</dt><dd>{text_of(value)}</dd>" for name, value in report.how)
    return f'<section class="whole"><h2>How it was made</h2><dl>{rows}</dl></section>'


def _swatch(rgb: tuple[int, int, int]) -> str:
    return f'<i class="swatch" style="background:{charts.colour(rgb)}"></i>'


def _percent(share: float) -> str:
    return f"{share:.0%}" if share >= 0.1 or share == 0 else f"{share:.1%}" if share >= 0.0005 else "<0.1%"
