"""Show figures: tables for a terminal, Markdown for bench/README.md, JSON for other programs."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Sequence
from typing import Any

import rich.table
from rich import box
from rich.console import Console

from segnet_live.bench.engines import Report, Row
from segnet_live.bench.machine import Machine
from segnet_live.bench.network import PaperRow
from segnet_live.bench.video import VideoRow
from segnet_live.config import format_size
from segnet_live.nets.networks import TABLE_1, TABLE_6

WIDTH = 10_000


@dataclasses.dataclass(frozen=True, slots=True)
class Table:
    """A title, column heads, rows of text, and notes below."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()

    def show(self, *, markdown: bool) -> None:
        """Print it, one line a row however wide the terminal is: in a file or a pipe nobody sees its width."""
        table = rich.table.Table(box=box.MARKDOWN if markdown else None, pad_edge=markdown, header_style="")
        for index, column in enumerate(self.columns):
            table.add_column(column, justify="right" if index else "left", no_wrap=True)
        for cells in self.rows:
            table.add_row(*cells)
        console = Console(width=WIDTH, highlight=False, markup=False, emoji=False)
        with console.capture() as captured:
            console.print(table)
        body = "\n".join(line.rstrip() for line in captured.get().splitlines() if line.strip())
        title = f"**{self.title}**" if markdown else self.title
        print(("\n\n" if markdown else "\n").join((title, body, *self.notes)))


def engine_table(report: Report) -> Table:
    """Return one row per model and engine; peers below, with how many times longer they take than our fastest there."""
    height, width = report.frame_size
    rows = sorted(report.rows, key=lambda row: row.peer)
    columns: tuple[str, ...] = (
        "model, engine", "input", "p50 ms", "p95 ms", "p99 ms", "n", "frames/s", "fit ms", "labels ms", "blend ms",
        "agreement", "memory MiB", "VRAM MiB", "file MiB", "parameters M", "GFLOP", "ratio",
    )  # fmt: skip
    ragged = [row.name for row in rows if row.inference.p95 > 1.3 * row.inference.p50]
    notes = [
        "p50, p95, p99: uint8 RGB at input size in, uint8 label map out, on the host, warm-up left out. fit, labels, "
        f"blend: p50 of the host steps for {width}x{height} frames. Agreement: pixels labelled as by fp32 eager. "
        "Memory: the process's peak above what it had before the engine was opened. GFLOP: a multiply-add is two.",
        report.noise.line(),
    ]
    if ragged:
        notes.append(f"p95 is over 1.3 x p50 for {', '.join(ragged)}: judge those with care.")
    if any(row.peer for row in rows):
        notes.append(
            "Ratio: a peer's p50 over that of our fastest model on the same engine and input, in this run; "
            "a peer in bf16 meets our int8 where we have it."
        )
    notes += [f"not measured: {what}: {why}" for what, why in report.missing]
    shown = len(columns) if any(row.peer for row in rows) else len(columns) - 1
    cells = tuple(_engine_cells(row, report)[:shown] for row in rows)
    return Table("Models and engines", columns[:shown], cells, tuple(notes))


def _engine_cells(row: Row, report: Report) -> tuple[str, ...]:
    memory, ratio = row.memory, report.ratio(row)
    t = row.inference
    return (
        row.name,
        format_size(row.info.input_size),
        f"{t.p50:.2f}",
        f"{t.p95:.2f}",
        f"{t.p99:.2f}",
        str(t.n),
        f"{t.per_second:.1f}",
        *(f"{row.stages_ms[name]:.2f}" if row.stages_ms else "-" for name in ("fit_input", "labels_at", "overlay")),
        "-" if row.agreement is None else f"{100 * row.agreement:.2f} %",
        "-" if memory is None else f"{memory.process_mib:.0f}",
        "-"
        if memory is None or memory.vram_mib is None
        else f"{memory.vram_mib:.0f} ({memory.vram_torch_mib:.0f} torch)",
        f"{row.model_mib:.1f}",
        f"{row.parameters / 1e6:.2f}",
        f"{row.gflop:.1f}",
        "-" if ratio is None else f"{ratio:.2f}x",
    )


def paper_table(rows: Sequence[PaperRow], missing: Sequence[tuple[str, str]] = ()) -> Table:
    """Return the columns of the paper's Tables 1 and 6, its own figures in brackets, and what could not be measured.

    Args:
        missing: (what, why), told below the table.
    """
    columns = (
        "network", "weights", "parameters M", "fp32 MB", "storage multiplier", "forward ms", "backward ms",
        "training MiB", "inference MiB", "file MiB", "n",
    )  # fmt: skip
    first = rows[0]
    where = f"CPU, {first.threads} threads" if first.device == "cpu" else first.device
    return Table(
        f"As Tables 1 and 6 of arXiv:1511.00561: PyTorch fp32, {where}, {format_size(first.input_size)}",
        columns,
        tuple(map(_paper_cells, rows)),
        (
            "In brackets the paper's figures, on an NVIDIA Titan with Caffe and cuDNN v3, 360x480, memory in MB: of "
            "Table 6 or, for the small networks (forward alone), of Table 1; DeconvNet's model size fits no reading of "
            "its text. Forward and backward: mean of n iterations, mini-batch 1. Training memory: mini-batch 4, SGD "
            "with momentum. Inference memory: mini-batch 1. fp32 MB: of the parameters; file: the weights as they "
            "ship. Random weights take the time and memory of trained ones.",
            *(f"{what} left out: {why}" for what, why in missing),
        ),
    )


def _paper_cells(row: PaperRow) -> tuple[str, ...]:
    small, large = TABLE_1.get(row.architecture), TABLE_6.get(row.architecture)
    stored = None if small is None or small.storage_multiplier is None else small.storage_multiplier
    published_ms = small.inference_ms if small is not None else large.forward_ms if large is not None else None
    return (
        row.model,
        "trained" if row.trained else "random",
        _beside(f"{row.parameters / 1e6:.3f}", None if small is None else small.parameters_m),
        _beside(f"{row.parameters * 4 / 1e6:.1f}", None if large is None else large.model_mb),
        _beside(f"{row.storage_multiplier:g}", stored),
        _beside(f"{row.forward_ms:.1f}", published_ms),
        _beside(f"{row.backward_ms:.1f}", None if large is None else large.backward_ms),
        _beside(f"{row.training_mib:.0f}", None if large is None else large.training_mb),
        _beside(f"{row.inference_mib:.0f}", None if large is None else large.inference_mb),
        "-" if row.model_mib is None else f"{row.model_mib:.1f}",
        str(row.n),
    )


def _beside(ours: str, papers: float | None) -> str:
    return ours if papers is None else f"{ours} ({papers:g})"


def video_table(rows: Sequence[VideoRow]) -> Table:
    """Return what the whole pipeline does with one video, a column for each model, and FFmpeg beside them."""
    first = rows[0]
    stages = tuple(dict.fromkeys(stage for row in rows for stage in row.stages_ms))
    best = max((row.ffmpeg for row in rows), key=lambda run: run.fps)
    rate = "" if first.source_fps is None else f", {first.source_fps:.2f} frames/s"

    def line(name: str, cell: Callable[[VideoRow], str], of_ffmpeg: str = "") -> tuple[str, ...]:
        return (name, *(cell(row) for row in rows), of_ffmpeg)

    return Table(
        f"Recording {first.video}, {first.size[1]}x{first.size[0]}{rate}",
        ("", *(f"{row.info.model} {row.info.backend} {row.info.precision}" for row in rows), "FFmpeg alone"),
        (
            line("input", lambda row: format_size(row.info.input_size)),
            line("frames/s", lambda row: f"{row.fps:.1f}", f"{best.fps:.1f}"),
            line("share of FFmpeg's", lambda row: f"{row.fps / best.fps:.2f}", "1.00"),
            line("x real time", lambda row: "-" if math.isnan(row.real_time) else f"{row.real_time:.2f}"),
            line("latency p50/p95 ms", lambda row: f"{row.latency_ms.p50:.0f}/{row.latency_ms.p95:.0f}"),
            line("peak MiB", lambda row: f"{row.peak_mib:.0f}"),
            line("core-ms a frame", lambda row: f"{row.core_ms:.1f}", f"{best.core_ms:.1f}"),
            *((f"  {stage}", *(f"{row.stages_ms.get(stage, 0.0):.1f}" for row in rows), "") for stage in stages),
            line("  these together", lambda row: f"{sum(row.stages_ms.values()):.1f}"),
        ),
        (
            "Decoding, segmenting, overlay, H.264 and sound overlap. Latency: decode start to label map ready.",
            "Core-ms: time of one core; that of the stages is measured one after the other over the first 96",
            "frames, which takes less than side by side. FFmpeg alone decodes the file and encodes it with",
            "x264 ultrafast, without sound.",
        ),
    )


def as_json(
    machine: Machine, command: str, report: Report, paper: Sequence[PaperRow], videos: Sequence[VideoRow]
) -> dict[str, Any]:
    """Return everything measured as plain values; nan becomes null."""
    value = {
        "command": command,
        "machine": dataclasses.asdict(machine),
        "noise": dataclasses.asdict(report.noise) | {"reasons": report.noise.reasons},
        "frame_size": report.frame_size,
        "engines": [dataclasses.asdict(row) | {"ratio": report.ratio(row)} for row in report.rows],
        "missing": report.missing,
        "paper_table_6": [dataclasses.asdict(row) for row in paper],
        "videos": [dataclasses.asdict(row) for row in videos],
    }
    plain: dict[str, Any] = json.loads(json.dumps(value), parse_constant=lambda _: None)
    return plain
